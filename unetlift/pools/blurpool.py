"""BlurPool as a layer of its own for any network, along one, two or three axes (arXiv 1904.11486)."""

from abc import ABC

from torch import nn

from unetlift.convs import PADDING_MODES
from unetlift.errors import check_map, one_of
from unetlift.pools.blur import blur, blur_kernel
from unetlift.types import Band, Given

FILTER_SIZES = range(1, 8)


class _BlurPool(nn.Module, ABC):
    """What the three have in common; see `BlurPool2d`."""

    axes: int

    def __init__(self, channels: int, filter_size: int = 3, padding_mode: str = "reflect"):
        super().__init__()
        one_of("The blur's filter size", filter_size, FILTER_SIZES)
        one_of("padding_mode", padding_mode, PADDING_MODES)
        self.channels, self.filter_size, self.padding_mode = channels, filter_size, padding_mode
        self.register_buffer("kernel", blur_kernel(filter_size, channels, self.axes), persistent=False)

    def forward(self, x: Given) -> Band:
        """(N, C, *size) to (N, C, *ceil(size/2))."""
        check_map(type(self).__name__, x, self.axes, self.channels)
        even = tuple((length + 1) // 2 * 2 for length in x.shape[2:])
        return blur(x, self.kernel, (self.filter_size - 1) // 2, even, self.padding_mode)

    def extra_repr(self) -> str:
        return f"{self.channels}, filter_size={self.filter_size}, padding_mode={self.padding_mode!r}"


class BlurPool1d(_BlurPool):
    """`BlurPool2d` for signals (N, C, W)."""

    axes = 1


class BlurPool2d(_BlurPool):
    """A low-pass filter, then every second sample (section 3 there).

    An odd filter is centred on the even pixels; an even one half a pixel later, in the middle of the 2x2 blocks.
    The kernel is no part of the state_dict.

    Args:
        channels: C of the input.
        filter_size: 1 to 7 taps along each axis; 1 subsamples without a filter.
        padding_mode: zeros, reflect (as the paper), replicate or circular.

    Raises:
        UsageError: a size or mode is unknown, or a tensor is no (N, C, H, W).
    """

    axes = 2


class BlurPool3d(_BlurPool):
    """`BlurPool2d` for volumes (N, C, D, H, W)."""

    axes = 3
