"""What becomes of a strided convolution's output: which activation it meets, and whether a blur can stand before that."""

from math import inf
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from unetlift.antialias.observe import Record, Step, tensors_of

FAR = 64.0


class Range(NamedTuple):
    """What an activation lets through that cuts off and does nothing else: ReLU is (0, inf), ReLU6 (0, 6)."""

    low: float
    high: float


class Follower(NamedTuple):
    """The activation behind a convolution, and the last step before it: its norm, or the convolution itself."""

    activation: Step
    before: Step


def followers(record: Record, convolutions: list[Step]) -> list[Follower | None]:
    """The activation that each result meets first, behind norms and sums of such results; None if none does.

    Where anything else reads the result, or it is joined with what is not among them, it has to be blurred before that.

    Args:
        record: the run.
        convolutions: all with the same strides, which are to become dense.
    """
    dense = {index for index, step in enumerate(record.steps) if any(step is each for each in convolutions)}
    for index, step in enumerate(record.steps):
        if step.sources <= dense and _linear(step):
            dense.add(index)
        if index in dense and (index in record.returned or len(record.readers(index)) != 1):
            dense.remove(index)
    return [_follower(record, step, dense) for step in convolutions]


def _follower(record: Record, step: Step, dense: set[int]) -> Follower | None:
    index = record.steps.index(step)
    while index in dense:
        (reader,) = record.readers(index)
        if not _linear(reader):
            return Follower(reader, record.steps[index]) if _pointwise(reader) else None
        index = record.steps.index(reader)
    return None


def cut(activation: Step) -> Range | None:
    """The range of an activation that leaves everything inside its range as it is; None if it is of another kind.

    Behind a blur such an activation changes nothing, since no blur leaves a range.
    """
    read = activation.read
    x = torch.linspace(-FAR, FAR, read.numel(), dtype=read.dtype, device=read.device).view(read.shape)
    y = _repeat(activation, x)
    low, high = y.min().item(), y.max().item()
    ends = Range(-inf if low == -FAR else low, inf if high == FAR else high)
    return ends if torch.equal(y, F.hardtanh(x, *ends)) else None


def _pointwise(step: Step) -> bool:
    """Whether each value of the result depends on the one value that stood there."""
    if step.read.shape != step.wrote.shape or len(step.sources) != 1:
        return False
    x = _noise(step)
    moved = x.clone()
    moved.view(-1)[x.numel() // 2] = FAR
    return int((_repeat(step, moved) != _repeat(step, x)).sum()) <= 1


def _linear(step: Step) -> bool:
    """Whether a step is a norm, a sum, or multiplies and adds point by point: a blur may stand on either side of it."""
    read, wrote = step.read.shape, step.wrote.shape
    if len(step.sources) > 1:
        return step.name == "add" or (step.name == "cat" and read[2:] == wrote[2:] and read[0] == wrote[0])
    if "norm" in step.name.lower():
        return read == wrote
    if not _pointwise(step):
        return False
    x = _noise(step)
    zero, once, back, twice = (_repeat(step, scale * x) for scale in (0, 1, -1, 2))
    size = 0.02 * twice.abs().max()  # bfloat16 knows a hundredth; an activation bends by far more
    return bool(((once + back - 2 * zero).abs() <= size).all() and ((twice - 2 * once + zero).abs() <= size).all())


def _noise(step: Step) -> Tensor:
    return torch.randn(step.read.shape, generator=torch.Generator().manual_seed(0)).to(step.read)


def _repeat(step: Step, x: Tensor) -> Tensor:
    with torch.no_grad():
        return tensors_of(step.again(x.clone()))[0]  # it may work in place, and a norm tells mean and variance too
