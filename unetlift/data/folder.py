"""A data set is a folder of splits: `{train,val,test}/images/STEM.*` with `masks/STEM.png`, `targets/STEM.*`, or nothing beside."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from unetlift import images
from unetlift.errors import DataSetError
from unetlift.info import Task

SPLITS = ("train", "val", "test")
BESIDE: dict[Task, str | None] = {"segment": "masks", "translate": "targets", "restore": None}
"""The folder beside images/ that holds what a task's pictures are paired with."""


@dataclass(frozen=True)
class Pair:
    """A picture, and its mask or the picture that it is to become; None where it is its own target."""

    image: Path
    target: Path | None


def list_pairs(folder: Path, split: str, val_fraction: float = 0.15, task: Task = "segment") -> list[Pair]:
    """The pairs of a split, sorted by name; without a `val` folder val is cut from train by a hash of the name.

    Raises:
        DataSetError: the split or a target is missing, two pictures claim one target, or the folder is empty.
    """
    pairs, problems = find_pairs(folder, split, val_fraction, task)
    if problems:
        raise DataSetError(problems[0])
    return pairs


def find_pairs(folder: Path, split: str, val_fraction: float, task: Task) -> tuple[list[Pair], list[str]]:
    """The same, with a sentence for each problem instead of an error for the first."""
    if not folder.is_dir():
        wanted = " and ".join(f"train/{name}" for name in ("images", BESIDE[task]) if name)
        return [], [f"{folder} is no folder; --data wants one with {wanted} in it."]
    if (folder / split).is_dir():
        pairs, problems = match(folder / split, task)
        return (pairs, problems) if split != "train" or (folder / "val").is_dir() else _share(pairs, problems, val_fraction, False)
    if split == "val" and (folder / "train").is_dir():
        return _share(*match(folder / "train", task), val_fraction, True)
    wanted = " and ".join(str(folder / split / name) for name in ("images", BESIDE[task]) if name)
    return [], [f"{folder} has no split {split!r}; it wants {wanted}."]


def match(split: Path, task: Task) -> tuple[list[Pair], list[str]]:
    """The pairs below one split's folder, sorted by name, and a sentence for each picture that cannot be one of a pair."""
    pictures = images.picture_files(split / "images") if (split / "images").is_dir() else []
    if not pictures:
        return [], [f"{split / 'images'} has no pictures; put {', '.join(images.SUFFIXES)} files there."]
    beside = BESIDE[task]
    if beside is None:
        return [Pair(picture, None) for picture in pictures], []
    kind = {"masks": "mask", "targets": "target"}[beside]
    suffixes = (".png",) if beside == "masks" else images.SUFFIXES
    there: dict[Path, list[Path]] = {}
    for path in images.picture_files(split / beside) if (split / beside).is_dir() else ():
        if path.suffix.lower() in suffixes:
            there.setdefault(path.relative_to(split / beside).with_suffix(""), []).append(path)
    pairs: dict[Path, Pair] = {}
    problems = []
    for picture in pictures:
        name = picture.relative_to(split / "images").with_suffix("")
        found = there.get(name, [])
        if not found:
            problems.append(f"{picture} has no {kind}; put it at {split / beside / name}{suffixes[0]}.")
        elif len(found) > 1:
            problems.append(f"{picture} has two {kind}s, {found[0]} and {found[1]}; remove one.")
        elif found[0] in pairs:
            problems.append(f"{picture} and {pairs[found[0]].image} share the {kind} {found[0]}; give them different names.")
        else:
            pairs[found[0]] = Pair(picture, found[0])
    return list(pairs.values()), problems


def _share(pairs: list[Pair], problems: list[str], fraction: float, inside: bool) -> tuple[list[Pair], list[str]]:
    """The pairs whose name's hash falls inside (or outside) the fraction: the same ones on every machine."""
    chosen = [p for p in pairs if (_hash(p.image.stem) < fraction) == inside]
    if pairs and not chosen:
        problems = [*problems, f"{pairs[0].image.parent} has too few pictures to cut a val split; add a val folder."]
    return chosen, problems


def _hash(name: str) -> float:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") / 2**64
