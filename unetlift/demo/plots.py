"""Draws what many shifts say: the curve over distances, the map over all shifts of a square, the table."""

from html import escape
from io import BytesIO
from itertools import cycle

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unetlift.demo import measures
from unetlift.demo.compare import Asked, Scene
from unetlift.demo.measures import DISTANCES, Curve, Curves, Grids
from unetlift.demo.panels import MOST_BESIDE, percent, png, uri
from unetlift.stability import CEILING

COLOURS = ("#b3261e", "#d9822b", "#1f77b4", "#0b7a75", "#2e7d32", "#6a4c93", "#5d4037", "#455a64")
MARKERS = "osD^vPX*"
EXACT = "#1b7237"
HEADINGS = ("variant", "mean dB", "worst dB", "agreement", "ms", "parameters")
SCALE = (20.0, 60.0)
"""dB from which and up to which the map's colours go; beyond lies only what is exact, in a colour of its own."""
MISSING = (128, 128, 128)


def named(asked: Asked, scene: Scene) -> str:
    """A network, and where both are shown, whether it is anchored."""
    name, anchored = asked
    return f"{name} without anchoring" if scene.anchor == "both" and not anchored else name


def plot(curves: Curves, scene: Scene) -> str:
    """Shift PSNR against distance as one picture; lines that are still being computed are in the legend, which keeps their colours.

    With `both`, what is without an anchor is drawn thin and dashed.
    """
    figure = Figure(figsize=(11, 3.6), layout="constrained", dpi=160)
    axes = figure.add_subplot()
    values = [value for curve in curves.values() for value in curve.psnr.values()]
    below = [value for value in values if value < CEILING]
    top = max(below, default=60) + 6  # a line at 160 dB would press all others flat: exact is drawn above them
    names = [network.name for network in scene.networks]
    styles = dict(zip(names, zip(cycle(COLOURS), cycle(MARKERS), strict=False), strict=False))
    for network, anchored in scene.asked:
        curve, (colour, marker) = curves.get((network.name, anchored)), styles[network.name]
        dashed = scene.anchor == "both" and not anchored
        looks = {"linewidth": 1, "linestyle": "--"} if dashed else {"linewidth": 2, "marker": marker}
        label = "_" if dashed else network.name if curve else f"{network.name} …"
        points = curve.psnr if curve else {}
        axes.plot(list(points), [min(v, top) for v in points.values()], color=colour, label=label, **looks)
    if scene.anchor == "both":
        axes.plot([], [], color="#555555", linewidth=1, linestyle="--", label="without anchoring")
    axes.set(xlabel="shift in pixels, down and right", ylabel="shift PSNR in dB", xticks=list(DISTANCES), xlim=(0.7, DISTANCES[-1] + 0.5))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if any(value >= CEILING for value in values):
        _mark_exact(axes, top)
    figure.legend(loc="outside right upper", frameon=False)
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    told = "; ".join(f"{named(asked, scene)}: {words(curve)}" for asked, curve in curves.items())
    return f'<img class="plot" src="{uri(buffer)}" alt="{escape(f"Shift PSNR against shift, mode {scene.mode}. {told}")}">'


def _mark_exact(axes: Axes, top: float) -> None:
    """Ends the scale below the exact lines, which lie off it, and names them."""
    low, high = axes.get_ylim()
    axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= top - 4])
    axes.set_ylim(low, max(high, top + 1.5))
    axes.spines["left"].set_bounds(low, top - 3)
    place = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "ha": "right", "va": "center"}
    axes.annotate("exact", (0, top), (-6, 0), color=EXACT, weight="bold", **place)


def words(curve: Curve) -> str:
    """A curve for those who cannot see it."""
    return "exact at every distance" if curve.worst >= CEILING else f"at least {curve.worst:.1f} dB"


def decibels(psnr: float) -> str:
    """For a table."""
    return "exact" if psnr >= CEILING else f"{psnr:.1f}"


def table(curves: Curves, scene: Scene) -> str:
    """The curves' figures, one row each."""
    head = "".join(f'<th scope="col">{heading}</th>' for heading in HEADINGS)
    rows = "".join(_row(named(asked, scene), curve) for asked, curve in curves.items())
    caption = f"Over the curve's shifts of 1 to {DISTANCES[-1]} pixels; ms: the median answer to one frame"
    return f'<div class="scroll"><table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _row(name: str, curve: Curve) -> str:
    agreement = "" if curve.agreement is None else percent(curve.agreement)
    cells = (decibels(curve.mean), decibels(curve.worst), agreement, f"{1000 * curve.seconds:.0f}", f"{curve.parameters:,}")
    return f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def heat_maps(grids: Grids, scene: Scene) -> str:
    """One map a network, all on one scale, and what the scale means."""
    maps = "".join(_heat_map(named(asked, scene), values) for asked, values in grids.items())
    low, high = SCALE
    ramp = png(np.repeat(_colours(np.linspace(low, high, 256)[None]), 12, axis=0))
    scale = (
        f'<p class="scale"><span>{low:.0f} dB and less</span>'
        f'<img src="{ramp}" alt="Colours from dark ({low:.0f} dB) to bright ({high:.0f} dB)">'
        f"<span>{high:.0f} dB and more</span><i></i><span>exact</span></p>"
    )
    return f'<div class="maps" style="--beside: {min(len(grids), MOST_BESIDE)}">{maps}</div>{scale}'


def _heat_map(name: str, values: NDArray[np.float64]) -> str:
    known = values[~np.isnan(values)]
    reach = values.shape[0] // 2
    moved = measures.moved(values)
    said = f"{decibels(moved.min())} to {decibels(moved.max())}, mean {decibels(moved.mean())}" if moved.size else ""
    alt = f"Shift PSNR of {name} for every shift from -{reach} to {reach} pixels down and right: {said} dB"
    pixels = np.kron(_colours(values), np.ones((12, 12, 1), np.uint8))
    return (
        f'<figure data-map="{escape(name)}" data-known="{known.size}"><img src="{png(pixels)}" alt="{escape(alt)}">'
        f"<figcaption><b>{escape(name)}</b><br>{said}</figcaption></figure>"
    )


def _colours(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    low, high = SCALE
    shown = matplotlib.colormaps["inferno"](np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1))[..., :3]
    colours = np.rint(shown * 255).astype(np.uint8)
    exact = np.array([int(EXACT[at : at + 2], 16) for at in (1, 3, 5)], np.uint8)
    colours = np.where(values[..., None] >= CEILING, exact, colours)
    return np.where(np.isnan(values)[..., None], np.uint8(MISSING), colours)
