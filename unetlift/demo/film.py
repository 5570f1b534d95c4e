"""The drift: a closed path of shifts, and what it shows as animations that go on by themselves."""

from collections.abc import Sequence
from html import escape
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from unetlift import images
from unetlift.demo import panels
from unetlift.demo.compare import Move, Result, move
from unetlift.demo.view import View

STEPS = {"1 pixel": 1.0, "1/8 pixel": 1 / 8}
SIDE = 4
"""Steps along each side of the square that the picture drifts around."""
MILLISECONDS = 140


def path(step: float) -> list[Move]:
    """Right, down, left and up again: each shift one step from the last, the end where it began."""
    turns = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    places, y, x = [], 0, 0
    for down, right in turns:
        for _ in range(SIDE):
            y, x = y + down, x + right
            places.append(move(y * step, x * step))
    return places


def _animated(frames: Sequence[NDArray[np.uint8]], alt: str, caption: str) -> str:
    buffer = BytesIO()
    images.write_animation(buffer, frames, MILLISECONDS)
    return panels.figure(panels.uri(buffer, "webp"), caption, alt)


def sight(lap: Sequence[View]) -> str:
    """The picture, drifting."""
    frames = [panels.rgb(view.frames[1]) for view in lap]
    still = panels.figure(panels.png(panels.rgb(lap[0].frames[0])), "the picture", "The picture that the networks see")
    return f'<div class="sight film">{still}{_animated(frames, "The same picture, drifting", "drifting")}</div>'


def columns(lap: Sequence[View], gain: float) -> str:
    """One column a variant: what holds still does not flicker."""
    results = zip(*(view.results for view in lap), strict=True)
    return panels.beside([_column(of_one, lap, gain) for of_one in results], "film")


def _column(results: Sequence[Result], lap: Sequence[View], gain: float) -> str:
    network = results[0].network
    worst = min(result.psnr for result in results)
    kind, name = panels.word(worst), network.name
    large = "exact" if kind == "exact" else f"{worst:.1f}<small> dB</small>"
    changes = [panels.heat(result, gain) for result in results]
    answers = [panels.answer(result, result.moved_back, lap[0].frames[0]) for result in results]
    body = (
        f'<p class="psnr" title="the lowest shift PSNR of the drift"><b>{large}</b></p>'
        f'<p class="agreement"><span class="word">{kind}</span> worst of {len(results)} steps</p>'
        + _animated(changes, f"Changes of the answer of {name} while the picture drifts, times {gain:g}", f"what changed, x {gain:g}")
        + _animated(answers, f"Answers of {name} while the picture drifts, put back", "moved answers, put back: what is steady holds still")
    )
    return panels.column(network, kind, f'data-worst="{worst:.4f}" data-film="{escape(name)}"', body)
