"""Trainings side by side: four pools on CamVid, lifting's regularisers by weight, and denoising with and without lifting.

    python data_scripts/camvid.py --to data/camvid
    python data_scripts/dsb2018.py --to data/dsb2018
    python data_scripts/bsds500.py --to data/bsds500
    python data_scripts/sr_test.py --to data/sr_test
    python benchmarks/training.py train      # resumable; five to ten minutes a run on two cores
    python benchmarks/training.py measure    # benchmarks/training.{md,json}; tables: the former from the latter

The nuclei's networks are those of checkpoints/ (`benchmarks/checkpoints.py`).
"""

import csv
import json
import platform
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from unetlift import data
from unetlift.checkpoint import write_atomically
from unetlift.degrade import degrade
from unetlift.evaluate import evaluate
from unetlift.images import read_picture, to_float
from unetlift.metrics import PictureScores
from unetlift.predict import load_predictor
from unetlift.transforms import sample_seed

ROOT = Path(__file__).parent.parent
RUNS = Path("runs") / "training"
LIFT = ("--down", "lift", "--up", "lift")
VARIANTS = {
    "max+nearest": ("--down", "max", "--up", "nearest"),
    "blur-3+bilinear": ("--down", "blur-3", "--up", "bilinear"),
    "lift+lift": LIFT,
    "lift+lift@adaptive": (*LIFT, "--phase", "adaptive", "--padding-mode", "circular"),
}
STREETS = shlex.split("--data data/camvid --width 12 --depth 4 --epochs 20 --batch-size 8 --crop 192 --augment light --seed 0")
NOISE = shlex.split("--data data/bsds500 --task restore --noise 25 --residual --width 16 --depth 3 --epochs 24 --batch-size 8 --crop 128")
NOISE += shlex.split("--learning-rate 0.002 --seed 0")
TRAININGS = {f"camvid/{name}": (*STREETS, "--lift-penalty", "0.1", *flags) for name, flags in VARIANTS.items()}
TRAININGS |= {f"penalty/{weight}": (*STREETS, *LIFT, "--lift-penalty", weight) for weight in ("0", "1")}
TRAININGS |= {"denoise/max+unpool": (*NOISE, "--down", "max", "--up", "unpool"), "denoise/lift+lift": (*NOISE, *LIFT)}


def command(name: str) -> list[str]:
    """The command that trains one of them."""
    return ["unetlift", "train", "--out", str(RUNS / name), *TRAININGS[name]]


def train() -> None:
    """Trains what has not finished."""
    for name in TRAININGS:
        if not (RUNS / name / "finished").exists():
            subprocess.run([*command(name), *(["--resume"] if (RUNS / name).exists() else [])], check=True)
            (RUNS / name / "finished").touch()


def measure() -> None:
    """Scores every run and writes the tables."""
    streets = {name: scored(RUNS / "camvid" / name / "best", "data/camvid") for name in VARIANTS}
    nuclei = {name: scored(ROOT / "checkpoints" / name, "data/dsb2018") for name in VARIANTS}
    weights = {"0": RUNS / "penalty" / "0", "0.1": RUNS / "camvid" / "lift+lift", "1": RUNS / "penalty" / "1"}
    penalties = {weight: best_validation(run) | scored(run / "best", "data/camvid") for weight, run in weights.items()}
    sets = {"Set14": "data/sr_test/set14", "CBSD68": "data/bsds500"}
    clean = {"noisy": {name: noisy(folder) for name, folder in sets.items()}}
    for name in ("max+unpool", "lift+lift"):
        clean[name] = {title: scored(RUNS / "denoise" / name / "best", folder) for title, folder in sets.items()}
    facts = {"python": platform.python_version(), "torch": version("torch"), "lightning": version("lightning")}
    found = {"versions": facts, "camvid": streets, "dsb2018": nuclei, "penalty": penalties, "denoise": clean}
    found["commands"] = {name: " ".join(command(name)) for name in TRAININGS}
    write_atomically(ROOT / "benchmarks" / "training.json", lambda part: part.write_text(json.dumps(found, indent=1) + "\n"))
    write_tables()


def write_tables() -> None:
    """training.md from training.json."""
    found = json.loads((ROOT / "benchmarks" / "training.json").read_text())
    write_atomically(ROOT / "benchmarks" / "training.md", lambda part: part.write_text(tables(found)))


def scored(folder: Path, source: str) -> dict[str, Any]:
    """The scores on a test split, in float32, and the number of parameters."""
    predictor = load_predictor(folder, precision="float32")
    result = evaluate(predictor, Path(source), "test")
    parameters = sum(p.numel() for p in predictor.model.parameters())
    return result.means | {"pictures": result.pictures, "parameters": parameters}


def best_validation(run: Path) -> dict[str, float]:
    """The best mIoU of the epochs: in metrics.csv, or in the folder of an earlier form of a run."""
    path = next(iter([run / "metrics.csv"] if (run / "metrics.csv").exists() else run.glob("metrics/*/metrics.csv")))
    with path.open() as file:
        return {"best val_miou": max(float(row["val_miou"]) for row in csv.DictReader(file) if row["val_miou"])}


def noisy(folder: str) -> dict[str, float]:
    """The scores of pictures with which nothing is done."""
    config = load_predictor(RUNS / "denoise" / "lift+lift" / "best").info.degrade
    scores = PictureScores()
    for index, pair in enumerate(data.list_pairs(Path(folder), "test", task="restore")):
        picture = to_float(read_picture(pair.image))
        worse = degrade(picture, config, sample_seed(0, 0, index))
        scores.update(*(torch.from_numpy(pixels).permute(2, 0, 1)[None] for pixels in (worse, picture)))
    return {name: value.item() for name, value in scores.compute().items()}


def tables(found: dict[str, Any]) -> str:
    """Markdown."""
    lines = ["# Trainings side by side", "", *__doc__.splitlines(), ""]
    lines += ["One seed: differences of a hundredth are noise. CPU, bf16; scored in float32.", ""]
    titles = {"camvid": "CamVid, test, 20 epochs of 192 x 192 crops"}
    titles |= {"dsb2018": "Nuclei (dsb2018), test, 30 epochs of 128 x 128 crops"}
    for key, title in titles.items():
        lines += [f"## {title}", "", "| variant | parameters | mIoU | Dice | boundary IoU | pixel accuracy |"]
        lines += ["|---|---:|---:|---:|---:|---:|"]
        for name, row in found[key].items():
            figures = [f"{row[score]:.4f}" for score in ("miou", "dice", "boundary_iou", "pixel_accuracy")]
            lines.append(f"| `{name}` | {row['parameters']:,} | {' | '.join(figures)} |")
        lines.append("")
    lines += ["## The lifting regularisers on CamVid, `lift+lift`, by `--lift-penalty`", ""]
    lines += ["| weight, of the paper's | best val mIoU | test mIoU |", "|---:|---:|---:|"]
    lines += [f"| {weight} | {row['best val_miou']:.4f} | {row['miou']:.4f} |" for weight, row in found["penalty"].items()]
    lines += ["", "## Denoising, sigma 25, colour, residual, 24 epochs on the 400 pictures of BSDS500's train and test", ""]
    lines += ["| | parameters | Set14 PSNR | SSIM | CBSD68 PSNR | SSIM |", "|---|---:|---:|---:|---:|---:|"]
    for name, row in found["denoise"].items():
        figures = [f"{row[title]['psnr']:.2f} | {row[title]['ssim']:.4f}" for title in ("Set14", "CBSD68")]
        parameters = f"{row['Set14']['parameters']:,}" if "parameters" in row["Set14"] else ""
        lines.append(f"| {name} | {parameters} | {' | '.join(figures)} |")
    lines += ["", "PSNR is the mean over the pictures, of RGB, R = 1, answers cut to 0..1; noise is neither cut nor rounded.", ""]
    lines += ["## Commands", ""]
    return "\n".join([*lines, *(f"- `{line}`" for line in found["commands"].values())]) + "\n"


if __name__ == "__main__":
    {"train": train, "measure": measure, "tables": write_tables}[sys.argv[1]]()
