"""Draws shift PSNR against distance and by picture, and over a clip's time, for the page of a stability report."""

from collections.abc import Sequence
from statistics import fmean
from xml.etree.ElementTree import Element

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from unetlift.report.subject import Subject, between, decibels, titles
from unetlift.report.svg import INK, SERIES, STYLE, inline
from unetlift.stability import StabilityReport

ROUNDING = 100.0
"""dB; beyond it two answers differ by the rounding of float32 alone, however much."""

ROOM = 165.0
"""dB at the upper end of a strip for such answers."""

DOTS = 100
"""Of more pictures so many stand for all, evenly over their order."""

MARKS, DASHES = "osD^vP", ("-", "--", ":", "-.")
"""Of lines, beside the colours: not everybody tells these apart."""


def style(number: int) -> dict[str, str]:
    """Colour, mark and dashes of subject `number`, from 0 on."""
    turn, place = divmod(number, len(SERIES))
    return {"color": SERIES[place], "marker": MARKS[place], "linestyle": DASHES[turn % len(DASHES)]}


def against_shift(subjects: Sequence[Subject], mode: str) -> Element:
    """An `svg`: mean shift PSNR by distance, with the interval of each mean, beside the means of the single pictures."""
    reports = [subject.reports[mode] for subject in subjects]
    means = [list(report.by_image().values()) for report in reports]
    figures = [*(v for report in reports for v in report.by_shift().values()), *(v for values in means for v in values)]
    figures += [end for s in subjects for known in s.bands[mode].values() if known is not None for end in (known.low, known.high)]
    with matplotlib.rc_context(STYLE):
        drawing = Figure(figsize=(9.6, 3.5), layout="constrained")
        for row in _rows(drawing, figures, 2, [2.6, 1]):
            for number, (subject, report, values) in enumerate(zip(subjects, reports, means, strict=True)):
                look, bounds = style(number), subject.bands[mode]
                row[0].plot(list(report.by_shift()), list(report.by_shift().values()), linewidth=1.6, markersize=4, **look)
                known = {distance: bound for distance, bound in bounds.items() if bound is not None}
                ends = [[getattr(bound, end) for bound in known.values()] for end in ("low", "high")]
                row[0].fill_between(list(known), *ends, color=look["color"], alpha=0.16, linewidth=0)
                dots = _spread(values)
                row[1].scatter([number + 1] * len(dots), dots, color=look["color"], marker=look["marker"], s=14, alpha=0.55, linewidth=0)
                row[1].plot([number + 0.7, number + 1.3], [report.mean] * 2, color=look["color"], linewidth=2)
        row[0].set_xlabel("shift in pixels")
        row[0].xaxis.set_major_locator(MaxNLocator(integer=reports[0].mode != "subpixel", min_n_ticks=1))
        row[1].set_xlabel("mean of each picture")
        row[1].xaxis.set_major_locator(FixedLocator(range(1, len(subjects) + 1)))
        row[1].set_xlim(0.4, len(subjects) + 0.6)
        return _sized(inline(drawing, _words(subjects, mode)), drawing)


def _rows(drawing: Figure, figures: Sequence[float], columns: int, widths: Sequence[float]) -> list[Sequence[Axes]]:
    """Axes for PSNR: what is exact but for rounding has a strip of its own above the rest, which would be flat otherwise."""
    low = [value for value in figures if value < ROUNDING]
    exact = len(low) < len(figures)
    heights = [1, 4.2] if exact and low else [1]
    axes = drawing.subplots(len(heights), columns, squeeze=False, sharex="col", height_ratios=heights, width_ratios=widths)
    if exact:
        for top in axes[0]:
            top.set_ylim(ROUNDING, ROOM)
            top.yaxis.set_major_locator(FixedLocator([ROUNDING, 160]))
    if low:
        room = 0.08 * (max(low) - min(low)) or 1.0
        for bottom in axes[-1]:
            bottom.set_ylim(min(low) - room, max(low) + room)
    for row in axes[:-1]:
        for top in row:
            top.spines["bottom"].set_visible(False)
            top.tick_params(axis="x", bottom=False)
    axes[-1][0].set_ylabel("shift PSNR in dB")
    for row in axes:
        for other in row[1:]:
            other.tick_params(axis="y", labelleft=False)
    return list(axes)


def _spread(values: Sequence[float]) -> Sequence[float]:
    ordered = sorted(values)
    return ordered if len(ordered) <= DOTS else [ordered[int(place)] for place in np.linspace(0, len(ordered) - 1, DOTS)]


def _words(subjects: Sequence[Subject], mode: str) -> str:
    said = []
    for title, subject in zip(titles(subjects), subjects, strict=True):
        report = subject.reports[mode]
        curve = report.by_shift()
        first, last = next(iter(curve.items())), list(curve.items())[-1]
        known = subject.intervals[mode]
        sure = f", interval {between(known)}" if known else ""
        ends = " and ".join(f"{decibels(value)} dB at {distance:g}" for distance, value in dict([first, last]).items())
        said.append(f"{title}: mean {decibels(report.mean)} dB{sure}, {ends} pixels")
    return f"Shift PSNR under {mode} against the shift, and by picture. {'; '.join(said)}."


def _sized(svg: Element, drawing: Figure) -> Element:
    width = drawing.get_size_inches()[0]
    svg.set("style", f"min-width: {66 * width:.0f}px; max-width: {112 * width:.0f}px")
    return svg


def cuts(report: StabilityReport) -> list[int]:
    """The frames of a clip, counted from 0, that do not go on with the scene before them."""
    there = {record.image for record in report.records}
    return [number for number in range(1, len(report.names)) if number not in there]


def over_time(subjects: Sequence[Subject], mode: str) -> Element:
    """An `svg` of a clip: the PSNR of each frame's answer, the scene's own as a grey line, and where the clip is cut."""
    reports = [subject.reports[mode] for subject in subjects]
    scene, edges = _lines(reports[0], "scene"), cuts(reports[0])
    lines = [_lines(report, "psnr") for report in reports]
    with matplotlib.rc_context(STYLE):
        drawing = Figure(figsize=(9.6, 3.1), layout="constrained")
        for (axes,) in _rows(drawing, [value for _, values in [*lines, scene] for value in values if not np.isnan(value)], 1, [1]):
            axes.plot(*scene, color=INK, linewidth=1.3, linestyle=(0, (1, 1.5)))
            for number, line in enumerate(lines):
                axes.plot(*line, linewidth=1.5, **style(number) | {"marker": ""})
            for edge in edges:
                axes.axvline(edge, color=INK, linewidth=0.8, linestyle="--")
        axes.set_xlabel("frame")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        return _sized(inline(drawing, _clip_words(subjects, mode, [value for value in scene[1] if not np.isnan(value)])), drawing)


def _clip_words(subjects: Sequence[Subject], mode: str, scene: Sequence[float]) -> str:
    reports = {title: subject.reports[mode] for title, subject in zip(titles(subjects), subjects, strict=True)}
    said = [f"{title}: mean {decibels(report.mean)} dB, worst {decibels(report.worst)} dB" for title, report in reports.items()]
    said += [f"the scene itself: mean {decibels(fmean(scene))} dB"] if scene else []
    frames, edges = len(subjects[0].reports[mode].names), len(cuts(subjects[0].reports[mode]))
    return f"PSNR of answers along the motion of a clip of {frames} frames; cuts: {edges}. {'; '.join(said)}."


def _lines(report: StabilityReport, name: str) -> tuple[list[int], list[float]]:
    """Frames, from 0, and a figure of theirs; NaN at cuts, where a line is broken."""
    found = {record.image: record.figures[name] for record in report.records if name in record.figures}
    frames = range(min(found), max(found) + 1) if found else ()
    return list(frames), [found.get(frame, np.nan) for frame in frames]
