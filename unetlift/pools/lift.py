"""LiftDownPool and LiftUpPool: pooling by a learned wavelet that can be undone exactly (arXiv 2104.00996)."""

from itertools import product

import torch
from torch.nn import functional as F

from unetlift.errors import UsageError
from unetlift.pools.base import Down, Trace, Up
from unetlift.pools.lifting import AnyLifting
from unetlift.types import Band, Field

BANDS = ("LL", "LH", "HL", "HH")


def band_names(axes: int) -> tuple[str, ...]:
    """`L, H` of a signal, `LL, LH, HL, HH` of a map, `LLL, ..., HHH` of a volume; the first letter is the last axis's."""
    return tuple("".join(letters) for letters in product("LH", repeat=axes))


def choose_bands(bands: str, axes: int = 2) -> tuple[str, ...]:
    """`LL`, `LL+HH` or the like, or `sum` for all of them, as a tuple of names; `low` is the first of any number of axes."""
    known = band_names(axes)
    chosen = known if bands == "sum" else tuple(bands.replace("low", known[0]).split("+"))
    if not set(chosen) <= set(known) or len(set(chosen)) < len(chosen):
        raise UsageError(f"Sub-bands {bands!r} are unknown; write sum, low, or some of {', '.join(known)} joined by +.")
    return chosen


class LiftDown(Down):
    """Along the last axis first (in 2-D: rows, then columns); the chosen sub-bands' sum goes on, the rest into the trace.

    While training the trace also carries the regularisers c_u = mean (s - x_o)^2 and c_p = mean d^2, each summed over
    the layer's transforms (three in 2-D). The paper writes them as L2 norms, which grow with the tensor; means do not.
    """

    def __init__(self, lifting: AnyLifting, bands: str, axes: int = 2):
        super().__init__()
        self.lifting, self.axes, self.bands = lifting, axes, choose_bands(bands, axes)

    def reduce(self, x: Field) -> tuple[Band, Trace]:
        parts, updates, predictions = [x], [], []
        for axis in reversed(range(2, x.ndim)):
            split = [self.lifting.split(part, axis) for part in parts]
            parts = [half for approximation, detail, _ in split for half in (approximation, detail)]
            if self.training:
                updates += [F.mse_loss(approximation, odd) for approximation, _, odd in split]
                predictions += [detail.square().mean() for _, detail, _ in split]
        penalties = torch.stack((sum(updates), sum(predictions))) if self.training else None
        named = dict(zip(band_names(self.axes), parts, strict=True))
        pooled = named[self.bands[0]]
        for name in self.bands[1:]:
            pooled = pooled + named[name]
        return pooled, Trace(bands=tuple(parts[1:]), penalties=penalties)


class LiftUp(Up):
    """The inverse, with its LiftDown's own P and U: whatever it is given takes the place of the first sub-band."""

    def __init__(self, lifting: AnyLifting):
        super().__init__()
        self.lifting = lifting

    def expand(self, y: Band, trace: Trace) -> Field:
        parts = [y, *trace.bands]
        for axis in range(2, y.ndim):
            parts = [self.lifting.merge(low, high, axis) for low, high in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]
