"""Encoders: a picture in, a list of feature maps and the traces between them out."""

from unetlift.encoders.assemble import lift_options, pooled_encoder
from unetlift.encoders.plain import PlainEncoder

__all__ = ["PlainEncoder", "lift_options", "pooled_encoder"]
