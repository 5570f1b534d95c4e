"""Runs a network on a picture: array in, Prediction out."""

from copy import copy
from dataclasses import dataclass
from os import PathLike

import numpy as np
import torch
from numpy.typing import NDArray

from unetlift import images, transforms
from unetlift.anchor import Anchored, Anchoring
from unetlift.errors import PictureError, UsageError
from unetlift.info import TARGET_MEAN, TARGET_STD, ModelInfo
from unetlift.model import anchored, load
from unetlift.runtime import choose_device, choose_precision
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
    """A network with everything between pictures and its answers.

    Args:
        model: any network from normalised pictures to logits; it is put into eval mode.
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
        self.model = model.eval().to(self.device, memory_format=torch.channels_last)

    def prepare(self, picture: images.Picture, name: object = "The picture") -> Map:
        """A (H, W, C) picture of any depth as (1, C, H, W), normalised, on the device.

        Raises:
            PictureError: the channels are not the network's.
        """
        pixels = images.to_float(images.with_channels(picture, self.channels, name))
        return transforms.to_tensor(pixels, self.info.mean, self.info.std)[None].to(self.device)

    def __call__(self, x: Map) -> Map:
        """(N, C, H, W) normalised pictures to (N, classes, H, W) probabilities or pictures in float32."""
        narrow = self.dtype is not torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, enabled=narrow):
            output = self.model(x.contiguous(memory_format=torch.channels_last))
        return answer(self.info, x, output)

    def anchored(self, mode: str, placing: str = "reflect") -> Anchored:
        """This predictor with its sampling grid tied to the scene; see `unetlift.anchored`.

        With the mode `track` it serves one sequence of pictures.
        """
        network = anchored(self.model, mode, placing)
        twin = copy(self)
        twin.model = network.function
        return Anchored(twin, network.stride, mode, placing)

    def predict(self, picture: images.Picture, name: object = "The picture", ask: Anchored | None = None) -> Prediction:
        """The answer to one (H, W, C) picture of any size, by what `anchored` gave, or unanchored.

        Raises:
            PictureError: the channels are not the network's, or the picture cannot be anchored; with its name.
        """
        return self.answer(self.prepare(picture, name), name, ask)

    def answer(self, x: Map, name: object, ask: Anchored | None = None) -> Prediction:
        """The answer to one prepared picture (1, C, H, W); see `predict`."""
        try:
            values, (anchoring,) = (ask or Anchored(self, 1, "none")).answer(x.to(self.device))
        except UsageError as error:
            raise PictureError(f"{name}: {error}") from error
        return Prediction(values[0].cpu().numpy(), anchoring)


def load_predictor(folder: str | PathLike[str], device: str = "auto", precision: str = "auto") -> Predictor:
    """The predictor of a model folder.

    Raises:
        ModelFolderError: a file is missing, damaged or foreign.
    """
    model, info = load(folder)
    return Predictor(model, info, model.config.in_channels, device, precision)
