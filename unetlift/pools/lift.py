"""LiftDownPool and LiftUpPool: pooling by a learned wavelet that can be undone exactly (arXiv 2104.00996)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift.convs import pad
from unetlift.errors import UsageError
from unetlift.pools.base import CENTRE, CORNER, Down, Trace, Up
from unetlift.types import Band, Map

BANDS = ("LL", "LH", "HL", "HH")

Half = Float[Tensor, "n c h_half w_half"]
"""Every second sample of a `Map` along one of its axes."""

Taps = dict[int, float]
"""A fixed 1-D filter: the weight of the neighbour so many samples to the right."""

STARTS: dict[str, tuple[Taps, Taps, float]] = {
    # name: (predict, update, where the approximation's samples then sit)
    "lazy": ({}, {}, CORNER),  # plain subsampling
    "haar": ({0: 1.0}, {0: 0.5}, CENTRE),  # the mean and the difference of each two
    "cdf53": ({0: 0.5, 1: 0.5}, {-1: 0.25, 0: 0.25}, CORNER),  # JPEG 2000's reversible wavelet
}


class Operator(nn.Module):
    """P or U: a fixed wavelet's filter plus a learned correction that starts at zero.

    The correction is the paper's Conv1d(K) -> ReLU -> Conv1d(1) -> Tanh along one axis (section 3.1), the first one
    depthwise, the second dense with zero-initialised weights.
    """

    def __init__(self, channels: int, kernel_size: int, start: Taps, padding_mode: str):
        super().__init__()
        self.along = nn.Conv1d(channels, channels, kernel_size, groups=channels)
        self.across = nn.Conv1d(channels, channels, 1)
        nn.init.zeros_(self.across.weight)
        nn.init.zeros_(self.across.bias)
        self.start, self.padding_mode = start, padding_mode

    def forward(self, x: Map, axis: int) -> Map:
        """Applies the operator along `axis` (2: down a column, 3: along a row); the shape stays."""
        margin = self.along.kernel_size[0] // 2
        weight = self.along.weight.unsqueeze(5 - axis)  # (C, 1, K, 1) or (C, 1, 1, K)
        padded = pad(x, _along(axis, margin, margin), self.padding_mode)
        hidden = F.relu(F.conv2d(padded, weight, self.along.bias, groups=x.shape[1]))
        correction = torch.tanh(F.conv2d(hidden, self.across.weight.unsqueeze(3), self.across.bias))
        return correction + self._fixed(x, axis) if self.start else correction

    def _fixed(self, x: Map, axis: int) -> Map:
        if set(self.start) == {0}:
            return x * self.start[0]
        before, after = -min(0, *self.start), max(0, *self.start)
        padded = pad(x, _along(axis, before, after), self.padding_mode)
        terms = [padded.narrow(axis, before + k, x.shape[axis]) * weight for k, weight in self.start.items()]
        return torch.stack(terms).sum(0) if len(terms) > 2 else terms[0] + terms[1]


def _along(axis: int, before: int, after: int) -> tuple[int, int, int, int]:
    return (before, after, 0, 0) if axis == 3 else (0, 0, before, after)


def deinterleave(x: Map, axis: int) -> tuple[Half, Half]:
    """Even and odd samples along `axis`; unbinding a channels_last view keeps the gradient in that format too."""
    pairs = x.permute(0, 2, 3, 1).unflatten(axis - 1, (-1, 2))
    even, odd = pairs.unbind(axis)
    return even.permute(0, 3, 1, 2), odd.permute(0, 3, 1, 2)


def interleave(even: Half, odd: Half, axis: int) -> Map:
    """Merges two maps sample by sample along `axis`, in the memory format they have."""
    if even.is_contiguous(memory_format=torch.channels_last):
        even, odd = even.permute(0, 2, 3, 1), odd.permute(0, 2, 3, 1)
        return torch.stack((even, odd), axis).flatten(axis - 1, axis).permute(0, 3, 1, 2)
    return torch.stack((even, odd), axis + 1).flatten(axis, axis + 1)


class Lifting(nn.Module):
    """One pair (P, U) that serves the three 1-D transforms of a 2-D layer.

    Args:
        channels: of the map.
        start: `lazy`, `haar` or `cdf53`: the wavelet that the layer is before training.
        kernel_size: K of P's and U's first convolution, odd.
        padding_mode: how even and odd samples go on beyond the border.
    """

    def __init__(self, channels: int, start: str, kernel_size: int, padding_mode: str):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise UsageError(f"The lifting kernel size is {kernel_size}; it is an odd number from 1 on.")
        predict, update, self.grid = STARTS[start]
        self.predict = Operator(channels, kernel_size, predict, padding_mode)
        self.update = Operator(channels, kernel_size, update, padding_mode)

    def split(self, x: Map, axis: int) -> tuple[Half, Half, Half]:
        """Approximation s, detail d, and the odd samples that s is drawn to while training.

        d = x_o - P(x_e) and s = x_e + U(d) (equations 1 and 2).
        """
        even, odd = deinterleave(x, axis)
        detail = odd - self.predict(even, axis)
        return even + self.update(detail, axis), detail, odd

    def merge(self, approximation: Half, detail: Half, axis: int) -> Map:
        """The exact inverse, whatever P and U are: x_e = s - U(d), x_o = d + P(x_e) (equations 5 and 6)."""
        even = approximation - self.update(detail, axis)
        return interleave(even, detail + self.predict(even, axis), axis)


def choose_bands(bands: str) -> tuple[str, ...]:
    """`LL`, `LL+HH` or the like, or `sum` for all four, as a tuple of names."""
    chosen = BANDS if bands == "sum" else tuple(bands.split("+"))
    if not set(chosen) <= set(BANDS) or len(set(chosen)) < len(chosen):
        raise UsageError(f"Sub-bands {bands!r} are unknown; write sum, or some of {', '.join(BANDS)} joined by +.")
    return chosen


class LiftDown(Down):
    """Rows first, then columns: the sum of the chosen sub-bands goes on, LH, HL and HH go into the trace.

    While training the trace also carries the regularisers c_u = mean (s - x_o)^2 and c_p = mean d^2, each summed over
    the layer's three transforms. The paper writes them as L2 norms, which grow with the tensor; means do not.
    """

    def __init__(self, lifting: Lifting, bands: str):
        super().__init__()
        self.lifting, self.bands = lifting, choose_bands(bands)

    def reduce(self, x: Map) -> tuple[Band, Trace]:
        low, high, odd = self.lifting.split(x, axis=3)
        ll, lh, odd_low = self.lifting.split(low, axis=2)
        hl, hh, odd_high = self.lifting.split(high, axis=2)
        penalties = None
        if self.training:
            updates = F.mse_loss(low, odd) + F.mse_loss(ll, odd_low) + F.mse_loss(hl, odd_high)
            predictions = high.square().mean() + lh.square().mean() + hh.square().mean()
            penalties = torch.stack((updates, predictions))
        named = dict(zip(BANDS, (ll, lh, hl, hh), strict=True))
        pooled = named[self.bands[0]]
        for name in self.bands[1:]:
            pooled = pooled + named[name]
        return pooled, Trace(bands=(lh, hl, hh), penalties=penalties)


class LiftUp(Up):
    """The inverse, with its LiftDown's own P and U: whatever it is given takes LL's place."""

    def __init__(self, lifting: Lifting):
        super().__init__()
        self.lifting = lifting

    def expand(self, y: Band, trace: Trace) -> Map:
        lh, hl, hh = trace.bands
        low = self.lifting.merge(y, lh, axis=2)
        high = self.lifting.merge(hl, hh, axis=2)
        return self.lifting.merge(low, high, axis=3)
