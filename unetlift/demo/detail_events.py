"""What the events of Detail do; everything of a visitor comes in as an argument and goes out as an answer."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from unetlift.demo import bands, detail_views, pictures
from unetlift.demo.bands import Wish
from unetlift.demo.detail_views import Look
from unetlift.demo.errors import in_one_sentence
from unetlift.demo.networks import Network
from unetlift.demo.sources import PICTURE, Source, channels_of, own_lift
from unetlift.errors import UsageError, one_of
from unetlift.images import Picture

Seen = NDArray[np.float32]
"""The middle of a visitor's picture, (H, W, C) floats."""

Drawn = tuple[str, str, str]
"""The source and its bands, LiftUpPool's card, the others' cards."""

GRIDS = {"at the corner": (0, 0), "1 left": (0, 1), "1 up": (1, 0), "1 left, 1 up": (1, 1)}
LIFTINGS = {"haar": "Haar", "cdf53": "CDF 5/3", "own": "the network's own, trained"}


def wished(
    source: str, level: float, channel: float, lifting: str, kept: Sequence[str], levels: float, grid: str, gain: float, zoom: float
) -> tuple[Wish, Look]:
    """What the controls say; from a stranger it may be anything.

    Raises:
        UsageError: a name or number is unknown.
    """
    one_of("The grid", grid, GRIDS)
    wish = Wish(source, whole(level), whole(channel), lifting, tuple(kept or ()), whole(levels), GRIDS[grid])
    return wish, Look(whole(gain), whole(zoom))


def whole(number: Any) -> Any:
    """Sliders and callers send 3 as 3.0 too."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


class Page:
    """The networks and examples that the events need; nothing of a visitor."""

    def __init__(self, networks: Sequence[Network], examples: Mapping[str, Callable[[], Picture]]):
        self.networks = {network.name: network for network in networks if channels_of(network)}
        self.examples = examples

    @in_one_sentence
    def open(self, seen: Seen | None, name: str | None, *controls: Any) -> tuple[Any, ...]:
        """The tab is looked at: the first time the chosen example is shown."""
        if seen is not None:
            return tuple(gr.skip() for _ in range(4))
        if name is None:  # the picture was an upload, which is not kept
            _there(seen)
        return self._choose(name, *controls)

    @in_one_sentence
    def choose(self, name: str, *controls: Any) -> tuple[Seen, str, str, str]:
        """An example picture."""
        return self._choose(name, *controls)

    @in_one_sentence
    def upload(self, path: str, *controls: Any) -> tuple[Seen, str, str, str, None]:
        """A visitor's picture; no example is chosen any more."""
        return *self._begin(pictures.read_upload(Path(path)), *controls), None

    @in_one_sentence
    def draw(self, seen: Seen | None, *controls: Any) -> Drawn:
        """The same picture, seen otherwise."""
        return self._draw(_there(seen), *controls)

    @in_one_sentence
    def mute(self, seen: Seen | None, *controls: Any) -> tuple[str, str]:
        """Other sub-bands go back up; what other pools do stays."""
        wish, look = wished(*controls)
        source = self._asked(_there(seen), wish)
        return self._lifted(source, wish, look)

    @in_one_sentence
    def turn(self, seen: Seen | None, name: str, level: float, channel: float, lifting: str, *rest: Any) -> tuple[Any, ...]:
        """Another source or level: the controls that depend on it, then the views."""
        one_of("The source", name, (PICTURE, *self.networks))
        shown = name in self.networks
        counts = channels_of(self.networks[name]) if shown else {0: 1}
        there = whole(level) if whole(level) in counts else min(counts)
        own = shown and own_lift(self.networks[name], there) is not None
        at = whole(channel) if whole(channel) in range(counts[there]) else 0
        by = "haar" if lifting == "own" and not own else lifting
        choices = [(words, key) for key, words in LIFTINGS.items() if own or key != "own"]
        return (
            gr.update(choices=[(_level_words(number), number) for number in counts], visible=shown, **_changed(level, there)),
            gr.update(maximum=max(1, counts[there] - 1), visible=shown, **_changed(channel, at)),
            gr.update(choices=choices, **_changed(lifting, by)),
            *self._draw(_there(seen), name, there, at, by, *rest),
        )

    @in_one_sentence
    def detail(
        self,
        picture: str,
        source: str = PICTURE,
        level: int = 0,
        channel: int = 0,
        lifting: str = "haar",
        bands_kept: str = "LL+LH+HL+HH",
        levels: int = 1,
        dy: int = 0,
        dx: int = 0,
    ) -> dict[str, Any]:
        """Takes a picture or a feature map apart, and says how well LiftUpPool and other up-samplings give it back.

        Args:
            picture: an example's name, or a picture file as base64; of larger ones the middle is taken.
            source: `the picture`, or the name of a network, whose features are taken apart.
            level: of the network's encoder, from 0 at full resolution.
            channel: of the features, from 0.
            lifting: haar, cdf53, or own for the trained lift of a lift network.
            bands_kept: the sub-bands that go back up, joined by +; empty for none.
            levels: 1 to 4.
            dy: 1 to begin the sampling grid a pixel further up, otherwise 0.
            dx: the same to the left.

        Returns:
            `psnr` and `grid_moved` in dB by DOWN+UP (160 is exact), `numbers_kept` and `energy` as shares, `range`: R.
        """
        pixels = self.examples[picture]() if picture in self.examples else pictures.from_text(picture)
        kept = tuple(bands_kept.split("+")) if bands_kept else ()
        wish = Wish(source, whole(level), whole(channel), lifting, kept, whole(levels), (whole(dy), whole(dx)))
        asked = self._asked(pictures.middle(pixels), wish)
        answers = [bands.lifted(asked, wish), *self._others(asked, wish)]
        return {
            "psnr": {answer.name: answer.psnr for answer in answers},
            "grid_moved": {answer.name: answer.steady for answer in answers},
            "numbers_kept": {answer.name: answer.stored for answer in answers},
            "energy": bands.take_apart(asked, wish).energy,
            "range": asked.output_range,
        }

    def _choose(self, name: str, *controls: Any) -> tuple[Seen, str, str, str]:
        one_of("The example", name, self.examples)
        return self._begin(self.examples[name](), *controls)

    def _begin(self, picture: Picture, *controls: Any) -> tuple[Seen, str, str, str]:
        seen = pictures.middle(picture)
        return seen, *self._draw(seen, *controls)

    def _draw(self, seen: Seen, *controls: Any) -> Drawn:
        wish, look = wished(*controls)
        source = self._asked(seen, wish)
        return *self._lifted(source, wish, look), detail_views.cards(source, self._others(source, wish), look)

    def _asked(self, seen: Seen, wish: Wish) -> Source:
        return bands.asked(tuple(self.networks.values()), seen, wish)

    def _lifted(self, source: Source, wish: Wish, look: Look) -> tuple[str, str]:
        top = detail_views.taken_apart(source, bands.take_apart(source, wish), wish, look)
        return top, detail_views.card(source, bands.lifted(source, wish), look)

    def _others(self, source: Source, wish: Wish) -> list[bands.Restored]:
        return [bands.other(source, wish, name) for name in bands.OTHERS]


def _there(seen: Seen | None) -> Seen:
    """The state of a page left open for hours is dropped."""
    if seen is None:
        raise UsageError("This page was left alone for too long and its picture is gone; choose a picture again.")
    return seen


def _changed(before: Any, value: Any) -> dict[str, Any]:
    """A control that has its value already is left alone: its visitor may have moved it on meanwhile."""
    return {} if before == value else {"value": value}


def _level_words(level: int) -> str:
    return f"{level}: full size" if level == 0 else f"{level}: 1/{2**level}"
