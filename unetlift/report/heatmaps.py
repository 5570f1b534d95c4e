"""Draws heat maps over all shifts of a square: brighter is more stable, and all maps of a row have one scale."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from unetlift.report.markup import picture, table, tag
from unetlift.report.stability_plots import ROUNDING
from unetlift.report.subject import Subject, decibels, square, titles
from unetlift.report.tiles import Pixels
from unetlift.stability import CEILING, Grid
from unetlift.stability.layers import LayerDistances

SHADES = matplotlib.colormaps["viridis"].resampled(256)(np.linspace(0, 0.9, 256))[:, :3]
EXACT = (1.0, 0.965, 0.8)
"""The colour of answers that differ by rounding alone, brighter than any shade."""

SIDE = 240
"""Pixels that a map's longer side is enlarged to, at the least."""


def paint(values: NDArray[np.float64], low: float, high: float, exact: NDArray[np.bool_]) -> Pixels:
    """(H, W) as (H', W', 3), a square of pixels each: from `low`, dark, to `high`, bright; exact ones in a colour of their own."""
    share = np.clip((values - low) / (high - low or 1.0), 0, 1)
    colours = SHADES[np.rint(np.where(exact, 0, share) * (len(SHADES) - 1)).astype(int)]
    colours[exact] = EXACT
    times = -(-SIDE // max(values.shape))
    return np.rint(255 * colours).astype(np.uint8).repeat(times, axis=0).repeat(times, axis=1)


def grids(subjects: Sequence[Subject], mode: str) -> list[Element]:
    """A map of mean PSNR for each subject under a mode, and their scale; nothing unless every shift of a square was measured."""
    found = [grid for subject in subjects if (grid := square(subject.reports[mode])) is not None]
    if len(found) < len(subjects):
        return []
    below = np.concatenate([grid.measured[grid.measured < ROUNDING] for grid in found])
    low, high = (float(below.min()), float(below.max())) if below.size else (0.0, ROUNDING)
    drawn = [_grid(title, mode, grid, low, high) for title, grid in zip(titles(subjects), found, strict=True)]
    words = f"rounding alone ({ROUNDING:.0f} dB and more)"
    scale = [_scale(f"{low:.1f} dB", f"{high:.1f} dB")] if below.size else []
    return [tag("div", *drawn, class_="maps"), tag("p", *scale, _chip(words), class_="scale note")]


def _grid(title: str, mode: str, grid: Grid, low: float, high: float) -> Element:
    values = grid.measured
    least, mean, most = (decibels(float(value)) for value in (values.min(), values.mean(), values.max()))
    if values.min() >= CEILING:
        told = f"exact: every shift {least} dB"
    elif values.min() >= ROUNDING:
        told = f"rounding alone: min {least} · mean {mean} · max {most} dB"
    else:
        told = f"min {least} · mean {mean} · max {most} dB"
    row, column = np.unravel_index(np.argmin(grid.values), grid.values.shape)
    exact = int((values >= ROUNDING).sum())
    words = (
        f"Heat map of {title} under {mode}: mean shift PSNR of the {len(values)} shifts from {grid.dys[0]:g} to {grid.dys[-1]:g} down and "
        f"{grid.dxs[0]:g} to {grid.dxs[-1]:g} across. {_sentence(values)} Lowest {least} dB, at ({grid.dys[row]:g}, {grid.dxs[column]:g}), "
        f"mean {mean} dB, highest {most} dB; {exact} of {len(values)} shifts are exact but for rounding."
    )
    return _map(title, told, paint(grid.values, low, high, grid.values >= ROUNDING), words, grid.dys, grid.dxs)


def _sentence(values: NDArray[np.float64]) -> str:
    return "It is flat." if values.min() >= ROUNDING or np.ptp(values) < 0.1 else "It is uneven."


def _map(title: str, told: str, pixels: Pixels, words: str, dys: Sequence[float], dxs: Sequence[float]) -> Element:
    """A map between its axes."""
    down = tag("span", *(tag("b", f"{value:g}") for value in (dys[0], 0, dys[-1])), class_="down", aria_hidden="true")
    across = tag("span", *(tag("b", f"{value:g}") for value in (dxs[0], 0, dxs[-1])), class_="across", aria_hidden="true")
    frame = tag("div", down, picture(pixels, words), across, class_="map")
    return tag("figure", tag("figcaption", tag("strong", title), tag("span", told)), frame)


def _chip(words: str) -> Element:
    return tag("span", tag("i", class_="chip", style=f"background: {to_hex(EXACT)}", aria_hidden="true"), words)


def _scale(low: str, high: str) -> Element:
    shades = ", ".join(to_hex(SHADES[place]) for place in np.linspace(0, len(SHADES) - 1, 9).astype(int))
    bar = tag("i", class_="bar", style=f"background: linear-gradient(to right, {shades})", aria_hidden="true")
    return tag("span", low, bar, high)


def layers(subjects: Sequence[Subject]) -> list[Element]:
    """Small maps of how far a layer's features are from moving along, for each subject that this was measured of."""
    there = [(title, subject.layers) for title, subject in zip(titles(subjects), subjects, strict=True) if subject.layers is not None]
    if not there:
        return []
    most = max(found.worst(name) for _, found in there for name in found.layers)
    drawn: list[Element] = []
    for title, found in there:
        if np.isnan(found.values).any():
            rows = [[name, f"{stride}", *_distances(found, name)] for name, stride in zip(found.layers, found.strides, strict=True)]
            drawn.append(table(title, ["layer", "stride", "mean distance", "largest"], rows))
        else:
            maps = [_layer(title, name, values, found, most) for name, values in zip(found.layers, found.values, strict=True)]
            drawn += [tag("h3", title), tag("div", *maps, class_="maps small")]
    return [*drawn, tag("p", _scale(f"{most:.3g}", "0"), _chip("exact"), class_="scale note")]


def _distances(found: LayerDistances, name: str) -> tuple[str, str]:
    return f"{found.mean(name):.2g}", f"{found.worst(name):.2g}"


def _layer(title: str, name: str, values: NDArray[np.float64], found: LayerDistances, most: float) -> Element:
    mean, worst = _distances(found, name)
    words = f"Heat map of {title}, layer {name}: cosine distance of its features by shift, mean {mean}, largest {worst}."
    pixels = paint(-values, -most, 0.0, values <= 0)
    return _map(name, f"mean {mean} · max {worst}", pixels, words, found.dys, found.dxs)
