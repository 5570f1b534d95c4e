"""Training learns, keeps best and last, and resumes bit for bit, also after a kill."""

import csv
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import kill_at

from unetlift import from_pretrained, losses
from unetlift.errors import UsageError

pytestmark = pytest.mark.filterwarnings(
    "ignore:The 'train_dataloader' does not have many workers",  # small data is read faster without
    "ignore:The 'val_dataloader' does not have many workers",
)

FLAGS = ["--depth=2", "--width=4", "--crop=32", "--batch-size=4", "--workers=0", "--down=lift", "--up=lift"]


def _command(cells: Path, out: Path, epochs: int, *more: str) -> list[str]:
    return [sys.executable, "-m", "unetlift.cli", "train", f"--data={cells}", f"--out={out}", f"--epochs={epochs}", *FLAGS, *more]


def _run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(_command(*arguments), capture_output=True, text=True)


def _weights(run: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run / "last" / "model.safetensors")


@pytest.mark.parametrize("more", [(), ("--phase=learned", "--conv=deform-v2", "--no-lift-shared")], ids=["plain", "all-learned"])
def test_a_killed_training_resumes_as_if_never_stopped(more: tuple[str, ...], cells: Path, tmp_path: Path) -> None:
    whole = _run(cells, tmp_path / "whole", 12, *more)
    assert whole.returncode == 0, whole.stderr
    kill_at("epoch 2/12", _command(cells, tmp_path / "cut", 12, *more))
    from_pretrained(tmp_path / "cut" / "last")  # whole, although the process died
    resumed = _run(cells, tmp_path / "cut", 12, "--resume", *more)
    assert resumed.returncode == 0, resumed.stderr
    ours, theirs = _weights(tmp_path / "cut"), _weights(tmp_path / "whole")
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(tensor, ours[name]), name
    for folder in ("best", "last"):
        files = [tmp_path / run / folder / "model.safetensors" for run in ("cut", "whole")]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert "epoch 1/12" not in resumed.stdout and "epoch 12/12" in resumed.stdout


def test_training_learns_and_lifting_still_reconstructs(cells: Path, tmp_path: Path) -> None:
    done = _run(cells, tmp_path / "run", 12, "--learning-rate=0.01", "--precision=float32")
    assert done.returncode == 0, done.stderr
    with next((tmp_path / "run" / "metrics").rglob("*.csv")).open() as file:
        loss = [float(row["train_loss"]) for row in csv.DictReader(file) if row["train_loss"]]
    assert loss[-1] < 0.6 * loss[0]
    model = from_pretrained(tmp_path / "run" / "best").double()
    down, up = model.encoder.downs[0], model.ups[0]
    assert down.lifting.predict.across.weight.abs().max() > 1e-4  # it has learned something
    x = torch.randn(2, 4, 15, 22, dtype=torch.float64)
    torch.testing.assert_close(up(*down(x)), x, rtol=0, atol=1e-12)


def test_interrupting_is_exit_code_130(cells: Path, tmp_path: Path) -> None:
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what a shell has put into the background is deaf to it
    line = _command(cells, tmp_path / "run", 500)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    while not process.stdout.readline().startswith("epoch 1/"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors.strip().endswith("unetlift: interrupted.")


def test_a_run_is_never_overwritten_nor_resumed_with_other_settings(cells: Path, tmp_path: Path) -> None:
    from unetlift import cli

    out = tmp_path / "run"
    arguments = _command(cells, out, 1)[3:]
    with pytest.raises(SystemExit, match="0"):
        cli.main(arguments)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for more in ([], ["--resume", "--crop=16"]):
        with pytest.raises(SystemExit, match="2"):
            cli.main([*arguments, *more])
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("size", ["20k", "200k"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(cells: Path, tmp_path: Path, size: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("Only root can mount a small disk; run the tests as root to see it fill up.")
    try:
        done = _run(cells, disk / "run", 3, "--width=16")
        assert done.returncode == 1
        assert "No space left on device" in done.stderr.strip().splitlines()[-1]
        assert not list(disk.rglob("*.part"))
        for config in disk.rglob("*/config.json"):
            if config.parent.name in ("best", "last"):
                from_pretrained(config.parent)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_losses_are_joined_by_plus_and_checked() -> None:
    logits, labels = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    both = losses.segmentation_loss("ce+dice", None)(logits, labels)
    apart = losses.segmentation_loss("ce", None)(logits, labels) + losses.segmentation_loss("dice", None)(logits, labels)
    torch.testing.assert_close(both, apart)
    with pytest.raises(UsageError, match="loss 'l1' is unknown; it is one of ce, dice, focal"):
        losses.segmentation_loss("ce+l1", None)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_ignored_pixels_do_not_count(name: str) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 3, 4, 4), torch.randint(0, 3, (1, 4, 4))
    labels[0, 0] = 9
    loss = losses.segmentation_loss(name, 9)
    changed = logits.clone()
    changed[:, :, 0] += torch.randn(3, 4)
    torch.testing.assert_close(loss(logits, labels), loss(changed, labels))


@pytest.mark.slow
def test_every_shipped_variant_learns_cells(cells: Path, tmp_path: Path) -> None:
    for down, up in (("max", "nearest"), ("max", "unpool"), ("blur-3", "bilinear"), ("lift", "lift")):
        flags = ["--depth=3", "--width=8", f"--down={down}", f"--up={up}", "--learning-rate=0.01"]
        done = _run(cells, tmp_path / f"{down}-{up}", 60, *flags)
        assert done.returncode == 0, done.stderr
        best = float(re.findall(r"best (\d\.\d+)", done.stdout)[-1])
        assert best > 0.9, (down, up, best)
