"""Convolutions whose borders obey one padding mode at any size."""

from unetlift.convs.padded import PADDING_MODES, PaddedConv2d, pad, source_index, take

__all__ = ["PADDING_MODES", "PaddedConv2d", "pad", "source_index", "take"]
