"""Training learns each of its tasks, keeps best and last, and overwrites nothing."""

import contextlib
import csv
import importlib.util
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_cells, train, training
from PIL import Image

from unetlift import cli, from_pretrained, images
from unetlift.errors import UsageError
from unetlift.predict import load_predictor
from unetlift.recipe import MachineConfig, OptimiserConfig, TrainConfig
from unetlift.train.schedules import factor


def _rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def test_training_learns_and_lifting_still_reconstructs(cells: Path, tmp_path: Path) -> None:
    flags = "--epochs=12", "--learning-rate=0.01", "--precision=float32", "--previews=2", "--lift-penalty=0.1"
    done = train(cells, tmp_path / "run", *flags)
    assert done.returncode == 0, done.stderr
    rows = _rows(tmp_path / "run")
    assert rows[-1]["train_loss"] < 0.6 * rows[0]["train_loss"]
    for name in ("val_miou", "val_dice", "val_boundary_iou", "val_iou/1", "train_lift_u", "train_lift_p"):
        assert name in rows[0]
    assert len(list((tmp_path / "run" / "previews").glob("epoch-*.png"))) == 12
    model = from_pretrained(tmp_path / "run" / "best").double()
    down, up = model.encoder.downs[0], model.ups[0]
    assert down.lifting.predict.across.weight.abs().max() > 1e-4  # it has learned something
    x = torch.randn(2, 4, 15, 22, dtype=torch.float64)
    torch.testing.assert_close(up(*down(x)), x, rtol=0, atol=1e-12)


@pytest.fixture
def bands(tmp_path: Path) -> Path:
    """Pictures of four bands in 16 bit, and what they become: two bands, one the other way round and one their mean."""
    rng = np.random.default_rng(0)
    for split, count in {"train": 8, "val": 2, "test": 2}.items():
        for kind in ("images", "targets"):
            (tmp_path / "bands" / split / kind).mkdir(parents=True)
        for number in range(count):
            picture = np.stack([draw_cells(rng, 40, 48)[0] for _ in range(4)], 2).astype(np.uint16) * 257
            target = np.stack([65535 - picture[..., 0], picture.mean(2).astype(np.uint16)], 2)
            images.write_any(tmp_path / "bands" / split / "images" / f"{number}.tif", picture)
            images.write_any(tmp_path / "bands" / split / "targets" / f"{number}.tif", target)
    return tmp_path / "bands"


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--adversary=lsgan", "--loss=charbonnier")], ids=["alone", "adversary"])
def test_pictures_of_any_bands_are_translated(more: tuple[str, ...], bands: Path, tmp_path: Path) -> None:
    flags = ("--task=translate", "--in-channels=4", "--epochs=20", "--learning-rate=0.01", "--augment=microscopy", *more)
    done = train(bands, tmp_path / "run", *flags)
    assert done.returncode == 0, done.stderr
    rows = _rows(tmp_path / "run")
    assert rows[-1]["val_psnr"] > rows[0]["val_psnr"] + 3
    assert ("train_discriminator" in rows[0]) == bool(more)
    predictor = load_predictor(tmp_path / "run" / "best", precision="float32")
    answer = predictor.predict(images.read_picture(bands / "test" / "images" / "0.tif")).picture(np.uint16)
    assert answer.shape == (40, 48, 2) and answer.dtype == np.uint16


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, count in {"train": 8, "val": 2, "test": 2}.items():
        (tmp_path / "photographs" / split / "images").mkdir(parents=True)
        for number in range(count):
            picture = np.stack([draw_cells(rng, 40, 48)[0]] * 3, 2) // 2 + rng.integers(0, 60, 3).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / "photographs" / split / "images" / f"{number}.png")
    return tmp_path / "photographs"


@pytest.mark.parametrize(
    "worse",
    [
        ("--noise=40", "--residual"),
        pytest.param(("--scale=2", "--blur", "0.5", "1.5", "--jpeg=40", "--residual"), marks=pytest.mark.slow),
        pytest.param(("--grey", "--in-channels=1"), marks=pytest.mark.slow),
    ],
    ids=["noise", "blur-scale-jpeg", "grey"],
)
def test_photographs_are_restored(worse: tuple[str, ...], photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    done = train(photographs, tmp_path / "run", "--task=restore", "--epochs=10", "--batch-size=1", "--learning-rate=0.01", *worse)
    assert done.returncode == 0, done.stderr
    rows = _rows(tmp_path / "run")
    assert rows[-1]["val_psnr"] > rows[0]["val_psnr"] + 1
    with pytest.raises(SystemExit, match="0"):  # the network knows what it was taught to undo
        cli.main(["evaluate", f"--model={tmp_path / 'run' / 'best'}", f"--data={photographs}", "--precision=float32"])
    assert re.search(r"psnr +\d\d\.\d", capsys.readouterr().out)
    with pytest.raises(SystemExit, match="0"):
        folder = photographs / "test" / "images"
        if "--in-channels=1" in worse:
            folder = _greys(folder, tmp_path / "greys")
        cli.main(["predict", f"--model={tmp_path / 'run' / 'best'}", f"--input={folder}", f"--output={tmp_path / 'out'}"])
    assert images.read_picture(tmp_path / "out" / "pictures" / "0.png").shape == (40, 48, 3)


def _greys(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        Image.open(path).convert("L").save(to / path.name)
    return to


def test_a_run_is_never_overwritten_nor_resumed_with_other_settings(cells: Path, tmp_path: Path) -> None:
    arguments = training(cells, tmp_path / "run", "--epochs=1")[3:]
    with pytest.raises(SystemExit, match="0"):
        cli.main(arguments)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    for more in ([], ["--resume", "--crop=16"]):
        with pytest.raises(SystemExit, match="2"):
            cli.main([*arguments, *more])
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrainConfig("d", "o", task="colour"), "task 'colour' is unknown; it is one of segment, translate, restore"),
        (lambda: TrainConfig("d", "o", adversary="wgan"), "adversary 'wgan' is unknown; it is one of none, lsgan, bce"),
        (lambda: TrainConfig("d", "o", batch_size=6, optimiser=OptimiserConfig(accumulate=4)), "accumulate is 4; it divides batch_size 6"),
        (lambda: TrainConfig("d", "o", consistency=1, crop=24), "max_shift is 8; it is below a third of the crop of 24 pixels"),
        (lambda: TrainConfig("d", "o", logger=("comet",)), "logger 'comet' is unknown; it is one of tensorboard, wandb, mlflow"),
        (lambda: OptimiserConfig(schedule="step"), "schedule 'step' is unknown; it is one of onecycle, cosine, poly, constant"),
        (lambda: OptimiserConfig(warmup=1.0), "warmup is 1.0; it lies from 0 to below 1"),
        (lambda: OptimiserConfig(learning_rate=-1), "learning_rate is -1; it is a number from 0 on"),
        (
            lambda: TrainConfig("d", "o", optimiser=OptimiserConfig(learning_rate="auto"), machine=MachineConfig(devices=2)),
            "learning_rate is 'auto', which one process alone can find",
        ),
        (lambda: MachineConfig(devices=0), "devices is 0; it is a number from 1 on"),
    ],
)
def test_settings_that_are_none_are_refused(make, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_an_unknown_key_is_an_error_that_says_what_is_near(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "run.yaml").write_text("epoch: 3\n")
    with pytest.raises(SystemExit, match="2"):
        cli.main(["train", "--data=d", "--out=o", f"--config={tmp_path / 'run.yaml'}"])
    assert "has the unknown key 'epoch'" in (said := capsys.readouterr().err) and "near it is epochs" in said


def test_a_bad_data_set_stops_before_anything_is_written(cells: Path, tmp_path: Path) -> None:
    Image.new("L", (5, 5)).save(cells / "train" / "masks" / "cell03.png")
    Image.new("L", (6, 6)).save(cells / "val" / "masks" / "cell01.png")
    done = train(cells, tmp_path / "run", "--epochs=1")
    assert done.returncode == 3 and "has 2 faults" in done.stderr and not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["cosine", "poly", "constant"])
def test_schedules_rise_and_then_fall(name: str) -> None:
    rates = [factor(name, 0.1, step, 100) for step in range(101)]
    assert rates[:10] == pytest.approx([(k + 1) / 10 for k in range(10)])
    assert rates[10] == 1 and all(a >= b for a, b in pairwise(rates[10:]))
    assert rates[100] == (1 if name == "constant" else pytest.approx(0))
    assert name != "cosine" or rates[55] == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_a_terminal_sees_loss_score_speed_and_time(cells: Path, tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = training(cells, tmp_path / "run", "--epochs=2")
    environment = os.environ | {"COLUMNS": "160", "TERM": "xterm"}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error on Linux
        while part := os.read(ours, 65536):
            seen += part
    assert process.wait() == 0, seen.decode()
    for word in (b"images/s", b"loss:", b"val_miou", b"Epoch 1/1", b"\xe2\x80\xa2"):  # a bullet between time gone and left
        assert word in seen, word


@pytest.mark.slow
def test_tensorboard_is_written_to(cells: Path, tmp_path: Path) -> None:
    done = train(cells, tmp_path / "run", "--epochs=1", "--logger=tensorboard")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.*"))


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_that_is_missing_is_named(name: str, cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    if importlib.util.find_spec(name) is not None:
        pytest.skip(f"{name} is here, and would send what it logs to a server.")
    with pytest.raises(SystemExit, match="2"):
        cli.main(training(cells, tmp_path / "run", "--epochs=1", f"--logger={name}")[3:])
    assert f"pip install 'unetlift[{name}]'" in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_every_shipped_variant_learns_cells(cells: Path, tmp_path: Path) -> None:
    for down, up in (("max", "nearest"), ("max", "unpool"), ("blur-3", "bilinear"), ("lift", "lift")):
        flags = ["--epochs=60", "--depth=3", "--width=8", f"--down={down}", f"--up={up}", "--learning-rate=0.01"]
        done = train(cells, tmp_path / f"{down}-{up}", *flags)
        assert done.returncode == 0, done.stderr
        best = float(re.findall(r"best (\d\.\d+)", done.stdout)[-1])
        assert best > 0.9, (down, up, best)


@pytest.mark.slow
def test_a_compiled_training_is_the_same_training(cells: Path, tmp_path: Path) -> None:
    flags = ("--epochs=2", "--precision=float32")
    assert train(cells, tmp_path / "eager", *flags).returncode == 0
    done = train(cells, tmp_path / "compiled", *flags, "--compile")
    assert done.returncode == 0, done.stderr
    for ours, theirs in zip(_rows(tmp_path / "compiled"), _rows(tmp_path / "eager"), strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-4)
