"""How close a trained network stays to itself when it is given other pools, and how steady that makes it, before any fine-tuning.

    python benchmarks/convert.py --model FOLDER --data DIR --json benchmarks/convert.json --markdown benchmarks/convert.md

FOLDER is what smp's save_pretrained wrote, or a model folder trained with `--down stride` and an encoder of smp; DIR is
a data set. Every variant has the original's weights and statistics.
"""

import argparse
import json
import math
import platform
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from unetlift import checkpoint, data, images, report
from unetlift.config import ConvertedConfig
from unetlift.convert import build, from_smp, read_smp
from unetlift.encoders.smp import preprocessing
from unetlift.evaluate import evaluate
from unetlift.info import ModelInfo
from unetlift.model import UNet, load
from unetlift.predict import Predictor
from unetlift.stability import measure

VARIANTS: dict[str, dict[str, str]] = {
    "stride": {},
    "stride@adaptive": {"phase": "adaptive"},
    "blur-3": {"down": "blur-3"},
    "blur-3, stem kept": {"down": "blur-3", "stem": "keep"},
    "blur-3@adaptive": {"down": "blur-3", "phase": "adaptive"},
    "blur-3@adaptive, stem kept": {"down": "blur-3", "phase": "adaptive", "stem": "keep"},
    "lift": {"down": "lift"},
    "lift, stem kept": {"down": "lift", "stem": "keep"},
    "blur-3@adaptive, circular": {"down": "blur-3", "phase": "adaptive", "padding_mode": "circular"},
}
MARGIN, PACKAGES = 16, ("unetlift", "torch", "segmentation-models-pytorch", "timm")
HEAD = """# Trained networks with other pools

How close a trained network stays to itself when its pools are exchanged, and how steady it becomes. Nothing was
fine-tuned: blurs shift the statistics of what follows, and trained weights want to learn with them.

*Agreement*: share of pixels with the original's class. *PSNR*: of the class probabilities with the original's, R = 1.
*Crop* and *roll*: shift PSNR of the probabilities, mean / worst over pictures and shifts of 1 to {max_shift} pixels along
a row, a column and the diagonal; crop leaves out {margin} pixels along the frame.
"""


def original(folder: Path) -> tuple[nn.Module, ModelInfo]:
    """The network of a folder of smp's or ours, and what its inputs and outputs mean."""
    if "_model_class" not in json.loads((folder / "config.json").read_text()):
        return load(folder)
    model = from_smp(read_smp(folder))
    mean, std = preprocessing(model.config.encoder, "model.safetensors", model.config.in_channels)
    return model, replace(checkpoint.numbered(max(2, model.config.classes)), mean=mean, std=std)


def variant(model: nn.Module, settings: dict[str, str]) -> nn.Module:
    """The same weights with other pools; a lift starts as the wavelet that it has no weights for."""
    config = model.config
    if isinstance(config, ConvertedConfig):
        other = build(replace(config, pools=replace(config.pools, **settings)))
    else:
        other = UNet(**vars(replace(config, **settings)))
    missing, unexpected = other.load_state_dict(model.state_dict(), strict=False)
    if unexpected or any(".pools." not in key and not key.startswith("ups.") for key in missing):
        raise SystemExit(f"{config.variant} does not hold the weights of {settings}: {[*unexpected, *missing][:3]}")
    return other.eval()


@torch.no_grad()
def closeness(predictor: Predictor, first: Predictor, pictures: list[Tensor]) -> dict[str, float]:
    """Label agreement with the original, and PSNR of the probabilities, over all pixels."""
    errors, same = [], []
    for x in pictures:
        ours, theirs = predictor(x), first(x)
        errors.append((ours - theirs).double().square().mean().item())
        same.append((ours.argmax(1) == theirs.argmax(1)).double().mean().item())
    return {"agreement": fmean(same), "psnr": 10 * math.log10(1 / max(fmean(errors), 1e-16))}


def figures(predictor: Predictor, first: Predictor, folder: Path, pictures: list[Tensor], max_shift: int) -> dict[str, Any]:
    """Everything that is measured of one variant."""
    found: dict[str, Any] = {"miou": evaluate(predictor, folder, "test").scores["miou"], **closeness(predictor, first, pictures)}
    for mode in ("crop", "roll"):
        moved = measure(predictor, pictures, mode, max_shift, multiple=predictor.model.config.stride, margin=MARGIN)
        found |= {f"{mode}_{key}": getattr(moved, key) for key in ("mean", "worst", "agreement")}
    return found


def prepared(predictor: Predictor, folder: Path, split: str, count: int) -> list[Tensor]:
    """Evenly spread pictures of a split, normalised."""
    pairs = data.list_pairs(folder, split)
    chosen = [pairs[k * len(pairs) // count] for k in range(min(count, len(pairs)))] if count < len(pairs) else pairs
    return [predictor.prepare(images.read_picture(pair.image), pair.image) for pair in chosen]


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures every variant."""
    model, info = original(arguments.model)
    first = Predictor(model, info, model.config.in_channels, "cpu", "float32")
    pictures = prepared(first, arguments.data, "test", arguments.pictures)
    rows: dict[str, Any] = {}
    for name, settings in VARIANTS.items():
        torch.manual_seed(0)
        predictor = Predictor(variant(model, settings), info, model.config.in_channels, "cpu", "float32")
        rows[name] = figures(predictor, first, arguments.data, pictures, arguments.max_shift)
        print(name, rows[name], flush=True)
    return {"network": model.config.variant, "pictures": len(pictures), "rows": rows}


def as_markdown(result: dict[str, Any], max_shift: int) -> str:
    lines = [HEAD.format(max_shift=max_shift, margin=MARGIN)]
    lines += [f"`{result['command']}`", "", f"`{result['network']}`, trained by `benchmarks/convert_runs.py`; {result['setting']}.", ""]
    lines += ["| pools | test mIoU | agreement | PSNR dB | crop mean / worst dB | crop agreement | roll mean / worst dB |"]
    lines += ["|---|---:|---:|---:|---:|---:|---:|"]
    for name, row in result["rows"].items():
        crop, roll = (" / ".join(report.decibels(row[f"{mode}_{key}"]) for key in ("mean", "worst")) for mode in ("crop", "roll"))
        close = f"{100 * row['agreement']:.2f} % | {report.decibels(row['psnr'])}"
        lines.append(f"| {name} | {row['miou']:.4f} | {close} | {crop} | {100 * row['crop_agreement']:.2f} % | {roll} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=20, help="for closeness and stability; mIoU takes the whole test split")
    parser.add_argument("--max-shift", type=int, default=4)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    result = run(arguments)
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    result["setting"] = f"{result['pictures']} test pictures, Python {platform.python_version()}, {platform.machine()}, {packages}"
    result["command"] = " ".join(["python", "benchmarks/convert.py", *sys.argv[1:]])
    text = as_markdown(result, arguments.max_shift)
    print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(text)


if __name__ == "__main__":
    main()
