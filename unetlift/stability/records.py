"""What was measured, comparison by comparison, and what makes the figures comparable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

import numpy as np
from numpy.typing import NDArray

from unetlift.stability.answers import Kind
from unetlift.stability.frames import CEILING

MODES = ("roll", "crop", "subpixel", "video")


@dataclass(frozen=True, slots=True)
class Record:
    """One comparison: picture number `image`, moved by (dy, dx); of a video, its frame and how far it moved since the last one."""

    image: int
    dy: float
    dx: float
    figures: Mapping[str, float]

    @property
    def psnr(self) -> float:
        """Shift PSNR in dB."""
        return self.figures["psnr"]

    @property
    def agreement(self) -> float | None:
        """Share of pixels whose most probable class stays; pictures have none."""
        return self.figures.get("agreement")

    @property
    def distance(self) -> float:
        """max(|dy|, |dx|)."""
        return max(abs(self.dy), abs(self.dx))


@dataclass(frozen=True)
class Grid:
    """Mean shift PSNR in dB over a square of shifts.

    Attributes:
        dys: of the rows, ascending.
        dxs: of the columns, ascending.
        values: (rows, columns), NaN where nothing was measured; without a shift it is `CEILING`.
    """

    dys: tuple[float, ...]
    dxs: tuple[float, ...]
    values: NDArray[np.float64]

    @property
    def measured(self) -> NDArray[np.float64]:
        """The values of all shifts but none."""
        moved = (np.array(self.dys)[:, None] != 0) | (np.array(self.dxs)[None] != 0)
        return self.values[moved & ~np.isnan(self.values)]

    @property
    def full(self) -> bool:
        """Whether a whole square was measured, worth a heat map."""
        return len(self.dys) > 2 and len(self.dxs) > 2 and not np.isnan(self.values).any()


@dataclass(frozen=True)
class StabilityReport:
    """All comparisons of one function, with what makes their figures comparable.

    Attributes:
        mode: `roll` (circular), `crop` (a window moves over a larger picture), `subpixel` (crop, and the picture is resampled), or
            `video` (the motion between a clip's frames).
        max_shift: in pixels; `subpixel` by itself moves by less than one.
        range: R, the nominal range of the output.
        margin: pixels left out along the frame.
        records: one a picture and shift.
        kind: of the answers.
        names: of the pictures, by number; or none.
        resampling: how parts of a pixel were moved; empty where none were.
    """

    mode: str
    max_shift: int
    range: float
    margin: int
    records: tuple[Record, ...]
    kind: Kind = "probabilities"
    names: tuple[str, ...] = ()
    resampling: str = ""

    @property
    def mean(self) -> float:
        """Mean shift PSNR in dB over pictures and shifts."""
        return fmean(r.psnr for r in self.records)

    @property
    def worst(self) -> float:
        """The lowest shift PSNR in dB: a mean hides the jump."""
        return min(r.psnr for r in self.records)

    @property
    def deviation(self) -> float:
        """Standard deviation of the shift PSNR in dB over pictures and shifts."""
        return pstdev(r.psnr for r in self.records)

    @property
    def agreement(self) -> float | None:
        """Mean share of pixels whose most probable class stays; pictures have none."""
        return self.means.get("agreement")

    @property
    def means(self) -> dict[str, float]:
        """Each figure's mean over the records that have it."""
        found: dict[str, list[float]] = {}
        for record in self.records:
            for name, value in record.figures.items():
                found.setdefault(name, []).append(value)
        return {name: fmean(values) for name, values in found.items()}

    def percentile(self, share: float) -> float:
        """The shift PSNR in dB that so many percent of the comparisons do not reach."""
        return float(np.percentile([r.psnr for r in self.records], share))

    def by_shift(self) -> dict[float, float]:
        """Mean shift PSNR in dB for each distance max(|dy|, |dx|)."""
        groups: dict[float, list[float]] = {}
        for r in self.records:
            groups.setdefault(r.distance, []).append(r.psnr)
        return {distance: fmean(values) for distance, values in sorted(groups.items())}

    def by_image(self, name: str = "psnr") -> dict[int, float]:
        """The mean of a figure for each picture that has it."""
        groups: dict[int, list[float]] = {}
        for r in self.records:
            if name in r.figures:
                groups.setdefault(r.image, []).append(r.figures[name])
        return {image: fmean(values) for image, values in sorted(groups.items())}

    def grid(self) -> Grid:
        """Mean shift PSNR over the shifts measured: the periodic pattern of an ordinary U-Net, or flat."""
        dys, dxs = (tuple(sorted({0.0, *(float(getattr(r, axis)) for r in self.records)})) for axis in ("dy", "dx"))
        groups: dict[tuple[float, float], list[float]] = {(0.0, 0.0): [CEILING]}
        for r in self.records:
            groups.setdefault((r.dy, r.dx), []).append(r.psnr)
        values = np.array([[fmean(groups[dy, dx]) if (dy, dx) in groups else np.nan for dx in dxs] for dy in dys])
        return Grid(dys, dxs, values)

    def worst_records(self, count: int) -> Sequence[Record]:
        """Those of lowest PSNR, one a picture."""
        lowest: dict[int, Record] = {}
        for record in sorted(self.records, key=lambda r: r.psnr):
            lowest.setdefault(record.image, record)
        return list(lowest.values())[:count]
