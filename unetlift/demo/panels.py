"""Draws results as HTML whose pictures are PNG inside the page: no file on the server, so no visitor can see another's."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from itertools import cycle
from types import MappingProxyType

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unetlift import images
from unetlift.anchor import Anchoring
from unetlift.demo.compare import DISTANCES, Network, Result
from unetlift.shifts import Shift
from unetlift.stability import CEILING

AMPLIFICATION = 10
NOT_COMPARED = (226, 230, 236)
COLOURS = ("#b3261e", "#d9822b", "#1f77b4", "#0b7a75", "#2e7d32", "#6a4c93", "#5d4037", "#455a64")
MARKERS = "osD^vPX*"

EXACT = "#1b7237"
Curves = Mapping[str, Mapping[int, float]]
"""By name, shift PSNR in dB by distance."""
NOTHING: Curves = MappingProxyType({})

# From which shift PSNR on a word is said; its class in style.css gives the colour.
WORDS = ((CEILING, "exact", "exact"), (50, "steady", "steady"), (40, "wobbles", "wobbles"), (-1e9, "jumps", "jumps"))

POOLS = {
    "max+nearest": "max pooling, the usual",
    "max+unpool": "max pooling, maxima put back in place",
    "blur-3+bilinear": "blurs before it drops pixels",
    "lift+lift": "a wavelet that drops nothing",
    "lift+lift@adaptive": "the wavelet, its grid follows the picture",
}


def png(pixels: NDArray[np.uint8]) -> str:
    """(H, W, 3) 8 bit as a data URI."""
    buffer = BytesIO()
    images.write_picture(buffer, pixels)
    return _uri(buffer)


def _uri(buffer: BytesIO) -> str:
    return "data:image/png;base64," + b64encode(buffer.getvalue()).decode("ascii")


def rgb(frame: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W, C) floats of 0..1 as (H, W, 3) 8 bit; of more channels than three, the first is shown in grey."""
    nothing = np.zeros(frame.shape[:2], dtype=np.int64)
    return images.overlay(frame, nothing, [(0, 0, 0)])


def heat(result: Result) -> NDArray[np.uint8]:
    """The change of the output, amplified: black where nothing changes, grey where nothing is compared."""
    strength = np.clip(result.difference * AMPLIFICATION, 0, 1)
    colours = np.rint(matplotlib.colormaps["inferno"](strength)[..., :3] * 255).astype(np.uint8)
    return np.where(result.valid[..., None], colours, np.uint8(NOT_COMPARED))


def word(psnr: float) -> str:
    """exact, steady, wobbles or jumps."""
    return next(name for least, name, _ in WORDS if psnr >= least)


def moved_words(shift: Shift) -> str:
    """A shift for people: `1 px right, 2 px up`."""
    parts = []
    if shift.dx:
        parts.append(f"{abs(shift.dx)} px {'right' if shift.dx > 0 else 'left'}")
    if shift.dy:
        parts.append(f"{abs(shift.dy)} px {'down' if shift.dy > 0 else 'up'}")
    return ", ".join(parts) or "not at all"


def sight(
    still: NDArray[np.float32],
    moved: NDArray[np.float32],
    shift: Shift,
    before: Sequence[Anchoring],
    after: Sequence[Anchoring],
) -> str:
    """The picture before and after the move, as the networks see it, with what their grids were tied to."""
    said = sorted({anchoring.note for anchoring in (*before, *after) if anchoring.note})
    marks = _marks(before, still)
    return (
        '<div class="sight">'
        + _figure(rgb(still), f"the picture{', its landmark marked' if marks else ''}", "The picture that the networks see", marks)
        + _figure(rgb(moved), f"moved {moved_words(shift)}", f"The same picture, moved {moved_words(shift)}", _marks(after, moved))
        + "".join(f'<p class="note">{escape(note[0].upper() + note[1:])}.</p>' for note in said)
        + "</div>"
    )


def _marks(anchorings: Sequence[Anchoring], frame: NDArray[np.float32]) -> str:
    """A cross on every landmark; mostly all networks share one, but one that weighs the colours otherwise may find its own."""
    height, width = frame.shape[:2]
    places = sorted({anchoring.anchor[:2] for anchoring in anchorings if anchoring.anchor})
    at = ((100 * (y + 0.5) / height, 100 * (x + 0.5) / width) for y, x in places)
    return "".join(f'<i class="mark" style="top: {top:.2f}%; left: {left:.2f}%"></i>' for top, left in at)


def _figure(pixels: NDArray[np.uint8], caption: str, alt: str, marks: str = "") -> str:
    image = f'<div class="marked"><img src="{png(pixels)}" alt="{escape(alt)}">{marks}</div>'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def columns(results: Sequence[Result], still: NDArray[np.float32], shift: Shift) -> str:
    """One column a variant."""
    return '<div class="variants">' + "".join(_column(result, still, shift) for result in results) + "</div>"


def _column(result: Result, still: NDArray[np.float32], shift: Shift) -> str:
    network, kind = result.network, word(result.psnr)
    figure = "exact" if kind == "exact" else f"{result.psnr:.1f}<small> dB</small>"
    without = "" if result.without is None else _without(result.without)
    says = f"&ge; {CEILING:.0f} dB" if kind == "exact" else kind
    colours = network.predictor.info.colours
    name = escape(network.name)
    pictures = (
        _figure(heat(result), f"what changed, x {AMPLIFICATION}", f"Change of the answer of {network.name}, times {AMPLIFICATION}"),
        _figure(images.overlay(still, result.still, colours), "answer", f"Answer of {network.name}"),
        _figure(
            images.overlay(still, result.moved_back, colours),
            "moved answer, put back",
            f"Answer of {network.name} to the picture moved {moved_words(shift)}, moved back",
        ),
    )
    return (
        f'<article class="variant {kind}" aria-label="{name}" data-variant="{name}" data-psnr="{result.psnr:.4f}">'
        f"<h2>{name.replace('@', '<wbr>@')}</h2><p class='about'>{escape(about(network))}</p>"
        f'<p class="psnr" title="shift PSNR"><b>{figure}</b></p>{without}'
        f'<p class="agreement"><span class="word">{says}</span> <b>{_percent(result.agreement)}</b> agree</p>'
        + "".join(pictures)
        + "</article>"
    )


def _without(psnr: float) -> str:
    kind = word(psnr)
    return f'<p class="without {kind}">without anchoring <b>{kind if kind == "exact" else f"{psnr:.1f} dB"}</b></p>'


def _percent(share: float) -> str:
    """Rounded down, so that 100 % means every pixel."""
    return f"{np.floor(share * 1e4) / 100:.2f} %" if share < 1 else "100 %"


def about(network: Network) -> str:
    """What the variant does, where it is a known one, and its padding."""
    what = POOLS.get(network.config.variant)
    padding = f"{network.config.padding_mode} padding"
    return f"{what}; {padding}" if what else padding


def mode_words(mode: str, networks: Sequence[Network], anchor: bool = False) -> str:
    """What the mode does, and whom it favours; and what anchoring does."""
    return _mode_words(mode, networks, anchor) + (_anchor_words(mode, networks) if anchor else "")


def _anchor_words(mode: str, networks: Sequence[Network]) -> str:
    adaptive = any(network.config.phase == "adaptive" for network in networks)
    then = (
        "The landmark is rolled to one fixed place, so all rolls of a picture are one picture to the network."
        if mode == "roll"
        else "Adaptive phases give way to it." if adaptive else ""
    )
    return (
        "<p><b>anchoring</b>: the network is untouched; only where its sampling grid lies is decided by a salient point of the "
        f"picture instead of the frame's corner. {then}</p>"
    )


def _mode_words(mode: str, networks: Sequence[Network], anchor: bool) -> str:
    if mode == "crop":
        return (
            "<p><b>crop</b> is what a camera does: a window moves over a larger scene, new content comes in at the border. "
            "Compared is what both windows show, less 16 pixels at the frame (grey), where a network sees its own padding.</p>"
        )
    circular = [escape(n.name) for n in networks if n.config.padding_mode == "circular"]
    fair = f"Circular padding, which fits that, have: <b>{', '.join(circular)}</b>." if circular else "None of these pads circularly."
    return (
        f"<p><b>roll</b> wraps the picture around: what leaves on one side comes back on the other. {fair} "
        f"{'Without anchoring, networks' if anchor else 'Networks'} with zero padding are judged mostly by the seam "
        "that this makes at the border; judge those by crop.</p>"
    )


def plot(curves: Curves, names: Sequence[str], mode: str, without: Curves = NOTHING) -> str:
    """Shift PSNR against distance as one picture; `names` fixes colours while lines are still being computed.

    With anchoring, `without` has the curves without it, drawn thin and dashed.
    """
    figure = Figure(figsize=(11, 3.6), layout="constrained", dpi=160)
    axes = figure.add_subplot()
    values = [value for curve in (*curves.values(), *without.values()) for value in curve.values()]
    below = [value for value in values if value < CEILING]
    top = max(below, default=60) + 6  # a line at 160 dB would press all others flat: exact is drawn above them
    for name, colour, marker in zip(names, cycle(COLOURS), cycle(MARKERS), strict=False):
        curve = curves.get(name, {})
        label = name if curve else f"{name} …"
        axes.plot(list(curve), [min(v, top) for v in curve.values()], color=colour, marker=marker, linewidth=2, label=label)
        other = without.get(name, {})
        axes.plot(list(other), [min(v, top) for v in other.values()], color=colour, linewidth=1, linestyle="--")
    if without:
        axes.plot([], [], color="#555555", linewidth=1, linestyle="--", label="without anchoring")
    axes.set(xlabel="shift in pixels, down and right", ylabel="shift PSNR in dB", xticks=list(DISTANCES), xlim=(0.7, DISTANCES[-1] + 0.5))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if any(value >= CEILING for value in values):
        _mark_exact(axes, top)
    figure.legend(loc="outside right upper", frameon=False)
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    told = "; ".join(f"{name}: {words(curve)}" for name, curve in curves.items())
    told += "".join(f"; {name} without anchoring: {words(curve)}" for name, curve in without.items())
    return f'<img class="plot" src="{_uri(buffer)}" alt="{escape(f"Shift PSNR against shift, mode {mode}. {told}")}">'


def _mark_exact(axes: Axes, top: float) -> None:
    """Ends the scale below the exact lines, which lie off it, and names them."""
    low, high = axes.get_ylim()
    axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= top - 4])
    axes.set_ylim(low, max(high, top + 1.5))
    axes.spines["left"].set_bounds(low, top - 3)
    place = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "ha": "right", "va": "center"}
    axes.annotate("exact", (0, top), (-6, 0), color=EXACT, weight="bold", **place)


def words(curve: Mapping[int, float]) -> str:
    """A curve for those who cannot see it."""
    low = min(curve.values())
    return "exact at every distance" if low >= CEILING else f"at least {low:.1f} dB"
