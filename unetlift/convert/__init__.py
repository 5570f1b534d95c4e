"""Trained networks of segmentation-models-pytorch, with their weights and other pools."""

from unetlift.convert.folder import convert_folder, read_smp
from unetlift.convert.network import Converted, build, from_smp

__all__ = ["Converted", "build", "convert_folder", "from_smp", "read_smp"]
