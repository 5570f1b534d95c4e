"""BlurPool and its transpose: low-pass before subsampling, and after zero insertion (arXiv 1904.11486)."""

from contextlib import nullcontext
from math import comb

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift.convs import PaddedConv2d, pad, source_index, take
from unetlift.pools.base import CENTRE, CORNER, Down, Trace, Up
from unetlift.types import Band, Field, Map

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
LARGE = 2**24
"""Bytes from which mending the borders of a zero-padded result is quicker than padding the map before: from there on
the allocator asks the system for fresh pages each time."""

SPREAD = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}

Dense = Float[Tensor, "n c *dense"]
"""A map at full resolution; an even window that is not padded has made it one pixel smaller."""


def blur_taps(size: int) -> Tensor:
    """The 1-D filter of `size` taps: a row of Pascal's triangle that sums to one, in float64 (section 4 there)."""
    return torch.tensor([comb(size - 1, k) for k in range(size)], dtype=torch.float64) / 2 ** (size - 1)


def blur_kernel(size: int, channels: int, axes: int = 2) -> Tensor:
    """(C, 1, K), (C, 1, K, K) or (C, 1, K, K, K): the taps' outer product.

    One copy a channel, since a kernel expanded at run time does not export.
    """
    kernel = taps = blur_taps(size)
    for _ in range(axes - 1):
        kernel = kernel.unsqueeze(-1) * taps
    return kernel.float().repeat(channels, 1, *[1] * axes)


class BlurDown(Down):
    """Max-Blur, Conv-Blur or Avg-Blur: a dense operator, the blur, then every second sample.

    The dense window is even or odd so that, together with the filter's own half pixel, the output sits on the asked
    grid: with the other parity every level would drift half a pixel against the skip connections.

    Args:
        operator: `max`, `conv` (convolution + ReLU) or `avg`.
        filter_size: K, 1 to 7; K = 1 subsamples without a filter.
        channels: of the input.
        grid: `CORNER` or `CENTRE`.
        padding_mode: for filter and convolution.
    """

    def __init__(self, operator: str, filter_size: int, channels: int, grid: float, padding_mode: str):
        super().__init__()
        even_filter = filter_size % 2 == 0
        self.even_window = even_filter == (grid == CORNER)
        self.operator, self.padding_mode = operator, padding_mode
        self.before = filter_size // 2 if self.even_window or not even_filter else filter_size // 2 - 1
        self.register_buffer("kernel", blur_kernel(filter_size, channels), persistent=False)
        if operator == "conv":
            window = nn.Conv2d(channels, channels, 2) if self.even_window else PaddedConv2d(channels, channels, 3, padding_mode)
            self.conv = window

    def reduce(self, x: Map) -> tuple[Band, Trace]:
        dense = self._dense(x)
        return blur(dense, self.kernel, self.before, x.shape[-2:], self.padding_mode), Trace()

    def _dense(self, x: Map) -> Dense:
        """The operator at stride 1; an even window is not padded (as in the paper), unless the map wraps."""
        circular = self.padding_mode == "circular"
        if self.even_window and circular:
            x = pad(x, (0, 1, 0, 1), "circular")
        if self.operator == "conv":
            return F.relu(self.conv(x))
        if self.even_window:
            return dense_max(x) if self.operator == "max" else F.avg_pool2d(x, 2, 1)
        if self.operator == "avg":
            return x
        return F.max_pool2d(pad(x, (1, 1, 1, 1), "circular"), 3, 1) if circular else F.max_pool2d(x, 3, 1, padding=1)


def dense_max(x: Map) -> Dense:
    """The 2x2 maximum at stride 1, (N, C, H - 1, W - 1).

    Where no gradient is wanted, pair by pair: PyTorch's pooling also writes down 8 bytes of position for every value,
    which takes three to ten times as long.
    """
    if torch.is_grad_enabled() and x.requires_grad:
        return F.max_pool2d(x, 2, 1)
    rows = torch.maximum(x[..., :-1], x[..., 1:])
    return torch.maximum(rows[:, :, :-1], rows[:, :, 1:])


def blur(x: Dense, kernel: Tensor, before: int, size: tuple[int, ...], padding_mode: str) -> Band:
    """Filters and keeps every second sample; output (i, j) reads from (2i - before, 2j - before) on.

    Args:
        x: (N, C, *dense) with one, two or three axes, each of which may be one less than in `size`.
        kernel: (C, 1, K), (C, 1, K, K) or (C, 1, K, K, K).
        before: how far the first output's window begins before the map, in pixels.
        size: even; the output has half of it.
        padding_mode: how the map goes on beyond its border.
    """
    return _Subsample.apply(x, kernel.to(x.dtype), before, size, padding_mode)


class _Subsample(torch.autograd.Function):
    """A depthwise convolution of stride 2 with a fixed kernel; its gradient is `insert_zeros`, folded at the border."""

    @staticmethod
    def forward(ctx, x: Tensor, kernel: Tensor, before: int, size: tuple[int, ...], mode: str) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.have, ctx.after = x.shape[2:], _reach(x, kernel.shape[-1], before, size)
        ctx.before, ctx.mode, ctx.dtype = before, mode, x.dtype
        return _subsample(x, kernel, before, ctx.after, mode)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        (kernel,) = ctx.saved_tensors
        full = [ctx.before + have + after for have, after in zip(ctx.have, ctx.after, strict=True)]
        unread = [size - 2 * (half - 1) - kernel.shape[-1] for size, half in zip(full, grad.shape[2:], strict=True)]
        spread = insert_zeros(grad, kernel, 0, unread)
        for axis, (have, after) in enumerate(zip(ctx.have, ctx.after, strict=True), 2):
            spread = _fold(spread, axis, have, ctx.before, after, ctx.mode)
        return spread.to(ctx.dtype), None, None, None, None


def _reach(x: Tensor, taps: int, before: int, size: tuple[int, ...]) -> tuple[int, ...]:
    """How far the last windows reach beyond the map's end, along each axis."""
    return tuple(max(0, full - 2 - before + taps - have) for full, have in zip(size, x.shape[2:], strict=True))


def _subsample(x: Tensor, kernel: Tensor, before: int, after: tuple[int, ...], mode: str) -> Tensor:
    convolve = CONVOLVE[x.ndim - 2]
    pads = tuple(end for reach in reversed(after) for end in (before, reach))
    if mode != "zeros" and (x.numel() * x.element_size() < LARGE or torch.compiler.is_compiling()):
        return convolve(pad(x, pads, mode), kernel, stride=2, groups=x.shape[1])
    halves = [(before + have + reach - kernel.shape[-1]) // 2 + 1 for have, reach in zip(x.shape[2:], after, strict=True)]
    if max(after) <= before:  # zeros inside the convolution save the padded copy
        y = convolve(x, kernel, stride=2, padding=before, groups=x.shape[1])
        for axis, half in enumerate(halves, 2):
            y = y.narrow(axis, 0, half)
    else:
        y = convolve(F.pad(x, pads), kernel, stride=2, groups=x.shape[1])
    return y if mode == "zeros" else _mend_borders(y, x, kernel, before, after, mode)


def _mend_borders(y: Tensor, x: Tensor, kernel: Tensor, before: int, after: tuple[int, ...], mode: str) -> Tensor:
    """Puts right, in place, the few outputs whose windows reach beyond the border, where `y` has read zeros."""
    taps = kernel.shape[-1]
    for axis, reach in enumerate(after, 2):
        have, half = x.shape[axis], y.shape[axis]
        source = source_index(have, before, reach, mode, x.device)
        first = min((before + 1) // 2, half)
        last = max((before + have - taps) // 2 + 1, first)  # windows between first and last lie inside the map
        around = [end for other in reversed(range(2, x.ndim)) for end in ((before, after[other - 2]) if other != axis else (0, 0))]
        for begin, end in ((0, first), (last, half)):
            if begin < end:
                strip = take(x, axis, source[2 * begin : 2 * (end - 1) + taps])
                exact = CONVOLVE[x.ndim - 2](pad(strip, tuple(around), mode), kernel, stride=2, groups=x.shape[1])
                y.narrow(axis, begin, end - begin).copy_(exact)
    return y


def _fold(grad: Tensor, dim: int, have: int, before: int, after: int, mode: str) -> Tensor:
    """The gradient of padding along one axis: what came from beyond the border goes back to where it was read."""
    inner = grad.narrow(dim, before, have)
    if mode != "zeros":
        source = source_index(have, before, after, mode, grad.device)
        for start, length in ((0, before), (before + have, after)):
            if length:
                inner.index_add_(dim, source.narrow(0, start, length), grad.narrow(dim, start, length).clone())
    return inner


def insert_zeros(y: Band, kernel: Tensor, margin: int, unread: list[int]) -> Field:
    """A depthwise transposed convolution of stride 2, in float32 at least: oneDNN has no fast bfloat16 kernel for it.

    Args:
        y: (N, C, *half).
        kernel: (C, 1, K), (C, 1, K, K) or (C, 1, K, K, K).
        margin: pixels that the result loses at each end.
        unread: zeros that it gains at the end of each axis.
    """
    wide = torch.promote_types(y.dtype, torch.float32)
    mixed = torch.is_autocast_enabled(y.device.type)  # asked first, since an exported graph would keep the switch
    with torch.autocast(y.device.type, enabled=False) if mixed else nullcontext():
        y, kernel = y.to(wide), kernel.to(wide)
        return SPREAD[y.ndim - 2](y, kernel, stride=2, padding=margin, output_padding=unread, groups=y.shape[1])


class BlurUp(Up):
    """Zero insertion, then the filter times four: BlurPool's exact transpose.

    An odd filter centres its samples on the even pixels, an even one in the middle of the 2x2 blocks (Rect-2 is
    nearest upsampling; Tri-3 interpolates linearly between even pixels).
    """

    def __init__(self, filter_size: int, channels: int, padding_mode: str):
        super().__init__()
        self.padding_mode = padding_mode
        self.before = (filter_size - 1) // 2
        self.register_buffer("kernel", 4 * blur_kernel(filter_size, channels), persistent=False)

    def expand(self, y: Band, trace: Trace) -> Map:
        taps = self.kernel.shape[-1]
        border = taps // 2
        padded = pad(y, (border,) * 4, self.padding_mode)
        return insert_zeros(padded, self.kernel, 2 * border + self.before, [taps % 2] * 2).to(y.dtype)


def blur_grid(filter_size: int) -> float:
    """Where `BlurUp` puts its samples."""
    return CORNER if filter_size % 2 else CENTRE
