"""A training tried out: one step forward and back, its time and its memory; nothing is written."""

import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader

from unetlift import data
from unetlift.recipe import TrainConfig
from unetlift.runtime import choose_device, choose_precision
from unetlift.train.loaders import Loaders
from unetlift.train.module import Training

TRIES = 3
"""Steps that are timed after one that is not."""


@dataclass(frozen=True)
class Rehearsal:
    """What a training will need.

    Attributes:
        parameters: of the network.
        steps: an epoch.
        step_seconds: one step, without reading.
        read_seconds: reading a step's samples, in one process.
        validation_seconds: one validation.
        memory: the most bytes that this process has held, with all that it has loaded; on a GPU the most in tensors.
        loss: of the first step.
    """

    parameters: int
    steps: int
    step_seconds: float
    read_seconds: float
    validation_seconds: float
    memory: int
    loss: float

    @property
    def epoch_seconds(self) -> float:
        """What an epoch will take, if readers keep up."""
        return self.steps * self.step_seconds + self.validation_seconds


def batches(loaders: Loaders) -> Iterator[data.Sample]:
    """The batches of a lone process, epoch after epoch, read here."""
    crops, steps = loaders.crops(), loaders.steps(0, 1)
    epoch = 0
    while True:
        steps.set_epoch(epoch)
        yield from DataLoader(crops, batch_sampler=steps)
        epoch += 1


def rehearse(config: TrainConfig, training: Training, loaders: Loaders) -> Rehearsal:
    """Reads, computes and times a few steps and a validation picture."""
    device = choose_device(config.machine.device)
    dtype = choose_precision(config.machine.precision, device)
    training.to(device)
    source, steps, losses = batches(loaders), [], []
    began = time.perf_counter()
    samples = [next(source) for _ in range(TRIES + 1)]
    read = (time.perf_counter() - began) / len(samples)
    for number, (x, target, _) in enumerate(samples):
        began = time.perf_counter()
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            loss = training.terms(x.to(device), target.to(device), number)["loss"]
        loss.backward()
        losses.append(loss.item())
        steps.append(time.perf_counter() - began)
    training.zero_grad()
    return Rehearsal(
        sum(p.numel() for p in training.model.parameters()),
        len(loaders.steps(0, config.machine.processes)),
        min(steps[1:]),
        read,
        _validation_seconds(training, loaders, device, dtype),
        torch.cuda.max_memory_allocated() if device.type == "cuda" else _resident(),
        losses[0],
    )


def _validation_seconds(training: Training, loaders: Loaders, device: torch.device, dtype: torch.dtype) -> float:
    wholes = data.Wholes(loaders.pairs["val"], loaders.kind)
    training.eval()
    began = time.perf_counter()
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
        training(wholes[0][0][None].to(device))
    seconds = time.perf_counter() - began
    training.train()
    return seconds * len(wholes)


def _resident() -> int:
    """The most memory that this process has held, in bytes (Linux counts kilobytes, macOS bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
