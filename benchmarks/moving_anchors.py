"""Candidate anchorings: on which grids a picture is asked about, with what weights, and what is put around it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unetlift.anchor import Landmark, Tracker, align, landmark
from unetlift.anchor.landmark import candidates, grey
from unetlift.convs import pad
from unetlift.shifts import Shift
from unetlift.types import Map

STRIDE = 16
Grid = tuple[int, int]
"""Row and column, both below `STRIDE`, on which a grid of so many pixels lies in the frame."""
Weights = dict[Grid, float]
"""They add up to 1; so many grids, so many passes of the network."""
Frames = dict[Shift, Map]
"""What is seen after each shift, (1, C, H, W); with no shift first."""

STILL = Shift(0, 0)
POWER = 6
"""To which a point's strength is raised before it votes: high enough that few points decide."""


def on(point: Landmark | None) -> Weights:
    """The grid through a point, or the frame's corner."""
    return {(point.y % STRIDE, point.x % STRIDE) if point else (0, 0): 1.0}


def _points(frame: Map) -> tuple[tuple[NDArray, NDArray], NDArray[np.float64], NDArray[np.float64]]:
    """Of a frame's salient points: the grids, the strengths beside the largest, and the nearness to the middle, both 0 to 1."""
    brightness = grey(frame[0])
    _, places, strength = candidates(brightness, "inside")
    at = np.divmod(places, brightness.shape[1])
    down, right = (np.minimum(where + 0.5, length - 0.5 - where) / (length / 2) for where, length in zip(at, brightness.shape, strict=True))
    share = np.maximum(strength, 0) / max(strength.max(initial=0.0), 1e-9)
    return tuple(where % STRIDE for where in at), share, down * right


def vote(frame: Map) -> Weights:
    """The grid for which most speaks: all points' strengths, weighed so that a point that enters begins with nothing."""
    grids, strength, middle = _points(frame)
    total = np.zeros((STRIDE, STRIDE))
    np.add.at(total, grids, strength**POWER * middle)
    return {divmod(int(total.argmax()), STRIDE): 1.0}


def blend(frame: Map, most: int) -> Weights:
    """The strongest points' grids, with weights as continuous as the strengths: what is as weak as the next has none.

    Half of the largest strength is no weight either, so that a point which clearly leads is asked alone.
    """
    grids, strength, middle = _points(frame)
    total = np.zeros((STRIDE, STRIDE))
    np.maximum.at(total, grids, strength * middle)
    order = np.argsort(-total, axis=None, kind="stable")[: most + 1]
    lead = total.ravel()[order]
    share = np.maximum(lead[:most] - max(lead[most] if most > 1 else 0, lead[0] / 2), 0)
    if not share.sum() > 0:
        return {divmod(int(order[0]), STRIDE): 1.0}
    return {divmod(int(at), STRIDE): float(value / share.sum()) for at, value in zip(order, share, strict=False) if value > 0}


def spun(weights: Weights, step: int) -> Weights:
    """Also on the grids `step` pixels lower, farther right, and both: cycle spinning, 2 x 2."""
    shares: Weights = {}
    for (y, x), weight in weights.items():
        for grid in ((y, x), (y + step, x), (y, x + step), (y + step, x + step)):
            at = (grid[0] % STRIDE, grid[1] % STRIDE)
            shares[at] = shares.get(at, 0.0) + weight / 4
    return shares


def known(frames: Frames) -> dict[Shift, Weights]:
    """The motion itself: the most that an anchor can give."""
    height, width = frames[STILL].shape[2:]
    return {shift: {((height // 2 + shift.dy) % STRIDE, (width // 2 + shift.dx) % STRIDE): 1.0} for shift in frames}


def tracked(frames: Frames) -> dict[Shift, Weights]:
    """Each shift as a sequence of two frames."""
    found = {STILL: on(Tracker()(frames[STILL][0]))}
    for shift in list(frames)[1:]:
        tracker = Tracker()
        tracker(frames[STILL][0])
        found[shift] = on(tracker(frames[shift][0]))
    return found


def each(weigh: Callable[[Map], Weights]) -> Callable[[Frames], dict[Shift, Weights]]:
    """Every frame by itself."""
    return lambda frames: {shift: weigh(frame) for shift, frame in frames.items()}


ANCHORS: dict[str, Callable[[Frames], dict[Shift, Weights]]] = {
    "none": each(lambda frame: {(0, 0): 1.0}),
    "landmark": each(lambda frame: on(landmark(frame[0]))),
    "vote": each(vote),
    "middle": each(lambda frame: blend(frame, 1)),
    "blend of 2": each(lambda frame: blend(frame, 2)),
    "blend of 3": each(lambda frame: blend(frame, 3)),
    "blend of 4": each(lambda frame: blend(frame, 4)),
    "known motion": known,
    "track": tracked,
    "spin by 8": each(lambda frame: spun({(0, 0): 1.0}, 8)),
    "landmark, spin by 8": each(lambda frame: spun(on(landmark(frame[0])), 8)),
    "vote, spin by 8": each(lambda frame: spun(vote(frame), 8)),
}


@dataclass(frozen=True)
class Around:
    """What is put around a picture before the network sees it.

    Attributes:
        border: `reflect`, `replicate`, or `median`: each channel's median.
        wide: so many pixels on every side, beyond those that align the picture.
    """

    border: str = "reflect"
    wide: int = 0

    def __call__(self, ask: Callable[[Map], tuple[Map, list]], frame: Map, grid: Grid) -> tuple[Map, list]:
        """The network's answer to a frame whose grid lies there, and what else it tells."""
        wide, placing = self.wide, "replicate" if self.border == "median" else self.border
        if self.border == "median":
            frame = surrounded(frame, wide)
        elif wide:
            frame = pad(frame, (wide,) * 4, self.border)
        placed, placement = align(frame, ((grid[0] + wide) % STRIDE, (grid[1] + wide) % STRIDE), STRIDE, placing)
        answer, told = ask(placed)
        answer = placement.restore(answer)
        return answer[..., wide : answer.shape[2] - wide, wide : answer.shape[3] - wide], told


def surrounded(frame: Map, wide: int) -> Tensor:
    """With a frame in each channel's median."""
    height, width = frame.shape[2:]
    middle = frame.flatten(2).median(2).values[..., None, None]
    around = middle.expand(-1, -1, height + 2 * wide, width + 2 * wide).clone()
    around[..., wide : wide + height, wide : wide + width] = frame
    return around
