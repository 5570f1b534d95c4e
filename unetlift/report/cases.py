"""Draws one comparison to look at: the picture, both answers, where they differ, and the flicker between them."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from numpy.typing import NDArray

from unetlift import images
from unetlift.report.subject import Case
from unetlift.report.tiles import DARK, IGNORED, WRONG, Pixels, fit, rgb
from unetlift.stability import Comparison, Kind, Record

COLOURS = ((0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
"""Of classes that have none of their own, in turn."""

GAINS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""A difference is made as many times larger; the least that brings its peak to half of the range."""


def draw_case(
    subject: str,
    mode: str,
    name: str,
    record: Record,
    picture: NDArray[np.floating],
    comparison: Comparison,
    kind: Kind,
    colours: Sequence[Sequence[int]] = (),
    output_range: float = 1.0,
) -> Case:
    """The pictures of a case; of labels and probabilities the picture is tinted with the classes, but for the first.

    Args:
        subject: its title.
        mode: of the shift.
        name: of the picture.
        record: the move, and its figures.
        picture: (H, W, C) of 0 to 1, what the function saw before anything moved.
        comparison: the answers of one picture, as `stability.as_values` gives them.
        kind: of the answers.
        colours: (r, g, b) of 0 to 255 for each class.
        output_range: R, of answers that are pictures.
    """
    shown, valid = rgb(picture), np.broadcast_to(comparison.valid.cpu().numpy(), picture.shape[:2])
    both = [_seen(values, shown, kind, colours, output_range) for values in _answers(comparison)]
    words, difference = _difference(comparison, shown, valid, kind, output_range)
    for drawn in (both[1], difference):
        drawn[~valid] = IGNORED
    pictures = {"picture": shown, "answer": both[0], "after the move, moved back": both[1], words: difference}
    still = both[0].copy()
    still[~valid] = IGNORED
    return Case(subject, mode, name, record, {key: fit(drawn) for key, drawn in pictures.items()}, (fit(still), fit(both[1])))


def _answers(comparison: Comparison) -> list[NDArray]:
    """(K, H, W) each."""
    return [values[0].detach().cpu().numpy() for values in (comparison.still, comparison.moved_back)]


def _labels(values: NDArray, kind: Kind) -> NDArray[np.int64]:
    return values[0].astype(np.int64) if kind == "labels" else values.argmax(0)


def _seen(values: NDArray, shown: Pixels, kind: Kind, colours: Sequence[Sequence[int]], output_range: float) -> Pixels:
    if kind == "pictures":
        return rgb(values.transpose(1, 2, 0) / output_range)
    tints, labels = [*colours, *COLOURS[len(colours) > 0 :]], np.broadcast_to(_labels(values, kind), shown.shape[:2])
    return images.overlay(shown, np.where(labels > 0, 1 + (labels - 1) % (len(tints) - 1), 0), tints)


def _difference(comparison: Comparison, shown: Pixels, valid: NDArray[np.bool_], kind: Kind, output_range: float) -> tuple[str, Pixels]:
    """What it shows in words, and the picture: of labels red where they changed, otherwise the largest change of any channel."""
    still, moved = _answers(comparison)
    if kind == "labels":
        drawn = np.rint(DARK * shown).astype(np.uint8)
        drawn[np.broadcast_to(still[0] != moved[0], shown.shape[:2])] = WRONG
        return "labels that changed, in red", drawn
    size = np.broadcast_to(np.abs(still - moved).max(0) / output_range, shown.shape[:2])
    peak = size[valid].max()
    gain = next((gain for gain in GAINS if gain * peak >= 0.5), GAINS[-1]) if peak else GAINS[0]
    heat = matplotlib.colormaps["gist_heat"](np.clip(gain * size, 0, 1), bytes=True)[..., :3]
    return "difference" if gain == 1 else f"difference times {gain}", np.ascontiguousarray(heat)
