"""Trains one network on CamVid with its encoder's ImageNet weights and without, same budget, and scores both.

    python data_scripts/camvid.py --to data/camvid
    python benchmarks/pretrained.py train --weights tf_efficientnet_lite0_fp16.pth    # resumable
    python benchmarks/pretrained.py measure --weights tf_efficientnet_lite0_fp16.pth  # benchmarks/pretrained.{md,json}

The weights are timm's of `tf_efficientnet_lite0` (Apache-2.0); `--weights imagenet` downloads them. CamVid states no
licence, so that its networks are measured and not shipped.
"""

import argparse
import hashlib
import json
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUNS, DATA = Path("runs") / "camvid", Path("data") / "camvid"
BUDGET = {
    "encoder": "tu-tf_efficientnet_lite0", "depth": "5", "width": "16", "down": "blur-3", "up": "bilinear", "stem": "keep",
    "epochs": "20", "batch-size": "8", "crop": "192", "augment": "microscopy", "learning-rate": "0.001", "encoder-rate": "1", "seed": "0",
}  # fmt: skip
VARIANTS = ("pretrained", "random")
PACKAGES = "unetlift", "torch", "timm", "segmentation-models-pytorch", "lightning"


def command(variant: str, weights: str) -> list[str]:
    flags = [part for key, value in BUDGET.items() for part in (f"--{key}", value)]
    pretrained = ["--encoder-weights", weights] if variant == "pretrained" else []
    return ["unetlift", "train", "--data", str(DATA), "--out", str(RUNS / variant), *flags, *pretrained]


def train(weights: str) -> None:
    """Both, one after the other; each leaves its log beside its folder."""
    RUNS.mkdir(parents=True, exist_ok=True)
    for variant in VARIANTS:
        line = command(variant, weights)
        again = ["--resume"] if (RUNS / variant).exists() else []
        with (RUNS / f"{variant}.log").open("a") as log:
            subprocess.run([*line, *again], check=True, stdout=log, stderr=subprocess.STDOUT)


def validation(variant: str) -> list[float]:
    """The mIoU after each epoch; an epoch that ran twice, before and after a resume, counts once."""
    found = re.findall(r"epoch (\d+)/\d+: .*?val mIoU ([\d.]+)", (RUNS / f"{variant}.log").read_text())
    return list({int(epoch): float(score) for epoch, score in found}.values())


def measure(weights: str) -> None:
    rows = {}
    for variant in VARIANTS:
        figures = RUNS / f"{variant}-test.json"
        line = ["unetlift", "evaluate", "--model", str(RUNS / variant / "best"), "--data", str(DATA), "--json", str(figures)]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
        shown = " ".join(command(variant, Path(weights).name))
        rows[variant] = {"command": shown, "test": json.loads(figures.read_text()), "validation": validation(variant)}
    digest = hashlib.sha256(Path(weights).read_bytes()).hexdigest() if Path(weights).is_file() else "downloaded"
    setting = {"weights' sha256": digest}
    setting |= {"python": platform.python_version(), "machine": platform.machine(), **{name: version(name) for name in PACKAGES}}
    (ROOT / "benchmarks" / "pretrained.json").write_text(json.dumps(setting | {"rows": rows}, indent=1) + "\n")
    text = as_markdown(rows, setting)
    (ROOT / "benchmarks" / "pretrained.md").write_text(text)
    print(text)


def as_markdown(rows: dict[str, dict], setting: dict) -> str:
    names = list(rows["random"]["test"]["iou"])
    lines = ["# CamVid with ImageNet weights and without", ""]
    lines += ["`blur-3+bilinear/tu-tf_efficientnet_lite0`, 20 epochs of 192 x 192 crops, 8 a step, one seed; best epoch by validation.", ""]
    lines += [", ".join(f"{key} {value}" for key, value in setting.items()) + ".", ""]
    for variant, row in rows.items():
        lines += [f"- {variant}: `{row['command']}`"]
    heads = ["test mIoU", "pixel accuracy", *names]
    lines += ["", f"| encoder | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for variant, row in rows.items():
        iou = "".join(f" {row['test']['iou'][name] or 0:.3f} |" for name in names)
        lines += [f"| {variant} | {row['test']['miou']:.4f} | {row['test']['pixel_accuracy']:.4f} |{iou}"]
    epochs = len(rows["random"]["validation"])
    shown = sorted({1, 2, 5, 10, 15, epochs} & set(range(1, epochs + 1)))
    lines += ["", "Validation mIoU after so many epochs:", ""]
    lines += [f"| encoder | {' | '.join(map(str, shown))} |", "|---|" + "---:|" * len(shown)]
    for variant, row in rows.items():
        lines += [f"| {variant} |" + "".join(f" {row['validation'][k - 1]:.3f} |" for k in shown)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("train", "measure"))
    parser.add_argument("--weights", default="imagenet", help="a local file, or imagenet (default) for a download")
    arguments = parser.parse_args()
    if arguments.step == "train":
        train(arguments.weights)
    else:
        measure(arguments.weights)


if __name__ == "__main__":
    sys.exit(main())
