"""Reads a whole data set once and says everything that is wrong with it, and what it holds."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from unetlift import images
from unetlift.data.folder import BESIDE, SPLITS, Pair, find_pairs
from unetlift.data.kinds import same_size
from unetlift.data.labels import as_classes, count_labels, from_labels, from_yaml
from unetlift.data.statistics import Statistics, Tally
from unetlift.errors import DataSetError, PictureError
from unetlift.info import ModelInfo, Task

SMALL = 8
"""Pixels; a picture that is smaller along a side has little to learn from."""

FAR = (-1.0, 2.0)
"""Floats are taken for 0..1; what lies beyond this was scaled otherwise."""


@dataclass(frozen=True)
class Findings:
    """What a data set is like.

    Attributes:
        errors: a sentence for each fault that a training would stumble over, or that makes its scores wrong.
        warnings: a sentence for each thing to know.
        statistics: by split.
        info: the classes; None for other tasks, or where they cannot be known.
    """

    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    statistics: Mapping[str, Statistics]
    info: ModelInfo | None

    @property
    def class_shares(self) -> tuple[float, ...]:
        """Of the training pixels that have a class."""
        return self.statistics["train"].class_shares if "train" in self.statistics else ()


def inspect(
    folder: Path,
    task: Task,
    channels: int | None = None,
    val_fraction: float = 0.15,
    done: Callable[[int, int], None] = lambda finished, total: None,
) -> Findings:
    """Reads every file of every split once, one at a time, and collects all problems.

    Args:
        folder: the data set.
        task: what its pictures are paired with.
        channels: that the network takes (a restoring one: that it answers with); None is for any that fit each other.
        val_fraction: share of train taken for validation where there is no val split.
        done: is told how many pairs are done, and of how many.
    """
    inspection = _Inspection(folder, task, channels)
    pairs = [(split, pair) for split, found in inspection.splits(val_fraction).items() for pair in found]
    for number, (split, pair) in enumerate(pairs, 1):
        inspection.examine(split, pair)
        done(number, len(pairs))
    return inspection.findings()


def require_sound(folder: Path, task: Task, channels: int | None, val_fraction: float) -> Findings:
    """The same for those who need it sound.

    Raises:
        DataSetError: there are errors: how many, and the first.
    """
    findings = inspect(folder, task, channels, val_fraction)
    if not findings.errors:
        return findings
    count, shown = len(findings.errors), f"unetlift data check --data {folder} --task {task}"
    faults = "one fault" if count == 1 else f"{count} faults, the first of them"
    raise DataSetError(f"{folder} has {faults}: {findings.errors[0].removesuffix('.')} (`{shown}` shows all there is to know).")


def class_weights(shares: Sequence[float], ignore: int | None = None) -> tuple[float, ...]:
    """How much a pixel of each class counts, so that rare classes are learned too: one over the square root of its share.

    One over the share itself lets the rarest rule; the root is the smoothed form of Mahajan et al., "Exploring the limits of
    weakly supervised pretraining", ECCV 2018 (after Mikolov et al., NeurIPS 2013).

    Args:
        shares: of the pixels, as `Findings.class_shares`.
        ignore: the class that counts for nothing, if it is one of these.

    Returns:
        One a class; their mean is 1 over the classes that occur. A class that never occurs has 1, which no pixel asks for.

    Raises:
        DataSetError: no class occurs.
    """
    counted = np.array([0.0 if label == ignore else share for label, share in enumerate(shares)])
    there = counted > 0
    if not there.any():
        raise DataSetError("No pixel of the training pictures has a class that counts; label some.")
    weights = 1 / np.sqrt(np.where(there, counted, 1))
    return tuple(np.where(there, weights / weights[there].mean(), 1).tolist())


@final
class _Inspection:
    """Everything found so far."""

    def __init__(self, folder: Path, task: Task, channels: int | None):
        self.folder, self.task, self.channels = folder, task, channels
        self.errors: dict[str, None] = {}  # each once, in the order found
        self.warnings: dict[str, None] = {}
        self.tallies: dict[str, Tally] = {}
        self.seen: dict[bytes, tuple[str, Path]] = {}
        self.masks: list[tuple[str, Path, NDArray[np.uint16], NDArray[np.int64]]] = []
        self.depths: dict[str, Path] = {}  # the first file of each
        self.channel_counts: dict[str, dict[int, Path]] = {"pictures": {}, "targets": {}}

    @contextmanager
    def _collecting(self) -> Iterator[None]:
        try:
            yield
        except (DataSetError, PictureError) as error:
            self.errors[str(error)] = None

    def splits(self, val_fraction: float) -> dict[str, list[Pair]]:
        """The pairs of every split that there is; train has to be."""
        there = [split for split in SPLITS if (self.folder / split).is_dir()]
        wanted = {"train", *there} | ({"val"} if "train" in there else set())
        found = {}
        for split in (name for name in SPLITS if name in wanted):
            found[split], problems = find_pairs(self.folder, split, val_fraction, self.task)
            self.errors |= dict.fromkeys(problems)
            self.tallies[split] = Tally()
        for split in there:
            self._look_for_strays(self.folder / split)
        return found

    def _look_for_strays(self, split: Path) -> None:
        """Warns of files that nobody will read."""
        beside = BESIDE[self.task]
        pictures = {path.relative_to(split / "images").with_suffix("") for path in images.picture_files(split / "images")}
        for path in images.picture_files(split / beside) if beside else ():
            if beside == "masks" and path.suffix.lower() != ".png":
                self.warnings[f"{path} is not read, since masks are PNG files; save it as one."] = None
            elif path.relative_to(split / beside).with_suffix("") not in pictures:
                self.warnings[f"{path} has no picture in {split / 'images'}; add it, or remove this one."] = None

    def examine(self, split: str, pair: Pair) -> None:
        """Reads a pair."""
        picture = target = None
        with self._collecting():
            picture = images.read_picture(pair.image)
            self._look_at(pair.image, picture, "pictures")
            self._look_for_twin(split, pair.image, picture)
            if picture.dtype != np.float32 or np.isfinite(picture).all():
                self.tallies[split].add(picture)
        with self._collecting():
            if self.task == "segment":
                target = images.read_mask(pair.target)
                self.masks.append((split, pair.target, *count_labels(target)))
            elif pair.target is not None:
                target = images.read_picture(pair.target)
                self._look_at(pair.target, target, "targets")
        with self._collecting():
            if picture is not None and target is not None:
                same_size(pair, picture, target)
        with self._collecting():
            if picture is not None and self.channels is not None:
                images.with_channels(picture[:1, :1], self.channels, pair.image)

    def _look_at(self, path: Path, picture: images.Picture, kind: str) -> None:
        """Size, depth, channels and range of one picture."""
        height, width, channels = picture.shape
        self.channel_counts[kind].setdefault(channels, path)
        self.depths.setdefault(picture.dtype.name, path)
        if min(height, width) < SMALL:
            self.warnings[f"{path} is {width} x {height}; smaller than {SMALL} pixels it has little to learn from."] = None
        if picture.dtype != np.float32:
            return
        low, high = float(picture.min()), float(picture.max())
        if not np.isfinite([low, high]).all():  # minimum and maximum are NaN as soon as one pixel is
            self.errors[f"{path} has pixels that are NaN or infinite; replace them by numbers."] = None
        elif low < FAR[0] or high > FAR[1]:
            self.warnings[f"{path} holds floats from {low:g} to {high:g}, which count as 0..1; scale them to that."] = None

    def _look_for_twin(self, split: str, path: Path, picture: images.Picture) -> None:
        key = hashlib.blake2b(f"{picture.shape} {picture.dtype}".encode() + picture.data, digest_size=16).digest()
        where, first = self.seen.setdefault(key, (split, path))
        if where != split:
            self.errors[f"{path} of {split} is the same picture as {first} of {where}; remove one, or scores are too good."] = None
        elif first != path:
            self.warnings[f"{path} is the same picture as {first}; it counts twice unless you remove one."] = None

    def findings(self) -> Findings:
        """What there is to say at the end, when everything has been seen."""
        info = None
        if self.task == "segment":
            with self._collecting():
                info = self._classes()
        self._compare_kinds()
        classes = 0 if info is None else len(info.class_names)
        statistics = {split: tally.result(classes, self.channels) for split, tally in self.tallies.items()}
        if info is not None and "train" in statistics:
            self._look_for_absent(info, statistics["train"])
        return Findings(tuple(self.errors), tuple(self.warnings), statistics, info)

    def _classes(self) -> ModelInfo | None:
        """Counts the masks' classes, which without dataset.yaml are known only now."""
        taught = {path: labels.tolist() for split, path, labels, _ in self.masks if split != "test"}
        info = from_yaml(self.folder) or (from_labels(taught) if taught else None)
        for split, path, labels, counts in self.masks if info else ():
            with self._collecting():
                self.tallies[split].add_labels(as_classes(labels, info, path), counts, info.ignore_index)
        return info

    def _compare_kinds(self) -> None:
        """Pictures that differ in depth or channels go together only if a network can take them."""
        if len(self.depths) > 1:
            said = " and ".join(f"{path} is {depth}" for depth, path in self.depths.items())
            self.warnings[f"The depths differ: {said}; each is scaled to 0..1 by its own."] = None
        for kind, found in self.channel_counts.items():
            if len(found) < 2:
                continue
            said = f"The {kind}' channels differ: " + " and ".join(f"{path} has {count}" for count, path in found.items())
            if set(found) == {1, 3}:
                self.warnings[f"{said}; a network of 3 sees grey ones in all of them."] = None
            else:
                self.errors[f"{said}; no network takes both, so make them equal."] = None

    def _look_for_absent(self, info: ModelInfo, train: Statistics) -> None:
        absent = [name for k, name in enumerate(info.class_names) if not train.class_pixels[k] and k != info.ignore_index]
        if train.pictures and not sum(train.class_pixels):
            self.errors[f"No pixel of {self.folder / 'train'} has a class that counts; label some."] = None
        elif absent and train.pictures:
            self.warnings[f"{self.folder / 'train'} has no pixel of {', '.join(absent)}; what never occurs is not learned."] = None
