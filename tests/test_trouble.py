"""A training in trouble: numbers that are none, no memory, no disk. What it had reached is kept."""

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import mounted, train, training

from unetlift import cli, from_pretrained


def _weights_are_numbers(folder: Path) -> bool:
    return all(tensor.isfinite().all() for tensor in safetensors.torch.load_file(folder / "model.safetensors").values())


def test_a_loss_that_is_no_number_stops_it_names_the_pictures_and_keeps_the_last_good_state(cells: Path, tmp_path: Path) -> None:
    flags = ("--epochs=30", "--save-minutes=0", "--learning-rate=1e18", "--schedule=cosine", "--warmup=0.4", "--precision=float32")
    done = train(cells, tmp_path / "run", *flags)
    assert done.returncode == 1, (done.stdout, done.stderr)
    said = done.stderr.strip().splitlines()[-1]
    assert "is not finite" in said and said.count("cell") >= 4  # a step's pictures
    for folder in ("best", "last"):
        if (tmp_path / "run" / folder).exists():
            assert _weights_are_numbers(tmp_path / "run" / folder)
    kept = torch.load(tmp_path / "run" / "resume" / "last.ckpt", weights_only=True)
    assert all(tensor.isfinite().all() for tensor in kept["state_dict"].values() if tensor.is_floating_point())


SHORT_OF_MEMORY = """
import resource, sys
from unetlift import cli, train  # with all that they import
from unetlift.pools import pool_pair
used = 1024 * int(next(line for line in open('/proc/self/status') if line.startswith('VmSize')).split()[1])
resource.setrlimit(resource.RLIMIT_AS, (used + {more}, resource.RLIM_INFINITY))
cli.main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit memory so")
def test_out_of_memory_halves_the_step_says_so_and_goes_on(cells: Path, tmp_path: Path) -> None:
    flags = ["--epochs=1", "--crop=768", "--batch-size=8", "--width=8", "--down=max", "--up=nearest", "--cache=0"]
    command = [*training(cells, tmp_path / "run", *flags, "--precision=float32")[4:]]
    code = SHORT_OF_MEMORY.format(more=1_700_000_000)
    done = subprocess.run([sys.executable, "-c", code, "train", *command], capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout, done.stderr[-2000:])
    assert "out of memory: from here on a step's 8 samples are computed in 2 parts" in done.stdout
    from_pretrained(tmp_path / "run" / "best")


def test_parts_add_up_to_the_whole_step(cells: Path, tmp_path: Path) -> None:
    from unetlift.recipe import OptimiserConfig, TrainConfig
    from unetlift.train import prepare
    from unetlift.train.rehearse import batches

    config = TrainConfig(str(cells), str(tmp_path / "run"), crop=32, batch_size=4, loss="ce", optimiser=OptimiserConfig(accumulate=2))
    training, loaders = prepare(config)
    x, target, _ = next(batches(loaders))
    training.eval()  # batch statistics are of a part
    whole = training.terms(x, target, 0)["loss"]
    parts = [training.terms(a, b, 0)["loss"] for a, b in zip(x.chunk(2), target.chunk(2), strict=True)]
    torch.testing.assert_close(torch.stack(parts).mean(), whole)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "2m") as disk:
        yield disk


def test_a_full_disk_leaves_the_checkpoint_before_whole(cells: Path, small_disk: Path) -> None:
    run = small_disk / "run"
    command = training(cells, run, "--epochs=10")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not process.stdout.readline().startswith("epoch 3/"):
        assert process.poll() is None
    filler = (small_disk / "filler").open("wb", buffering=0)
    with pytest.raises(OSError, match="No space left"):
        while True:
            filler.write(bytes(4096))
    filler.close()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and "No space left on device" in errors.strip().splitlines()[-1]
    assert not list(small_disk.rglob("*.part"))
    for folder in ("best", "last"):
        from_pretrained(run / folder)
    (small_disk / "filler").unlink()
    resumed = train(cells, run, "--epochs=10", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "epoch 10/10" in resumed.stdout and "epoch 2/10" not in resumed.stdout


@pytest.mark.slow
def test_a_disk_that_is_full_from_the_start_is_one_sentence(cells: Path, small_disk: Path) -> None:
    done = train(cells, small_disk / "run", "--epochs=3", "--width=64")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr.strip().splitlines()[-1]
    assert not list(small_disk.rglob("*.part"))


@pytest.mark.slow
def test_the_rate_finder_finds_one_that_learns(cells: Path, tmp_path: Path) -> None:
    done = train(cells, tmp_path / "run", "--epochs=2", "--learning-rate=auto", "--precision=float32")
    assert done.returncode == 0, done.stderr
    rate = float(done.stdout.splitlines()[0].removeprefix("learning rate "))
    assert 1e-5 < rate < 1 and math.isfinite(rate)
    assert f"learning_rate: {rate}" in (tmp_path / "run" / "config.yaml").read_text()


@pytest.mark.slow
def test_a_resumed_training_has_the_rate_that_it_found(cells: Path, tmp_path: Path) -> None:
    flags = ("--epochs=2", "--learning-rate=auto", "--precision=float32")
    first, again = train(cells, tmp_path / "run", *flags), train(cells, tmp_path / "run", *flags, "--resume")
    assert first.returncode == again.returncode == 0, again.stderr
    assert first.stdout.splitlines()[0] == again.stdout.splitlines()[0]


def test_a_dry_run_says_time_and_memory_and_writes_nothing(cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit, match="0"):
        cli.main(training(cells, tmp_path / "run", "--dry-run")[3:])
    said = capsys.readouterr().out
    assert "GiB of memory" in said and "an epoch takes about" in said
    assert sorted(tmp_path.rglob("*")) == before
