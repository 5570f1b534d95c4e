"""Encoders: a picture in, a list of feature maps and the traces between them out; those of smp and timm are in assemble.py."""

from unetlift.encoders.lifts import lift_options
from unetlift.encoders.plain import PlainEncoder

__all__ = ["PlainEncoder", "lift_options"]
