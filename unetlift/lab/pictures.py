"""What models are measured on: pictures with their truths, read one at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from unetlift import images
from unetlift.commands import StabilityConfig
from unetlift.errors import DataSetError, PictureError, UsageError
from unetlift.inputs import to_tensor
from unetlift.lab.journal import hash_of
from unetlift.report import PLOT
from unetlift.stability import Conditions, Kind


@dataclass(frozen=True)
class Subject:
    """A picture to measure on.

    Attributes:
        name: relative to its folder.
        path: of its file.
        truth: the file of what it should be answered with.
    """

    name: str
    path: Path
    truth: Path | None = None

    @cached_property
    def hash(self) -> str:
        """Of both files' bytes."""
        return hash_of([self.path, *([self.truth] if self.truth else [])])

    def wanted(self, kind: Kind) -> Tensor:
        """The truth of one that has it, (1, 1, H, W) labels or (1, C, H, W) pictures of 0..1.

        Raises:
            PictureError: it cannot be read, or has another size than the picture.
        """
        if kind == "pictures":
            truth = to_tensor(images.to_float(images.read_picture(self.truth)), 0.0, 1.0)[None]
        else:
            truth = torch.from_numpy(images.read_mask(self.truth).astype("float64"))[None, None]
        if truth.shape[2:] != (size := images.size(self.path)):
            said = f"{truth.shape[3]} x {truth.shape[2]}"
            raise PictureError(f"{self.truth} has {said} pixels, but its picture {size[1]} x {size[0]}; they have to be alike.")
        return truth


def find(config: StabilityConfig) -> list[Subject]:
    """The pictures chosen, spread evenly over the folder.

    Raises:
        UsageError: there are none.
        DataSetError: one has no truth.
    """
    source = Path(config.input)
    if not source.exists():
        raise UsageError(f"{source} does not exist; --input wants a folder of pictures, or one picture.")
    found = [source] if source.is_file() else without_report(images.picture_files(source), config)
    if not found:
        raise UsageError(f"{source} has no pictures; it wants {', '.join(images.SUFFIXES)} files.")
    folder = source.parent if source.is_file() else source
    count = min(config.pictures or len(found), len(found))
    truths = _truths(config.truth)
    return [_subject(path, path.relative_to(folder), truths) for path in (found[k * len(found) // count] for k in range(count))]


def without_report(files: Sequence[Path], config: StabilityConfig) -> list[Path]:
    """The files but for the picture that an earlier report has left among them."""
    ours = (Path(config.out) / PLOT).resolve()
    return [path for path in files if path.resolve() != ours]


def _truths(folder: str | None) -> dict[str, Path] | None:
    """By the path within the folder, without its ending."""
    if folder is None:
        return None
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"{root} is no folder; --truth wants the folder of the masks or pictures that the answers should be.")
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in images.picture_files(root)}


def _subject(path: Path, name: Path, truths: dict[str, Path] | None) -> Subject:
    if truths is None:
        return Subject(name.as_posix(), path)
    truth = truths.get(name.with_suffix("").as_posix())
    if truth is None:
        raise DataSetError(f"{name} has no truth in the folder of --truth; it wants a picture {name.with_suffix('')} there.")
    return Subject(name.as_posix(), path, truth)


def check(subjects: Sequence[Subject], every: Sequence[Conditions]) -> Iterator[tuple[Subject, PictureError | None]]:
    """Looks at the size of each picture alone, which its header tells.

    Raises:
        UsageError: a picture is too small for the shifts or the margin.
    """
    for subject in subjects:
        try:
            height, width = images.size(subject.path)
        except PictureError as error:
            yield subject, error
            continue
        for conditions in every:
            try:
                conditions.check(torch.zeros(1, 1, 1, 1).expand(1, 1, height, width))
            except UsageError as error:
                raise UsageError(f"{subject.path}: {error}") from error
        yield subject, None
