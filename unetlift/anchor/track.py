"""Lets an anchor follow the scene through a sequence: motion is measured, not guessed from a new landmark each time."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unetlift.anchor.landmark import Landmark, grey, landmark

SIDE = 256
"""Motion is measured on so many pixels: first on the whole frame made smaller, then at full size on its middle."""
SAME_SCENE = 0.5
"""Correlation of what two frames share, from which on they show one scene; across cuts of real clips it stays below."""
STICKY = 0.6
"""The anchor stays on its pixel until the motion is so many pixels away from it: at 0.5 it would flicker."""

SMALLEST = 8
"""Overlaps of fewer rows or columns say nothing."""


class Event(NamedTuple):
    """What a tracker did: at which frame (from 0), and why: `start`, `cut`, `size`, or `keyframe`."""

    frame: int
    reason: str


class Motion(NamedTuple):
    """How far the content of a frame lies from another's, in rows and columns, and how alike both are there."""

    dy: float
    dx: float
    correlation: float


class Tracker:
    """The anchor of each frame of one sequence.

    Each frame is registered with a keyframe by phase correlation, so errors do not add up. When the keyframe's scene
    has left, the last frame becomes the keyframe and the anchor goes on; after a cut, or where the frame's size
    changes, the scene is a new one and so is the anchor: its landmark, or the frame's corner where it has none. The
    anchor may leave the frame: the grid it stands for goes on beyond it.

    It remembers the sequence, so each sequence wants its own.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._frame = -1
        self._key = self._last = _Seen(np.zeros((0, 0), np.float32), 0.0, 0.0)
        self._anchor = Landmark(0, 0, 0.0)
        self._pixel = (0, 0)

    def __call__(self, image: Tensor | NDArray[np.floating]) -> Landmark:
        """The anchor in the next frame, (C, H, W) floats."""
        self._frame += 1
        picture = grey(image)
        if picture.shape != self._key.picture.shape:
            return self._begin(image, picture, "size" if self._frame else "start")
        for seen in (self._key, self._last):
            motion = measure_motion(seen.picture, picture)
            if motion.correlation >= SAME_SCENE:
                if seen is self._last and seen is not self._key:
                    self._key = seen
                    self.events.append(Event(self._frame, "keyframe"))
                return self._follow(picture, seen.dy + motion.dy, seen.dx + motion.dx)
        return self._begin(image, picture, "cut")

    def _begin(self, image: Tensor | NDArray[np.floating], picture: NDArray[np.float32], reason: str) -> Landmark:
        self.events.append(Event(self._frame, reason))
        self._anchor = landmark(image) or Landmark(0, 0, 0.0)
        self._pixel = (0, 0)
        self._key = self._last = _Seen(picture, 0.0, 0.0)
        return self._anchor

    def _follow(self, picture: NDArray[np.float32], dy: float, dx: float) -> Landmark:
        self._last = _Seen(picture, dy, dx)
        self._pixel = tuple(
            whole if abs(exact - whole) <= STICKY else round(exact) for exact, whole in zip((dy, dx), self._pixel, strict=True)
        )
        return self._anchor._replace(y=self._anchor.y + self._pixel[0], x=self._anchor.x + self._pixel[1])


class _Seen(NamedTuple):
    """A frame and how far its content has moved since the sequence's anchor was chosen."""

    picture: NDArray[np.float32]
    dy: float
    dx: float


def measure_motion(before: NDArray[np.float32], after: NDArray[np.float32]) -> Motion:
    """How far the content moved between two grey frames of one size: phase correlation, coarse, then at full size."""
    height, width = before.shape
    scale = max(1.0, max(height, width) / SIDE)
    dy, dx = 0, 0
    if scale > 1:
        small = (round(width / scale), round(height / scale))
        coarse = [cv2.resize(frame, small, interpolation=cv2.INTER_AREA) for frame in (before, after)]
        (right, down), _ = _phase(*coarse)
        dy, dx = round(down * height / small[1]), round(right * width / small[0])
    one, other = _shared(before, after, dy, dx)
    if min(one.shape) < SMALLEST:
        return Motion(0.0, 0.0, 0.0)
    (right, down), _ = _phase(one, other)
    one, other = _shared(before, after, dy + round(down), dx + round(right))
    return Motion(dy + down, dx + right, _correlation(one, other) if min(one.shape) >= SMALLEST else 0.0)


def _phase(before: NDArray[np.float32], after: NDArray[np.float32]) -> tuple[tuple[float, float], float]:
    window = cv2.createHanningWindow(before.shape[::-1], cv2.CV_32F)
    return cv2.phaseCorrelate(before, after, window)


def _shared(before: NDArray[np.float32], after: NDArray[np.float32], dy: int, dx: int) -> tuple[NDArray, NDArray]:
    """The middle of what both frames show, at most `SIDE` pixels a side, if content moved by whole pixels."""
    spans = []
    for size, by in zip(before.shape, (dy, dx), strict=True):
        first, last = max(0, -by), min(size, size - by)
        middle = max(0, last - first - SIDE) // 2
        spans.append((slice(first + middle, last - middle), slice(first + middle + by, last - middle + by)))
    (rows, rows_after), (columns, columns_after) = spans
    return np.ascontiguousarray(before[rows, columns]), np.ascontiguousarray(after[rows_after, columns_after])


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Pearson's, from -1 to 1; of flat pictures 0."""
    return float(cv2.matchTemplate(one, other, cv2.TM_CCOEFF_NORMED)[0, 0])
