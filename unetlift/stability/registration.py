"""Finds how far the whole content of one frame lies from that of another, to parts of a pixel."""

import torch
from torch.nn.functional import avg_pool2d

from unetlift.anchor.landmark import channel_sum, grey
from unetlift.anchor.track import SAME_SCENE, Motion, measure_motion
from unetlift.images import blur
from unetlift.shifts import LOBES, Fraction
from unetlift.stability.frames import Comparison, compare
from unetlift.types import Map

SCALES = (16, 4, 1)
"""The motion of whole frames is found at these sizes, one after the other: each corrects it by a few of its own pixels."""
SMALLEST = 24
"""Pixels that a frame made smaller still has along its shorter side."""
SIGMA = 1.5
"""Of the smoothing before: noise has no motion, and would draw the estimate to where resampling dims it most, half a pixel."""
STEPS = 8
"""At each size at most."""
SETTLED = 0.001
"""Pixels; a smaller correction is the last one."""


def find_motion(before: Map, after: Map) -> Motion:
    """How far the content moved between two frames of one size (1, C, H, W), as a whole.

    Phase correlation of their middles finds it roughly, and tells cuts. Least squares over whole frames, from small ones to
    full size, then make it exact: to a hundredth of a pixel where nothing but the camera moves. Whole pixels are taken where
    they explain as much.

    Returns:
        The motion, with the correlation of the frames' middles; below `unetlift.anchor.track.SAME_SCENE` it is a cut.

    Raises:
        UsageError: a frame holds values that are not finite.
    """
    rough = measure_motion(grey(before[0]), grey(after[0]))
    if rough.correlation < SAME_SCENE:
        return rough
    sums = [torch.from_numpy(channel_sum(frame[0]))[None, None] for frame in (before, after)]
    dy, dx = _refined(*sums, rough.dy, rough.dx)
    whole = float(round(dy)), float(round(dx))
    return Motion(*min((whole, (dy, dx)), key=lambda motion: _error(*sums, *motion)), rough.correlation)


def along_motion(before: Map, after: Map, motion: Motion, margin: int, resampling: str) -> Comparison:
    """`after`, and `before` moved to where its content is then; valid is what both show, less the margin."""
    return compare(after, before, Fraction(-motion.dy, -motion.dx), "crop", margin, resampling)


def _error(before: Map, after: Map, dy: float, dx: float) -> float:
    pair = along_motion(before, after, Motion(dy, dx, 1.0), LOBES, "bicubic")
    return (pair.still - pair.moved_back)[..., pair.valid].double().square().mean().item()


def _refined(before: Map, after: Map, dy: float, dx: float) -> tuple[float, float]:
    """Gauss-Newton for the motion of least squares (Lucas and Kanade, 1981); where it strays, what was known."""
    start = dy, dx
    height, width = before.shape[2:]
    for scale in SCALES:
        if scale > 1 and min(height, width) // scale < SMALLEST:
            continue
        small = [_smooth(avg_pool2d(sums, scale)) for sums in (before, after)]
        for _ in range(STEPS):
            down, right = _step(*small, dy / scale, dx / scale)
            dy, dx = dy + down * scale, dx + right * scale
            if 2 * abs(dy) > height or 2 * abs(dx) > width:
                return start
            if max(abs(down), abs(right)) < SETTLED:
                break
    return min((dy, dx), start, key=lambda motion: _error(*small, *motion))


def _step(before: Map, after: Map, dy: float, dx: float) -> tuple[float, float]:
    """What is missing in a motion, to first order, over all that both frames show."""
    pair = along_motion(before, after, Motion(dy, dx, 1.0), LOBES, "bicubic")
    slopes = torch.stack([slope[..., pair.valid].flatten() for slope in torch.gradient(pair.moved_back, dim=(2, 3))], 1).double()
    left = (pair.moved_back - pair.still)[..., pair.valid].flatten().double()
    # Along a picture's only edges nothing can be seen to move: the smallest step is then the best.
    down, right = torch.linalg.lstsq(slopes.T @ slopes, slopes.T @ left, rcond=1e-6, driver="gelsd").solution.tolist()
    return down, right


def _smooth(x: Map) -> Map:
    return torch.from_numpy(blur(x[0].permute(1, 2, 0).numpy(), SIGMA)).permute(2, 0, 1)[None]
