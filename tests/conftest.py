"""Shapes are asserted while testing; small data sets are made here."""

import gc
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

# Before anything imports them.
TYPED = ["unetlift.pools", "unetlift.convs", "unetlift.encoders", "unetlift.convert", "unetlift.model", "unetlift.shifts"]
jaxtyping.install_import_hook(TYPED, "beartype.beartype")

ROOT = Path(__file__).parent.parent

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as the tests ask for, one thread each
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start
    torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Every test draws the same numbers, whichever ran before it in its process."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def draw_cells(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A grey picture of bright discs on noise, and its mask of 0 and 1."""
    rows, columns = np.mgrid[:height, :width]
    mask = np.zeros((height, width), np.uint8)
    for _ in range(6):
        y, x, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(4, 9)
        mask[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = 1
    noise = rng.normal(40, 8, (height, width))
    return np.clip(noise + 140 * mask, 0, 255).astype(np.uint8), mask


def blob(height: int, width: int, row: float, column: float, sigma: float) -> Tensor:
    """A map (1, 1, H, W) in float64 with a Gaussian about a point between pixels."""
    rows, columns = torch.arange(height, dtype=torch.float64)[:, None], torch.arange(width, dtype=torch.float64)
    return torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2))[None, None]


def centroid(x: Tensor) -> tuple[float, float]:
    """Row and column of a map's centre of mass."""
    rows, columns = torch.arange(x.shape[2], dtype=x.dtype)[:, None], torch.arange(x.shape[3], dtype=x.dtype)
    return ((x * rows).sum() / x.sum()).item(), ((x * columns).sum() / x.sum()).item()


def kill_at(line: str, command: list[str]) -> None:
    """Starts a process and kills it as soon as it says a line that begins so."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for said in process.stdout:
        if said.startswith(line):
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def kill_after(saves: int, path: Path, command: list[str]) -> None:
    """Starts a process and kills it as soon as it has put a file into its place so many times."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen: set[int] = {path.stat().st_mtime_ns} if path.exists() else set()
    wanted = len(seen) + saves
    while len(seen) < wanted and process.poll() is None:
        if path.exists():
            seen.add(path.stat().st_mtime_ns)
        time.sleep(0.001)
    assert process.poll() is None, "it was done before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


TRAINING = ["--depth=2", "--width=4", "--crop=32", "--batch-size=4", "--workers=0", "--down=lift", "--up=lift", "--previews=0"]
TRAINING += ["--no-report"]
"""A network that learns cells in seconds."""


def training(data: Path, out: Path, *more: str) -> list[str]:
    """The command of a small training."""
    return [sys.executable, "-m", "unetlift.cli", "train", f"--data={data}", f"--out={out}", *TRAINING, *more]


def train(data: Path, out: Path, *more: str) -> subprocess.CompletedProcess:
    """A small training, finished."""
    return subprocess.run(training(data, out, *more), capture_output=True, text=True)


def write_split(folder: Path, count: int, seed: int, size: tuple[int, int] = (48, 56)) -> None:
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number in range(count):
        picture, mask = draw_cells(rng, *size)
        Image.fromarray(picture).save(folder / "images" / f"cell{number:02}.png")
        Image.fromarray(mask).save(folder / "masks" / f"cell{number:02}.png")


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """A data set of 12 training, 3 validation and 3 test pictures."""
    folder = tmp_path / "cells"
    for seed, (split, count) in enumerate({"train": 12, "val": 3, "test": 3}.items()):
        write_split(folder / split, count, seed)
    return folder


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A small untrained network for two classes, saved."""
    from unetlift import UNet

    torch.manual_seed(0)
    folder = tmp_path / "model"
    UNet(depth=2, width=4, down="lift", up="lift", phase="adaptive", padding_mode="circular", classes=2).save_pretrained(folder)
    return folder


@contextmanager
def mounted(disk: Path, size: str) -> Iterator[Path]:
    """A disk of so many bytes, which soon fills up."""
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("Only root can mount a small disk; run the tests as root to see it fill up.")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture(scope="module")
def gradios_loops_end_here() -> Iterator[None]:
    """Collected now, they warn under this module's filter and not in whichever test comes next."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
