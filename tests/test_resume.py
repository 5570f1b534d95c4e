"""A training that was killed or stopped goes on as if it never had, bit for bit."""

import csv
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from conftest import kill_after, train, training

from unetlift import from_pretrained

EVERY_STEP = "--save-minutes=0"
LEARNED = ("--phase=learned", "--conv=deform-v2", "--no-lift-shared", "--ema=0.9", "--consistency=1", "--max-shift=2")
EPOCHS = ("--epochs=6", "--batch-size=2")


def _figures(run: Path) -> list[dict[str, str]]:
    """Of every epoch, but for the time it took."""
    with (run / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def _assert_same(ours: Path, theirs: Path) -> None:
    for folder in ("last", "best"):
        files = [run / folder / "model.safetensors" for run in (ours, theirs)]
        assert files[0].read_bytes() == files[1].read_bytes(), folder
    assert _figures(ours) == _figures(theirs)


@pytest.mark.parametrize(
    ("kills", "workers", "more"),
    [((9,), 0, ()), pytest.param((2, 9), 2, LEARNED, marks=pytest.mark.slow)],
    ids=["alone", "twice-with-workers-and-all-learned"],
)
def test_killed_within_epochs_it_goes_on_as_if_never_stopped(
    kills: tuple[int, ...], workers: int, more: tuple[str, ...], cells: Path, tmp_path: Path
) -> None:
    flags = (*EPOCHS, f"--workers={workers}", EVERY_STEP, *more)
    whole = train(cells, tmp_path / "whole", *flags)
    assert whole.returncode == 0, whole.stderr
    cut = tmp_path / "cut"
    for saves in kills:  # in the first epoch, in the second or third
        kill_after(saves, cut / "resume" / "last.ckpt", training(cells, cut, *flags, *(["--resume"] if cut.exists() else [])))
    from_pretrained(cut / "last")  # whole, although the process died
    resumed = train(cells, cut, *flags, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "epoch 1/6" not in resumed.stdout and "epoch 6/6" in resumed.stdout
    _assert_same(cut, tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_after_any_step(workers: int, cells: Path, tmp_path: Path) -> None:
    flags = ("--epochs=3", "--batch-size=3", f"--workers={workers}", EVERY_STEP, "--deterministic")
    assert train(cells, tmp_path / "whole", *flags).returncode == 0
    for saves in range(1, 12):  # 4 steps and an epoch's end, three times, with the last epoch's as the last save
        cut = tmp_path / f"cut{saves}"
        kill_after(saves, cut / "resume" / "last.ckpt", training(cells, cut, *flags))
        resumed = train(cells, cut, *flags, "--resume")
        assert resumed.returncode == 0, resumed.stderr
        _assert_same(cut, tmp_path / "whole")


@pytest.mark.slow
def test_killed_before_anything_was_saved_it_begins_with_the_same_weights(cells: Path, tmp_path: Path) -> None:
    flags = ("--epochs=2",)
    assert train(cells, tmp_path / "whole", *flags).returncode == 0
    kill_after(1, tmp_path / "cut" / "resume" / "begin" / "config.json", training(cells, tmp_path / "cut", *flags))
    assert train(cells, tmp_path / "cut", *flags, "--resume").returncode == 0
    _assert_same(tmp_path / "cut", tmp_path / "whole")


def _tell(number: signal.Signals, command: list[str]) -> tuple[int, str]:
    """Starts a training, tells all its processes to stop after its first epoch, and returns its exit code and last word."""
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what a shell has put into the background is deaf to it
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **pipes, preexec_fn=heard, start_new_session=True)
    while not process.stdout.readline().startswith("epoch 1/"):
        assert process.poll() is None
    os.killpg(process.pid, number)  # as a terminal and SLURM do: the readers are told too
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("number", "code"), [pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_told_to_stop_it_saves_and_says_where(number: signal.Signals, code: int, cells: Path, tmp_path: Path) -> None:
    flags = ("--epochs=200", "--batch-size=1", "--workers=1")
    said = _tell(number, training(cells, tmp_path / "run", *flags))
    assert said[0] == code and said[1].startswith("unetlift: interrupted in epoch") and said[1].endswith("--resume goes on from here.")
    assert (tmp_path / "run" / "resume" / "last.ckpt").exists()


@pytest.mark.slow
def test_told_to_stop_it_goes_on_as_if_never_stopped(cells: Path, tmp_path: Path) -> None:
    flags = ("--epochs=12", "--batch-size=1", "--workers=1")
    for run, number in (("cut", signal.SIGTERM), ("other", signal.SIGINT)):
        _tell(number, training(cells, tmp_path / run, *flags))
        resumed = train(cells, tmp_path / run, *flags, "--resume")
        assert resumed.returncode == 0, resumed.stderr
    _assert_same(tmp_path / "cut", tmp_path / "other")


def test_a_file_that_goes_bad_under_way_is_one_sentence(cells: Path, tmp_path: Path) -> None:
    command = training(cells, tmp_path / "run", "--epochs=500", "--workers=1", "--cache=0")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not process.stdout.readline().startswith("epoch 1/"):
        assert process.poll() is None
    (cells / "train" / "images" / "cell03.png").write_bytes(b"no picture")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 3, errors
    assert errors.count("\n") == 1 and "cell03.png cannot be read as a picture" in errors


@pytest.mark.slow
def test_config_yaml_reproduces_the_run(cells: Path, tmp_path: Path) -> None:
    assert train(cells, tmp_path / "first", "--epochs=2", "--loss=0.5*ce+lovasz", "--augment=strong", "--balanced").returncode == 0
    config, out = tmp_path / "first" / "config.yaml", tmp_path / "second"
    again = [sys.executable, "-m", "unetlift.cli", "train", f"--config={config}", f"--out={out}"]
    done = subprocess.run(again, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _assert_same(tmp_path / "second", tmp_path / "first")
    assert (tmp_path / "first" / "config.yaml").read_text() == (tmp_path / "second" / "config.yaml").read_text()
