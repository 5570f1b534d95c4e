"""How steady two classifiers are before and after `unetlift.antialias`, without any fine-tuning.

    python benchmarks/antialias.py --pictures DIR --weights FILE --json benchmarks/antialias.json --markdown benchmarks/antialias.md

A window moves over each picture; every figure compares the answers to the moved windows with that to the first one.
"""

import argparse
import copy
import importlib.metadata
import json
import math
import platform
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift.antialias import antialias
from unetlift.images import picture_files, read_picture
from unetlift.shifts import Shift, window

VARIANTS: dict[str, dict[str, Any]] = {
    "original": {},
    "blur-3, stem kept": {"filter_size": 3, "stem": "keep"},
    "blur-3": {"filter_size": 3},
    "blur-5": {"filter_size": 5},
}
SHIFTS = [Shift(0, 1), Shift(1, 0), Shift(1, 1), Shift(2, 2), Shift(3, 3)]
SIDE, BORDER, STRIDE = 176, 8, 32
PACKAGES = "unetlift", "torch", "torchvision", "timm"
HEAD = """How steady two networks are before and after `unetlift.antialias`. Nothing was fine-tuned: blurs dropped into trained
weights shift the statistics of what follows, which "same decision as the original" (on windows that do not move) shows:
trained weights have to be fine-tuned with their blurs before anybody uses them. The random network's BatchNorm statistics
are those of the pictures, for each variant its own. The windows are few: a decision counts for about a hundredth.

*Consistency*: share of windows moved by 1 to 3 pixels that are decided like the window that was not moved. *Logit PSNR*:
between their logits, *feature PSNR*: between the last feature maps, one of them moved along by bilinear interpolation
and its border left out; R is the range of the network's own values. *Cosine*: of the pooled features with the original's.
"""


def crops(file: Path) -> Tensor:
    """A picture, scaled so that two squares fit along its longer side, in squares: (N, 3, SIDE, SIDE) of 0..1."""
    pixels = torch.from_numpy(read_picture(file) / 255.0).float().permute(2, 0, 1)[None].expand(1, 3, -1, -1)
    height, width = pixels.shape[-2:]
    scale = max(2 * SIDE / max(height, width), SIDE / min(height, width))
    sides = [round(scale * size) for size in (height, width)]
    pixels = F.interpolate(pixels, sides, mode="bilinear", antialias=True)
    rows, columns = (size // SIDE for size in sides)
    pixels = pixels[..., : rows * SIDE, : columns * SIDE]
    return pixels.unfold(2, SIDE, SIDE).unfold(3, SIDE, SIDE).reshape(3, -1, SIDE, SIDE).transpose(0, 1)


def calibrated(network: nn.Module, pictures: Tensor) -> nn.Module:
    """BatchNorm's statistics taken anew from the pictures."""
    network = copy.deepcopy(network).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.inference_mode():
        network(pictures)
    return network.eval()


class Answers(NamedTuple):
    """Logits (N, K), the last feature map (N, C, h, w), and its mean (N, C)."""

    logits: Tensor
    features: Tensor
    pooled: Tensor


def ask(network: nn.Module, x: Tensor) -> Answers:
    """The resnet's last stage, or what timm calls features."""
    with torch.inference_mode():
        if isinstance(network, torchvision.models.ResNet):
            stages = [module for name, module in network.named_children() if name not in ("avgpool", "fc")]
            features = nn.Sequential(*stages)(x)
            return Answers(network.fc(features.mean((2, 3))), features, features.mean((2, 3)))
        features = network.forward_features(x)
        return Answers(network.forward_head(features), features, features.mean((2, 3)))


def moved(features: Tensor, shift: Shift) -> Tensor:
    """A feature map moved down and right by a part of its own sample."""
    for axis, distance in ((2, shift.dy / STRIDE), (3, shift.dx / STRIDE)):
        features = (1 - distance) * features + distance * features.roll(1, axis)
    return features[..., 1:-1, 1:-1]


def psnr(error: Tensor, values: Tensor) -> float:
    return 10 * math.log10(((values.max() - values.min()) ** 2 / error.square().mean()).item())


def measure(network: nn.Module, pictures: Tensor, reference: Answers | None) -> dict[str, float]:
    still = ask(network, window(pictures, Shift(0, 0), BORDER))
    agree, logits, features = [], [], []
    for shift in SHIFTS:
        answer = ask(network, window(pictures, shift, BORDER))
        agree.append((answer.logits.argmax(1) == still.logits.argmax(1)).double().mean().item())
        logits.append(psnr(answer.logits - still.logits, still.logits))
        features.append(psnr(answer.features[..., 1:-1, 1:-1] - moved(still.features, shift), still.features))
    row = {"consistency": fmean(agree), "logit_psnr": fmean(logits), "feature_psnr": fmean(features)}
    if reference:
        row["same_decision"] = (still.logits.argmax(1) == reference.logits.argmax(1)).double().mean().item()
        row["cosine"] = F.cosine_similarity(still.pooled, reference.pooled).mean().item()
    return row


def random_rows(pictures: Tensor) -> list[dict]:
    torch.manual_seed(0)
    network = torchvision.models.resnet18()
    rows = []
    for name, settings in VARIANTS.items():
        copied = calibrated(antialias(network, **settings) if settings else network, pictures)
        rows.append({"network": "resnet18, random weights", "variant": name} | measure(copied, pictures, None))
    return rows


def trained_rows(pictures: Tensor, weights: Path) -> list[dict]:
    network = timm.create_model("tf_efficientnet_lite0")
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.eval()
    pictures = pictures * 2 - 1  # as these weights want them
    reference, rows = ask(network, window(pictures, Shift(0, 0), BORDER)), []
    for name, settings in VARIANTS.items():
        copied = antialias(network, **settings) if settings else network
        rows.append({"network": "tf_efficientnet_lite0, ImageNet weights", "variant": name} | measure(copied, pictures, reference))
    return rows


def as_markdown(rows: list[dict], setting: dict) -> str:
    lines = ["# Before and after antialiasing", "", f"`{setting['command']}`", ""]
    lines += [", ".join(f"{key} {value}" for key, value in setting.items() if key != "command") + ".", "", HEAD]
    lines += ["| network | variant | consistency | logit PSNR, dB | feature PSNR, dB | same decision as the original | cosine |"]
    lines += ["|---|---|---:|---:|---:|---:|---:|"]
    for row in rows:
        cells = [row["network"], row["variant"], f"{100 * row['consistency']:.1f} %", f"{row['logit_psnr']:.1f}"]
        cells += [f"{row['feature_psnr']:.1f}"]
        cells += [f"{100 * row['same_decision']:.1f} %", f"{row['cosine']:.3f}"] if "cosine" in row else ["", ""]
        lines += [f"| {' | '.join(cells)} |"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--weights", type=Path, help="a state_dict for timm's tf_efficientnet_lite0; without it only random weights")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    arguments = parser.parse_args()
    pictures = torch.cat([crops(file) for file in picture_files(arguments.pictures)])
    setting = {"command": "python benchmarks/antialias.py --pictures DIR --weights FILE --json JSON --markdown MD"}
    setting |= {"windows": len(pictures), "side": SIDE - 2 * BORDER, "shifts": len(SHIFTS)}
    setting |= {"python": platform.python_version()} | {package: importlib.metadata.version(package) for package in PACKAGES}
    rows = random_rows(pictures) + (trained_rows(pictures, arguments.weights) if arguments.weights else [])
    table = as_markdown(rows, setting)
    print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(setting | {"rows": rows}, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(table)


if __name__ == "__main__":
    main()
