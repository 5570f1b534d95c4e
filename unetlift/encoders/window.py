"""The windows of convolutions and pools: where they begin, at any stride, and what they read beyond the map."""

from typing import NamedTuple

from timm.layers import Conv2dSame, ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame
from torch import nn
from torch.nn import functional as F

from unetlift.convs import pad
from unetlift.types import Features

WINDOWED = nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d
CONVS_SAME = Conv2dSame, StdConv2dSame, ScaledStdConv2dSame
"""Convolutions that pad as TensorFlow does, by the size of what they read."""


class Window(NamedTuple):
    """What an operator reads: output (i, j) reads from `stride` * (i, j) - `before` on.

    Attributes:
        size: rows and columns, dilation included.
        before: how far the first window begins before the map.
        after: how far the map goes on behind its end.
        stride: 1, 2 or 4 along both axes.
        border: how it goes on in the original: zeros; replicate where the original leaves that out; uncounted where a
            mean is taken over fewer values.
    """

    size: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    stride: int
    border: str

    @property
    def pointwise(self) -> bool:
        """Whether each output depends on one pixel."""
        return self.size == (1, 1) and not any(self.before)

    @property
    def centre(self) -> float:
        """How far the first window's middle lies behind pixel 0, in pixels."""
        return (self.size[0] - 1) / 2 - self.before[0]

    @property
    def floors(self) -> bool:
        """Whether a map whose size the stride does not divide loses its rest."""
        probe = 64 * self.stride + 1
        ends = zip(self.size, self.before, self.after, strict=True)
        return any((probe + before + after - size) // self.stride + 1 < 65 for size, before, after in ends)


def window_of(module: nn.Module) -> Window | None:
    """The window of an ordinary convolution or pool, however it pads; None for any other module."""
    padding = _own_padding(module)
    kernel, stride, dilation = (_pair(getattr(module, name, 1)) for name in ("kernel_size", "stride", "dilation"))
    if padding is None or stride[0] != stride[1] or stride[0] not in (1, 2, 4):
        return None
    before, after = padding
    size = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    if isinstance(module, CONVS_SAME) and getattr(module, "same_pad", True):
        before = tuple(max(0, s - stride[0]) // 2 for s in size)
        after = tuple(s - 1 - b for s, b in zip(size, before, strict=True))
    if getattr(module, "ceil_mode", False):
        after = tuple(a + stride[0] - 1 for a in after)
    border = "zeros" if isinstance(module, nn.Conv2d) else "replicate"
    if isinstance(module, nn.AvgPool2d) and any(before):
        border = "zeros" if module.count_include_pad else "uncounted"
    return Window(size, before, after, stride[0], border)


def set_window(module: nn.Module, window: Window, padding_mode: str) -> None:
    """Gives an ordinary convolution or pool another window, in place: its keys, its class and its place stay.

    Args:
        module: one that has a window.
        window: the new one, of the same size.
        padding_mode: how the map goes on beyond its border; with `zeros` a pool goes on as the original does.
    """
    if type(module) not in OURS.values():
        module.__class__ = next(ours for kind, ours in OURS.items() if isinstance(module, kind))
    module.pads = (window.before[1], window.after[1], window.before[0], window.after[0])
    module.border = window.border if padding_mode == "zeros" else padding_mode
    module.stride = (window.stride, window.stride)
    if isinstance(module, _Standardised):
        module.padding, module.same_pad = (0, 0), False


class WindowedConv2d(nn.Conv2d):
    """A convolution that is told what to read beyond the map, at each end."""

    pads: tuple[int, int, int, int]
    border: str

    def forward(self, x: Features) -> Features:
        """(N, C, H, W) to (N, C_out, H', W')."""
        left, right, top, bottom = self.pads
        inside = self.border == "zeros" and left == right and top == bottom  # which saves the padded copy
        x = x if inside else pad(x, self.pads, self.border)
        return F.conv2d(x, self.weight, self.bias, self.stride, (top, left) if inside else 0, self.dilation, self.groups)


class _Standardised:
    """The same for convolutions that compute their weights from their parameters each time, and obey their padding."""

    pads: tuple[int, int, int, int]
    border: str

    def forward(self, x: Features) -> Features:
        """(N, C, H, W) to (N, C_out, H', W')."""
        return super().forward(pad(x, self.pads, self.border))


class WindowedStdConv2d(_Standardised, StdConv2d):
    """See `_Standardised`."""


class WindowedStdConv2dSame(_Standardised, StdConv2dSame):
    """See `_Standardised`."""


class WindowedScaledStdConv2d(_Standardised, ScaledStdConv2d):
    """See `_Standardised`."""


class WindowedScaledStdConv2dSame(_Standardised, ScaledStdConv2dSame):
    """See `_Standardised`."""


class WindowedMaxPool2d(nn.MaxPool2d):
    """The same for a maximum."""

    pads: tuple[int, int, int, int]
    border: str

    def forward(self, x: Features) -> Features:
        """(N, C, H, W) to (N, C, H', W')."""
        left, right, top, bottom = self.pads
        inside = self.border == "replicate" and left == right and top == bottom  # nothing is larger than what is there
        x = x if inside else pad(x, self.pads, self.border)
        return F.max_pool2d(x, self.kernel_size, self.stride, (top, left) if inside else 0, self.dilation)


class WindowedAvgPool2d(nn.AvgPool2d):
    """The same for a mean."""

    pads: tuple[int, int, int, int]
    border: str

    def forward(self, x: Features) -> Features:
        """(N, C, H, W) to (N, C, H', W')."""
        if self.border == "uncounted":
            _, _, top, _ = self.pads
            return F.avg_pool2d(x, self.kernel_size, self.stride, (top, self.pads[0]), count_include_pad=False)
        return F.avg_pool2d(pad(x, self.pads, self.border), self.kernel_size, self.stride)


STANDARDISED = {
    StdConv2d: WindowedStdConv2d,
    StdConv2dSame: WindowedStdConv2dSame,
    ScaledStdConv2d: WindowedScaledStdConv2d,
    ScaledStdConv2dSame: WindowedScaledStdConv2dSame,
}
OURS = STANDARDISED | dict(zip(WINDOWED, (WindowedConv2d, WindowedMaxPool2d, WindowedAvgPool2d), strict=True))


def _pair(value: object) -> tuple:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def _own_padding(module: nn.Module) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Before and behind rows and columns; None where nothing is known of the module."""
    if type(module) in (nn.MaxPool2d, nn.AvgPool2d, WindowedMaxPool2d, WindowedAvgPool2d):
        other = getattr(module, "divisor_override", None) or getattr(module, "return_indices", False)
        return None if other else (_pair(module.padding),) * 2
    if type(module) in (nn.Conv2d, Conv2dSame, *STANDARDISED):
        return (_pair(module.padding),) * 2 if not isinstance(module.padding, str) and module.padding_mode == "zeros" else None
    if isinstance(module, nn.Conv2d) and [type(child) for child in module.children()] == [nn.ZeroPad2d]:
        left, right, top, bottom = next(module.children()).padding
        return (top, left), (bottom, right)
    if isinstance(module, nn.Conv2d) and [type(child) for child in module.children()] == [nn.Identity]:
        return (_pair(module.padding),) * 2
    return None
