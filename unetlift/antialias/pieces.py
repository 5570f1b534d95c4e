"""Modules that go on as they were, keys and all, with something done before and behind them (arXiv 1904.11486)."""

from functools import cache
from typing import Any

from torch import Tensor, nn

from unetlift.pools.blurpool import BlurPool1d, BlurPool2d, BlurPool3d
from unetlift.types import Band, Field

BLUR_POOLS = {1: BlurPool1d, 2: BlurPool2d, 3: BlurPool3d}


class Subsample(nn.Module):
    """BlurPool along the axes whose stride is 2, for each number of channels it is given.

    Args:
        strides: 1 or 2 for each axis.
        channels: every C it will meet: a pool without parameters may serve several levels.
        filter_size: 1 to 7 taps.
        padding_mode: zeros, reflect, replicate or circular.
    """

    def __init__(self, strides: tuple[int, ...], channels: frozenset[int], filter_size: int, padding_mode: str):
        super().__init__()
        self.kept = tuple(axis for axis, stride in enumerate(strides, 2) if stride == 1)
        blur_pool = BLUR_POOLS[strides.count(2)]
        self.pools = nn.ModuleDict({str(c): blur_pool(c, filter_size, padding_mode) for c in sorted(channels)})

    def forward(self, x: Field) -> Band:
        """(N, C, *size) to (N, C, *ceil(size/stride))."""
        blur_pool = self.pools[str(x.shape[1])]
        if not self.kept:
            return blur_pool(x)
        batch = tuple(range(1, 1 + len(self.kept)))  # the other axes join the batch
        rows = x.movedim(self.kept, batch)
        y = blur_pool(rows.flatten(0, len(self.kept)))
        return y.unflatten(0, rows.shape[: 1 + len(self.kept)]).movedim(batch, self.kept)


class OnStridedGrid(nn.Module):
    """Drops the rows before the first sample of a strided operator with TensorFlow's "same" padding.

    That padding depends on the stride: at stride 1 every pixel is a window's centre, at stride 2 the first window's
    centre is the second pixel of an even map, and the first of an odd one.

    Args:
        spans: how far a window reaches along each axis, dilation * (kernel_size - 1).
        strides: 1 or 2 for each axis.
    """

    def __init__(self, spans: tuple[int, ...], strides: tuple[int, ...]):
        super().__init__()
        self.spans, self.strides = spans, strides

    def forward(self, x: Field) -> Band:
        """The dense result, (N, C, *size), without its first rows."""
        for axis, (span, stride) in enumerate(zip(self.spans, self.strides, strict=True), 2):
            size = x.shape[axis]
            strided = max(0, span + 1 - stride + -size % stride)
            first = span // 2 - strided // 2
            x = x.narrow(axis, first, size - first)
        return x


class _Between:
    """Goes before a module's class: `behind(module(before(x)))`."""

    before: nn.Module
    behind: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        return self.behind(super().forward(self.before(x)))

    def __reduce_ex__(self, protocol: int) -> tuple:
        """Pickles by the class of the original, since a class made on the fly has no name to be found by."""
        _, _, *state = super().__reduce_ex__(protocol)
        return _bare, (type(self).__mro__[2],), *state


def place(module: nn.Module, before: list[nn.Module], behind: list[nn.Module]) -> None:
    """Makes a module do more, in place: it stays an instance of its class, under its name, with its keys."""
    module.before, module.behind = nn.Sequential(*before), nn.Sequential(*behind)
    module.__class__ = _between(type(module))


@cache
def _between(kind: type[nn.Module]) -> Any:
    return type(f"Antialiased{kind.__name__}", (_Between, kind), {"__module__": kind.__module__})


def _bare(kind: type[nn.Module]) -> nn.Module:
    return nn.Module.__new__(_between(kind))
