"""Encoders: a picture in, a list of feature maps and the traces between them out."""

from unetlift.encoders.assemble import pooled_encoder
from unetlift.encoders.plain import PlainEncoder

__all__ = ["PlainEncoder", "pooled_encoder"]
