"""What takes many passes of the networks: the curve over distances, and the map over all shifts of a square."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean, median
from threading import Event

import numpy as np
from numpy.typing import NDArray

from unetlift.demo.compare import Asked, Bench, Scene
from unetlift.shifts import Shift
from unetlift.stability import CEILING

DISTANCES = range(1, 9)
REACHES = (4, 8)
"""How far the map may reach."""


@dataclass(frozen=True)
class Curve:
    """One network along the diagonal.

    Attributes:
        psnr: shift PSNR in dB by distance.
        agreement: mean share of pixels whose label stays; None where answers are pictures.
        seconds: of the median answer.
        parameters: that the network has.
    """

    psnr: dict[int, float]
    agreement: float | None
    seconds: float
    parameters: int

    @property
    def mean(self) -> float:
        """In dB."""
        return fmean(self.psnr.values())

    @property
    def worst(self) -> float:
        """In dB."""
        return min(self.psnr.values())


Curves = dict[Asked, Curve]
Grids = dict[Asked, NDArray[np.float64]]
"""(2 R + 1, 2 R + 1) dB of every shift from -R to R, NaN where it was not measured yet."""


def moved(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What of a square is known, less its middle, where nothing moves."""
    others = np.delete(values.ravel(), values.size // 2)
    return others[~np.isnan(others)]


def curves(bench: Bench, scene: Scene, ended: Event) -> Iterator[Curves]:
    """All curves, one more with every step, until the visitor wants something else."""
    done: Curves = {}
    for network, anchored in scene.asked:
        seen = []
        for distance in DISTANCES:
            if ended.is_set():
                return
            seen.append(bench.compared(scene, network, anchored, Shift(distance, distance)))
        agreement = fmean(m.comparison.agreement() for m in seen) if network.predictor.info.answers == "labels" else None
        psnr = {distance: m.comparison.psnr() for distance, m in zip(DISTANCES, seen, strict=True)}
        done = done | {(network.name, anchored): Curve(psnr, agreement, median(m.seconds for m in seen), network.parameters)}
        if not ended.is_set():
            yield done


def grids(bench: Bench, scene: Scene, reach: int, ended: Event) -> Iterator[Grids]:
    """Every shift of -reach to reach, a row more of every network with every step, until the visitor wants something else."""
    size = 2 * reach + 1
    done = {(network.name, anchored): np.full((size, size), np.nan) for network, anchored in scene.asked}
    for row in range(size):
        for network, anchored in scene.asked:
            for column in range(size):
                if ended.is_set():
                    return
                shift = Shift(row - reach, column - reach)
                same = shift == (0, 0)  # the very same picture: nothing to ask
                psnr = CEILING if same else bench.compared(scene, network, anchored, shift).comparison.psnr()
                done[network.name, anchored][row, column] = psnr
        yield {asked: values.copy() for asked, values in done.items()}
