"""Compares f(S x) with S f(x) for pictures x and shifts S, for any function f."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetlift.errors import UsageError, one_of
from unetlift.images import to_float
from unetlift.shifts import LOBES, Fraction, Shift, eighths, split, star
from unetlift.stability.answers import KINDS, Function, Kind, as_values, ask, find_kind, over_arrays
from unetlift.stability.figures import ALL, FIGURES, figures_of
from unetlift.stability.frames import Comparison, compare, middle, moved_frame, still_frame
from unetlift.stability.records import Record, StabilityReport
from unetlift.types import Map

Picture = Map | NDArray
SHIFTED = ("roll", "crop", "subpixel")


@dataclass(frozen=True)
class Conditions:
    """What makes figures comparable; see `measure` for each.

    Raises:
        UsageError: a name is unknown, or a number or shift out of range.
    """

    mode: str = "crop"
    max_shift: int = 8
    shifts: Sequence[Shift | Fraction] | None = None
    multiple: int = 1
    margin: int = 16
    output_range: float = 1.0
    size: tuple[int, int] | None = None
    resampling: str = "lanczos"
    figures: Sequence[str] = ALL

    def __post_init__(self) -> None:
        one_of("mode", self.mode, SHIFTED)
        for name in self.figures:
            one_of("figure", name, FIGURES)
        for name, value, least in (("max_shift", self.max_shift, 1), ("multiple", self.multiple, 1), ("margin", self.margin, 0)):
            if value < least:
                raise UsageError(f"{name} is {value}; it is a whole number from {least} on.")
        if not 0 < self.output_range < math.inf:
            raise UsageError(f"output_range is {self.output_range}; it is a number above 0.")
        if self.shifts is not None and not len(self.shifts):
            raise UsageError("There are no shifts to measure under; give at least one, or leave shifts out.")
        for shift in self.shifts or ():
            if not max(map(abs, shift)) <= self.max_shift:
                raise UsageError(f"The shift ({shift[0]:g}, {shift[1]:g}) is larger than max_shift, {self.max_shift} pixels.")

    @property
    def every(self) -> Sequence[Shift | Fraction]:
        """The shifts, by default the usual ones of the mode."""
        if self.shifts is not None:
            return self.shifts
        return eighths() if self.mode == "subpixel" else star(self.max_shift)

    @property
    def left_out(self) -> int:
        """Pixels left out along the frame: the margin, or as far as a resampling reaches that knows nothing of what lies beyond."""
        if self.mode == "roll":
            return 0
        return max(self.margin, LOBES if self.resampled else 0)

    @property
    def resampled(self) -> bool:
        """Whether any shift has parts of a pixel."""
        return any(any(split(shift)[1]) for shift in self.every)

    def fit(self, x: Map) -> Map:
        """The middle of a picture, where frames of one size alone are wanted."""
        if self.size is None:
            return x
        border = 0 if self.mode == "roll" else 2 * self.max_shift
        return middle(x, self.size[0] + border, self.size[1] + border)

    def frame(self, x: Map, shift: Shift | Fraction | None = None) -> Map:
        """What the function sees, before or after a move."""
        where = (self.mode, self.max_shift, self.multiple)
        return still_frame(self.fit(x), *where) if shift is None else moved_frame(self.fit(x), shift, *where, self.resampling)

    def check(self, x: Map) -> None:
        """Raises UsageError where a picture is too small, without asking the function."""
        frame = self.frame(x)
        for axis in (0, 1):  # rows and columns run out apart from each other
            farthest = max(self.every, key=lambda shift, axis=axis: abs(shift[axis]))
            compare(frame, frame, split(farthest)[0], self.mode, self.left_out)

    def report(self, records: Iterable[Record], kind: Kind, names: Sequence[str] = ()) -> StabilityReport:
        """The records under these conditions."""
        how = self.resampling if self.resampled else ""
        return StabilityReport(self.mode, self.max_shift, self.output_range, self.left_out, tuple(records), kind, tuple(names), how)


def compared(
    function: Function, x: Map, conditions: Conditions, kind: Kind | None = None, truth: Tensor | None = None, classes: Sequence[str] = ()
) -> Iterator[tuple[Record, Comparison, Kind]]:
    """One picture under every shift, as it goes: the figures (as picture 0), the answers, and what these are.

    Args:
        function: (1, C, H, W) to its answer.
        x: (1, C, H, W).
        conditions: of the measurement.
        kind: of the answers; by default what the first one looks like.
        truth: (1, 1, H, W) labels or (1, C, H, W) picture of x's size.
        classes: their names.
    """
    first = ask(function, conditions.frame(x))
    kind = kind or find_kind(first, conditions.output_range)
    still = as_values(first, kind)
    if truth is not None and truth.shape[2:] != x.shape[2:]:
        sizes = " x ".join(map(str, truth.shape[2:])), " x ".join(map(str, x.shape[2:]))
        raise UsageError(f"A truth has {sizes[0]} pixels, but its picture {sizes[1]} (rows x columns); they have to be alike.")
    told = None if truth is None else conditions.frame(truth)
    if told is not None and kind != "pictures":
        told = told[:, 0].long()
    for shift in conditions.every:
        moved = as_values(ask(function, conditions.frame(x, shift)), kind)
        comparison = _put_back(still, moved, shift, conditions, kind)
        figures = figures_of(comparison, kind, conditions.figures, told, conditions.output_range, classes)
        yield Record(0, *shift, figures), comparison, kind


def _put_back(still: Map, moved: Map, shift: Shift | Fraction, conditions: Conditions, kind: Kind) -> Comparison:
    if still.shape[2:] == (1, 1):  # an answer to the whole picture has no place to be moved back to
        return Comparison(still, moved, torch.ones(1, 1, dtype=torch.bool, device=still.device))
    resampling = "nearest" if kind == "labels" else conditions.resampling
    return compare(still, moved, shift, conditions.mode, conditions.left_out, resampling)


def measure(
    function: Callable,
    images: Iterable[Picture],
    mode: str = "crop",
    max_shift: int = 8,
    *,
    shifts: Sequence[Shift | Fraction] | None = None,
    multiple: int = 1,
    margin: int = 16,
    output_range: float = 1.0,
    answers: Kind | None = None,
    truths: Iterable[Picture] | None = None,
    classes: Sequence[str] = (),
    size: tuple[int, int] | None = None,
    resampling: str = "lanczos",
    figures: Sequence[str] = ALL,
) -> StabilityReport:
    """Compares f(S x) with S f(x) for pictures x and shifts S.

    Args:
        function: any callable. Of tensors: (1, C, H, W) to class probabilities (1, K, H, W), labels (1, H, W), a picture
            (1, C, H, W), logits, or one answer (1, K) for the whole picture. Of arrays, if the images are arrays: (H, W, C) in their
            dtype to (H, W) whole numbers (labels), (H, W, K) floats, a uint8 picture, or (K,).
        images: pictures of any sizes: tensors (1, C, H, W), or arrays (H, W, C) or (H, W).
        mode: `roll` (circular), `crop` (a window moves over the picture: what a camera does), or `subpixel` (the
            picture moves by parts of a pixel, and the answer is resampled back, which bounds the figure: sharp answers
            do not survive two resamplings).
        max_shift: the largest shift in pixels.
        shifts: (dy, dx) each; by default every 1 to max_shift pixels, or 1/8 to 7/8, along a row, a column and the diagonal;
            `unetlift.shifts.square(max_shift)` is every shift there is. Parts of a pixel go in every mode.
        multiple: frames are cut to multiples of it (a network's stride), without which no grid can be exact.
        margin: pixels left out along the frame in `crop` and `subpixel`, where the network sees its own padding; with parts of a
            pixel at least the 4 that a resampling reaches over.
        output_range: R of the PSNR; 1 for probabilities and pictures in 0..1.
        answers: what the function answers with: probabilities, labels, logits or pictures; by default by the look of it.
        truths: what the answers should be, picture by picture: (H, W) labels, or pictures like the images; then the figures have
            what each move costs beside the truth.
        classes: names of the classes; by default they are numbered.
        size: height and width of the only frames that the function takes.
        resampling: how parts of a pixel are moved: lanczos, bicubic or fourier.
        figures: which of `unetlift.stability.FIGURES` to take; `psnr` is always among them.

    Returns:
        One record a picture and shift.

    Raises:
        UsageError: a name is unknown, a number out of range, there are no pictures, one is too small, or the answers are not of a kind.
    """
    wanted = tuple(dict.fromkeys(("psnr", *figures)))
    moves = None if shifts is None else [shift if isinstance(shift, Shift | Fraction) else Fraction(*shift) for shift in shifts]
    conditions = Conditions(mode, max_shift, moves, multiple, margin, output_range, size, resampling, wanted)
    if answers is not None:
        one_of("answers", answers, KINDS)
    records: list[Record] = []
    for number, (image, truth) in enumerate(_together(images, truths)):
        if isinstance(image, np.ndarray):
            asked, x = over_arrays(function, image.dtype), _tensor(image)
        else:
            asked, x = function, _picture(image)
        wants = None if truth is None else _truth(truth)
        for record, _, found in compared(asked, x, conditions, answers, wants, classes):
            records.append(replace(record, image=number))
            kind = found
        answers = kind  # what the first looks like, all are
    if not records:
        raise UsageError("There are no pictures to measure stability on; give at least one.")
    return conditions.report(records, answers)


def _together(images: Iterable[Picture], truths: Iterable[Picture] | None) -> Iterator[tuple[Picture, Picture | None]]:
    """Every picture with its truth, if there are any.

    Raises:
        UsageError: there are more of the ones than of the others.
    """
    if truths is None:
        yield from zip(images, repeat(None))
        return
    end = object()
    pictures, wanted = iter(images), chain(truths, repeat(end))
    for image in pictures:
        if (truth := next(wanted)) is end:
            raise UsageError("There are fewer truths than images; give one each.")
        yield image, truth
    if next(wanted) is not end:
        raise UsageError("There are more truths than images; give one each.")


def _picture(image: Map) -> Map:
    if not isinstance(image, Tensor) or image.ndim != 4 or len(image) != 1 or not image.numel():
        said = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise UsageError(f"An image is {said}; give each as a tensor (1, C, H, W) or an array (H, W, C).")
    return image


def _tensor(image: NDArray) -> Map:
    """(H, W, C) or (H, W) as (1, C, H, W), in double precision: every depth's numbers stay what they are."""
    if image.ndim not in (2, 3) or image.dtype.kind not in "iuf" or not image.size:
        raise UsageError(f"An image is {image.dtype} of shape {image.shape}; arrays are (H, W, C) or (H, W) of numbers.")
    return torch.from_numpy(np.atleast_3d(image).astype(np.float64)).permute(2, 0, 1)[None]


def _truth(truth: Picture) -> Tensor:
    """(1, 1, H, W) labels or (1, C, H, W) pictures; whole numbers of the latter are of their dtype's range, as in files."""
    if isinstance(truth, np.ndarray):
        whole = truth.dtype.kind == "u" and truth.ndim == 3
        truth = _tensor(to_float(truth) if whole else truth.astype(np.int64) if truth.dtype == np.bool_ else truth)
    while truth.ndim < 4:
        truth = truth[None]
    return truth if truth.is_floating_point() else truth.double()
