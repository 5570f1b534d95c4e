"""Draws Detail: the source, its sub-bands, and beside each other what every up-sampling gives back; PNGs inside the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil

import matplotlib
import numpy as np
from numpy.typing import NDArray

from unetlift.demo.bands import LIFT, Parts, Restored, Wish
from unetlift.demo.panels import png
from unetlift.demo.sources import PICTURE, Source
from unetlift.errors import one_of
from unetlift.pools.lift import BANDS
from unetlift.stability import CEILING
from unetlift.types import Map

GAINS = (1, 2, 4, 8, 16)
ZOOMS = (1, 2, 4)
SHARP = 256
"""Smaller pictures are magnified to at least so many pixels: browsers would smooth what is to be seen."""

WORDS = {
    LIFT: ("LiftUpPool", "lifting down, its exact inverse up"),
    "max+unpool": ("MaxUnpool", "max pooling down; maxima back in place, zeros between"),
    "max+nearest": ("nearest", "max pooling down; each value fills its block"),
    "max+bilinear": ("bilinear", "max pooling down; interpolated between values"),
    "blur-3+blur-3": ("BlurPool's transpose", "Max-BlurPool (Tri-3) down, the filter's transpose up"),
}
HOLDS = {"LL": "the whole, halved", "LH": "level edges", "HL": "upright edges", "HH": "corners, diagonals"}
TRY = (
    "Try LL alone: what blurring and halving leaves. Then HL alone: upright edges. Then all but HH: a quarter of the numbers gone, "
    "and of a picture hardly anything lost. Shares are in orthonormal scaling, all levels together."
)
MUTED = ' class="detail-muted"'
LIFTING_WORDS = {"haar": "Haar", "cdf53": "CDF 5/3", "own": "trained lift"}


@dataclass(frozen=True)
class Look:
    """How strongly and how near things are shown.

    Attributes:
        gain: of errors, and of the bands but LL; in `GAINS`.
        zoom: restorations show their middle, of a `zoom`th of the height and width; in `ZOOMS`.

    Raises:
        UsageError: one is unknown.
    """

    gain: int = 4
    zoom: int = 2

    def __post_init__(self) -> None:
        one_of("The gain", self.gain, GAINS)
        one_of("The zoom", self.zoom, ZOOMS)


def taken_apart(source: Source, parts: Parts, wish: Wish, look: Look) -> str:
    """The source, its sub-bands nested as wavelets usually are, and what each holds."""
    height, width = source.x.shape[2:]
    about = f"{escape(_named(wish))}, {width} x {height}"
    frame = f'<i class="detail-frame" style="inset: {50 - 50 / look.zoom}%"></i>' if look.zoom > 1 else ""
    whole = f'<img src="{png(_plain(source.x[:, source.shown], source))}" alt="The source: {about} pixels">'
    how = f"by {LIFTING_WORDS[wish.lifting]}; LH, HL, HH x {look.gain}, grey is zero"
    return (
        f'<div class="detail-top"><figure><div class="detail-whole">{whole}{frame}</div>'
        f"<figcaption><b>Source</b> {about}{_range(source, wish)}</figcaption></figure>"
        f"<figure>{_nested(source, parts, wish, look)}<figcaption><b>Sub-bands</b> {how}</figcaption></figure>"
        f"{_energies(parts, wish)}</div>"
    )


def card(source: Source, restored: Restored, look: Look) -> str:
    """What one pair of pools gives back, how near that is, and where it errs."""
    name, what = WORDS[restored.name]
    kind = "detail-card detail-exact" if restored.psnr >= CEILING else "detail-card"
    figures = f'data-pair="{restored.name}" data-psnr="{restored.psnr:.4f}" data-steady="{restored.steady:.4f}"'
    back, error = _near(restored.x, look), _near(restored.x - source.x[:, source.shown], look)
    return (
        f'<article class="{kind}" aria-label="{name}" {figures}>'
        f'<header><h3>{name}</h3><p class="detail-what">{what}</p></header>'
        f'<p class="detail-psnr"><b>{_decibel(restored.psnr)}</b></p>'
        f'<p class="detail-facts"><span>grid moved</span> <b>{_decibel(restored.steady)}</b><br>'
        f"<span>numbers kept</span> <b>{_percent(restored.stored)}</b></p>"
        + _figure(_plain(back, source), f"What {name} gives back: {_spoken(restored.psnr)}", "given back")
        + _figure(_error(error, source, look), f"Error of {name}, times {look.gain}", f"error x {look.gain}")
        + "</article>"
    )


def cards(source: Source, all_restored: Sequence[Restored], look: Look) -> str:
    """The same for several pairs, side by side."""
    return '<div class="detail-cards">' + "".join(card(source, restored, look) for restored in all_restored) + "</div>"


def _nested(source: Source, parts: Parts, wish: Wish, look: Look) -> str:
    inner = _tile(_plain(parts.low, source), "LL", wish.levels, wish, "")
    for level, bands in reversed(list(enumerate(parts.details, 1))):
        lh, hl, hh = (
            _tile(_signed(band, source, look), name, level, wish, f", times {look.gain}, grey is zero")
            for name, band in zip(BANDS[1:], bands, strict=True)
        )
        inner = f'<div class="detail-quad">{inner}{hl}{lh}{hh}</div>'
    return inner


def _tile(pixels: NDArray[np.uint8], name: str, level: int, wish: Wish, how: str) -> str:
    muted = name not in wish.kept
    label = f"<span>{name}</span>" if level <= 2 else ""  # deeper ones are smaller than a word
    alt = f"Sub-band {name} of level {level}{how}{', muted' if muted else ''}"
    return f'<div class="detail-tile{" detail-muted" if muted else ""}"><img src="{png(pixels)}" alt="{alt}">{label}</div>'


def _energies(parts: Parts, wish: Wish) -> str:
    rows = (
        f'<tr{"" if name in wish.kept else MUTED} data-band="{name}"><th scope="row">{name}</th><td>{HOLDS[name]}</td>'
        f"<td>{_percent(energy)}</td></tr>"
        for name, energy in parts.energy.items()
    )
    head = "".join(f'<th scope="col">{word}</th>' for word in ("band", "holds", "energy"))
    return f'<table class="detail-energy"><caption>{TRY}</caption><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _figure(pixels: NDArray[np.uint8], alt: str, caption: str) -> str:
    return f'<figure><img src="{png(pixels)}" alt="{escape(alt)}"><figcaption>{caption}</figcaption></figure>'


def _named(wish: Wish) -> str:
    return wish.source if wish.source == PICTURE else f"{wish.source}, level {wish.level}, channel {wish.channel}"


def _range(source: Source, wish: Wish) -> str:
    return "; R = 1" if wish.source == PICTURE else f"; R = {source.output_range:.3g}, from {source.lowest:.3g} on"


def _decibel(psnr: float) -> str:
    return "exact" if psnr >= CEILING else f"{psnr:.1f}<small> dB</small>"


def _spoken(psnr: float) -> str:
    return "exactly the source" if psnr >= CEILING else f"{psnr:.1f} dB"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _plain(x: Map, source: Source) -> NDArray[np.uint8]:
    """Over the source's range: colours, or greys of one channel."""
    return _rgb((_last(x) - source.lowest) / source.output_range)


def _signed(x: Map, source: Source, look: Look) -> NDArray[np.uint8]:
    return _rgb(0.5 + _last(x) * look.gain / (2 * source.output_range))


def _error(difference: Map, source: Source, look: Look) -> NDArray[np.uint8]:
    """The largest of any channel; black is none."""
    strength = np.abs(_last(difference)).max(-1) / source.output_range * look.gain
    return _rgb(matplotlib.colormaps["inferno"](np.clip(strength, 0, 1))[..., :3])


def _near(x: Map, look: Look) -> Map:
    """The middle, which is shown."""
    height, width = (max(1, length // look.zoom) for length in x.shape[2:])
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[..., top : top + height, left : left + width]


def _last(x: Map) -> NDArray[np.float64]:
    """(1, C, h, w) as (h, w, C)."""
    return x[0].permute(1, 2, 0).numpy()


def _rgb(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(h, w, 1 or 3) of 0..1, clipped, as 8 bit of three channels, each pixel as large as it has to be."""
    pixels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    times = ceil(SHARP / max(pixels.shape[:2]))
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3)).repeat(times, 0).repeat(times, 1)
