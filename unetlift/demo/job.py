"""What a visitor wants measured: checked, and put where the process that measures looks for it."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetlift.checkpoint import CONFIG, WEIGHTS
from unetlift.demo.parcel import Upload
from unetlift.errors import PictureError, UsageError, one_of
from unetlift.images import Picture, to_float
from unetlift.stability import KINDS, SHIFTED

LARGEST = 128 * 2**20
"""Bytes of a model."""
SECONDS = 120
"""Of one measurement."""
FARTHEST = 8
MARGIN = 16
FOUND = "find out"
SMALLEST = 96
"""Below it the window, the margin and the largest shift leave too little to compare."""
KEPT = 544
"""Pixels of a picture's sides that are kept, in the middle: enough for models that take 512 x 512 alone."""
SMALL = {"mean": "", "std": ", all above 0"}


@dataclass(frozen=True)
class Job:
    """What is measured, and how; from a stranger it may be anything.

    Raises:
        UsageError: a name is unknown or a number out of range.
    """

    mode: Any
    max_shift: Any
    mean: Any
    std: Any
    answers: Any

    def __post_init__(self) -> None:
        one_of("mode", self.mode, SHIFTED)
        if not isinstance(self.max_shift, int | float) or self.max_shift not in range(1, FARTHEST + 1):
            raise UsageError(f"The largest shift is {str(self.max_shift)[:20]!r}; it is a whole number from 1 to {FARTHEST}.")
        one_of("answers", self.answers, (FOUND, *KINDS))

    def write(self, room: Path, title: str) -> None:
        """Puts it where the process that measures looks for it; without a title the model has a name of its own."""
        values = {"mode": self.mode, "max_shift": int(self.max_shift), "margin": MARGIN, "seconds": SECONDS, "title": title}
        values |= {"mean": numbers("mean", self.mean, 0), "std": numbers("std", self.std, 1)}
        values["answers"] = None if self.answers == FOUND else self.answers
        (room / "job.json").write_text(json.dumps(values), encoding="utf-8")


def numbers(what: str, text: Any, usual: float) -> float | list[float]:
    """One number, or one a channel, of a text such as `0.485, 0.456, 0.406`; empty is the usual one.

    Raises:
        UsageError: it is something else.
    """
    parts = str(usual if text is None or text == "" else text).replace(";", ",").split(",")
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = [np.nan]
    if len(parts) > 16 or not all(map(np.isfinite, values)) or (what == "std" and min(values) <= 0):
        raise UsageError(f"{what} is {str(text)[:40]!r}; it is a number, or one a channel with commas between{SMALL[what]}.")
    return values[0] if len(values) == 1 else values


def cut(picture: Picture) -> NDArray[np.float32]:
    """The middle of a picture as floats of 0..1, of which the process that measures takes as much as the model wants.

    Raises:
        PictureError: it is too small, or holds values that are no numbers.
    """
    height, width = picture.shape[:2]
    if min(height, width) < SMALLEST:
        raise PictureError(f"The picture has {width} x {height} pixels; take one of at least {SMALLEST} x {SMALLEST}.")
    top, left = max(0, height - KEPT) // 2, max(0, width - KEPT) // 2
    pixels = to_float(picture[top : top + KEPT, left : left + KEPT])
    if not np.isfinite(pixels).all():
        raise PictureError("The picture holds values that are not finite numbers; replace them.")
    return pixels


def take(files: list[Upload], room: Path) -> str:
    """Moves a model into a visitor's folder, under names of our own; returns what it is called, where only its file's name says so.

    Raises:
        UsageError: the files are no model that is taken here, or too large.
    """
    names = {file.path.name.lower(): file for file in files}
    if sum(file.size for file in files) > LARGEST:
        raise UsageError(f"The model has more than {LARGEST // 2**20} MB; measure it with 'unetlift stability'.")
    suffixes = sorted(Path(name).suffix for name in names)
    if suffixes in ([".onnx"], [".zip"]):
        shutil.move(files[0].path, room / f"model{suffixes[0]}")
        return files[0].name if suffixes == [".onnx"] else ""
    if set(names) == {CONFIG, WEIGHTS} and len(files) == 2:
        (room / "model").mkdir()
        for name, file in names.items():
            shutil.move(file.path, room / "model" / name)
        return ""
    given = ", ".join(file.name for file in files)
    raise UsageError(f"{given} is no model that can be measured here; take one .onnx file, one .zip, or {CONFIG} with {WEIGHTS}.")
