"""Augmentation and normalisation; the only room with albumentations."""

import hashlib
import os
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetlift.images import REFLECT, Picture, to_float

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # before the import, which would look for updates over the network
import albumentations as A


@dataclass(frozen=True)
class Augmentation:
    """Where things are, then how bright: only the crop is converted to floats, not the whole picture."""

    geometry: A.Compose
    light: A.Compose


def training_transform(crop: int) -> Augmentation:
    """Random crop (small pictures are reflected first), flips and quarter turns; brightness and contrast."""
    pad = A.PadIfNeeded(crop, crop, border_mode=REFLECT)
    return Augmentation(
        A.Compose([pad, A.RandomCrop(crop, crop), A.D4(p=1.0)]),
        A.Compose([A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.3, p=0.7)]),
    )


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """One number a sample and epoch: augmentation then depends on neither worker count nor resume point.

    albumentations alone gives every worker the same stream and repeats it every epoch.
    """
    digest = hashlib.blake2b(f"{seed} {epoch} {index}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def augment(
    transform: Augmentation, pixels: Picture, labels: NDArray[np.integer], seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Applies `transform` to a (H, W, C) picture of any depth and its (H, W) labels with this sample's own randomness.

    Returns:
        The crop as (crop, crop, C) floats of 0..1, and its labels.
    """
    transform.geometry.set_random_seed(seed)
    transform.light.set_random_seed(seed)
    placed = transform.geometry(image=pixels, mask=labels.astype(np.int32))
    image = transform.light(image=to_float(placed["image"]))["image"]
    return image if image.ndim == 3 else image[..., None], placed["mask"]


def to_tensor(pixels: NDArray[np.float32], mean: float | tuple[float, ...], std: float | tuple[float, ...]) -> Tensor:
    """(H, W, C) floats of 0..1 to a normalised (C, H, W) tensor whose memory is laid out channels last.

    Args:
        pixels: the picture.
        mean: subtracted: a number, or C of them.
        std: what it is then divided by, likewise.
    """
    normalised = (np.ascontiguousarray(pixels) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return torch.from_numpy(normalised).permute(2, 0, 1)
