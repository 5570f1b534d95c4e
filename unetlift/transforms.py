"""Augmentation and normalisation; the only room with albumentations."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetlift.errors import one_of
from unetlift.images import REFLECT, Picture

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # before the import, which would look for updates over the network
import albumentations as A


@dataclass(frozen=True)
class Augmentation:
    """Where things are, then how bright: only the crop is converted to floats, not the whole picture."""

    geometry: A.Compose
    light: A.Compose


def _turns() -> list[A.BasicTransform]:
    """Where nothing says what is up: every flip and quarter turn."""
    return [A.D4(p=1.0)]


def _sides() -> list[A.BasicTransform]:
    """Where up is up: left and right alone change places."""
    return [A.HorizontalFlip(p=0.5)]


def _bend(degrees: float, scale: float, p: float) -> A.BasicTransform:
    """Turned and scaled, the picture's own mirror image where it does not reach."""
    factors = (1 / (1 + scale), 1 + scale)
    return A.Affine(scale=factors, rotate=(-degrees, degrees), keep_ratio=True, border_mode=REFLECT, p=p)


def _exposure(brightness: float, contrast: float, p: float) -> A.BasicTransform:
    """Brightness by the picture's own mean, so that a dark one does not become black."""
    return A.RandomBrightnessContrast(brightness_limit=brightness, contrast_limit=contrast, brightness_by_max=False, p=p)


def _brightness(brightness: float, contrast: float, p: float) -> A.BasicTransform:
    return A.RandomBrightnessContrast(brightness_limit=brightness, contrast_limit=contrast, p=p)


# For each name what happens to where things are, and then to how they look. What needs exactly three channels has no place here.
PRESETS: dict[str, tuple[Callable[[], list], Callable[[], list]]] = {
    "none": (list, list),
    "light": (_sides, lambda: [_brightness(0.2, 0.3, 0.7)]),
    "strong": (
        lambda: [*_sides(), _bend(15, 0.5, 0.7)],
        lambda: [_exposure(0.3, 0.4, 0.8), A.RandomGamma((70, 140), p=0.3), A.GaussianBlur(sigma_limit=(0.3, 1.5), p=0.2), _noise()],
    ),
    "microscopy": (_turns, lambda: [_brightness(0.2, 0.3, 0.7)]),
    "aerial": (lambda: [*_turns(), _bend(45, 0.25, 0.5)], lambda: [_exposure(0.2, 0.3, 0.7), A.RandomGamma((80, 125), p=0.3)]),
}


def _noise() -> A.BasicTransform:
    return A.GaussNoise(std_range=(0.01, 0.05), p=0.3)


def training_transform(crop: int, preset: str) -> Augmentation:
    """Random crop (small pictures are reflected first), then what the preset says.

    Args:
        crop: side of the square crop in pixels.
        preset: a name of PRESETS.
    """
    one_of("augment", preset, PRESETS)
    pad = A.PadIfNeeded(crop, crop, border_mode=REFLECT)
    geometry, look = PRESETS[preset]
    where = A.Compose([pad, A.RandomCrop(crop, crop), *geometry()], additional_targets={"target": "image"})
    return Augmentation(where, A.Compose(look()))


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """One number a sample and epoch: augmentation then depends on neither worker count nor resume point.

    albumentations alone gives every worker the same stream and repeats it every epoch.
    """
    digest = hashlib.blake2b(f"{seed} {epoch} {index}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def place(transform: Augmentation, pixels: Picture, target: NDArray | None, seed: int) -> tuple[Picture, NDArray | None]:
    """Moves and crops a (H, W, C) picture of any depth, and its target likewise, with this sample's own randomness.

    Args:
        transform: what to do.
        pixels: the picture.
        target: its (H, W) labels, another (H, W, D) picture, or nothing.
        seed: see `sample_seed`.

    Returns:
        The crop (crop, crop, C) in its own depth, and that of the target: int32, or in its own depth.
    """
    transform.geometry.set_random_seed(seed)
    if target is None:
        return _deep(transform.geometry(image=pixels)["image"]), None
    if target.ndim == 2:
        placed = transform.geometry(image=pixels, mask=target.astype(np.int32))
        return _deep(placed["image"]), placed["mask"]
    placed = transform.geometry(image=pixels, target=target)
    return _deep(placed["image"]), _deep(placed["target"])


def light(transform: Augmentation, pixels: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Changes how a (H, W, C) picture of floats of 0..1 looks, with this sample's own randomness."""
    transform.light.set_random_seed(sample_seed(seed, 0, 0))  # with that of `place`, crops further right would be the brighter ones
    if transform.light.transforms:
        pixels = np.clip(pixels, 0, 1)  # floats may lie outside, and gamma makes NaN of what is negative
    return _deep(transform.light(image=pixels)["image"])


def _deep(image: np.ndarray) -> np.ndarray:
    """albumentations drops a lone channel."""
    return image if image.ndim == 3 else image[..., None]


def focus(pixels: Picture, labels: NDArray[np.integer], crop: int, ignore: int | None, seed: int) -> tuple[Picture, NDArray[np.integer]]:
    """A window of the crop's size somewhere about a random pixel of a random class, each class that is there as likely as the other.

    Args:
        pixels: (H, W, C).
        labels: (H, W).
        crop: side of the window in pixels; a smaller picture is taken whole along that side.
        ignore: the label that is no class.
        seed: see `sample_seed`.
    """
    rng = np.random.default_rng((seed, crop))
    classes = [label for label in np.unique(labels) if label != ignore] or [labels.flat[0]]
    spots = np.flatnonzero(labels == rng.choice(classes))
    centre = np.unravel_index(rng.choice(spots), labels.shape)
    window = []
    for at, size in zip(centre, labels.shape, strict=True):
        first = int(np.clip(at - rng.integers(crop), 0, max(0, size - crop)))
        window.append(slice(first, first + crop))
    return pixels[tuple(window)], labels[tuple(window)]
