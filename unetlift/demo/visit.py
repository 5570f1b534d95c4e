"""What the first tab's events call; everything of a visitor comes in as an argument and goes out as an answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import wraps
from html import escape
from pathlib import Path
from threading import Event
from typing import Any

import gradio as gr

from unetlift.demo import film, measures, panels, pictures, plots
from unetlift.demo.compare import Bench, Move
from unetlift.demo.errors import in_one_sentence
from unetlift.demo.networks import Network, by_task
from unetlift.demo.settings import Settings, read_address
from unetlift.demo.view import View
from unetlift.errors import UsageError, one_of

Drawn = tuple[View, str, str, str, str]
"""A view, the picture before and after, the columns, what the mode does, and the map, which is empty again."""


def streamed(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """`in_one_sentence` for what answers step by step: Gradio knows such functions by their kind alone."""

    @wraps(function)
    def wrapped(*args: Any) -> Iterator[Any]:
        steps, end = function(*args), object()
        step = in_one_sentence(lambda: next(steps, end))
        while (answer := step()) is not end:
            yield answer

    return wrapped


class Page:
    """Over all networks."""

    def __init__(self, networks: Sequence[Network], examples: pictures.Examples):
        self.benches = {task: Bench(members) for task, members in by_task(tuple(networks)).items()}
        self.examples = {task: pictures.fitting(examples, bench.networks[0]) for task, bench in self.benches.items()}

    def variants(self, task: str) -> list[str]:
        """Their names."""
        return [network.name for network in self.benches[task].networks]

    # A new picture, or the same seen otherwise

    @in_one_sentence
    def arrive(self, request: gr.Request) -> tuple[Any, ...]:
        """What the page's address asks for, and the controls set to it."""
        pictures_of = {task: list(examples) for task, examples in self.examples.items()}
        address = read_address(dict(request.query_params), {task: self.variants(task) for task in self.benches}, pictures_of)
        if address.complaint:
            gr.Warning(escape(address.complaint, quote=False), title="Another address")
        task, picture, settings, _ = address
        controls = (settings.mode, settings.dx, settings.dy, settings.anchor, settings.gain)
        offers = self._offers(task, settings.variants, picture)
        return *self._begin(None, task, self.examples[task][picture](), settings), task, *offers, *controls

    @in_one_sentence
    def turn_to(self, before: View | None, task: str, *settings: Any) -> tuple[Any, ...]:
        """Another task: its own examples and variants."""
        one_of("task", task, self.benches)
        picture = next(iter(self.examples[task]))
        asked = Settings(*settings)._replace(variants=None)
        return *self._begin(before, task, self.examples[task][picture](), asked), *self._offers(task, self.variants(task), picture)

    def _offers(self, task: str, variants: Sequence[str] | None, picture: str) -> tuple[Any, Any]:
        examples = gr.update(choices=list(self.examples[task]), value=picture)
        return gr.update(choices=self.variants(task), value=list(variants or ())), examples

    @in_one_sentence
    def choose(self, before: View | None, task: str, name: str, *settings: Any) -> Drawn:
        """An example picture."""
        one_of("task", task, self.benches)
        one_of("example", name, self.examples[task])
        return self._begin(before, task, self.examples[task][name](), Settings(*settings))

    @in_one_sentence
    def upload(self, before: View | None, task: str, path: str, *settings: Any) -> tuple[Any, ...]:
        """A visitor's picture; no example is chosen any more."""
        return *self._begin(before, task, pictures.read_upload(Path(path)), Settings(*settings)), None

    @in_one_sentence
    def snap(self, before: View | None, task: str, shot: str | None, *settings: Any) -> tuple[Any, ...]:
        """What a visitor's camera saw, which comes as a text and so never is a file that others could ask for."""
        if shot is None:  # the visitor thought better of it
            return gr.skip()
        if not str(shot).startswith("data:image/"):
            raise UsageError(f"The browser gave no picture of a camera ({str(shot)[:80]}); allow it there, or upload a picture.")
        return *self._begin(before, task, pictures.from_text(shot, "The camera's picture"), Settings(*settings)), None

    @in_one_sentence
    def turn(self, before: View | None, *settings: Any) -> Drawn:
        """The same picture under another mode, by other variants, or with another anchoring."""
        view = _there(before)
        return self._begin(view, view.task, view.picture, Settings(*settings))

    def _begin(self, before: View | None, task: str, picture: pictures.images.Picture, settings: Settings) -> Drawn:
        one_of("task", task, self.benches)
        bench = self.benches[task]
        settings.checked(bench.networks)
        same = before is not None and before.picture is picture and before.task == task
        picture = picture if same else pictures.middle(picture)
        seen = before.scene.pixels if same else pictures.seen_by(bench.networks[0], picture)
        scene = bench.begin(seen, settings.mode, settings.anchor, settings.chosen(bench.networks), before and before.scene)
        view = self._moved(View(task, picture, scene, settings.move, (seen, seen), ()), settings.move)
        return view, panels.sight(view), panels.columns(view, settings.gain or 1), panels.mode_words(view), ""

    # The same scene, moved

    @in_one_sentence
    def move(self, before: View | None, dx: float, dy: float, gain: float) -> tuple[View, str, str, str]:
        """Another shift of the same picture."""
        view = _there(before)
        settings = Settings(dx=dx, dy=dy, gain=gain).checked(())
        view.scene.turns.end("drift")
        view = self._moved(view, settings.move)
        return view, panels.sight(view), panels.columns(view, settings.gain or 1), panels.mode_words(view)

    @in_one_sentence
    def amplify(self, view: View | None, gain: float) -> tuple[str, str]:
        """The same differences, times another gain; nothing is asked again. What drifts stops, and lies where it was."""
        view, settings = _there(view), Settings(gain=gain).checked(())
        view.scene.turns.end("drift")
        return panels.sight(view), panels.columns(view, settings.gain or 1)

    def _moved(self, view: View, move: Move) -> View:
        bench = self.benches[view.task]
        return replace(view, move=move, frames=bench.frames(view.scene, move), results=bench.move(view.scene, move))

    # What goes on for a while

    def curve(self, view: View | None) -> Iterator[tuple[str, str]]:
        """The plot and the table, a line more with every network."""
        if view is None:
            return
        for curves in measures.curves(self.benches[view.task], view.scene, view.scene.turns.begin("curve")):
            yield plots.plot(curves, view.scene), plots.table(curves, view.scene)

    @streamed
    def grid(self, view: View | None, reach: int) -> Iterator[str]:
        """The map over every shift of a square, row by row."""
        scene = _there(view).scene
        one_of("reach", reach, measures.REACHES)
        for grids in measures.grids(self.benches[view.task], scene, reach, scene.turns.begin("grid")):
            yield plots.heat_maps(grids, scene)

    @streamed
    def drift(self, view: View | None, turn: Event | None, step: str, gain: float) -> Iterator[tuple[str, str]]:
        """The picture drifts along a closed path; every step as it comes, then the whole lap as a film that goes on.

        Nothing comes of a turn that was never begun, has been ended, or has had its lap.
        """
        view, lap = _there(view), []
        one_of("step", step, film.STEPS)
        settings = Settings(gain=gain).checked(())
        if turn is None:
            return
        for move in film.path(film.STEPS[step]):
            lap.append(view := self._moved(view, move))
            if turn.is_set():
                return
            yield panels.sight(view), panels.columns(view, settings.gain or 1)
        if not turn.is_set():
            turn.set()
            yield film.sight(lap), film.columns(lap, settings.gain or 1)


def begin_drift(view: View | None) -> Event | None:
    """Ends what is playing, at once; the turn of what is to play."""
    return None if view is None else view.scene.turns.begin("drift")


def end_map(view: View | None) -> None:
    """Ends the map that is being drawn."""
    if view is not None:
        view.scene.turns.end("grid")


def _there(view: View | None) -> View:
    """The state of a page left open for hours is dropped."""
    if view is None:
        raise UsageError("This page was left alone for too long and its picture is gone; choose a picture again.")
    return view
