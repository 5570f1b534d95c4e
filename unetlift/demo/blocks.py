"""Layout and wiring of the page; what is computed lies in compare.py, what is drawn in panels.py."""

from collections.abc import Callable, Iterator
from functools import wraps
from html import escape
from itertools import repeat
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

import gradio as gr

from unetlift.demo import compare, panels
from unetlift.demo.compare import Scene
from unetlift.demo.examples import examples
from unetlift.errors import UnetliftError, UsageError, one_of
from unetlift.images import SUFFIXES, Picture
from unetlift.shifts import Shift

Arguments, Answer = ParamSpec("Arguments"), TypeVar("Answer")

TITLE = "Does the answer hold still when the picture moves?"
INTRODUCTION = f"""
<h1>{TITLE}</h1>
<p>Move a picture by one pixel, and a network should give the same answer, one pixel further. Most do not: pooling drops pixels, and
which ones depends on where the picture happens to lie. The large figure says how well both answers match (shift PSNR:
<b>higher is steadier</b>); the dark picture below it shows where they do not: <b>black is no change</b>.</p>
"""
KEY = f"""
<ul class="key">
<li><span class="word exact">exact</span> float32 sees no difference</li>
<li><span class="word steady">steady</span> 50 dB and more</li>
<li><span class="word wobbles">wobbles</span> 40 to 50 dB</li>
<li><span class="word jumps">jumps</span> below 40 dB</li>
<li><b>% agree</b> pixels whose label stays</li>
</ul>
<p class="key">Steady is not yet right: look at the answers too. Figures are computed on the networks' own probabilities, not on
the pictures shown. Of pictures larger than {compare.SIDE} x {compare.SIDE} pixels the middle is taken.</p>
"""
CURVE = "<h2>At every distance: shift PSNR against the shift</h2>"
MODES = [("crop: a camera moves", "crop"), ("roll: wraps around", "roll")]

Drawn = tuple[Scene, str, str, str]
"""A scene, the picture before and after, the columns, what the mode does."""


def in_one_sentence(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Shows what is wrong with a visitor's picture as one sentence; anything else stays a bug with a traceback in the log."""

    @wraps(function)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        try:
            return function(*args, **kwargs)
        except UnetliftError as error:
            # Gradio draws messages as HTML, and a file's name is its owner's to choose.
            raise gr.Error(escape(str(error), quote=False), title="That did not work", print_exception=False) from error

    return wrapped


class Page:
    """What the page's events call; everything of a visitor comes in as an argument and goes out as an answer."""

    def __init__(self, bench: compare.Bench):
        self.bench = bench
        self.examples = examples()

    @in_one_sentence
    def choose(self, before: Scene | None, name: str, mode: str, dx: float, dy: float, anchor: bool = False) -> Drawn:
        """An example picture."""
        one_of("example", name, self.examples)
        return self._begin(before, self.examples[name](), mode, dx, dy, anchor)

    @in_one_sentence
    def upload(
        self, before: Scene | None, path: str, mode: str, dx: float, dy: float, anchor: bool = False
    ) -> tuple[Scene, str, str, str, None]:
        """A visitor's picture; no example is chosen any more."""
        return *self._begin(before, compare.read_upload(Path(path)), mode, dx, dy, anchor), None

    @in_one_sentence
    def turn(self, before: Scene | None, mode: str, dx: float, dy: float, anchor: bool = False) -> Drawn:
        """The same picture under another mode, or with another anchoring."""
        return self._begin(before, _there(before).pixels, mode, dx, dy, anchor)

    @in_one_sentence
    def move(self, scene: Scene | None, dx: float, dy: float) -> tuple[str, str]:
        """Another shift of the same picture."""
        return self._draw(_there(scene), dx, dy)

    def curve(self, scene: Scene | None) -> Iterator[str]:
        """The plot, a line more with every network."""
        if scene is None:
            return
        names = [network.name for network in self.bench.networks]
        without = self.bench.curves(scene.without) if scene.without else repeat({})
        for curves, others in zip(self.bench.curves(scene), without, strict=False):
            yield panels.plot(curves, names, scene.mode, others)

    def _begin(self, before: Scene | None, picture: Picture, mode: str, dx: float, dy: float, anchor: bool) -> Drawn:
        scene = self.bench.begin(picture, mode, bool(anchor))  # from a stranger it may be anything
        if before is not None:
            before.left.set()
        return scene, *self._draw(scene, dx, dy), panels.mode_words(mode, self.bench.networks, scene.anchored)

    def _draw(self, scene: Scene, dx: float, dy: float) -> tuple[str, str]:
        shift = Shift(round(dy or 0), round(dx or 0))  # an emptied number box sends nothing
        still, moved = self.bench.frames(scene, shift)
        results = self.bench.move(scene, shift)
        sight = panels.sight(still, moved, shift, scene.anchorings, [result.anchoring for result in results])
        return sight, panels.columns(results, still, shift)


def _there(scene: Scene | None) -> Scene:
    """The state of a page left open for hours is dropped."""
    if scene is None:
        raise UsageError("This page was left alone for too long and its picture is gone; choose a picture again.")
    return scene


class Controls(NamedTuple):
    """What a visitor sets."""

    example: gr.Radio
    upload: gr.UploadButton
    mode: gr.Radio
    dx: gr.Slider
    dy: gr.Slider
    anchor: gr.Checkbox


class Views(NamedTuple):
    """What a visitor sees."""

    sight: gr.HTML
    about_mode: gr.HTML
    columns: gr.HTML
    plot: gr.HTML


def build(checkpoints: Path) -> gr.Blocks:
    """The page over every model folder below `checkpoints`.

    Raises:
        UsageError: there are none.
        ModelFolderError: one cannot be loaded.
    """
    page = Page(compare.Bench(compare.find(Path(checkpoints))))
    # Uploads are removed once read; delete_cache removes what an interrupted visit leaves behind.
    with gr.Blocks(title=f"unetlift: {TITLE}", analytics_enabled=False, delete_cache=(600, 3600), fill_width=True) as blocks:
        gr.HTML(INTRODUCTION, elem_id="title")
        with gr.Row(equal_height=False):
            with gr.Column(scale=0, min_width=250, elem_id="side"):
                sight = gr.HTML(elem_id="sight")
                controls = _controls(list(page.examples))
                gr.HTML(KEY)
            with gr.Column(scale=1, min_width=640):
                views = _views(sight)
        _wire(page, blocks, controls, views)
    # Beyond max_size a visitor is asked to come back; api_open=False leaves events to the page itself.
    return blocks.queue(max_size=32, default_concurrency_limit=1, api_open=False)


def _controls(names: list[str]) -> Controls:
    return Controls(
        gr.Radio(names, value=names[0], label="Picture", elem_id="example"),
        # A plain file, not gr.Image: that one decodes before anybody can look at the header, and turns 16 bit white.
        gr.UploadButton("Upload a picture of your own", file_types=list(SUFFIXES), size="sm", elem_id="upload"),
        gr.Radio(MODES, value="crop", label="How it moves", elem_id="mode"),
        gr.Slider(-compare.REACH, compare.REACH, 1, step=1, label="dx, right", elem_id="dx"),
        gr.Slider(-compare.REACH, compare.REACH, 1, step=1, label="dy, down", elem_id="dy"),
        gr.Checkbox(False, label="Tie the grid to a landmark of the picture (anchoring)", elem_id="anchor"),
    )


def _views(sight: gr.HTML) -> Views:
    about_mode = gr.HTML(elem_id="mode-words")
    columns = gr.HTML("<p>Asking the networks …</p>", elem_id="columns")
    with gr.Column(elem_id="curve"):
        gr.HTML(CURVE)
        plot = gr.HTML(elem_id="plot")
    return Views(sight, about_mode, columns, plot)


def _wire(page: Page, blocks: gr.Blocks, controls: Controls, views: Views) -> None:
    """Sliders ask for ten passes of the networks; a new picture or mode asks for the curve too, which takes some fifty."""
    scene = gr.State(None, time_to_live=3600)
    example, upload, mode, *moving = controls
    dx, dy, anchor = moving
    drawn = [scene, views.sight, views.columns, views.about_mode]
    # `private` is a courtesy, not a lock: every event checks its arguments. One id means one computation at a time.
    calm = {"api_visibility": "private", "concurrency_id": "shift", "concurrency_limit": 1, "show_progress": "minimal"}
    calm |= {"show_progress_on": [views.columns]}
    begins = [
        blocks.load(page.choose, [scene, example, mode, *moving], drawn, **calm),
        example.input(page.choose, [scene, example, mode, *moving], drawn, trigger_mode="always_last", **calm),
        upload.upload(page.upload, [scene, upload, mode, *moving], [*drawn, example], **calm),
        gr.on([mode.input, anchor.input], page.turn, [scene, mode, *moving], drawn, trigger_mode="always_last", **calm),
    ]
    slow = {"api_visibility": "private", "concurrency_id": "curve", "concurrency_limit": 1, "show_progress": "hidden"}
    slow |= {"trigger_mode": "always_last"}  # by itself Gradio forgets what is asked for while the last curve is still drawn
    for begin in begins:
        begin.success(page.curve, [scene], [views.plot], **slow)
    # While a slider is dragged only the latest place waits, so the page never runs behind.
    gr.on(
        [dx.change, dy.change],
        page.move,
        [scene, dx, dy],
        [views.sight, views.columns],
        trigger_mode="always_last",
        **(calm | {"show_progress": "hidden"}),
    )
