"""Several processes train as one does with the batch of all of them."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import train, training

ALIKE = ("--epochs=3", "--precision=float32", "--augment=strong", "--loss=ce", "--lift-penalty=0")
TOLERANCE = 1e-5
"""Of figures near 1 in float32, after twelve steps: the processes add up in another order."""


def _rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_processes_learn_as_one_with_the_doubled_batch(cells: Path, tmp_path: Path) -> None:
    one = train(cells, tmp_path / "one", *ALIKE, "--batch-size=6")
    assert one.returncode == 0, one.stderr
    two = train(cells, tmp_path / "two", *ALIKE, "--batch-size=3", "--devices=2", "--strategy=ddp", "--sync-batchnorm")
    assert two.returncode == 0, two.stderr
    assert two.stdout.count("epoch 3/3") == 1  # one of them speaks
    for ours, theirs in zip(_rows(tmp_path / "two"), _rows(tmp_path / "one"), strict=True):
        assert ours == pytest.approx(theirs, abs=TOLERANCE)  # losses and scores: 3 validation pictures, none counted twice


@pytest.mark.slow
def test_torchrun_starts_them_too(cells: Path, tmp_path: Path) -> None:
    command = training(cells, tmp_path / "two", *ALIKE, "--batch-size=3", "--devices=2", "--strategy=ddp", "--sync-batchnorm")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*launcher, *command[1:]], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert train(cells, tmp_path / "one", *ALIKE, "--batch-size=6").returncode == 0
    for ours, theirs in zip(_rows(tmp_path / "two"), _rows(tmp_path / "one"), strict=True):
        assert ours == pytest.approx(theirs, abs=TOLERANCE)
