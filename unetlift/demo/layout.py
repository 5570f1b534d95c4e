"""What stands where on the first tab."""

from typing import NamedTuple

import gradio as gr

from unetlift.demo import film, measures, pictures, visit
from unetlift.demo.compare import EIGHTH, REACH
from unetlift.demo.settings import RANGES
from unetlift.images import SUFFIXES

INTRODUCTION = """
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
<p class="key">Steady is not yet right: look at the answers too. Figures are computed on the networks' own outputs, not on
the pictures shown. Of pictures larger than {pictures.SIDE} x {pictures.SIDE} pixels the middle is taken.</p>
"""
CURVE = "<h2>At every distance: shift PSNR against the shift</h2>"
MAP = "<h2>In every direction: shift PSNR for every shift of a square</h2>"
MODES = [("crop: a camera moves", "crop"), ("roll: wraps around", "roll")]
ANCHORS = [("corner", "none"), ("landmark", "landmark"), ("both", "both")]


class Controls(NamedTuple):
    """What a visitor sets; the last ones are what `settings.Settings` has."""

    task: gr.Radio
    example: gr.Radio
    upload: gr.UploadButton
    camera: gr.Button
    shot: gr.HTML
    mode: gr.Radio
    dx: gr.Slider
    dy: gr.Slider
    variants: gr.CheckboxGroup
    anchor: gr.Radio
    gain: gr.Slider

    @property
    def settings(self) -> list[gr.components.Component]:
        """In the order of `Settings`."""
        return list(self[5:])


class Drift(NamedTuple):
    """Of the flicker."""

    step: gr.Radio
    play: gr.Button
    stop: gr.Button
    turn: gr.State


class Views(NamedTuple):
    """What a visitor looks at, as the server knows it and as it is shown."""

    view: gr.State
    sight: gr.HTML
    columns: gr.HTML
    about_mode: gr.HTML
    maps: gr.HTML
    plot: gr.HTML
    table: gr.HTML


class Mapping(NamedTuple):
    """Of the map."""

    reach: gr.Radio
    draw: gr.Button
    stop: gr.Button


def source(page: visit.Page) -> tuple[gr.components.Component, ...]:
    """Where the picture comes from, and what is done to it."""
    tasks = list(page.benches)
    task = gr.Radio(tasks, value=tasks[0], label="Task", elem_id="task")
    names = list(page.examples[tasks[0]])
    example = gr.Radio(names, value=names[0] if names else None, label="Picture", elem_id="example")
    with gr.Row(elem_id="own"):
        # A plain file, not gr.Image: that one decodes before anybody can look at the header, and turns 16 bit white.
        upload = gr.UploadButton("Upload a picture", file_types=list(SUFFIXES), size="sm", elem_id="upload", min_width=80)
        camera = gr.Button("Use the camera", size="sm", elem_id="camera", min_width=80)
    shot = gr.HTML(visible="hidden")
    return task, example, upload, camera, shot


def moving() -> tuple[gr.components.Component, ...]:
    """How it moves, and how far."""
    return (
        gr.Radio(MODES, value="crop", label="How it moves", elem_id="mode"),
        gr.Slider(-REACH, REACH, 1, step=1 / EIGHTH, label="dx, right", elem_id="dx"),
        gr.Slider(-REACH, REACH, 1, step=1 / EIGHTH, label="dy, down", elem_id="dy"),
    )


def drift() -> Drift:
    """Lets it move on."""
    steps = list(film.STEPS)
    with gr.Column(elem_id="drift"):
        step = gr.Radio(steps, value=steps[0], label="Let it drift and see the flicker, step by", elem_id="step")
        with gr.Row():
            play = gr.Button("▶ Play", size="sm", elem_id="play", min_width=60)
            stop = gr.Button("■ Stop", size="sm", elem_id="stop", min_width=60)
    return Drift(step, play, stop, gr.State(None, time_to_live=3600))


def choices(page: visit.Page) -> tuple[gr.components.Component, ...]:
    """Who is asked, and how differences are shown."""
    names = page.variants(next(iter(page.benches)))
    with gr.Row(elem_id="choices"):
        variants = gr.CheckboxGroup(names, value=names, label="Variants", elem_id="variants", scale=5, min_width=250)
        anchor = gr.Radio(ANCHORS, value="none", label="Grid tied to the picture's", elem_id="anchor", scale=4, min_width=240)
        gain = gr.Slider(*RANGES["gain"], 10, step=1, label="Gain", elem_id="gain", scale=2, min_width=170)
    return variants, anchor, gain


def views(sight: gr.HTML) -> tuple[Views, Mapping]:
    """What the networks say, from the answers to one move down to the map of all."""
    about_mode = gr.HTML(elem_id="mode-words")
    columns = gr.HTML("<p>Asking the networks …</p>", elem_id="columns")
    with gr.Column(elem_id="curve"):
        gr.HTML(CURVE)
        plot = gr.HTML(elem_id="plot")
        table = gr.HTML(elem_id="table")
    with gr.Column(elem_id="map"):
        gr.HTML(MAP)
        with gr.Row(elem_id="map-controls"):
            reaches, said = list(measures.REACHES), "Pixels in every direction"
            reach = gr.Radio(reaches, value=reaches[0], label=said, elem_id="reach", scale=0, min_width=210)
            draw = gr.Button("Draw the map", size="sm", elem_id="draw", scale=0, min_width=130)
            stop = gr.Button("■ Stop", size="sm", elem_id="stop-map", scale=0, min_width=80)
        maps = gr.HTML(elem_id="maps")
    return Views(gr.State(None, time_to_live=3600), sight, columns, about_mode, maps, plot, table), Mapping(reach, draw, stop)
