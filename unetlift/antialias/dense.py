"""A strided operator at stride 1: what it takes for its samples to be among those of the dense one."""

from collections.abc import Iterator
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from unetlift.antialias.observe import CONVOLUTIONS
from unetlift.antialias.pieces import OnStridedGrid

MAXIMA = nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d
MEANS = nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d
OPERATORS = CONVOLUTIONS + MAXIMA + MEANS


class Fix(NamedTuple):
    """What stands before and behind the dense operator, so that every second of its samples is the strided one's."""

    before: list[nn.Module]
    behind: list[nn.Module]


def along_axes(operator: nn.Module, value: object) -> tuple[int, ...]:
    """A kernel size, stride or dilation, which pools also take as one number, for each axis."""
    axes = next(k % 3 + 1 for k, kind in enumerate(OPERATORS) if isinstance(operator, kind))
    return tuple(value) * (axes // len(value)) if isinstance(value, tuple | list) else (value,) * axes


def find_fix(operator: nn.Module, strides: tuple[int, ...], like: Tensor) -> Fix | None:
    """The first way that gives the strided operator's samples, tried out on even and odd sizes; None if none does."""
    sizes = like.shape, like.shape[:2] + tuple(size + stride - 1 for size, stride in zip(like.shape[2:], strides, strict=True))
    generator = torch.Generator().manual_seed(0)
    examples = [torch.randn(size, generator=generator).to(like) for size in sizes]
    dense = deepcopy(operator)
    make_dense(dense)
    for fix in _fixes(operator, strides):
        if all(_agree(operator, nn.Sequential(*fix.before, dense, *fix.behind), strides, x) for x in examples):
            return fix
    return None


def make_dense(operator: nn.Module) -> None:
    """Sets the stride to 1, in place."""
    operator.stride = (1,) * len(along_axes(operator, operator.stride))
    if not isinstance(operator, CONVOLUTIONS):
        operator.ceil_mode = False


def _fixes(operator: nn.Module, strides: tuple[int, ...]) -> Iterator[Fix]:
    yield Fix([], [])
    ends = tuple(end for stride in reversed(strides) for end in (0, stride - 1))
    if getattr(operator, "ceil_mode", False):  # the last window reaches one sample beyond the map
        axes = len(strides)
        if isinstance(operator, MAXIMA):
            yield Fix([getattr(nn, f"ConstantPad{axes}d")(ends, -torch.inf)], [])
        else:
            yield Fix([getattr(nn, f"ReplicationPad{axes}d")(ends)], [])
    kernel, dilation = (along_axes(operator, getattr(operator, name, 1)) for name in ("kernel_size", "dilation"))
    yield Fix([], [OnStridedGrid(tuple(d * (k - 1) for k, d in zip(kernel, dilation, strict=True)), strides)])


def _agree(operator: nn.Module, dense: nn.Module, strides: tuple[int, ...], x: Tensor) -> bool:
    with torch.no_grad():
        expected, y = operator(x), dense(x)
    y = y[(..., *(slice(None, None, stride) for stride in strides))]
    # Another stride may be another algorithm, with other rounding; of noise a sample too far would be another number.
    return y.shape == expected.shape and bool((y - expected).abs().max() <= 0.01 * expected.abs().max())
