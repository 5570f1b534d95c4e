"""What an answer costs: the time that it takes."""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch

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
