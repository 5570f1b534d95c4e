"""Runs a network on a picture: array in, Prediction out."""

from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import dataclass
from os import PathLike
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from unetlift import images, inputs
from unetlift.anchor import Anchored, Anchoring
from unetlift.encoders.freeze import Freezable
from unetlift.errors import PictureError, UsageError
from unetlift.images import ArrayPage, Page
from unetlift.info import TARGET_MEAN, TARGET_STD, ModelInfo
from unetlift.model import anchored, load
from unetlift.predict.backends import Carried, carried
from unetlift.predict.field import Field, measure_field
from unetlift.predict.fold import folded, narrowed
from unetlift.predict.plan import plan
from unetlift.predict.source import missing
from unetlift.predict.tiles import Planned
from unetlift.predict.views import Views
from unetlift.runtime import choose_device, choose_precision
from unetlift.tiling import Tiling
from unetlift.types import Map


@dataclass(frozen=True)
class Prediction:
    """What a network says of a picture.

    Attributes:
        values: (classes, H, W) probabilities in float32; of a network that answers with pictures (D, H, W), nominally 0..1.
        anchoring: what the picture was anchored to, or why it was not.
    """

    values: NDArray[np.float32]
    anchoring: Anchoring = Anchoring(None, None)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The most probable class of every pixel, (H, W)."""
        return self.values.argmax(0)

    def picture(self, dtype: np.dtype | type) -> images.Picture:
        """The answer as a (H, W, D) picture of a depth."""
        return images.from_float(np.ascontiguousarray(self.values.transpose(1, 2, 0)), dtype)


def class_logits(logits: Map) -> Map:
    """One logit a class, (N, 2 or more, H, W); a lone one tells its class from all else, whose logit is 0."""
    return torch.cat((torch.zeros_like(logits), logits), 1) if logits.shape[1] == 1 else logits


def answer(info: ModelInfo, x: Map, output: Map) -> Map:
    """What a network's output for `x` (N, C, H, W, normalised) means, in float32: probabilities, or pictures, nominally 0..1."""
    output = output.float()
    if info.task == "segment":
        return class_logits(output).softmax(1)
    if not info.residual:
        return output * TARGET_STD + TARGET_MEAN
    mean, std = (torch.tensor(value, device=x.device).reshape(-1, 1, 1) for value in (info.mean, info.std))
    return x.float() * std + mean + output * TARGET_STD


class Predictor:
    """A network with everything between pictures and its answers; any number of threads may use one at a time.

    Args:
        model: any network from normalised pictures to logits; it is put into eval mode, and a quicker copy of it is asked.
        info: what its inputs and outputs mean.
        channels: that the network wants.
        device: auto, cpu, cuda or mps.
        precision: auto (bf16 where the processor has it), float32 or bf16.

    Raises:
        UsageError: mean or std of `info` are not as many as the channels, or the device or precision is not to be had.
    """

    def __init__(self, model: torch.nn.Module, info: ModelInfo, channels: int, device: str = "auto", precision: str = "auto"):
        info.check_channels(channels)
        self.info, self.channels = info, channels
        self.device = choose_device(device)
        self.dtype = choose_precision(precision, self.device)
        self.views = Views()
        self.model = self._quickened(model.eval()).to(self.device, memory_format=torch.channels_last)
        # Which copies share, whatever their phases; another engine has the field of the network that it stands for.
        self._measured, self._measuring, self._fields = getattr(model, "origin", model), Lock(), []

    def _quickened(self, model: torch.nn.Module) -> torch.nn.Module:
        """A copy with the same numbers, to rounding, in less time; another engine as it is."""
        if isinstance(model, Carried):
            return model
        quick = folded(model)
        return quick if self.dtype is torch.float32 else narrowed(quick, self.dtype)

    def prepare(self, picture: images.Picture, name: object = "The picture", nodata: float | None = None) -> Map:
        """A (H, W, C) picture of any depth as (1, C, H, W), normalised, on the device.

        Args:
            picture: its pixels.
            name: of the picture, for errors.
            nodata: the value of pixels that hold nothing: they become the mean.

        Raises:
            PictureError: the channels are not the network's, or a value is not finite.
        """
        return self.normalise(picture, name, nodata).to(self.device)

    def normalise(self, picture: images.Picture, name: object = "The picture", nodata: float | None = None) -> Map:
        """The same in the processor's memory."""
        pixels = images.to_float(images.with_channels(picture, self.channels, name))
        x = inputs.to_tensor(pixels, self.info.mean, self.info.std)[None]
        empty = missing(picture, nodata)
        if empty is not None and empty.any():
            x[..., torch.from_numpy(empty)] = 0
        if picture.dtype == np.float32 and not x.isfinite().all():
            raise PictureError(f"{name}: The picture holds values that are not finite numbers; replace them.")
        return x

    def __call__(self, x: Map) -> Map:
        """(N, C, H, W) normalised pictures to (N, classes, H, W) probabilities or pictures in float32."""
        return self.views(lambda view: answer(self.info, view, self.run(self.model, view)), x)

    def run(self, network: torch.nn.Module, x: Map) -> Map:
        """What a network puts out, in this predictor's precision."""
        narrow = self.dtype is not torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, enabled=narrow):
            return network(x.contiguous(memory_format=torch.channels_last))

    def seen_through(self, views: Views) -> "Predictor":
        """The same, whose answers are means over views of each picture."""
        twin = copy(self)
        twin.views = views
        return twin

    def with_network(self, network: torch.nn.Module) -> "Predictor":
        """The same around another network, which has its field: its phases may differ."""
        twin = copy(self)
        twin.model = network
        return twin

    def anchored(self, mode: str, placing: str = "reflect") -> Anchored:
        """This predictor with its sampling grid tied to the scene; see `unetlift.anchored`.

        With the mode `track` it serves one sequence of pictures.
        """
        network = anchored(self.model, mode, placing)
        return Anchored(self.with_network(network.function), network.stride, mode, placing)

    def field(self) -> Field:
        """How far the network sees, on fixed phases; measured once."""
        with self._measuring:
            if not self._fields:
                self._fields.append(measure_field(self._outputs(), self.channels, self._measured.config.stride))
        return self._fields[0]

    def _outputs(self) -> Callable[[Map], tuple[Map, Map]]:
        """The network on fixed phases in double precision, where it is one of ours; what it puts out, and what that means."""
        network, wide = self._measured, isinstance(self._measured, Freezable)
        device = torch.device("cpu") if wide and self.device.type == "mps" else self.device  # MPS knows no double precision
        dtype = torch.float64 if wide else torch.float32
        if wide:
            network = deepcopy(network.on_fixed_grid()).to(device, dtype)

        def ask(x: Map) -> tuple[Map, Map]:
            x = x.to(device, dtype)
            with torch.inference_mode():
                output = network(x)
            return output, answer(self.info, x, output)

        return ask

    def plan(self, page: Page, tiling: Tiling = Tiling(), ask: Anchored | None = None, name: object = "The picture") -> Planned:
        """Finds a picture's anchor and decides on its tiles; its `bands` then give the answer.

        Args:
            page: the picture, which is read as a whole or part by part.
            tiling: how it is cut up if it is large.
            ask: what `anchored` gave; by default unanchored.
            name: of the picture, for errors.

        Raises:
            PictureError: the channels are not the network's, a value is not finite, or the picture cannot be anchored.
            UsageError: the tiles are too small for the network's field.
        """
        return plan(page, tiling, ask or Anchored(self, 1, "none"), name)

    def predict(
        self, picture: images.Picture, name: object = "The picture", ask: Anchored | None = None, tiling: Tiling = Tiling()
    ) -> Prediction:
        """The answer to one (H, W, C) picture of any size, by what `anchored` gave, or unanchored.

        Raises:
            PictureError: the channels are not the network's, a value is not finite, or the picture cannot be anchored;
                with its name.
        """
        planned = self.plan(ArrayPage(picture, name), tiling, ask, name)
        bands = [band["values"] for band in planned.bands(lambda values: {"values": values.transpose(1, 2, 0)})]
        values = bands[0] if len(bands) == 1 else np.concatenate(bands)
        return Prediction(np.ascontiguousarray(values.transpose(2, 0, 1)), planned.anchoring)

    def answer(self, x: Map, name: object, ask: Anchored | None = None) -> Prediction:
        """The answer to one prepared picture (1, C, H, W); see `predict`."""
        try:
            values, (anchoring,) = (ask or Anchored(self, 1, "none")).answer(x.to(self.device))
        except UsageError as error:
            raise PictureError(f"{name}: {error}") from error
        return Prediction(values[0].cpu().numpy(), anchoring)


def load_predictor(folder: str | PathLike[str], device: str = "auto", precision: str = "auto", backend: str = "torch") -> Predictor:
    """The predictor of a model folder.

    Args:
        folder: that unetlift train has written.
        device: auto, cpu, cuda or mps.
        precision: auto, float32 or bf16.
        backend: torch, onnx or openvino; see `unetlift.predict.backends.carried`.

    Raises:
        ModelFolderError: a file is missing, damaged or foreign.
        UsageError: the backend, device or precision is not to be had.
    """
    model, info = load(folder)
    if backend == "torch":
        return Predictor(model, info, model.config.in_channels, device, precision)
    if device not in ("auto", "cpu"):
        raise UsageError(f"The backend {backend} computes on the CPU, not on {device}; leave --device out.")
    engine = carried(model, backend, precision)
    return Predictor(engine, info, model.config.in_channels, "cpu", "float32")
