"""Runs a network on pictures: array in, Prediction out; `unetlift.predict(model, picture)` is the shortest way."""

import sys
from os import PathLike
from types import ModuleType
from typing import Any

import numpy as np
from torch import nn

from unetlift.checkpoint import numbered
from unetlift.errors import UsageError
from unetlift.images import Picture
from unetlift.info import ModelInfo
from unetlift.predict.predictor import Prediction, Predictor, answer, class_logits, load_predictor
from unetlift.predict.tiles import Planned, Submit
from unetlift.predict.views import Views
from unetlift.tiling import Tiling

__all__ = ["Planned", "Prediction", "Predictor", "Submit", "Tiling", "Views", "answer", "class_logits", "load_predictor", "predict"]


def predict(
    model: str | PathLike[str] | nn.Module | Predictor,
    picture: Picture,
    *,
    anchor: str = "landmark",
    placing: str = "surround",
    views: Views = Views(),
    tiling: Tiling = Tiling(),
    info: ModelInfo | None = None,
) -> Prediction:
    """A network's answer to one picture of any size.

        masks = unetlift.predict("run/best", picture).labels

    Args:
        model: a model folder, a `UNet` or `Converted`, or a `Predictor`, which spares loading the folder again.
        picture: (H, W, C), or (H, W) of one channel; 8 or 16 bit, or floats of 0..1.
        anchor: none, landmark or subpixel: what the sampling grid is tied to.
        placing: what an anchor puts around the picture: reflect, replicate or surround.
        views: flips, scales and shifts whose answers are averaged.
        tiling: how a large picture is cut up.
        info: what the in- and outputs of a network given as a module mean; by default numbered classes.

    Raises:
        ModelFolderError: the folder is none.
        UsageError: an argument does not suit.
        PictureError: the picture's channels are not the network's, or a value is not finite.
    """
    pixels = np.asarray(picture)
    if pixels.ndim not in (2, 3) or pixels.dtype not in (np.uint8, np.uint16, np.float32):
        raise UsageError(f"The picture is {pixels.dtype} of shape {pixels.shape}; it is uint8, uint16 or float32 of shape (H, W, C).")
    if isinstance(model, nn.Module):
        model = Predictor(model, info or numbered(max(2, model.config.classes)), model.config.in_channels)
    elif not isinstance(model, Predictor):
        model = load_predictor(model)
    predictor = model.seen_through(views)
    return predictor.predict(pixels[..., None] if pixels.ndim == 2 else pixels, ask=predictor.anchored(anchor, placing), tiling=tiling)


class _Face(ModuleType):
    """Lets `unetlift.predict(model, picture)` be the function although `unetlift.predict` is this room."""

    def __call__(self, *arguments: Any, **keys: Any) -> Prediction:
        return predict(*arguments, **keys)


sys.modules[__name__].__class__ = _Face
