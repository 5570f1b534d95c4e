"""What every variant costs beside max+nearest, in one run: parameters, multiplications, a training step, inference, memory."""

import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import segmentation_models_pytorch as smp
import torch
from gallery_runs import PEERS, SPUN, VARIANTS
from pools import milliseconds, peak_memory
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from unet import inference, training_step

from unetlift import UNet
from unetlift.flags import parse
from unetlift.predict.views import Views
from unetlift.recipe import TrainConfig

OTHERWISE_TRAINED = {name for name, flags in VARIANTS.items() if "--consistency" in flags or "--lift-penalty" in flags}
"""Networks that are like others."""
BASE = "max+nearest"
WIDTH, DEPTH, SIDE, BATCH, ROUNDS, CLASSES = 12, 4, 256, 4, 7, 2


def network(name: str) -> nn.Module:
    """As it is trained on nuclei, with random weights."""
    torch.manual_seed(0)
    if name in PEERS:
        return smp.Unet(PEERS[name], encoder_weights=None, encoder_depth=DEPTH, decoder_channels=(96, 48, 24, 12), classes=CLASSES)
    said = parse(TrainConfig, [*shlex.split(VARIANTS[name]), "--data", "any", "--out", "any"], "unetlift train", "").network
    return UNet(**vars(replace(said, width=WIDTH, depth=DEPTH, classes=CLASSES)))


def multiplications(model: nn.Module, x: Tensor) -> int:
    """Multiply-adds of convolutions and matrix products for one picture, as PyTorch counts them."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(x[:1])
    return counter.get_total_flops() // 2


def spun(model: nn.Module, x: Tensor) -> Callable[[], object]:
    """Cycle spinning over 2 x 2 grids."""

    def run() -> None:
        model.eval()
        with torch.inference_mode():
            Views(spin=2)(model, x)

    return run


def cost() -> dict[str, dict[str, Any]]:
    """A row for each variant that is a network of its own; the variants take turns, and the figures are medians."""
    names = [name for name in (*VARIANTS, *PEERS) if name not in OTHERWISE_TRAINED]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((BATCH, 3, SIDE, SIDE), generator=generator).to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (BATCH, SIDE, SIDE), generator=generator)
    found = {name: network(name).to(memory_format=torch.channels_last) for name in names}
    rows: dict[str, dict[str, Any]] = {
        name: {"parameters": sum(p.numel() for p in model.parameters()), "multiplications": multiplications(model, x)}
        for name, model in found.items()
    }
    rows[SPUN] = {"parameters": rows[BASE]["parameters"], "multiplications": 4 * rows[BASE]["multiplications"]}
    ways = {
        "train": {name: training_step(model, x, labels, torch.float32) for name, model in found.items()},
        "infer": {name: inference(model, x[:1], torch.float32) for name, model in found.items()} | {SPUN: spun(found[BASE], x[:1])},
    }
    for way, runs in ways.items():
        for name, value in milliseconds(runs, ROUNDS).items():
            rows[name][f"{way}_ms"] = value
        for name, run in runs.items():
            rows[name][f"{way}_mb"] = peak_memory(run) / 2**20
    return rows
