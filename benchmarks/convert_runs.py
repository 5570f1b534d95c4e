"""Trains an smp.Unet on nuclei as an smp user would, for benchmarks/convert.py to give it other pools.

    python data_scripts/dsb2018.py --to data/dsb2018
    python benchmarks/convert_runs.py --weights tf_efficientnet_lite0_fp16.pth    # runs/convert/trained
"""

import argparse
import subprocess
from pathlib import Path

import segmentation_models_pytorch as smp
import torch

from unetlift.encoders.weights import load_file

RUNS, DATA = Path("runs") / "convert", Path("data") / "dsb2018"
ENCODER = "tu-tf_efficientnet_lite0"
TRAINING = ["--epochs", "12", "--batch-size", "8", "--crop", "128", "--augment", "microscopy", "--learning-rate", "0.001", "--seed", "0"]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights of tf_efficientnet_lite0")
    train(parser.parse_args().weights)


if __name__ == "__main__":
    main()
