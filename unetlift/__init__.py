"""U-Nets whose output does not jump when the input moves, and whose upsampling gives back the detail pooling took away."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {"UNet": "model", "from_pretrained": "model", "anchored": "model", "pool_pair": "pools", "LiftOptions": "pools"}

__all__ = ["LiftOptions", "UNet", "anchored", "from_pretrained", "pool_pair", "stability"]


def __getattr__(name: str) -> Any:
    """Imports torch only when something that needs it is asked for, which keeps the command line quick."""
    if name == "stability":  # a module that can be called
        return import_module("unetlift.stability")
    if name not in _HOMES:
        raise AttributeError(f"module 'unetlift' has no attribute {name!r}")
    return getattr(import_module(f"unetlift.{_HOMES[name]}"), name)
