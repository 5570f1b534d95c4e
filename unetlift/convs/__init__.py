"""Convolutions whose borders obey one padding mode at any size, the one table of their names, and activations."""

from collections.abc import Callable

from torch import nn

from unetlift.convs.activation import ACTIVATIONS
from unetlift.convs.deform import DeformConv2d, ModulatedDeformConv2d, parameter_groups
from unetlift.convs.padded import PADDING_MODES, PaddedConv2d, pad, source_index, take
from unetlift.convs.roi import DeformRoIPool, PSDeformRoIPool, deform_roi_pool, ps_deform_roi_pool
from unetlift.convs.symmetric import SymmetricConv2d

__all__ = [
    "ACTIVATIONS",
    "CONVS",
    "PADDING_MODES",
    "DeformConv2d",
    "DeformRoIPool",
    "ModulatedDeformConv2d",
    "PSDeformRoIPool",
    "PaddedConv2d",
    "SymmetricConv2d",
    "deform_roi_pool",
    "pad",
    "parameter_groups",
    "ps_deform_roi_pool",
    "source_index",
    "take",
]

CONVS: dict[str, Callable[[int, int, str], nn.Module]] = {
    # by channels in, channels out and padding mode; without bias, since a normalisation follows
    "conv": lambda channels_in, channels_out, border: PaddedConv2d(channels_in, channels_out, 3, border, bias=False),
    "c2sp": lambda channels_in, channels_out, border: SymmetricConv2d(channels_in, channels_out, 2, border, bias=False),
    "deform": lambda channels_in, channels_out, border: DeformConv2d(channels_in, channels_out, 3, border, bias=False),
    "deform-v2": lambda channels_in, channels_out, border: ModulatedDeformConv2d(channels_in, channels_out, 3, border, bias=False),
}
"""What a U-Net's blocks are made of: 3x3, 2x2 with symmetric padding, and deformable v1 and v2."""
