"""Lets an anchor follow the scene through a sequence: motion is measured, not guessed from a new landmark each time."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unetlift.anchor.landmark import Landmark, grey, landmark

SIDES = (256, 192, 128, 96, 64, 48, 32)
"""Motion is measured on so many rows and columns. Even, and quick to transform: OpenCV pads other sizes, and where it
pads to an odd one its phase correlation is half a pixel off."""
SEARCH = 4
"""A match is looked for so many pixels around."""
STEPS = 4
"""As often at most: a match at the edge of what was searched is not yet the best."""
FLAT = 1e-3
"""Detail below it, of 4096 levels, is none: a black frame matches everything."""
SAME_SCENE = 0.4
"""Correlation from which on two frames show one scene: 0.8 and more between noisy windows that wander over nuclei, 0.25
and less between unrelated pictures."""
NEAR = 1.5
"""Pixels by which both registrations, with the last frame and with the keyframe, may differ; beyond, depth or zoom has
made the keyframe another picture."""
STICKY = 0.6
"""The anchor stays on its pixel until the motion is so many pixels away from it: at 0.5 it would flicker."""


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

    Attributes:
        events: when the anchor was chosen anew, or the keyframe changed.
        frame: number of the last frame, from 0.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.frame = -1
        self._key = self._last = _Seen(np.zeros((0, 0), np.float32), 0.0, 0.0)
        self._anchor = Landmark(0, 0, 0.0)
        self._pixel = self._speed = (0, 0)

    def __call__(self, image: Tensor | NDArray[np.floating]) -> Landmark:
        """The anchor in the next frame, (C, H, W) floats."""
        self.frame += 1
        picture = grey(image)
        if picture.shape != self._key.picture.shape:
            return self._begin(image, picture, "size" if self.frame else "start")
        step = refine_motion(self._last.picture, picture, *self._speed)  # things mostly go on as they went
        if step.correlation < SAME_SCENE:
            step = measure_motion(self._last.picture, picture)
        if step.correlation < SAME_SCENE:
            return self._begin(image, picture, "cut")
        self._speed = (round(step.dy), round(step.dx))
        dy, dx = self._last.dy + step.dy, self._last.dx + step.dx
        since_key = refine_motion(self._key.picture, picture, round(dy - self._key.dy), round(dx - self._key.dx))
        exact = self._key.dy + since_key.dy, self._key.dx + since_key.dx
        if since_key.correlation >= SAME_SCENE and max(abs(exact[0] - dy), abs(exact[1] - dx)) <= NEAR:
            dy, dx = exact
        else:
            self._key = self._last
            self.events.append(Event(self.frame, "keyframe"))
        return self._follow(picture, dy, dx)

    def _begin(self, image: Tensor | NDArray[np.floating], picture: NDArray[np.float32], reason: str) -> Landmark:
        self.events.append(Event(self.frame, reason))
        self._anchor = (landmark(image) or Landmark(0, 0, 0.0))._replace(fraction=(0.0, 0.0))  # any point of the scene serves
        self._pixel = self._speed = (0, 0)
        self._key = self._last = _Seen(picture, 0.0, 0.0)
        return self._anchor

    def _follow(self, picture: NDArray[np.float32], dy: float, dx: float) -> Landmark:
        self._last = _Seen(picture, dy, dx)
        self._pixel = tuple(
            whole if abs(exact - whole) <= STICKY else round(exact) for exact, whole in zip((dy, dx), self._pixel, strict=True)
        )
        (down, right), (y, x) = self._pixel, self._anchor[:2]
        return self._anchor._replace(y=y + down, x=x + right, fraction=(dy - down, dx - right))


class _Seen(NamedTuple):
    """A frame and how far its content has moved since the sequence's anchor was chosen."""

    picture: NDArray[np.float32]
    dy: float
    dx: float


def measure_motion(before: NDArray[np.float32], after: NDArray[np.float32]) -> Motion:
    """How far the content moved between two grey frames of one size: phase correlation of both made smaller, refined."""
    height, width = (_side(size) // 2 for size in before.shape)
    if not height or not width:
        return Motion(0.0, 0.0, 0.0)
    # Made smaller, since phase correlation gives every frequency one vote, and the highest are mostly noise.
    small = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in (before, after)]
    (right, down), _ = cv2.phaseCorrelate(*small, cv2.createHanningWindow((width, height), cv2.CV_32F))
    return refine_motion(before, after, round(down * before.shape[0] / height), round(right * before.shape[1] / width))


def refine_motion(before: NDArray[np.float32], after: NDArray[np.float32], dy: int, dx: int) -> Motion:
    """The motion near one that is roughly known: what both frames show is matched at half the size, then at full size."""
    for _ in range(STEPS):
        coarse = _match(before, after, dy, dx, 2)
        dy, dx = dy + round(coarse.dy), dx + round(coarse.dx)
        if coarse.correlation < SAME_SCENE:
            break
        if max(abs(coarse.dy), abs(coarse.dx)) < 2 * SEARCH:
            fine = _match(before, after, dy, dx, 1)
            return Motion(dy + fine.dy, dx + fine.dx, fine.correlation)
    return Motion(dy, dx, 0.0)


def _match(before: NDArray[np.float32], after: NDArray[np.float32], dy: int, dx: int, scale: int) -> Motion:
    """What is missing in a motion, up to `SEARCH` pixels of a picture made `scale` times smaller."""
    shared = _shared(before, after, dy, dx)
    if shared is None:
        return Motion(0.0, 0.0, 0.0)
    one, other = (_detail(picture, scale) for picture in shared)
    other = other[SEARCH:-SEARCH, SEARCH:-SEARCH]
    if min(one.std(), other.std()) < FLAT:
        return Motion(0.0, 0.0, 0.0)
    match = cv2.matchTemplate(one, other, cv2.TM_CCOEFF_NORMED)
    y, x = (int(at) for at in np.unravel_index(match.argmax(), match.shape))
    down, right = (scale * (SEARCH - at - _peak(line, at)) for at, line in ((y, match[:, x]), (x, match[y])))
    return Motion(down, right, float(match[y, x]))


def _detail(picture: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    """Made smaller, what is neither noise nor mere light and dark: any two skies are alike."""
    if scale > 1:
        picture = cv2.resize(picture, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(picture, (0, 0), 3 / scale)
    return smooth - cv2.blur(smooth, (32 // scale + 1, 32 // scale + 1))


def _peak(line: NDArray[np.float32], at: int) -> float:
    """From the largest value to the top of the parabola through it and its neighbours; 0 where one is missing."""
    if not 0 < at < len(line) - 1:
        return 0.0
    before, top, after = (float(value) for value in line[at - 1 : at + 2])
    return 0.5 * (after - before) / (2 * top - before - after) if 2 * top > before + after else 0.0


def _side(size: int) -> int:
    """The largest of `SIDES` that fits, or 0."""
    return next((side for side in SIDES if side <= size), 0)


def _shared(before: NDArray[np.float32], after: NDArray[np.float32], dy: int, dx: int) -> tuple[NDArray, NDArray] | None:
    """The middle of what both frames show if the content moved by whole pixels; None where that is less than half a side."""
    spans = []
    for size, by in zip(before.shape, (dy, dx), strict=True):
        common = size - abs(by)
        side = min(common, SIDES[0]) // 2 * 2
        if 2 * common < size or side < SIDES[-1]:
            return None
        first = max(0, -by) + (common - side) // 2
        spans.append((slice(first, first + side), slice(first + by, first + by + side)))
    (rows, rows_after), (columns, columns_after) = spans
    return np.ascontiguousarray(before[rows, columns]), np.ascontiguousarray(after[rows_after, columns_after])
