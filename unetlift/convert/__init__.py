"""Trained networks of segmentation-models-pytorch, with their weights and other pools."""

from unetlift.convert.network import Converted, build, from_smp
from unetlift.convert.source import read_smp

__all__ = ["Converted", "build", "from_smp", "read_smp"]
