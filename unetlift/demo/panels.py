"""Draws results as HTML whose pictures are PNG inside the page: no file on the server, so no visitor can see another's."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from io import BytesIO

import matplotlib
import numpy as np
from numpy.typing import NDArray

from unetlift import images
from unetlift.anchor import Anchoring
from unetlift.demo.compare import MARGIN, Move, Network, Result, is_whole
from unetlift.demo.view import View
from unetlift.stability import CEILING

NOT_COMPARED = (226, 230, 236)

# From which shift PSNR on a word is said; its class in style.css gives the colour.
WORDS = ((CEILING, "exact"), (50, "steady"), (40, "wobbles"), (-1e9, "jumps"))

POOLS = {
    "max+nearest": "max pooling, the usual",
    "max+unpool": "max pooling, maxima put back in place",
    "blur-3+bilinear": "blurs before it drops pixels",
    "lift+lift": "a wavelet that drops nothing",
    "lift+lift@adaptive": "the wavelet, its grid follows the picture",
}
MOST_BESIDE = 5
NOBODY = "<p class='nobody'>No variant is chosen: tick one to ask it.</p>"


def png(pixels: NDArray[np.uint8]) -> str:
    """(H, W, 3) 8 bit as a data URI."""
    buffer = BytesIO()
    images.write_picture(buffer, pixels)
    return uri(buffer)


def uri(buffer: BytesIO, kind: str = "png") -> str:
    """A picture's file as a data URI."""
    return f"data:image/{kind};base64,{b64encode(buffer.getvalue()).decode('ascii')}"


def rgb(frame: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W, C) floats of 0..1 as (H, W, 3) 8 bit; of more channels than three, the first is shown in grey."""
    nothing = np.zeros(frame.shape[:2], dtype=np.int64)
    return images.overlay(frame, nothing, [(0, 0, 0)])


def heat(result: Result, gain: float) -> NDArray[np.uint8]:
    """The change of the output, times `gain`: black where nothing changes, grey where nothing is compared."""
    strength = np.clip(result.difference * gain, 0, 1)
    colours = np.rint(matplotlib.colormaps["inferno"](strength)[..., :3] * 255).astype(np.uint8)
    return np.where(result.valid[..., None], colours, np.uint8(NOT_COMPARED))


def answer(result: Result, shown: NDArray, still: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Labels as a tint on the picture that was asked about; pictures as they are."""
    info = result.network.predictor.info
    return images.overlay(still, shown, info.colours) if info.answers == "labels" else rgb(shown)


def word(psnr: float) -> str:
    """exact, steady, wobbles or jumps."""
    return next(name for least, name in WORDS if psnr >= least)


def moved_words(move: Move) -> str:
    """A shift for people: `1 px right, 2 px up`."""
    parts = []
    if move.dx:
        parts.append(f"{abs(move.dx):g} px {'right' if move.dx > 0 else 'left'}")
    if move.dy:
        parts.append(f"{abs(move.dy):g} px {'down' if move.dy > 0 else 'up'}")
    return ", ".join(parts) or "not at all"


def sight(view: View) -> str:
    """The picture before and after the move, as the networks see it, with what their grids were tied to."""
    still, moved = view.frames
    before = [view.scene.stills[network.name, anchored].anchoring for network, anchored in view.scene.asked]
    after = [result.anchoring for result in view.results]
    marked, words = marks(before, still), moved_words(view.move)
    return (
        '<div class="sight">'
        + figure(png(rgb(still)), f"the picture{', its landmark marked' if marked else ''}", "The picture that the networks see", marked)
        + figure(png(rgb(moved)), f"moved {words}", f"The same picture, moved {words}", marks(after, moved))
        + notes((*before, *after))
        + "</div>"
    )


def notes(anchorings: Sequence[Anchoring]) -> str:
    """Each thing that anchoring has to say, once."""
    said = sorted({anchoring.note for anchoring in anchorings if anchoring.note})
    return "".join(f'<p class="note">{escape(note[0].upper() + note[1:])}.</p>' for note in said)


def marks(anchorings: Sequence[Anchoring], frame: NDArray[np.float32]) -> str:
    """A cross on every landmark; mostly all networks share one, but one that weighs the colours otherwise may find its own."""
    height, width = frame.shape[:2]
    places = sorted({anchoring.anchor[:2] for anchoring in anchorings if anchoring.anchor})
    at = ((100 * (y + 0.5) / height, 100 * (x + 0.5) / width) for y, x in places)
    return "".join(f'<i class="mark" style="top: {top:.2f}%; left: {left:.2f}%"></i>' for top, left in at)


def figure(source: str, caption: str, alt: str, over: str = "") -> str:
    """A picture with a line below it, and what lies over it."""
    image = f'<div class="marked"><img src="{source}" alt="{escape(alt)}">{over}</div>'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def columns(view: View, gain: float) -> str:
    """One column a variant."""
    return beside([_column(result, view, gain) for result in view.results])


def beside(cards: Sequence[str], kind: str = "") -> str:
    """Cards side by side, as wide as so many may be."""
    if not cards:
        return NOBODY
    return f'<div class="variants {kind}" style="--beside: {min(len(cards), MOST_BESIDE)}">{"".join(cards)}</div>'


def _column(result: Result, view: View, gain: float) -> str:
    kind, name = word(result.psnr), result.network.name
    large = "exact" if kind == "exact" else f"{result.psnr:.1f}<small> dB</small>"
    says = f"&ge; {CEILING:.0f} dB" if kind == "exact" else kind
    agrees = "" if result.agreement is None else f" <b>{percent(result.agreement)}</b> agree"
    changed = f"Change of the answer of {name}, times {gain:g}"
    body = (
        f'<p class="psnr" title="shift PSNR"><b>{large}</b></p>'
        f'{"" if result.without is None else _without(result.without)}'
        f'<p class="agreement"><span class="word">{says}</span>{agrees}</p>'
        f'{figure(png(heat(result, gain)), f"what changed, x {gain:g}", changed)}{_pair(result, view)}'
    )
    return column(result.network, kind, f'data-psnr="{result.psnr:.4f}"', body)


def column(network: Network, kind: str, data: str, body: str) -> str:
    """A variant's card, in the colour of what is said of it."""
    name = escape(network.name)
    return (
        f'<article class="variant {kind}" aria-label="{name}" data-variant="{name}" {data}>'
        f"<h2>{name.replace('@', '<wbr>@').replace('+', '<wbr>+')}</h2><p class='about'>{escape(about(network))}</p>{body}</article>"
    )


def _pair(result: Result, view: View) -> str:
    """Both answers one over the other, with a handle between them that mouse, finger and keys can move."""
    name, still = escape(result.network.name), view.frames[0]
    moved = f"Answer of {name} to the picture moved {moved_words(view.move)}, moved back"
    return (
        '<figure><div class="marked pair">'
        f'<img src="{png(answer(result, result.still, still))}" alt="Answer of {name}">'
        f'<img class="over" src="{png(answer(result, result.moved_back, still))}" alt="{moved}"><i class="bar"></i>'
        '<input type="range" min="0" max="100" value="50" '
        f'aria-label="{name}: from the answer (left) to the moved answer, put back (right)"'
        ' oninput="unetlift.compare(this)" onfocus="unetlift.follow(this)"></div>'
        '<figcaption class="ends"><span>answer</span><span>moved answer, put back</span></figcaption></figure>'
    )


def _without(psnr: float) -> str:
    kind = word(psnr)
    return f'<p class="without {kind}">without anchoring <b>{kind if kind == "exact" else f"{psnr:.1f} dB"}</b></p>'


def percent(share: float) -> str:
    """Rounded down, so that 100 % means every pixel."""
    return f"{np.floor(share * 1e4) / 100:.2f} %" if share < 1 else "100 %"


def about(network: Network) -> str:
    """What the variant does, where it is a known one, and its padding."""
    what = POOLS.get(network.config.variant)
    padding = f"{network.config.padding_mode} padding"
    return f"{what}; {padding}" if what else padding


def mode_words(view: View) -> str:
    """What the mode does, and whom it favours; what anchoring does; and what parts of a pixel do."""
    scene = view.scene
    said = [_roll_words(scene.networks, scene.anchored) if scene.mode == "roll" else _CROP]
    if scene.anchored:
        said.append(_anchor_words(scene.mode, scene.networks))
    if not is_whole(view.move):
        said.append(_PARTS)
    return "".join(f"<p>{sentence}</p>" for sentence in said)


_CROP = (
    "<b>crop</b> is what a camera does: a window moves over a larger scene, new content comes in at the border. "
    f"Compared is what both windows show, less {MARGIN} pixels at the frame (grey), where a network sees its own padding."
)
_PARTS = (
    "<b>parts of a pixel</b>: the picture is resampled, and the answer is resampled back, which sharp edges do not survive unharmed: "
    "compare these figures with each other, not with those of whole pixels."
)


def _anchor_words(mode: str, networks: Sequence[Network]) -> str:
    adaptive = any(network.config.phase == "adaptive" for network in networks)
    then = (
        "The landmark is rolled to one fixed place, so all rolls of a picture are one picture to the network."
        if mode == "roll"
        else "Adaptive phases give way to it." if adaptive else ""
    )
    return (
        "<b>anchoring</b>: the network is untouched; only where its sampling grid lies is decided by a salient point of the "
        f"picture instead of the frame's corner. {then}"
    )


def _roll_words(networks: Sequence[Network], anchored: bool) -> str:
    circular = [escape(n.name) for n in networks if n.config.padding_mode == "circular"]
    fair = f"Circular padding, which fits that, have: <b>{', '.join(circular)}</b>." if circular else "None of these pads circularly."
    return (
        f"<b>roll</b> wraps the picture around: what leaves on one side comes back on the other. {fair} "
        f"{'Without anchoring, networks' if anchored else 'Networks'} with zero padding are judged mostly by the seam "
        "that this makes at the border; judge those by crop."
    )
