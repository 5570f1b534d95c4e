"""One lifting step along one axis, and its exact inverse, whatever P and U are (arXiv 2104.00996)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unetlift.convs import pad
from unetlift.errors import UsageError, one_of
from unetlift.pools.base import CENTRE, CORNER
from unetlift.pools.blur import CONVOLVE
from unetlift.types import Field

Half = Float[Tensor, "n c *half_size"]
"""Every second sample of a `Field` along one of its axes."""

Taps = dict[int, float]
"""A fixed 1-D filter: the weight of the neighbour so many samples to the right."""

STARTS: dict[str, tuple[Taps, Taps, float]] = {
    # name: (predict, update, where the approximation's samples then sit)
    "lazy": ({}, {}, CORNER),  # plain subsampling
    "haar": ({0: 1.0}, {0: 0.5}, CENTRE),  # the mean and the difference of each two
    "cdf53": ({0: 0.5, 1: 0.5}, {-1: 0.25, 0: 0.25}, CORNER),  # JPEG 2000's reversible wavelet
}


@dataclass(frozen=True)
class LiftOptions:
    """How a `lift` downsampler is made; other pools ignore it.

    Attributes:
        start: the wavelet before training, `lazy`, `haar` or `cdf53`.
        bands: what goes on: `low` (in 2-D also called `LL`), `sum` (all of them), or names joined by `+`.
        kernel_size: of P's and U's first convolution, an odd number.
        learned: whether P and U learn a correction; otherwise the layer is the wavelet.
        shared: whether one pair (P, U) serves every axis, as the paper's authors do.
        groups: of P's and U's first and second convolution (the paper's G1, G2); 0 is one group a channel.
    """

    start: str = "haar"
    bands: str = "low"
    kernel_size: int = 3
    learned: bool = True
    shared: bool = True
    groups: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        one_of("The lifting start", self.start, STARTS)
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise UsageError(f"The lifting kernel size is {self.kernel_size}; it is an odd number from 1 on.")


class Operator(nn.Module, ABC):
    """P or U: a linear or learned function of one half of the samples, along one axis."""

    @abstractmethod
    def onto(self, base: Half, x: Half, axis: int, sign: float) -> Half:
        """base + sign * operator(x), along `axis` (2 is the first after the channels); the shape stays."""


class FixedOperator(Operator):
    """A classical wavelet's filter."""

    def __init__(self, taps: Taps, padding_mode: str):
        super().__init__()
        self.taps, self.padding_mode = taps, padding_mode
        self.before, self.after = -min(0, 0, *taps), max(0, 0, *taps)

    def onto(self, base: Half, x: Half, axis: int, sign: float) -> Half:
        padded = pad(x, along(x.ndim, axis, self.before, self.after), self.padding_mode)
        for step, weight in self.taps.items():
            base = torch.add(base, padded.narrow(axis, self.before + step, x.shape[axis]), alpha=sign * weight)
        return base


class LearnedOperator(Operator):
    """A wavelet's filter plus a learned correction that starts at zero.

    The correction is the paper's Conv1d(K, groups=G1) -> ReLU -> Conv1d(1, groups=G2) -> Tanh along one axis (section
    3.1), the second convolution with zero-initialised weights.
    """

    def __init__(self, channels: int, kernel_size: int, groups: tuple[int, int], start: FixedOperator):
        super().__init__()
        self.along = nn.Conv1d(channels, channels, kernel_size, groups=groups[0])
        self.across = nn.Conv1d(channels, channels, 1, groups=groups[1])
        nn.init.zeros_(self.across.weight)
        nn.init.zeros_(self.across.bias)
        self.start = start

    def onto(self, base: Half, x: Half, axis: int, sign: float) -> Half:
        hidden = self._convolve(self.along, x, axis).relu_()
        base = self.start.onto(base, x, axis, sign)
        return add_tanh(base, self._convolve(self.across, hidden, axis), sign)

    def _convolve(self, layer: nn.Conv1d, x: Half, axis: int) -> Half:
        """The 1-D convolution along one axis of several."""
        ahead = [layer.kernel_size[0] if other == axis else 1 for other in range(2, x.ndim)]
        weight, margin = layer.weight.reshape(*layer.weight.shape[:2], *ahead), layer.kernel_size[0] // 2
        inside = [size // 2 for size in ahead] if self.start.padding_mode == "zeros" else [0] * len(ahead)
        if not any(inside):
            x = pad(x, along(x.ndim, axis, margin, margin), self.start.padding_mode)
        return CONVOLVE[x.ndim - 2](x, weight, layer.bias, padding=inside, groups=layer.groups)


def add_tanh(base: Half, x: Half, sign: float) -> Half:
    """base + sign * tanh(x), with `x` used up.

    In full precision by way of tanh(x) = 2 (sigmoid(2x) - 1/2), which PyTorch computes in a third of the time.
    """
    if x.dtype in (torch.float16, torch.bfloat16):  # whose sigmoid would round small values to steps of 1/256
        return torch.add(base, x.tanh_(), alpha=sign)
    return torch.add(base, x.mul_(2).sigmoid_() - 0.5, alpha=2 * sign)


def along(dims: int, axis: int, before: int, after: int) -> tuple[int, ...]:
    """Pads of one axis alone, in PyTorch's order."""
    pads = [0, 0] * (dims - 2)
    at = 2 * (dims - 1 - axis)
    pads[at : at + 2] = before, after
    return tuple(pads)


def deinterleave(x: Field, axis: int) -> tuple[Half, Half]:
    """Even and odd samples along `axis`; unbinding a channels_last view keeps the gradient in that format too."""
    even, odd = x.movedim(1, -1).unflatten(axis - 1, (-1, 2)).unbind(axis)
    return even.movedim(-1, 1), odd.movedim(-1, 1)


def interleave(even: Half, odd: Half, axis: int) -> Field:
    """Merges two maps sample by sample along `axis`, in the memory format they have."""
    if even.stride(1) == 1:
        even, odd = even.movedim(1, -1), odd.movedim(1, -1)
        return torch.stack((even, odd), axis).flatten(axis - 1, axis).movedim(-1, 1)
    return torch.stack((even, odd), axis + 1).flatten(axis, axis + 1)


class Lifting(nn.Module):
    """One pair (P, U) that serves every axis: in 2-D the three transforms of a layer.

    Args:
        predict: P.
        update: U.
    """

    def __init__(self, predict: Operator, update: Operator):
        super().__init__()
        self.predict, self.update = predict, update

    def split(self, x: Field, axis: int) -> tuple[Half, Half, Half]:
        """Approximation s, detail d, and the odd samples that s is drawn to while training.

        d = x_o - P(x_e) and s = x_e + U(d) (equations 1 and 2).
        """
        even, odd = deinterleave(x, axis)
        detail = self.predict.onto(odd, even, axis, -1.0)
        return self.update.onto(even, detail, axis, 1.0), detail, odd

    def merge(self, approximation: Half, detail: Half, axis: int) -> Field:
        """The exact inverse, whatever P and U are: x_e = s - U(d), x_o = d + P(x_e) (equations 5 and 6)."""
        even = self.update.onto(approximation, detail, axis, -1.0)
        return interleave(even, self.predict.onto(detail, even, axis, 1.0), axis)


class HaarLifting(nn.Module):
    """`Lifting` with the fixed Haar wavelet, in fewer passes over the map: s is the mean and d the difference of a pair."""

    def split(self, x: Field, axis: int) -> tuple[Half, Half, Half]:
        """As `Lifting.split`."""
        even, odd = deinterleave(x, axis)
        detail = odd - even
        return torch.add(even, detail, alpha=0.5), detail, odd

    def merge(self, approximation: Half, detail: Half, axis: int) -> Field:
        """x_e = s - d/2 and x_o = s + d/2, written where they belong by one broadcast."""
        halves = torch.tensor([-0.5, 0.5], dtype=detail.dtype, device=detail.device)
        if approximation.stride(1) == 1:
            pairs = [part.movedim(1, -1).unsqueeze(axis) for part in (approximation, detail)]
            return torch.addcmul(*pairs, halves.reshape(2, *[1] * (detail.ndim - axis))).flatten(axis - 1, axis).movedim(-1, 1)
        pairs = [part.unsqueeze(axis + 1) for part in (approximation, detail)]
        return torch.addcmul(*pairs, halves.reshape(2, *[1] * (detail.ndim - 1 - axis))).flatten(axis, axis + 1)


class LiftingEachAxis(nn.ModuleList):
    """A pair (P, U) for each axis."""

    def split(self, x: Field, axis: int) -> tuple[Half, Half, Half]:
        """As `Lifting.split`, with the pair of that axis."""
        return self[axis - 2].split(x, axis)

    def merge(self, approximation: Half, detail: Half, axis: int) -> Field:
        """As `Lifting.merge`, with the pair of that axis."""
        return self[axis - 2].merge(approximation, detail, axis)


AnyLifting = Lifting | HaarLifting | LiftingEachAxis


def make_lifting(channels: int, axes: int, padding_mode: str, options: LiftOptions) -> AnyLifting:
    """The lifting of one layer.

    Args:
        channels: of the map.
        axes: 1, 2 or 3.
        padding_mode: how even and odd samples go on beyond the border.
        options: the wavelet and what is learned.

    Raises:
        UsageError: a number of groups does not divide the channels.
    """
    groups = options.groups[0] or channels, options.groups[1] or channels
    for count in groups:
        if count < 1 or channels % count:
            raise UsageError(f"The lifting's {count} groups do not divide {channels} channels; give a divisor of it, or 0.")

    def operator(taps: Taps) -> Operator:
        start = FixedOperator(taps, padding_mode)
        return LearnedOperator(channels, options.kernel_size, groups, start) if options.learned else start

    if options.start == "haar" and not options.learned:
        return HaarLifting()
    predict, update, _ = STARTS[options.start]
    liftings = [Lifting(operator(predict), operator(update)) for _ in range(1 if options.shared else axes)]
    return liftings[0] if options.shared else LiftingEachAxis(liftings)
