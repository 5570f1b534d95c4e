"""What a stability report speaks of: the functions measured, how they were asked, and their worst cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from unetlift.errors import UsageError
from unetlift.report.tiles import Pixels
from unetlift.stability import CEILING, Grid, Interval, Paired, Record, StabilityReport, interval, paired

if TYPE_CHECKING:
    from unetlift.stability.layers import LayerDistances

LOW = 5
"""Of 100 comparisons so many are worse than the low figure of a table."""


@dataclass(frozen=True)
class Subject:
    """A measured network or function, asked in one way.

    Attributes:
        variant: of the network, or another name.
        folder: where it came from.
        padding_mode: of the network; empty where nobody knows.
        reports: by mode.
        anchor: what its grid was tied to.
        spin: over how many shifts along each axis its answers are the mean.
        seconds: that an answer took.
        labels: whether it answers with classes; pictures have none that could agree.
        fingerprint: the SHA-256 of what was loaded, in hexadecimal.
        layers: how far apart its features are, by layer and shift.
    """

    variant: str
    folder: str
    padding_mode: str
    reports: dict[str, StabilityReport]
    anchor: str = "none"
    spin: int = 1
    seconds: float = 0.0
    labels: bool = True
    fingerprint: str = ""
    layers: "LayerDistances | None" = None

    @property
    def name(self) -> str:
        """The variant, spun or not."""
        return self.variant if self.spin == 1 else f"{self.variant}, spin {self.spin}"

    @property
    def title(self) -> str:
        """The name, with its anchor where it has one."""
        return self.name if self.anchor == "none" else f"{self.name}, {self.anchor}"

    @property
    def way(self) -> str:
        """How it was asked, apart from its name."""
        return self.anchor if self.spin == 1 else f"spin {self.spin}"

    @property
    def calls(self) -> int:
        """How often the network is asked for one answer."""
        return self.spin**2

    @cached_property
    def intervals(self) -> dict[str, Interval | None]:
        """By mode, where the mean over all such pictures lies; one picture alone does not tell, nor do the frames of one clip."""
        return {mode: _interval(report, list(report.by_image().values())) for mode, report in self.reports.items()}

    @cached_property
    def bands(self) -> dict[str, dict[float, Interval | None]]:
        """By mode and distance, the same."""
        return {mode: _band(report) for mode, report in self.reports.items()}

    def row(self, mode: str) -> list[str]:
        """The cells under `stability.HEADS`."""
        report = self.reports[mode]
        agreement = f"{100 * report.agreement:.2f} %" if self.agrees(mode) else "-"
        about = [self.name, self.padding_mode or "unknown", self.anchor, decibels(report.mean), between(self.intervals[mode])]
        return [*about, decibels(report.percentile(LOW)), decibels(report.worst), agreement]

    def agrees(self, mode: str) -> bool:
        """Whether it answers with labels, and how many of them agree is known."""
        return self.labels and self.reports[mode].agreement is not None

    def times(self, subjects: Sequence["Subject"]) -> float | None:
        """How many times as long an answer takes as the same network's without anchor and spin, if that was measured."""
        plain = [s.seconds for s in subjects if (s.folder, s.anchor, s.spin) == (self.folder, "none", 1)]
        return self.seconds / plain[0] if plain and plain[0] else None

    def price(self, subjects: Sequence["Subject"]) -> list[str]:
        """The cells under `stability.PRICES`."""
        times = self.times(subjects)
        return [self.name, self.anchor, f"{self.calls}", f"{self.seconds:.4f}", "-" if times is None else f"{times:.1f}"]


@dataclass(frozen=True)
class Case:
    """One comparison to look at.

    Attributes:
        subject: its title.
        mode: of the shift.
        name: of the picture.
        record: the move, and its figures.
        pictures: (H, W, 3) each, by what they show.
        frames: of the flicker: the answer, and the answer to the moved picture, moved back.
    """

    subject: str
    mode: str
    name: str
    record: Record
    pictures: dict[str, Pixels]
    frames: tuple[Pixels, ...] = ()


@dataclass(frozen=True)
class About:
    """Under what circumstances a measurement was made.

    Attributes:
        command: the line that started it.
        seed: of all that is drawn at random.
        versions: of programs and machine, by name.
        date: of its end, as people write it.
        names: of the pictures, where the reports have none.
    """

    command: str = ""
    seed: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    date: str = ""
    names: tuple[str, ...] = ()


def decibels(value: float) -> str:
    """A PSNR for people: what float32 cannot tell apart is said to be so."""
    return f">= {CEILING:.0f}" if value >= CEILING else f"{value:.1f}"


def between(bounds: Interval | None) -> str:
    """An interval of PSNR for people."""
    if bounds is None:
        return "-"
    ends = [decibels(end) for end in (bounds.low, bounds.high)]
    return ends[0] if bounds.low >= CEILING else "..".join(end.replace(" ", "") for end in ends)


def _band(report: StabilityReport) -> dict[float, Interval | None]:
    groups: dict[float, dict[int, list[float]]] = {}
    for record in report.records:
        groups.setdefault(record.distance, {}).setdefault(record.image, []).append(record.psnr)
    return {distance: _interval(report, [fmean(values) for values in images.values()]) for distance, images in sorted(groups.items())}


def _interval(report: StabilityReport, values: Sequence[float]) -> Interval | None:
    return interval(values) if len(values) > 1 and report.mode != "video" else None


def count(report: StabilityReport) -> int:
    """Of the pictures."""
    return len({record.image for record in report.records})


def square(report: StabilityReport) -> Grid | None:
    """The means over all shifts of a square, if all were measured; a clip's motions never are."""
    grid = None if report.mode == "video" else report.grid()
    return grid if grid is not None and grid.full else None


def beside(report: StabilityReport, first: StabilityReport) -> tuple[Paired | None, str]:
    """A report less the first one's, picture by picture; or why they cannot be compared."""
    try:
        return paired(report, first), ""
    except UsageError as error:
        return None, str(error)


def picture_name(report: StabilityReport, image: int, about: About | None = None) -> str:
    """What picture number `image` is called."""
    names = report.names or (about.names if about else ())
    return names[image] if image < len(names) else f"picture {image + 1}"


def titles(subjects: Sequence[Subject]) -> list[str]:
    """A title for each that no other has: with where it came from, where titles alone do not tell."""
    plain = [subject.title for subject in subjects]
    told = [title if plain.count(title) == 1 else f"{title} ({Path(s.folder).name})" for title, s in zip(plain, subjects, strict=True)]
    return [title if told.count(title) == 1 else f"{title}, {place}" for place, title in enumerate(told, 1)]


def conditions(report: StabilityReport) -> str:
    """What makes the figures of a report comparable."""
    if report.mode == "video":
        how = f"each frame's answer beside the one before, moved along the measured motion; {report.margin} pixels of margin left out"
        return f"{how}. The scene moves by up to {report.max_shift} pixels a frame, {len(report.names)} frames, R = {report.range:g}."
    resampled = f"the picture is resampled{f' ({report.resampling})' if report.resampling else ''}"
    how = {
        "roll": "the picture moves circularly; a network without circular padding is judged mostly by the seam",
        "crop": f"a window moves over the picture; {report.margin} pixels of margin left out",
        "subpixel": f"{resampled}; {report.margin} pixels of margin left out",
    }[report.mode]
    ends = min(record.distance for record in report.records), max(record.distance for record in report.records)
    distance = "1/8 to 7/8 of a pixel" if ends == (1 / 8, 7 / 8) else f"{ends[0]:.3g} to {ends[1]:.3g} pixels"
    each = len({(record.dy, record.dx) for record in report.records})
    return f"{how}. Shifts of {distance}, {each} of them, {count(report)} pictures, R = {report.range:g}."
