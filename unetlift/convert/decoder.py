"""The way up of a converted network: smp's own decoder on one grid, or its blocks with our upsamplers between them."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from unetlift.convs import pad
from unetlift.encoders.pooled import set_borders
from unetlift.pools import Trace
from unetlift.pools.phase import on_even_grid, roll_by, roll_each
from unetlift.types import Features


def roll_below(x: Features, traces: list[Trace], level: int, sign: int) -> Features:
    """Moves a level's map by the phases of all steps from that level down, in its own pixels.

    With `sign` -1 it goes onto the grid of the deepest level, which all levels then share, so that a decoder that knows
    nothing of phases adds what belongs together; with 1 it goes back.

    Args:
        x: (N, C, H, W).
        traces: of the steps, from the top.
        level: of the map.
        sign: -1 or 1.
    """
    chosen = [(2**k, trace) for k, trace in enumerate(traces[level:]) if trace.phase is not None]
    if not chosen or not x.shape[1]:  # a map without channels stands for none
        return x
    if all(trace.votes is None for _, trace in chosen):
        return roll_each(x, sign * torch.stack([factor * trace.phase for factor, trace in chosen]).sum(0))
    for factor, trace in chosen:
        x = roll_by(x, trace.phase, trace.votes, sign * factor)
    return x


def fill_in(x: Features, features: Sequence[Features | None]) -> list[Features]:
    """What smp's decoders expect where an encoder has no features: the picture above, below it a map without channels."""
    height, width = x.shape[2:]
    empty = [x if k == 0 else x.new_empty(x.shape[0], 0, height // 2**k, width // 2**k) for k in range(len(features))]
    return [there if there is not None else none for there, none in zip(features, empty, strict=True)]


class UnetWayUp(nn.Module):
    """The blocks of smp's Unet with our upsamplers in the place of its interpolation; their weights and keys stay.

    Args:
        decoder: of an smp.Unet.
        widths: channels of what each block raises, from the top.
        ups: from the top.
        raised: the channels that each upsampler works on; None where it takes any. Where they are not the block's, 1x1
            convolutions lead there and back. They are new, and begin as the identity on the channels that both have.
    """

    def __init__(self, decoder: nn.Module, widths: list[int], ups: list[nn.Module], raised: list[int | None]):
        super().__init__()
        self.center, self.blocks = decoder.center, decoder.blocks
        self.ups = nn.ModuleList(ups)
        self.there, self.back = nn.ModuleList(), nn.ModuleList()
        for own, other in zip(widths, raised, strict=True):
            self.there.append(_project(own, other or own))
            self.back.append(_project(other or own, own))

    def forward(self, features: list[Features], traces: list[Trace]) -> Features:
        """(N, C, H, W) features from the picture's size on, and the traces between them, to (N, C, H, W) at that size."""
        y = self.center(features[-1])
        for level, block in zip(reversed(range(len(traces))), self.blocks, strict=True):
            y = self.back[level](self.ups[level](self.there[level](y), traces[level]))
            if level > 0:
                y = block.attention1(torch.cat((y, features[level]), 1))
            y = block.attention2(block.conv2(block.conv1(y)))
        return y

    def stay_on_even_grid(self) -> None:
        """Gives up adaptive phases, in place."""
        self.ups = nn.ModuleList(on_even_grid(up) for up in self.ups)




def unet_widths(decoder: nn.Module, deepest: int) -> list[int]:
    """Channels of the maps that the blocks of smp's Unet raise, from the top; `deepest` are those of the encoder's last."""
    return list(reversed([deepest, *[block.conv2[0].out_channels for block in decoder.blocks[:-1]]]))


def _project(channels_in: int, channels_out: int) -> nn.Module:
    if channels_in == channels_out:
        return nn.Identity()
    projection = nn.Conv2d(channels_in, channels_out, 1, bias=False)
    nn.init.dirac_(projection.weight)
    return projection


class WrappedTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution whose map goes on beyond its border, as smp's Linknet has them."""

    border: str

    def forward(self, x: Features, output_size: list[int] | None = None) -> Features:
        """(N, C, H, W) to (N, C_out, H', W')."""
        around = max(-(-size // step) for size, step in zip(self.kernel_size, self.stride, strict=True))
        y = F.conv_transpose2d(pad(x, (around,) * 4, self.border), self.weight, self.bias, self.stride, self.padding, groups=self.groups)
        rows, columns = (around * step for step in self.stride)
        return y[..., rows:-rows, columns:-columns]


def set_decoder_borders(part: nn.Module, padding_mode: str) -> None:
    """Lets every convolution of a decoder or head go on beyond its map by another rule, in place."""
    set_borders(part, padding_mode, set())
    for module in part.modules():
        if isinstance(module, nn.ConvTranspose2d):
            module.__class__ = WrappedTranspose2d
            module.border = padding_mode

