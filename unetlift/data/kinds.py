"""What a training sees of a pair, task by task: the network's input and what its output is compared with."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetlift import images, inputs, transforms
from unetlift.data.cache import Cache
from unetlift.data.folder import Pair
from unetlift.data.labels import as_classes
from unetlift.degrade import degrade
from unetlift.errors import DataSetError, PictureError
from unetlift.info import TARGET_MEAN, TARGET_STD, ModelInfo
from unetlift.transforms import Augmentation


@dataclass(frozen=True)
class Crop:
    """How training crops are cut.

    Attributes:
        size: side in pixels.
        preset: of augmentation.
        balanced: each class as likely to be in the middle as the other.
    """

    size: int
    preset: str
    balanced: bool = False


class Kind(ABC):
    """How pairs become tensors.

    Args:
        info: classes and normalisation.
        channels: of the network's input.
        out_channels: of its output.
        cache: reads the files.
    """

    def __init__(self, info: ModelInfo, channels: int, out_channels: int, cache: Cache):
        self.info, self.channels, self.out_channels, self.cache = info, channels, out_channels, cache

    @abstractmethod
    def read(self, pair: Pair) -> tuple[images.Picture, NDArray | None]:
        """A picture (H, W, C) in its own depth, and its target of the same height and width, if that is another.

        Raises:
            DataSetError: naming the file that is not as it must be.
        """

    @abstractmethod
    def tensors(self, picture: images.Picture, target: NDArray | None, seed: int, transform: Augmentation | None) -> tuple[Tensor, Tensor]:
        """Input and target as tensors, the looks of the picture changed if a transform is given."""

    def whole(self, pair: Pair, seed: int) -> tuple[Tensor, Tensor]:
        """A pair as it is."""
        return self.tensors(*self.read(pair), seed, None)

    def crop(self, pair: Pair, seed: int, crop: Crop, transform: Augmentation) -> tuple[Tensor, Tensor]:
        """A training crop of a pair."""
        picture, target = self.read(pair)
        if crop.balanced and target is not None:
            picture, target = transforms.focus(picture, target, crop.size, self.info.ignore_index, seed)
        return self.tensors(*transforms.place(transform, picture, target, seed), seed, transform)

    def _picture(self, path: Path, channels: int) -> images.Picture:
        try:
            return images.with_channels(self.cache.picture(path), channels, path)
        except PictureError as error:
            raise DataSetError(str(error)) from error

    def _input(self, pixels: NDArray[np.float32]) -> Tensor:
        return inputs.to_tensor(pixels, self.info.mean, self.info.std)


def same_size(pair: Pair, picture: np.ndarray, target: np.ndarray) -> None:
    """Raises DataSetError unless picture and target, or mask, have one height and width."""
    (h, w), (th, tw) = picture.shape[:2], target.shape[:2]
    if (h, w) != (th, tw):
        turned = "turn it as the picture's EXIF orientation turns the picture" if (h, w) == (tw, th) else "make them equal"
        raise DataSetError(f"{pair.target} is {tw} x {th}, but its picture {pair.image.name} is {w} x {h}; {turned}.")


@final
class Labelled(Kind):
    """Pictures and their classes: the target is (H, W) of int64."""

    def read(self, pair: Pair) -> tuple[images.Picture, NDArray[np.int32]]:
        picture = self._picture(pair.image, self.channels)
        try:
            labels = as_classes(self.cache.mask(pair.target), self.info, pair.target)
        except PictureError as error:
            raise DataSetError(str(error)) from error
        same_size(pair, picture, labels)
        return picture, labels

    def tensors(self, picture: images.Picture, target: NDArray, seed: int, transform: Augmentation | None) -> tuple[Tensor, Tensor]:
        pixels = images.to_float(picture)
        if transform is not None:
            pixels = transforms.light(transform, pixels, seed)
        return self._input(pixels), torch.from_numpy(np.ascontiguousarray(target)).long()


@final
class Translated(Kind):
    """Pictures and those that they are to become, (D, H, W), normalised; looks stay, since the two belong together."""

    def read(self, pair: Pair) -> tuple[images.Picture, images.Picture]:
        picture, target = self._picture(pair.image, self.channels), self._picture(pair.target, self.out_channels)
        same_size(pair, picture, target)
        return picture, target

    def tensors(self, picture: images.Picture, target: NDArray, seed: int, transform: Augmentation | None) -> tuple[Tensor, Tensor]:
        wanted = inputs.to_tensor(images.to_float(target), TARGET_MEAN, TARGET_STD)
        return self._input(images.to_float(picture)), wanted


@final
class Degraded(Kind):
    """Pictures made worse, each by its own seed, and what they were, (D, H, W), normalised."""

    def read(self, pair: Pair) -> tuple[images.Picture, None]:
        return self._picture(pair.image, self.out_channels), None

    def tensors(self, picture: images.Picture, target: None, seed: int, transform: Augmentation | None) -> tuple[Tensor, Tensor]:
        clean = images.to_float(picture)
        worse = degrade(clean, self.info.degrade, seed)[..., : self.channels]  # of a grey one the first channel says it all
        return self._input(worse), inputs.to_tensor(clean, TARGET_MEAN, TARGET_STD)


KINDS: dict[str, type[Kind]] = {"segment": Labelled, "translate": Translated, "restore": Degraded}
"""By task."""
