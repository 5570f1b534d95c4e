"""Anybody's model as one function from pictures to answers, and what is known of both."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from unetlift import images, inputs
from unetlift.errors import PictureError, UsageError, one_of
from unetlift.info import ModelInfo
from unetlift.predict import class_logits
from unetlift.stability import KINDS, Kind
from unetlift.types import Map

if TYPE_CHECKING:
    from unetlift.predict import Predictor

USUAL_CHANNELS = 3

QUOTED = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : |^/\S+:\d+ [^(]*\([^)]*\) ")
"""What onnxruntime begins with: its name and number, or a line of its own source."""

Numbers = float | tuple[float, ...]


@dataclass(frozen=True)
class Reading:
    """How a foreign model is to be read, where its file does not say.

    Attributes:
        mean: subtracted from pictures scaled to 0..1: a number, or one a channel. Without it 0, and for a folder of smp what
            its encoder's own weights expect.
        std: what they are then divided by, likewise; without it 1.
        answers: probabilities, labels, logits or pictures; None leaves it to be found from an answer. A lone channel of
            probabilities or logits tells one class from all else, and becomes two.
        channels: of the pictures; None takes the model's own where it tells them, otherwise 3.
        stride: what heights and widths have to be multiples of.

    Raises:
        UsageError: a value is none of these.
    """

    mean: Numbers | None = None
    std: Numbers | None = None
    answers: Kind | None = None
    channels: int | None = None
    stride: int = 1

    def __post_init__(self) -> None:
        ModelInfo((), (), 0.0 if self.mean is None else self.mean, 1.0 if self.std is None else self.std)  # checks both
        if self.answers is not None:
            one_of("answers", self.answers, KINDS)
        for name, value in (("channels", self.channels or 1), ("stride", self.stride)):
            if not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} is {value!r}; it is a whole number from 1 on.")


@dataclass(frozen=True)
class Opened:
    """A model that can be asked.

    Attributes:
        name: for tables: the variant of ours, otherwise the name of the file or folder, or `module:function`, without the module's folder.
        source: as it was given.
        fingerprint: SHA-256 of what was loaded, in hexadecimal digits.
        function: (1, C, H, W) prepared pictures to answers (1, K, H, W) on the CPU, in float32; labels of which nothing but
            an answer tells that they are labels stay whole numbers.
        prepare: a (H, W, C) picture of any depth, and its name, to (1, C, H, W) in float32.
        answers: what the function answers with; None where that is to be found from its first answer.
        multiple: what heights and widths have to be multiples of.
        size: the one height and width that it takes, or None.
        padding: its padding mode; empty if unknown.
        class_names: of its classes; empty if unknown.
        colours: theirs.
        predictor: of a model of ours, for anchors and views.
        module: of a network in PyTorch, for its features.
    """

    name: str
    source: str
    fingerprint: str
    function: Callable[[Map], Tensor]
    prepare: Callable[[images.Picture, object], Map]
    answers: Kind | None = None
    multiple: int = 1
    size: tuple[int, int] | None = None
    padding: str = ""
    class_names: tuple[str, ...] = ()
    colours: tuple[tuple[int, int, int], ...] = ()
    predictor: Predictor | None = None
    module: nn.Module | None = None


class Prepare:
    """Pictures as a foreign model takes them.

    Args:
        channels: that it wants.
        mean: subtracted from pictures scaled to 0..1: a number for all channels, or one a channel.
        std: what they are then divided by, likewise.

    Raises:
        UsageError: mean or std are not as many as the channels.
    """

    def __init__(self, channels: int, mean: Numbers | None, std: Numbers | None):
        self.channels = channels
        self.mean, self.std = 0.0 if mean is None else mean, 1.0 if std is None else std
        lone = [value[0] if isinstance(value, tuple) and len(value) == 1 else value for value in (self.mean, self.std)]
        ModelInfo((), (), *lone).check_channels(channels)

    def __call__(self, picture: images.Picture, name: object = "The picture") -> Map:
        """A (H, W, C) picture of any depth as (1, C, H, W).

        Raises:
            PictureError: the channels are not the model's, or a value is not finite.
        """
        pixels = images.to_float(images.with_channels(picture, self.channels, name))
        x = inputs.to_tensor(pixels, self.mean, self.std)[None]
        if not x.isfinite().all():
            raise PictureError(f"{name}: The picture holds values that are not finite numbers; replace them.")
        return x


@dataclass(frozen=True)
class Function:
    """What asks a foreign model, and puts its answers into the order (1, K, H, W).

    Attributes:
        name: of the model, for errors.
        run: (1, C, H, W) to what the model says: arrays or tensors (1, K, H, W), (1, H, W, K), (1, H, W), (H, W) and the
            like, or (1, K) of the whole picture; one of them, or several in a sequence or mapping, of which the first that is
            a map counts.
        answers: what they mean, if it is known.
        size: the one height and width that it takes, or None.
    """

    name: str
    run: Callable[[Map], Any]
    answers: Kind | None = None
    size: tuple[int, int] | None = None

    def __call__(self, x: Map) -> Tensor:
        """(N, C, H, W) to (N, K, H, W), or (N, K), on the CPU, one by one.

        Raises:
            UsageError: the model does not take the pictures, fails, or does not answer every pixel.
        """
        return torch.cat([self._one(picture) for picture in x.split(1)])

    def _one(self, x: Map) -> Tensor:
        height, width = x.shape[2:]
        if self.size not in (None, (height, width)):
            raise UsageError(f"{self.name} takes {self.size[1]} x {self.size[0]} pixels alone; it was given {width} x {height}.")
        try:
            output = self.run(x.contiguous())  # windows and pictures laid out channels last are not, and `view` wants it
        except UsageError:
            raise
        except Exception as error:  # whatever somebody's model may raise
            raise UsageError(
                f"{self.name} cannot answer a picture of {width} x {height} pixels and {x.shape[1]} channels ({reason(error)}); "
                "if it wants multiples of a number, or other channels, say so."
            ) from error
        return self._meant(self._arranged(output, height, width))

    def _arranged(self, output: Any, height: int, width: int) -> Tensor:
        """The first map of what was said, as (1, K, H, W)."""
        maps = [found.detach().cpu() for found in _tensors(output)]
        chosen = next((found for axes in ((3, 4), (2,)) for found in maps if found.ndim in axes), None)
        if chosen is None:
            said = ", ".join(str(tuple(found.shape)) for found in maps) or type(output).__name__
            raise UsageError(f"{self.name} answers with {said}; a map is wanted, (1, K, {height}, {width}).")
        if chosen.ndim == 2 and len(chosen) == 1 and height > 1:  # of the whole picture
            return chosen
        whole = chosen[(None,) * (4 - chosen.ndim)]
        if len(whole) == 1 and whole.shape[2:] == (height, width):
            return whole
        if len(whole) == 1 and whole.shape[1:3] == (height, width):
            return whole.permute(0, 3, 1, 2)
        raise UsageError(
            f"{self.name} answers a picture of {width} x {height} pixels with {tuple(chosen.shape)}; "
            f"it has to answer every pixel, with (1, K, {height}, {width}): let it raise its answer to that size."
        )

    def _meant(self, y: Tensor) -> Tensor:
        lone, whole = y.shape[1] == 1, not y.is_floating_point()
        if whole and lone and self.answers is None:
            return y.long()
        if y.dtype == torch.uint8 and self.answers in (None, "pictures"):
            return y.float() / 255
        if lone and self.answers == "probabilities":
            return torch.cat((1 - y.float(), y.float()), 1)
        return class_logits(y.float()) if self.answers == "logits" else y.float()


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, np.ndarray):
        yield torch.from_numpy(np.array(output))  # a copy: it may be read-only
    elif isinstance(output, Mapping):
        yield from _tensors(list(output.values()))
    elif isinstance(output, Sequence) and not isinstance(output, str):
        for one in output:
            yield from _tensors(one)


def reason(error: BaseException) -> str:
    """What was raised in one line, shortened, without the places in other people's sources that it names."""
    said = " ".join(str(error).split()) or type(error).__name__
    for before in ("Status Message: ", "RuntimeError: "):  # onnxruntime's and TorchScript's way of quoting
        said = said.rpartition(before)[2]
    return QUOTED.sub("", said).rstrip(".")[:160]
