"""Convolutions with even kernels that stay centred, by padding towards all four corners (C2sp, arXiv 1903.08385)."""

from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift.convs.padded import PADDING_MODES, Filtered, pad
from unetlift.errors import UsageError, check_map, one_of
from unetlift.types import Given

CORNERS = ((0, 0), (1, 1), (0, 1), (1, 0))
"""Rows and columns by which an even kernel lies off the top left of the odd one around it; the first two are opposite."""


class SymmetricConv2d(nn.Conv2d):
    """A convolution of even kernel size whose output has its input's size and place, in any padding mode.

    An even kernel has no middle pixel, so a padding on one side moves the map half a pixel in every layer. Here some
    input channels are read half a pixel to the top left, as many half a pixel to the bottom right, and so on for the
    four corners; the halves cancel. A 2x2 kernel so takes a 3x3 one's place with 4/9 of its weights.

    Any number of channels per group is centred exactly: whole quadruples go to the four corners, a pair that is left
    to two opposite corners, and a last channel to the middle, where it is read as the mean of its four copies. (The
    paper leaves such counts open; to spread the rest over the corners would drift again, if more slowly.)

    There is no stride: downsampling is a pool's, in front.

    Args:
        channels_in: C of the input.
        channels_out: C of the output.
        kernel_size: K, even.
        padding_mode: one of `PADDING_MODES`.
        groups: of channels that are convolved apart; each is centred in itself, so depthwise reads the middle.
        bias: whether each output channel has one.

    Raises:
        UsageError: K is odd or under 2, `groups` does not divide the channels, or the padding mode is unknown.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel_size: int = 2,
        padding_mode: str = "zeros",
        groups: int = 1,
        bias: bool = True,
    ):
        one_of("padding_mode", padding_mode, PADDING_MODES)
        if kernel_size < 2 or kernel_size % 2:
            raise UsageError(f"The kernel size of a symmetric convolution is {kernel_size}; it is 2, 4 or another even number.")
        if groups < 1 or channels_in % groups or channels_out % groups:
            raise UsageError(f"groups is {groups}; it is a number that divides {channels_in} and {channels_out} channels.")
        super().__init__(channels_in, channels_out, kernel_size, groups=groups, bias=bias)
        self.border = padding_mode

    def forward(self, x: Given) -> Filtered:
        """(N, C_in, H, W) to (N, C_out, H, W)."""
        check_map(type(self).__name__, x, 2, self.in_channels)
        p = self.kernel_size[0] // 2
        if self.border == "zeros":  # inside the convolution, which saves the padded copy
            return F.conv2d(x, centred(self.weight), self.bias, padding=p, groups=self.groups)
        return F.conv2d(pad(x, (p, p, p, p), self.border), centred(self.weight), self.bias, groups=self.groups)


def centred(weight: Tensor) -> Tensor:
    """The odd kernel that does at once what an even one does on channels padded towards their corners.

    Shifting each channel's weights is the same as shifting the channel, and spares the copy of the map.

    Args:
        weight: (C_out, C, K, K) with an even K.

    Returns:
        (C_out, C, K + 1, K + 1): each channel's weights at its corner, or averaged over the four.
    """
    quadruples, rest = divmod(weight.shape[1], len(CORNERS))
    pair, last = divmod(rest, 2)
    counts = [quadruples + pair] * 2 + [quadruples] * 2
    parts = [weight[:, end - count : end] for count, end in zip(counts, accumulate(counts), strict=True)]
    placed = [_at(part, corner) for part, corner in zip(parts, CORNERS, strict=True) if part.shape[1]]
    if last:
        placed.append(sum(_at(weight[:, -1:], corner) for corner in CORNERS) / len(CORNERS))
    return torch.cat(placed, 1)


def _at(weight: Tensor, corner: tuple[int, int]) -> Tensor:
    row, column = corner
    return F.pad(weight, (column, 1 - column, row, 1 - row))
