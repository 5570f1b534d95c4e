"""A data set is a folder of pairs: `{train,val,test}/images/STEM.*` with `masks/STEM.png`, and maybe dataset.yaml."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from unetlift import checkpoint, images, transforms
from unetlift.config import ModelInfo
from unetlift.errors import DataSetError, PictureError

SPLITS = ("train", "val", "test")
YAML_KEYS = ("classes", "colours", "ignore_index")


@dataclass(frozen=True)
class Pair:
    """A picture and its mask."""

    image: Path
    mask: Path


def list_pairs(folder: Path, split: str, val_fraction: float = 0.15) -> list[Pair]:
    """The pairs of a split, sorted by name; without a `val` folder val is cut from train by a hash of the name.

    Raises:
        DataSetError: the split or a mask is missing, two pictures claim one mask, or the folder is empty.
    """
    if not folder.is_dir():
        raise DataSetError(f"{folder} is no folder; --data wants one with train/images and train/masks in it.")
    if (folder / split).is_dir():
        cut = _pairs_in(folder / split)
        return cut if split != "train" or (folder / "val").is_dir() else _share(cut, val_fraction, False)
    if split == "val" and (folder / "train").is_dir():
        return _share(_pairs_in(folder / "train"), val_fraction, True)
    raise DataSetError(f"{folder} has no split {split!r}; it wants {folder / split / 'images'} and {folder / split / 'masks'}.")


def _pairs_in(split: Path) -> list[Pair]:
    pictures = images.picture_files(split / "images") if (split / "images").is_dir() else []
    if not pictures:
        raise DataSetError(f"{split / 'images'} has no pictures; put {', '.join(images.SUFFIXES)} files there.")
    pairs: dict[Path, Pair] = {}
    for picture in pictures:
        mask = split / "masks" / picture.relative_to(split / "images").with_suffix(".png")
        if not mask.is_file():
            raise DataSetError(f"{picture} has no mask; put it at {mask}.")
        if mask in pairs:
            raise DataSetError(f"{picture} and {pairs[mask].image} share the mask {mask}; give them different names.")
        pairs[mask] = Pair(picture, mask)
    return list(pairs.values())


def _share(pairs: list[Pair], fraction: float, inside: bool) -> list[Pair]:
    """The pairs whose name's hash falls inside (or outside) the fraction: the same ones on every machine."""
    chosen = [p for p in pairs if (_hash(p.image.stem) < fraction) == inside]
    if not chosen:
        raise DataSetError(f"{pairs[0].image.parent} has too few pictures to cut a val split; add a val folder.")
    return chosen


def _hash(name: str) -> float:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") / 2**64


def describe(folder: Path, pairs: list[Pair]) -> ModelInfo:
    """Classes and colours from dataset.yaml, or from the labels found in `pairs` where there is none."""
    path = folder / "dataset.yaml"
    if not path.is_file():
        return _describe_labels(pairs)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataSetError(f"{path} is no YAML ({' '.join(str(error).split())[:120]}).") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("classes"), list) or not set(raw) <= set(YAML_KEYS):
        raise DataSetError(f"{path} wants a list 'classes' and may have 'colours' and 'ignore_index', nothing else.")
    names = tuple(str(name) for name in raw["classes"])
    colours = raw.get("colours") or checkpoint.numbered(len(names)).colours
    return ModelInfo(names, tuple(tuple(c) for c in colours), ignore_index=raw.get("ignore_index"))


def _describe_labels(pairs: list[Pair]) -> ModelInfo:
    highest = max(int(images.read_mask(pair.mask).max()) if not _is_binary(pair.mask) else 1 for pair in pairs)
    if highest > 254:
        raise DataSetError(f"The masks beside {pairs[0].mask} reach the label {highest}; describe the classes in dataset.yaml.")
    return checkpoint.numbered(max(2, highest + 1))


def _is_binary(mask: Path) -> bool:
    return set(np.unique(images.read_mask(mask))) <= {0, 255}


def read_labels(path: Path, info: ModelInfo) -> NDArray[np.int32]:
    """A mask's classes; 0/255 is read as 0/1 where there are two classes.

    Raises:
        DataSetError: a label is no class, naming file and label.
    """
    labels = images.read_mask(path).astype(np.int32)
    classes = len(info.class_names)
    found = set(np.unique(labels).tolist())
    if classes == 2 and found <= {0, 255} and info.ignore_index != 255:
        return labels // 255
    strange = sorted(v for v in found if v >= classes and v != info.ignore_index)
    if strange:
        raise DataSetError(
            f"{path} has the label {strange[0]}, but there are {classes} classes (0 to {classes - 1}); "
            "mend the mask, or name the classes and ignore_index in dataset.yaml."
        )
    return labels


def check(pairs: list[Pair], info: ModelInfo, channels: int) -> None:
    """Reads every pair once, so that a training does not stop at a bad file after an hour.

    Raises:
        DataSetError, PictureError: naming the first bad file.
    """
    for pair in pairs:
        load_pair(pair, info, channels)


def load_pair(pair: Pair, info: ModelInfo, channels: int) -> tuple[images.Picture, NDArray[np.int32]]:
    """A picture as (H, W, C) in its own depth and its (H, W) classes."""
    try:
        picture = images.with_channels(images.read_picture(pair.image), channels, pair.image)
        labels = read_labels(pair.mask, info)
    except PictureError as error:
        raise DataSetError(str(error)) from error
    if picture.shape[:2] != labels.shape:
        (h, w), (mh, mw) = picture.shape[:2], labels.shape
        raise DataSetError(f"{pair.mask} is {mw} x {mh}, but its picture {pair.image.name} is {w} x {h}; make them equal.")
    return picture, labels


class CropDataset(Dataset):
    """Augmented training crops; the key is (epoch, index), so a crop depends on nothing else."""

    def __init__(self, pairs: list[Pair], info: ModelInfo, channels: int, crop: int, seed: int, preset: str):
        self.pairs, self.info, self.channels, self.seed = pairs, info, channels, seed
        self.transform = transforms.training_transform(crop, preset)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, index = key
        picture, labels = load_pair(self.pairs[index], self.info, self.channels)
        seed = transforms.sample_seed(self.seed, epoch, index)
        picture, labels = transforms.augment(self.transform, picture, labels, seed)
        return transforms.to_tensor(picture, self.info.mean, self.info.std), torch.from_numpy(labels).long()


class WholeDataset(Dataset):
    """Whole pictures with their classes, as they are."""

    def __init__(self, pairs: list[Pair], info: ModelInfo, channels: int):
        self.pairs, self.info, self.channels = pairs, info, channels

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        picture, labels = load_pair(self.pairs[index], self.info, self.channels)
        return transforms.to_tensor(images.to_float(picture), self.info.mean, self.info.std), torch.from_numpy(labels).long()


class EpochSampler(Sampler[tuple[int, int]]):
    """A new order every epoch, computed from seed and epoch alone, so that a resumed run sees what it would have."""

    def __init__(self, length: int, seed: int):
        self.length, self.seed, self.epoch = length, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the training loop."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(transforms.sample_seed(self.seed, self.epoch, -1))
        for index in torch.randperm(self.length, generator=generator).tolist():
            yield self.epoch, index
