"""U-Nets whose output does not jump when the input moves, and whose upsampling gives back the detail pooling took away."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "BlurPool1d": "pools",
    "BlurPool2d": "pools",
    "BlurPool3d": "pools",
    "DeformConv2d": "convs",
    "DeformRoIPool": "convs",
    "LiftOptions": "pools",
    "ModulatedDeformConv2d": "convs",
    "PSDeformRoIPool": "convs",
    "Predictor": "predict",
    "SymmetricConv2d": "convs",
    "UNet": "model",
    "anchored": "model",
    "antialias_report": "antialias",
    "deform_roi_pool": "convs",
    "from_pretrained": "model",
    "from_smp": "convert",
    "load_predictor": "predict",
    "lift_pair": "pools",
    "parameter_groups": "convs",
    "pool_pair": "pools",
    "ps_deform_roi_pool": "convs",
}

__all__ = ["antialias", "predict", "stability", *_HOMES]


def __getattr__(name: str) -> Any:
    """Imports torch only when something that needs it is asked for, which keeps the command line quick."""
    if name in ("antialias", "predict", "stability"):  # modules that can be called
        return import_module(f"unetlift.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'unetlift' has no attribute {name!r}")
    return getattr(import_module(f"unetlift.{_HOMES[name]}"), name)
