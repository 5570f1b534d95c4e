"""The U-Net's own encoder: two convolutions a level, then a pool (arXiv 1505.04597)."""

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from unetlift.convs import ACTIVATIONS, CONVS, PADDING_MODES
from unetlift.errors import one_of
from unetlift.pools import Down, Trace
from unetlift.pools.phase import on_even_grid
from unetlift.types import Features, Map


@dataclass(frozen=True)
class BlockKind:
    """What the blocks of a network are made of.

    Attributes:
        conv: a name in `CONVS`.
        activation: a name in `ACTIVATIONS`.
        padding_mode: of the convolutions.

    Raises:
        UsageError: a name is unknown.
    """

    conv: str
    activation: str
    padding_mode: str

    def __post_init__(self) -> None:
        one_of("conv", self.conv, CONVS)
        one_of("activation", self.activation, ACTIVATIONS)
        one_of("padding_mode", self.padding_mode, PADDING_MODES)


class Block(nn.Sequential):
    """Twice convolution, batch normalisation, activation."""

    def __init__(self, channels_in: int, channels_out: int, kind: BlockKind):
        layers: list[nn.Module] = []
        for channels in (channels_in, channels_out):
            conv = CONVS[kind.conv](channels, channels_out, kind.padding_mode)
            layers += [conv, nn.BatchNorm2d(channels_out), ACTIVATIONS[kind.activation](channels_out)]
        super().__init__(*layers)


class PlainEncoder(nn.Module):
    """Blocks of doubling width with a downsampler between each two.

    Args:
        channels: of the picture, then of every level from the top.
        downs: one fewer than levels.
        kinds: of each level's block.
    """

    def __init__(self, channels: list[int], downs: list[Down], kinds: list[BlockKind]):
        super().__init__()
        self.blocks = nn.ModuleList(Block(a, b, kind) for (a, b), kind in zip(pairwise(channels), kinds, strict=True))
        self.downs = nn.ModuleList(downs)
        self.skips = channels[1:]

    def forward(self, x: Map) -> tuple[list[Features], list[Trace]]:
        """(N, C, H, W) to the levels' features, from the top, and the traces of the pools between them."""
        features, traces = [self.blocks[0](x)], []
        for down, block in zip(self.downs, self.blocks[1:], strict=True):
            pooled, trace = down(features[-1])
            features.append(block(pooled))
            traces.append(trace)
        return features, traces

    def stay_on_even_grid(self) -> None:
        """Gives up adaptive phases, in place."""
        self.downs = nn.ModuleList(on_even_grid(down) for down in self.downs)
