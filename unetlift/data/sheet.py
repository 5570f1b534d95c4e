"""A contact sheet: what the network really gets of a data set, and what it is to answer."""

from math import ceil, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unetlift import degrade, images
from unetlift.checkpoint import write_atomically
from unetlift.commands import SheetConfig
from unetlift.data.cache import Cache
from unetlift.data.folder import Pair, list_pairs
from unetlift.data.kinds import KINDS, Crop
from unetlift.data.labels import describe
from unetlift.data.samples import Crops
from unetlift.errors import DataSetError, PictureError, UsageError
from unetlift.info import TARGET_MEAN, TARGET_STD, ModelInfo

IGNORED = (255, 0, 255)
"""The colour of pixels that count for nothing."""

TILE, GAP = 128, 4
"""Pixels: crops that are smaller are shown enlarged, by a whole number; between them is white."""


def contact_sheet(crops: Crops, count: int = 16, epoch: int = 0) -> NDArray[np.uint8]:
    """Draws training samples of an epoch, spread evenly over the data set, the normalisation undone.

    Args:
        crops: the samples.
        count: how many; no more than there are pictures.
        epoch: which; each has other crops of the same pictures.

    Returns:
        (H, W, 3): for each sample a tile of the input and one of the target, under the picture's name. Of a mask every class
        but the first is tinted in its colour, and what is ignored magenta; below, the classes by name.
    """
    count = min(count, len(crops))
    info = crops.kind.info
    tiles = [_sample(crops, (epoch, k * len(crops) // count), info) for k in range(count)]
    columns = ceil(sqrt(count / 2))  # a sample is about twice as wide as high
    blank = [np.full_like(tiles[0], 255)] * (-count % columns)
    rows = [np.concatenate(row, axis=1) for row in np.split(np.stack(tiles + blank), ceil(count / columns))]
    legend = _legend(info, rows[0].shape[1]) if info.task == "segment" else []
    return np.concatenate([*rows, *legend])


def _sample(crops: Crops, key: tuple[int, int], info: ModelInfo) -> NDArray[np.uint8]:
    image, target, index = crops[key]
    picture = _picture(image, info.mean, info.std)
    answer = _tinted(picture, target.numpy(), info) if target.ndim == 2 else _picture(target, TARGET_MEAN, TARGET_STD)
    pair = np.concatenate([_tile(picture), _tile(answer)], axis=1)
    return np.concatenate([images.caption(crops.pairs[index].image.name, pair.shape[1]), pair])


def _picture(tensor: Tensor, mean: float | tuple[float, ...], std: float | tuple[float, ...]) -> NDArray[np.uint8]:
    """(C, H, W), normalised, to (H, W, 3) of 8 bit; of two channels the first in grey, of many the first three."""
    pixels = tensor.permute(1, 2, 0).numpy() * np.asarray(std, np.float32) + np.asarray(mean, np.float32)
    shown = pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
    return images.from_float(shown, np.uint8)


def _tinted(picture: NDArray[np.uint8], labels: NDArray[np.int64], info: ModelInfo) -> NDArray[np.uint8]:
    colours = [*info.colours, IGNORED]
    return images.overlay(picture, np.where(labels == info.ignore_index, len(info.colours), labels), colours)


def _tile(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarged if it is small, with white to its right and below."""
    times = ceil(TILE / picture.shape[0])
    large = picture.repeat(times, axis=0).repeat(times, axis=1)
    return np.pad(large, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def _legend(info: ModelInfo, width: int) -> list[NDArray[np.uint8]]:
    """A line for each class: its colour, and its name."""
    named = [*zip(info.class_names, info.colours, strict=True)][1:] + ([("ignored", IGNORED)] if info.ignore_index is not None else [])
    lines = [(f"{info.class_names[0]}: not tinted", (255, 255, 255)), *named]
    strips = []
    for text, colour in lines:
        strip = images.caption(text, width, left=18).copy()
        strip[2:-2, 2:14] = colour
        strips.append(strip)
    return strips


def write(config: SheetConfig) -> int:
    """Draws the contact sheet of a training that would have these settings; returns how many samples it shows.

    Raises:
        UsageError: the file exists already or is no PNG, or the settings do not go together.
        DataSetError: the data set cannot be used, naming the file.
    """
    out = Path(config.out)
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out is {out}; it is a PNG file, for example {out.with_suffix('.png')}.")
    if out.exists():
        raise UsageError(f"{out} exists already; give another --out.")
    crops = _crops(config)
    pixels = contact_sheet(crops, config.count, config.epoch)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, lambda part: images.write_picture(part, pixels))
    return min(config.count, len(crops))


def _crops(config: SheetConfig) -> Crops:
    """What a training with these settings has in its epochs."""
    folder = Path(config.data)
    splits = {split: list_pairs(folder, split, config.val_fraction, config.task) for split in ("train", "val")}
    answer = config.channels
    if config.task == "segment":
        info = describe(folder, splits["train"] + splits["val"])
    else:
        info = ModelInfo((), (), task=config.task, degrade=config.degrade)
        if config.task == "restore":
            degrade.check(config.degrade, config.channels)
        else:
            answer = _channels_of(splits["train"][0])
    kind = KINDS[config.task](info, config.channels, answer, Cache(0))
    return Crops(splits["train"], kind, Crop(config.crop, config.augment, config.balanced), config.seed)


def _channels_of(pair: Pair) -> int:
    try:
        return images.read_picture(pair.target).shape[2]
    except PictureError as error:
        raise DataSetError(str(error)) from error
