"""The computing behind Detail: a map's sub-bands, and what every up-sampling gives back of it (arXiv 2104.00996)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from unetlift.demo.networks import Network
from unetlift.demo.sources import PICTURE, Source, find_source
from unetlift.errors import UsageError, one_of
from unetlift.pools import Down, LiftOptions, Trace, Up, pool_pair
from unetlift.pools.lift import BANDS, LiftDown, LiftUp
from unetlift.stability import decibels
from unetlift.types import Map

LIFTINGS = ("haar", "cdf53", "own")
LIFT = "lift+lift"
OTHERS = ("max+unpool", "max+nearest", "max+bilinear", "blur-3+blur-3")
"""Each up-sampling after the pooling that it usually follows, as DOWN+UP."""

PADDING = "replicate"
MOST_LEVELS = 4
SMALLEST = 2
"""Pixels that the last level's bands have along each axis at least."""

Pair = tuple[Down, Up]
Grid = tuple[int, int]
"""How many pixels (dy, dx) up and left of the map the sampling grid begins, 0 or 1."""

GRIDS: tuple[Grid, ...] = tuple(product((0, 1), repeat=2))


@dataclass(frozen=True)
class Wish:
    """What a visitor asks for.

    Attributes:
        source: `PICTURE`, or the name of the network whose features are taken apart.
        level: of its encoder, from 0 at full resolution; the features are those that its pool would halve.
        channel: of the features, from 0.
        lifting: `haar`, `cdf53`, or `own`: what the network has learned at that level.
        kept: the sub-bands that go back up; on every level but the last, LL is what was taken apart further.
        levels: how often LL is taken apart again, 1 to 4.
        grid: (dy, dx), each 0 or 1.

    Raises:
        UsageError: a name or number is unknown; those that depend on the network are checked with it.
    """

    source: str = PICTURE
    level: int = 0
    channel: int = 0
    lifting: str = "haar"
    kept: tuple[str, ...] = BANDS
    levels: int = 1
    grid: Grid = (0, 0)

    def __post_init__(self) -> None:
        one_of("The lifting", self.lifting, LIFTINGS)
        for name in self.kept:
            one_of("The sub-band", name, BANDS)
        one_of("The number of levels", self.levels, range(1, MOST_LEVELS + 1))
        one_of("The grid", self.grid, GRIDS)


@dataclass(frozen=True)
class Parts:
    """The sub-bands, of the shown channels alone.

    Attributes:
        low: (1, C, h, w), LL of the last level.
        details: of each level from the finest, (LH, HL, HH), each (1, C, h, w).
        energy: of each name in BANDS its share of the energy, 0 to 1, all levels together.
    """

    low: Map
    details: tuple[tuple[Map, ...], ...]
    energy: dict[str, float]


@dataclass(frozen=True)
class Restored:
    """What one pair of pools gives back.

    Attributes:
        name: DOWN+UP.
        x: (1, C, H, W), the shown channels.
        psnr: in dB against the source, at most `stability.CEILING`.
        steady: in dB, how it compares with what is given back from a grid that lies one pixel aside along both axes.
        stored: numbers that the way up is given, as a share of the source's; positions of maxima are not counted.
    """

    name: str
    x: Map
    psnr: float
    steady: float
    stored: float


def asked(networks: Sequence[Network], pixels: NDArray[np.float32], wish: Wish) -> Source:
    """What is wished for, of the picture `pixels`, (H, W, C) floats of 0..1.

    Raises:
        UsageError: the source, its level or its channel is unknown, or it is too small for so many levels.
        PictureError: the picture's channels are not the network's.
    """
    source = find_source(networks, pixels, wish.source, wish.level, wish.channel)
    height, width = source.x.shape[2:]
    if min(height, width) <= (SMALLEST - 1) * 2**wish.levels:
        raise UsageError(f"A map of {width} x {height} pixels cannot be halved {wish.levels} times; take fewer levels or a larger picture.")
    return source


def lift_of(source: Source, lifting: str) -> Pair:
    """The lifting that is wished for, as a pair of pools.

    Raises:
        UsageError: the source has no lift of its own.
    """
    if lifting != "own":
        lift = LiftOptions(start=lifting, learned=False)
        return pool_pair("lift", "lift", source.x.shape[1], padding_mode=PADDING, lift=lift)
    if source.own is None:
        raise UsageError("The lifting own is that of a lift network's features; for anything else take haar or cdf53.")
    return LiftDown(source.own, "LL").eval(), LiftUp(source.own)


def descend(down: Down, x: Map, levels: int) -> tuple[Map, list[Trace]]:
    """Pools so many times; the traces from the finest level on."""
    traces = []
    for _ in range(levels):
        x, trace = down(x)
        traces.append(trace)
    return x, traces


def ascend(up: Up, y: Map, traces: Sequence[Trace], kept: Collection[str] = BANDS) -> Map:
    """The way back, with zeros for sub-bands that are not kept."""
    y = y if BANDS[0] in kept else torch.zeros_like(y)
    for trace in reversed(traces):
        if trace.bands:
            bands = zip(BANDS[1:], trace.bands, strict=True)
            trace = trace._replace(bands=tuple(band if name in kept else torch.zeros_like(band) for name, band in bands))
        y = up(y, trace)
    return y


def shifted(x: Map, grid: Grid) -> Map:
    """A map whose sampling grid begins earlier: its first row or column is repeated before it."""
    dy, dx = grid
    return F.pad(x, (dx, 0, dy, 0), mode="replicate")


def psnr(a: Tensor, b: Tensor, output_range: float) -> float:
    """In dB, at most `stability.CEILING`."""
    return decibels((a - b).square().mean().item(), output_range)


@torch.inference_mode()
def take_apart(source: Source, wish: Wish) -> Parts:
    """The sub-bands on the grid that is wished for.

    Shares are of the energy in orthonormal scaling, where one level's LL counts twice, LH and HL once, and HH half: in
    it Haar's bands have the source's energy exactly, and others nearly.
    """
    low, traces = descend(lift_of(source, wish.lifting)[0], shifted(source.x, wish.grid), wish.levels)
    low = low[:, source.shown]
    details = tuple(tuple(band[:, source.shown] for band in trace.bands) for trace in traces)
    energy = dict.fromkeys(BANDS, 0.0)
    energy["LL"] = (low * 2**wish.levels).square().sum().item()
    for level, bands in enumerate(details):
        for name, band, scale in zip(BANDS[1:], bands, (1, 1, 0.5), strict=True):
            energy[name] += (band * scale * 2**level).square().sum().item()
    whole = sum(energy.values()) or 1.0
    return Parts(low, details, {name: value / whole for name, value in energy.items()})


def lifted(source: Source, wish: Wish) -> Restored:
    """What LiftUpPool gives back of the sub-bands that are kept."""
    details = len(set(wish.kept) - {"LL"}) * sum(4.0**-level for level in range(1, wish.levels + 1))
    stored = details + ("LL" in wish.kept) * 4.0**-wish.levels
    return _restore(source, LIFT, lift_of(source, wish.lifting), wish, stored)


def other(source: Source, wish: Wish, name: str) -> Restored:
    """What another pair of pools, a name in `OTHERS`, gives back."""
    alone = Source(source.x[:, source.shown], slice(None), source.lowest, source.output_range)
    pair = pool_pair(*name.split("+"), channels=alone.x.shape[1], padding_mode=PADDING)
    return _restore(alone, name, pair, wish, 4.0**-wish.levels)


@torch.inference_mode()
def _restore(source: Source, name: str, pair: Pair, wish: Wish, stored: float) -> Restored:
    down, up = pair

    def given_back(dy: int, dx: int) -> Map:
        y, traces = descend(down, shifted(source.x, (dy, dx)), wish.levels)
        return ascend(up, y, traces, wish.kept)[:, source.shown, dy:, dx:]

    dy, dx = wish.grid
    x, moved = given_back(dy, dx), given_back(1 - dy, 1 - dx)
    truth, output_range = source.x[:, source.shown], source.output_range
    return Restored(name, x, psnr(x, truth, output_range), psnr(moved, x, output_range), stored)
