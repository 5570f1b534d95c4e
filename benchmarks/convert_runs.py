"""Trains an smp.Unet on nuclei, gives it other pools, and fine-tunes it: what conversion costs and what tuning brings back.

    python data_scripts/dsb2018.py --to data/dsb2018
    python benchmarks/convert_runs.py train --weights tf_efficientnet_lite0_fp16.pth    # runs/convert/trained
    python benchmarks/convert.py --model runs/convert/trained/best --data data/dsb2018 --json ... --markdown ...
    python benchmarks/convert_runs.py tune                                              # benchmarks/convert_tuned.{md,json}
"""

import argparse
import json
import shutil
import subprocess
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from convert import figures, prepared, variant

from unetlift import report
from unetlift.encoders.weights import load_file
from unetlift.model import load
from unetlift.predict import Predictor

ROOT = Path(__file__).parent.parent
RUNS, DATA = Path("runs") / "convert", Path("data") / "dsb2018"
ENCODER, PICTURES, MAX_SHIFT = "tu-tf_efficientnet_lite0", 20, 4
TRAINING = ["--epochs", "12", "--batch-size", "8", "--crop", "128", "--learning-rate", "0.001", "--seed", "0"]
TUNING = ["--epochs", "3", "--batch-size", "8", "--crop", "128", "--learning-rate", "0.0003", "--seed", "0"]
TUNED: dict[str, dict[str, str]] = {
    "stride": {},
    "blur-3, stem kept": {"down": "blur-3", "stem": "keep"},
    "blur-3@adaptive, stem kept": {"down": "blur-3", "phase": "adaptive", "stem": "keep"},
    "lift, stem kept": {"down": "lift", "stem": "keep"},
}


def run(*line: str) -> None:
    print("$ unetlift", *line, flush=True)
    subprocess.run(["unetlift", *line], check=True)


def train(weights: Path) -> None:
    """As an smp user would: smp's network with ImageNet weights, saved by smp, converted without change, trained."""
    torch.manual_seed(0)
    network = smp.Unet(ENCODER, encoder_weights=None, classes=2)
    load_file(network.encoder, str(weights))
    network.save_pretrained(RUNS / "smp")
    run("convert", "--from", str(RUNS / "smp"), "--to", str(RUNS / "start"))
    run("train", "--data", str(DATA), "--from", str(RUNS / "start"), "--out", str(RUNS / "trained"), *TRAINING)


def tune() -> None:
    """A quarter of the training again, after the pools were exchanged; `stride` shows what more training alone does."""
    model, info = load(RUNS / "trained" / "best")
    first = Predictor(model, info, 3, "cpu", "float32")
    pictures, rows = prepared(first, DATA, "test", PICTURES), {}
    for name, settings in TUNED.items():
        folder = RUNS / name.replace(", ", "-").replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        torch.manual_seed(0)
        variant(model, settings).save_pretrained(folder / "start", info)
        run("train", "--data", str(DATA), "--from", str(folder / "start"), "--out", str(folder / "tuned"), *TUNING)
        tuned = Predictor(load(folder / "tuned" / "last")[0], info, 3, "cpu", "float32")
        rows[name] = figures(tuned, first, DATA, pictures, MAX_SHIFT)
        print(name, rows[name], flush=True)
    result = {"training": " ".join(TRAINING), "tuning": " ".join(TUNING), "pictures": len(pictures), "rows": rows}
    (ROOT / "benchmarks" / "convert_tuned.json").write_text(json.dumps(result, indent=1) + "\n")
    (ROOT / "benchmarks" / "convert_tuned.md").write_text(as_markdown(rows))


def as_markdown(rows: dict[str, dict]) -> str:
    lines = ["# Converted networks, fine-tuned", "", f"`smp.Unet({ENCODER!r})` trained on dsb2018 (`{' '.join(TRAINING)}`), then given "]
    lines[-1] += f"other pools and tuned (`{' '.join(TUNING)}`); one seed. Columns as in convert.md, whose first row is the original."
    lines += ["", "| pools | test mIoU | agreement | PSNR dB | crop mean / worst dB | crop agreement | roll mean / worst dB |"]
    lines += ["|---|---:|---:|---:|---:|---:|---:|"]
    for name, row in rows.items():
        crop, roll = (" / ".join(report.decibels(row[f"{mode}_{key}"]) for key in ("mean", "worst")) for mode in ("crop", "roll"))
        close = f"{100 * row['agreement']:.2f} % | {report.decibels(row['psnr'])}"
        lines.append(f"| {name} | {row['miou']:.4f} | {close} | {crop} | {100 * row['crop_agreement']:.2f} % | {roll} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("train", "tune"))
    parser.add_argument("--weights", type=Path, help="ImageNet weights of tf_efficientnet_lite0, for train")
    arguments = parser.parse_args()
    if arguments.step == "train":
        train(arguments.weights)
    else:
        tune()


if __name__ == "__main__":
    main()
