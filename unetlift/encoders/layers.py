"""What the layers of a network made of a picture, by name, and where on the picture each map lies."""

from typing import NamedTuple

from unetlift.pools import Trace
from unetlift.types import Features, Phase


class Layer(NamedTuple):
    """A map inside a network.

    Attributes:
        map: (N, C, h, w).
        stride: of its samples, in pixels.
        offset: (N, 2), row and column of the pixel where each picture's sample (0, 0) lies, chosen by its adaptive
            phases: sample (i, j) shows the pixels from (stride i + row, stride j + column) on, circularly. None is (0, 0).
    """

    map: Features
    stride: int
    offset: Phase | None = None


def offset_at(traces: list[Trace], level: int) -> Phase | None:
    """Where the grid of a level lies after the phases of all levels above it, in pixels."""
    chosen = [2**k * trace.phase for k, trace in enumerate(traces[:level]) if trace.phase is not None]
    return sum(chosen[1:], chosen[0]) if chosen else None


def encoder_layers(features: list[Features | None], traces: list[Trace]) -> dict[str, Layer]:
    """`encoder 0`, `encoder 1`, ... and `bottom`; levels where an encoder has no features are left out.

    There may be more features than halvings: the deepest then share a grid.
    """
    names = [*(f"encoder {level}" for level in range(len(features) - 1)), "bottom"]
    levels = [min(level, len(traces)) for level in range(len(features))]
    rows = zip(names, features, levels, strict=True)
    return {name: Layer(map, 2**level, offset_at(traces, level)) for name, map, level in rows if map is not None}
