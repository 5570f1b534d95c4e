"""Encoders: a picture in, a list of feature maps and the traces between them out."""

from unetlift.encoders.plain import PlainEncoder

__all__ = ["PlainEncoder"]
