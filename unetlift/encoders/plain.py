"""The U-Net's own encoder: two convolutions a level, then a pool (arXiv 1505.04597)."""

from itertools import pairwise

from torch import nn

from unetlift.convs import PaddedConv2d
from unetlift.pools import Down, Trace
from unetlift.types import Features, Map


class Block(nn.Sequential):
    """Twice 3x3 convolution, batch normalisation, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, padding_mode: str):
        layers: list[nn.Module] = []
        for channels in (channels_in, channels_out):
            conv = PaddedConv2d(channels, channels_out, 3, padding_mode, bias=False)
            layers += [conv, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class PlainEncoder(nn.Module):
    """Blocks of doubling width with a downsampler between each two.

    Args:
        channels: of the picture, then of every level from the top.
        downs: one fewer than levels.
        padding_mode: of the convolutions.
    """

    def __init__(self, channels: list[int], downs: list[Down], padding_mode: str):
        super().__init__()
        self.blocks = nn.ModuleList(Block(a, b, padding_mode) for a, b in pairwise(channels))
        self.downs = nn.ModuleList(downs)

    def forward(self, x: Map) -> tuple[list[Features], list[Trace]]:
        """(N, C, H, W) to the levels' features, from the top, and the traces of the pools between them."""
        features, traces = [self.blocks[0](x)], []
        for down, block in zip(self.downs, self.blocks[1:], strict=True):
            pooled, trace = down(features[-1])
            features.append(block(pooled))
            traces.append(trace)
        return features, traces
