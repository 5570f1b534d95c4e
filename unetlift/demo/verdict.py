"""Draws what was measured of one model as HTML: figures, curve and heat map, and the worst shift with both answers side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unetlift import images
from unetlift.checkpoint import numbered
from unetlift.demo import panels
from unetlift.shifts import Shift
from unetlift.stability import CEILING, StabilityReport

LINE = "#0b7a75"
AMPLIFICATION = 10
NAMES = {"max_error": "largest change of a value", "decision": "share of shifts after which the most frequent class is still the same"}
"""Figures beside the large ones, as people call them."""


@dataclass(frozen=True)
class Subject:
    """Whose figures they are.

    Attributes:
        name: of the model, as its owner has it.
        fingerprint: SHA-256 of its file.
        padding: its padding mode; empty if unknown.
        count: how many shifts there are to be.
    """

    name: str
    fingerprint: str
    padding: str
    count: int


def decibels(psnr: float) -> str:
    """`41.2 dB`, or `exact`."""
    return "exact" if psnr >= CEILING else f"{psnr:.1f} dB"


def verdict(subject: Subject, report: StabilityReport) -> str:
    """The figures so far, large, and their drawing."""
    word = panels.word(report.mean)
    agreement = "" if report.agreement is None else _large(f"{np.floor(report.agreement * 1e4) / 100:.2f} %", "of the labels agree")
    about = [f"SHA-256 {subject.fingerprint[:12]}", f"answers with {report.kind}", f"{report.mode}, up to {report.max_shift} px"]
    about += [f"{subject.padding} padding"] if subject.padding else []
    shown = {name: f"{100 * value:.3g} %" if name == "decision" else f"{value:.3g}" for name, value in report.means.items()}
    rows = "".join(f"<tr><th>{what}</th><td>{shown[name]}</td></tr>" for name, what in NAMES.items() if name in shown)
    told = f'mean shift PSNR: <i class="word">{word}</i>'
    return (
        f'<article class="yours-verdict {word}" aria-label="{escape(subject.name)}" data-psnr="{report.mean:.4f}" '
        f'data-worst="{report.worst:.4f}" data-shifts="{len(report.records)}">'
        f"<h2>{escape(subject.name)}</h2><p class='yours-about'>{escape('; '.join(about))}</p>"
        f'<div class="yours-large">{_large(decibels(report.mean), told)}'
        f"{_large(decibels(report.worst), 'worst shift PSNR')}{agreement}</div>"
        f"{plots(report)}<table class='yours-table'><caption>Means over {len(report.records)} of {subject.count} shifts</caption>"
        f"{rows}</table>"
        "</article>"
    )


def _large(figure: str, what: str) -> str:
    return f'<p class="yours-figure"><b>{figure}</b><span>{what}</span></p>'


def plots(report: StabilityReport) -> str:
    """Shift PSNR against distance, and over the square of shifts where all of it was measured; on a telephone one above the other."""
    grid, curve = report.grid(), report.by_shift()
    drawings = [partial(_curve, curve=curve)]
    told = f"Shift PSNR against shift: at least {decibels(min(curve.values()))}"
    if grid.full and report.mode != "subpixel":
        drawings.append(partial(_heat, dys=grid.dys, dxs=grid.dxs, values=grid.values))
        told += f". Heat map over all shifts: from {decibels(grid.measured.min())} to {decibels(grid.measured.max())}"
    beside, above = _drawn(drawings, 1), _drawn(drawings, len(drawings))
    shown = f'<img class="yours-plot" src="{beside}" alt="{escape(told)}.">'
    return f'<picture><source media="(max-width: 700px)" srcset="{above}">{shown}</picture>'


def _drawn(drawings: Sequence[Callable[[Axes], None]], rows: int) -> str:
    """Plots in so many rows, as a data URI."""
    columns = len(drawings) // rows
    figure = Figure(figsize=(4.2 * columns, 3.1 * rows), layout="constrained", dpi=150)
    for draw, axes in zip(drawings, figure.subplots(rows, columns, squeeze=False).flat, strict=True):
        draw(axes)
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return panels.uri(buffer)


def _curve(axes: Axes, curve: Mapping[float, float]) -> None:
    top = max((value for value in curve.values() if value < CEILING), default=60) + 6  # 160 dB would press all else flat
    axes.plot(list(curve), [min(value, top) for value in curve.values()], color=LINE, marker="o", linewidth=2)
    for distance, value in curve.items():
        if value >= CEILING:
            axes.annotate("exact", (distance, top), (0, 5), textcoords="offset points", ha="center", color=LINE, fontsize=8)
    axes.set(xlabel="shift in pixels", ylabel="shift PSNR in dB")
    axes.set_xticks(list(curve))
    axes.set_title("dB at every distance", fontsize=9)
    if min(curve.values()) >= CEILING:
        axes.set_yticks([])  # `exact` has no place on a scale
    axes.margins(y=0.15)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _heat(axes: Axes, dys: Sequence[float], dxs: Sequence[float], values: NDArray[np.float64]) -> None:
    shown = np.where(values >= CEILING, np.nan, values)  # no shift, and what is exact, have no place on the scale
    axes.set_facecolor("#1b7237")
    drawn = axes.imshow(shown, cmap="inferno", extent=(dxs[0] - 0.5, dxs[-1] + 0.5, dys[-1] + 0.5, dys[0] - 0.5))
    axes.set(xlabel="dx, right", ylabel="dy, down", title="dB in every direction; green is exact")
    axes.title.set_fontsize(9)
    if not np.isnan(shown).all():
        axes.figure.colorbar(drawn, ax=axes)


def worst(path: Path, dy: float, dx: float, kind: str, colours: Sequence[Sequence[int]]) -> str:
    """The shift that changes most: the picture, both answers, and the change between them.

    Args:
        path: of the arrays frame, still, moved_back, change and valid.
        dy: pixels down.
        dx: pixels right.
        kind: of the answers.
        colours: of the classes, or none.
    """
    with np.load(path, allow_pickle=False) as arrays:
        frame, still, back, change, valid = (arrays[name] for name in ("frame", "still", "moved_back", "change", "valid"))
    if still.shape[:2] != frame.shape[:2]:
        return ""  # one answer for the whole picture has nothing to show
    moved = panels.moved_words(Shift(dy, dx))
    if kind == "pictures":
        drawn = [panels.rgb(np.clip(answer if answer.shape[2] >= 3 else answer[..., :1], 0, 1)) for answer in (still, back)]
    else:
        labels = [np.clip(answer, 0, 255).astype(np.int64) for answer in (still, back)]
        palette = colours or numbered(max(2, *(int(each.max()) + 1 for each in labels))).colours
        drawn = [images.overlay(frame, np.minimum(each, len(palette) - 1), palette) for each in labels]
    pictures = (
        (panels.rgb(frame), "the picture", "The picture that the model sees"),
        (drawn[0], "answer", "The model's answer"),
        (drawn[1], f"answer to the picture moved {moved}, put back", f"The model's answer to the picture moved {moved}, moved back"),
        (_change(change, valid), f"what changed, x {AMPLIFICATION}", "Change of the answer, black where there is none"),
    )
    figures = "".join(
        f'<figure><img src="{panels.png(pixels)}" alt="{escape(alt)}"><figcaption>{escape(caption)}</figcaption></figure>'
        for pixels, caption, alt in pictures
    )
    return f'<h3 class="yours-heading">The worst shift: {moved}</h3><div class="yours-worst">{figures}</div>'


def _change(change: NDArray, valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    strength = np.clip(change.astype(np.float64) * AMPLIFICATION, 0, 1)
    colours = np.rint(matplotlib.colormaps["inferno"](strength)[..., :3] * 255).astype(np.uint8)
    return np.where(valid[..., None], colours, np.uint8(panels.NOT_COMPARED))
