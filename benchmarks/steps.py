"""What a training's steps cost: reading beside random tensors in memory, and our loop beside a plain one of smp's examples.

    python data_scripts/camvid.py --to data/camvid
    python benchmarks/steps.py --write       # benchmarks/steps.{md,json}; nothing else should run

Each figure is of whole steps (forward, backward, AdamW), in one process, the subjects in turn: the median step, and of the
rounds the median.
"""

import argparse
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
import segmentation_models_pytorch as smp
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from unetlift.checkpoint import write_atomically
from unetlift.config import NetworkConfig
from unetlift.recipe import MachineConfig, TrainConfig
from unetlift.train import prepare

ROOT = Path(__file__).parent.parent
CROP, BATCH, CLASSES, WARM, STEPS = 256, 8, 11, 3, 20
EPOCH = 46
"""Steps: in the first epoch every picture has to be decoded."""

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Clock(Callback):
    """When each step was done."""

    def __init__(self) -> None:
        self.done: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.done.append(time.perf_counter())


class InMemory(L.LightningDataModule):
    """The same random batch over and over."""

    def train_dataloader(self) -> DataLoader:
        batch = torch.randn(BATCH, 3, CROP, CROP).to(memory_format=torch.channels_last), labels(), torch.arange(BATCH)
        return DataLoader([batch] * (WARM + STEPS), batch_size=None)


def labels() -> torch.Tensor:
    return torch.randint(0, CLASSES, (BATCH, CROP, CROP))


def rate(done: list[float]) -> float:
    """Images a second by the median of the last steps, since machines stutter; the steps before warm up."""
    return BATCH / statistics.median(b - a for a, b in pairwise(done[-STEPS - 1 :]))


def ours(config: TrainConfig, loaded: bool, warm: int = WARM) -> float:
    """Images a second of our training, read from the folder or from memory."""
    torch.manual_seed(0)
    training, loaders = prepare(config)
    clock = Clock()
    trainer = L.Trainer(
        accelerator="cpu", devices=1, max_steps=warm + STEPS, precision="bf16-mixed", logger=False, callbacks=[clock],
        limit_val_batches=0, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(training, datamodule=loaders if loaded else InMemory())
    return rate(clock.done)


def plain() -> float:
    """Images a second of a loop written by hand with smp's U-Net, bf16 and its own memory layout."""
    torch.manual_seed(0)
    model = smp.Unet("resnet18", encoder_weights=None, classes=CLASSES).train()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    ce, dice = torch.nn.CrossEntropyLoss(ignore_index=11), smp.losses.DiceLoss("multiclass", ignore_index=11)
    x, target, done = torch.randn(BATCH, 3, CROP, CROP), labels(), []
    for _ in range(WARM + STEPS):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x)
        loss = ce(logits.float(), target) + dice(logits.float(), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        done.append(time.perf_counter())
    return rate(done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        config = partial(TrainConfig, "data/camvid", f"{scratch}/run", crop=CROP, batch_size=BATCH)
        own = config(network=NetworkConfig(down="max", up="nearest"))
        uncached = config(network=own.network, machine=MachineConfig(cache=0))
        wider = config(network=NetworkConfig("resnet18", depth=5, down="max", up="nearest", stem="keep"))
        subjects: dict[str, Callable[[], float]] = {
            "U-Net of width 16, read with one worker, after the first epoch": partial(ours, own, True, EPOCH),
            "the same, random tensors": partial(ours, own, False),
            "the same, read with one worker and no cache": partial(ours, uncached, True),
            "max+nearest/resnet18, our training, random tensors": partial(ours, wider, False),
            "smp.Unet resnet18, a plain loop, random tensors": plain,
        }
        rounds = [{name: subject() for name, subject in subjects.items()} for _ in range(arguments.rounds)]
    figures = {name: statistics.median(found[name] for found in rounds) for name in subjects}
    read, memory, decoded, wide, loop = figures.values()
    shares = {"reading": read / memory, "reading without cache": decoded / memory, "our step to the plain loop's": wide / loop}
    lines = ["# What steps cost", "", *__doc__.splitlines(), ""]
    lines += [f"CamVid, crops of {CROP}, {BATCH} a step, `max+nearest`, bf16, {STEPS} steps.", ""]
    lines += ["| | images/s |", "|---|---:|", *(f"| {name} | {figure:.1f} |" for name, figure in figures.items()), ""]
    lines += ["| share of images/s | |", "|---|---:|", *(f"| {name} | {share:.3f} |" for name, share in shares.items())]
    print("\n".join(lines))
    if arguments.write:
        machine = {"threads": torch.get_num_threads(), "torch": torch.__version__}
        found = {"images_per_second": figures, "shares": shares, "rounds": rounds, **machine}
        write_atomically(ROOT / "benchmarks" / "steps.json", lambda part: part.write_text(json.dumps(found, indent=1) + "\n"))
        write_atomically(ROOT / "benchmarks" / "steps.md", lambda part: part.write_text("\n".join(lines) + "\n"))


if __name__ == "__main__":
    main()
