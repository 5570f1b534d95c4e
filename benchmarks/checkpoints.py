"""Trains, measures and packs the networks in checkpoints/: every variant with the same data, budget and seed.

    python data_scripts/dsb2018.py --to data/dsb2018
    python benchmarks/checkpoints.py train      # resumable; about ten minutes a variant on two cores
"""

import subprocess
import sys
from pathlib import Path

RUNS = Path("runs") / "dsb2018"
DATA = Path("data") / "dsb2018"
BUDGET = {"width": "12", "depth": "4", "epochs": "30", "batch-size": "8", "crop": "128", "seed": "0"}

VARIANTS = {
    "max+nearest": {"down": "max", "up": "nearest"},
    "max+unpool": {"down": "max", "up": "unpool"},
    "blur-3+bilinear": {"down": "blur-3", "up": "bilinear"},
    "lift+lift": {"down": "lift", "up": "lift"},
    "lift+lift@adaptive": {"down": "lift", "up": "lift", "phase": "adaptive", "padding-mode": "circular"},
}


def train() -> None:
    """Runs `unetlift train` for every variant that has not finished."""
    for name, network in VARIANTS.items():
        run = RUNS / name
        if (run / "finished").exists():
            continue
        flags = [f"--{key}={value}" for key, value in (BUDGET | network).items()]
        resume = ["--resume"] if run.exists() else []
        subprocess.run(["unetlift", "train", f"--data={DATA}", f"--out={run}", *flags, *resume], check=True)
        (run / "finished").touch()


if __name__ == "__main__":
    {"train": train}[sys.argv[1]]()
