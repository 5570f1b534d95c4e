"""The first tab for programs: named endpoints that take plain arguments, keep nothing and answer with figures."""

from typing import Any

import gradio as gr

from unetlift.demo import measures, pictures
from unetlift.demo.compare import MARGIN, Bench, Scene, Turns
from unetlift.demo.errors import in_one_sentence
from unetlift.demo.settings import Settings
from unetlift.demo.visit import Page
from unetlift.errors import UsageError, one_of
from unetlift.stability import CEILING

Figures = dict[str, Any]


class Endpoints:
    """What may be asked by name; every argument is checked.

    Everywhere `picture` is an example's name, or a picture file as base64; neither a path nor an address is ever followed. `mode` is
    crop or roll, `variants` a list of names (by default all), `anchor` none, landmark or both, `task` by default the first.
    """

    def __init__(self, page: Page):
        self.page = page

    def shift(
        self, picture: str, mode: str = "crop", dx: float = 1, dy: float = 1, variants: list[str] | None = None,
        anchor: str = "none", task: str | None = None,
    ) -> Figures:  # fmt: skip
        """Moves a picture by (dy, dx) pixels, in eighths, and compares every variant's answers before and after.

        Args:
            picture: an example's name, or a picture file as base64.
            mode: crop or roll.
            dx: to the right, -16 to 16.
            dy: down, -16 to 16.
            variants: names; by default all.
            anchor: none, landmark or both.
            task: by default the first.

        Returns:
            The conditions, and for each variant psnr (dB), agreement (0 to 1) and milliseconds.
        """
        bench, scene, settings = self._scene(picture, Settings(mode, dx, dy, variants, anchor), task)
        found = []
        for network, anchored in scene.asked:
            moved = bench.compared(scene, network, anchored, settings.move)
            agreement = moved.comparison.agreement() if network.predictor.info.answers == "labels" else None
            figures = {"psnr": moved.comparison.psnr(), "agreement": agreement, "milliseconds": 1000 * moved.seconds}
            found.append({"variant": network.name, "anchored": anchored, **figures})
        return _conditions(scene) | {"dx": settings.move.dx, "dy": settings.move.dy, "figures": found}

    def curve(
        self, picture: str, mode: str = "crop", variants: list[str] | None = None, anchor: str = "none", task: str | None = None
    ) -> Figures:
        """Moves a picture by 1 to 8 pixels along the diagonal.

        Args:
            picture: an example's name, or a picture file as base64.
            mode: crop or roll.
            variants: names; by default all.
            anchor: none, landmark or both.
            task: by default the first.

        Returns:
            The conditions, distances, and for each variant psnr (dB, one a distance), mean, worst, agreement, milliseconds, parameters.
        """
        bench, scene, _ = self._scene(picture, Settings(mode, variants=variants, anchor=anchor), task)
        *_, curves = measures.curves(bench, scene, Turns().begin("curve"))
        found = [
            {
                "variant": name, "anchored": anchored, "psnr": list(curve.psnr.values()), "mean": curve.mean, "worst": curve.worst,
                "agreement": curve.agreement, "milliseconds": 1000 * curve.seconds, "parameters": curve.parameters,
            }
            for (name, anchored), curve in curves.items()
        ]  # fmt: skip
        return _conditions(scene) | {"distances": list(measures.DISTANCES), "figures": found}

    def grid(
        self, picture: str, mode: str = "crop", variants: list[str] | None = None, anchor: str = "none", reach: int = 4,
        task: str | None = None,
    ) -> Figures:  # fmt: skip
        """Moves a picture by every shift of a square.

        Args:
            picture: an example's name, or a picture file as base64.
            mode: crop or roll.
            variants: names; by default all.
            anchor: none, landmark or both.
            reach: 4 or 8 pixels in every direction.
            task: by default the first.

        Returns:
            The conditions, shifts (of the rows, which move down, and of the columns, which move right), and for each variant
            psnr (dB, rows of numbers; not moved at all it is 160) and its minimum, mean and maximum over the other shifts.
        """
        one_of("reach", reach, measures.REACHES)
        bench, scene, _ = self._scene(picture, Settings(mode, variants=variants, anchor=anchor), task)
        *_, grids = measures.grids(bench, scene, reach, Turns().begin("grid"))
        found = []
        for (name, anchored), values in grids.items():
            moved = measures.moved(values)
            summary = {"minimum": moved.min(), "mean": moved.mean(), "maximum": moved.max()}
            psnr = [[float(value) for value in row] for row in values]
            found.append({"variant": name, "anchored": anchored, "psnr": psnr} | {key: float(value) for key, value in summary.items()})
        return _conditions(scene) | {"shifts": list(range(-reach, reach + 1)), "figures": found}

    def _scene(self, picture: Any, settings: Settings, task: Any) -> tuple[Bench, Scene, Settings]:
        """Everything checked, and the answers before anything moves."""
        task = next(iter(self.page.benches)) if task is None else task
        one_of("task", task, self.page.benches)
        bench, examples = self.page.benches[task], self.page.examples[task]
        settings.checked(bench.networks)
        if not isinstance(picture, str):
            raise UsageError("picture is neither an example's name nor a picture file as base64; it is a text.")
        if not settings.chosen(bench.networks):
            raise UsageError("variants is empty; name at least one, or leave it out for all.")
        pixels = examples[picture]() if picture in examples else pictures.from_text(picture)
        seen = pictures.seen_by(bench.networks[0], pixels)
        return bench, bench.begin(seen, settings.mode, settings.anchor, settings.chosen(bench.networks)), settings


def _conditions(scene: Scene) -> Figures:
    return {"mode": scene.mode, "margin": 0 if scene.mode == "roll" else MARGIN, "range": 1.0, "ceiling": CEILING}


def publish(page: Page) -> None:
    """Names the endpoints inside the page that is being built; they share the turns of what visitors ask."""
    endpoints = Endpoints(page)
    for function, turns in ((endpoints.shift, "shift"), (endpoints.curve, "curve"), (endpoints.grid, "grid")):
        gr.api(in_one_sentence(function), api_name=turns, concurrency_id=turns, concurrency_limit=1)
