"""The pools of everyday U-Nets: one output a 2x2 window, and back (MaxUnpool: SegNet, arXiv 1511.00561)."""

from torch import nn
from torch.nn import functional as F

from unetlift.convs import pad
from unetlift.pools.base import CENTRE, CORNER, Down, Trace, Up
from unetlift.types import Band, Map


class MaxDown(Down):
    """Max pooling: over 2x2 blocks on the centre grid, over 3x3 (as in a ResNet's stem) on the corner grid."""

    def __init__(self, grid: float, padding_mode: str):
        super().__init__()
        self.grid, self.padding_mode = grid, padding_mode

    def reduce(self, x: Map) -> tuple[Band, Trace]:
        if self.grid == CENTRE:
            return F.max_pool2d(x, 2), Trace()
        if self.padding_mode == "circular":
            return F.max_pool2d(pad(x, (1, 0, 1, 0), "circular"), 3, 2), Trace()
        return F.max_pool2d(x, 3, 2, padding=1), Trace()


class AvgDown(Down):
    """The mean of each 2x2 block."""

    def reduce(self, x: Map) -> tuple[Band, Trace]:
        return F.avg_pool2d(x, 2), Trace()


class StrideDown(Down):
    """A strided convolution and a ReLU: 2x2 on the centre grid, 3x3 on the corner grid."""

    def __init__(self, channels: int, grid: float, padding_mode: str):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3 if grid == CORNER else 2, stride=2)
        self.padding_mode = padding_mode

    def reduce(self, x: Map) -> tuple[Band, Trace]:
        before = self.conv.kernel_size[0] - 2
        return F.relu(self.conv(pad(x, (before, 0, before, 0), self.padding_mode))), Trace()


class IndexedMaxDown(Down):
    """2x2 max pooling that keeps the winners' positions."""

    def reduce(self, x: Map) -> tuple[Band, Trace]:
        y, indices = F.max_pool2d(x, 2, return_indices=True)
        return y, Trace(indices=indices)


class Indexed(Down):
    """Any other downsampler, with the positions of its input's 2x2 maxima, so that it can meet a MaxUnpool."""

    def __init__(self, down: Down):
        super().__init__()
        self.down = down

    def reduce(self, x: Map) -> tuple[Band, Trace]:
        y, trace = self.down.reduce(x)
        return y, trace._replace(indices=F.max_pool2d(x.detach(), 2, return_indices=True)[1])


class NearestUp(Up):
    """Each value fills its 2x2 block."""

    def expand(self, y: Band, trace: Trace) -> Map:
        size = [2 * length for length in y.shape[2:]]  # a scale factor would make a graph reckon sizes in floating point
        return F.interpolate(y, size, mode="nearest")


class BilinearUp(Up):
    """Bilinear interpolation on half-pixel centres; at the border the edge's value goes on, or the map wraps."""

    def __init__(self, padding_mode: str):
        super().__init__()
        self.circular = padding_mode == "circular"

    def expand(self, y: Band, trace: Trace) -> Map:
        around = pad(y, (1, 1, 1, 1), "circular") if self.circular else y
        x = F.interpolate(around, [2 * length for length in around.shape[2:]], mode="bilinear", align_corners=False)
        return x[..., 2:-2, 2:-2] if self.circular else x


class TransposeUp(Up):
    """A learned 2x2 transposed convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels, channels, 2, stride=2)

    def expand(self, y: Band, trace: Trace) -> Map:
        return self.conv(y)


class UnpoolUp(Up):
    """MaxUnpool: each value returns to where its 2x2 maximum stood, the other three become zero."""

    def expand(self, y: Band, trace: Trace) -> Map:
        height, width = y.shape[-2:]
        return F.max_unpool2d(y, trace.indices, 2, output_size=(2 * height, 2 * width))
