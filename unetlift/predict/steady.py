"""What a stability report wants to know before it measures, and beside: whether the pictures suffice, and what an answer costs."""

from collections.abc import Callable, Iterable
from statistics import median
from time import perf_counter

import torch

from unetlift.shifts import Shift
from unetlift.stability import compare, still_frame
from unetlift.types import Map


class Timed:
    """A function that takes the time of its answers."""

    def __init__(self, function: Callable[[Map], Map]):
        self.function, self._taken = function, []

    def __call__(self, x: Map) -> Map:
        """The function's answer."""
        begun = perf_counter()
        answer = self.function(x)
        if answer.is_cuda:
            torch.cuda.synchronize(answer.device)
        self._taken.append(perf_counter() - begun)
        return answer

    @property
    def seconds(self) -> float:
        """Of the median answer: the first ones, which may have to warm up, hardly count."""
        return median(self._taken)


def check_frames(pictures: Iterable[Map], modes: Iterable[str], max_shift: int, multiple: int, margin: int) -> None:
    """Tries the largest shift on every picture, without any network; see `unetlift.stability.measure`.

    Args:
        pictures: (1, C, H, W) each.
        modes: that are to be measured.
        max_shift: in pixels.
        multiple: what frames are cut to.
        margin: pixels left out along the frame.

    Raises:
        UsageError: a picture is too small for the shifts or the margin.
    """
    modes = tuple(modes)
    for x in pictures:
        for mode in modes:
            frame = still_frame(x, mode, max_shift, multiple)
            largest = 0 if mode == "subpixel" else max_shift
            compare(frame, frame, Shift(largest, largest), "roll" if mode == "roll" else "crop", margin)
