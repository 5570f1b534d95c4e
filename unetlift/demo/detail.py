"""The tab Detail: a picture or a feature map, its sub-bands, and what every up-sampling gives back of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import gradio as gr
from gradio.context import Context

from unetlift.demo.bands import MOST_LEVELS
from unetlift.demo.detail_events import GRIDS, LIFTINGS, Page
from unetlift.demo.detail_views import GAINS, ZOOMS, Look
from unetlift.demo.networks import Network
from unetlift.demo.sources import PICTURE
from unetlift.images import SUFFIXES, Picture
from unetlift.pools.lift import BANDS

__all__ = ["CSS", "tab"]

INTRODUCTION = """
<div class="detail-words"><h2>What pooling takes away, and what gives it back</h2>
<p>Halving a map by max pooling throws three of four numbers away, and no up-sampling can bring them back. <b>Lifting</b> takes the map
apart instead, into four sub-bands of half the size; put together again they <b>are</b> the map. Mute some of them, and see what each
is worth.</p></div>
"""
KEY = """
<ul class="detail-words">
<li><b>large figure</b>: how near what is given back is to the source (PSNR; higher is nearer, and exact is no difference at all).
Its R is 1 for pictures, and for features their largest value less their smallest.</li>
<li><b>grid moved</b>: PSNR between this and what is given back from a grid that lies one pixel aside along both axes. What pooling
drops depends on where its grid happens to lie: a low figure is what makes networks' answers jump when a picture moves.</li>
<li><b>numbers kept</b>: what the way up is given, beside the positions of the maxima. All four bands are as many numbers as the source:
lifting does not compress, it loses nothing.</li>
</ul>
"""


# Gradio rewrites style sheets in a way that loses shorthands with variables in them, so borders are written out.
CSS = """
.detail-words, .detail-top, .detail-card { --detail-soft: color-mix(in srgb, var(--body-text-color) 76%, var(--body-background-fill)); }
.detail-words, .detail-words li { font-size: 13px; line-height: 1.45; color: var(--detail-soft); }
.detail-words h2 { font-size: 18px; line-height: 1.3; margin: 0 0 2px; }
.detail-words b { color: var(--body-text-color); font-weight: 600; }
ul.detail-words { margin: 4px 0 0; padding: 0 !important; }
ul.detail-words li { list-style: none; margin: 0 0 4px !important; padding: 0; max-width: 900px; font-size: 12.5px; }
#detail-side, #detail-look { gap: 10px; }
#detail-side .wrap { gap: 6px; }
#detail-side .wrap label { padding: 4px 9px; }

.detail-top figure, .detail-card figure { margin: 0; min-width: 0; }
.detail-top img, .detail-card img { width: 100%; display: block; background: #000; border-radius: 3px; }
.detail-top figcaption, .detail-card figcaption { font-size: 12px; line-height: 1.35; padding-top: 3px; color: var(--detail-soft); }
.detail-top figcaption b { color: var(--body-text-color); font-weight: 600; }
.detail-top { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) minmax(210px, .78fr); gap: 16px; align-items: start; }
.detail-whole { position: relative; }
.detail-frame { position: absolute; border: 2px solid #fff; outline: 1px solid #000; border-radius: 2px; }
.detail-quad { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 2px; }
.detail-tile { position: relative; min-width: 0; }
.detail-tile span { position: absolute; top: 4px; left: 4px; padding: 0 5px; border-radius: 3px; font-size: 11px; line-height: 1.5;
                    font-weight: 600; color: #fff; background: rgb(0 0 0 / .62); }
.detail-muted img { opacity: .13; }
.detail-muted span, .detail-muted th { text-decoration: line-through; }
table.detail-energy { width: 100%; border-collapse: collapse; font-size: 12.5px; line-height: 1.35; margin: 0; }
table.detail-energy, .detail-energy thead, .detail-energy tr { border-width: 0 !important; }
.detail-energy th, .detail-energy td { text-align: left; padding: 5px 8px 5px 0 !important; vertical-align: baseline; border-style: solid;
  color: var(--body-text-color); border-width: 0 0 1px !important; border-color: var(--border-color-primary) !important; }
.detail-energy caption { caption-side: bottom; text-align: left; padding-top: 6px; font-size: 12px; color: var(--detail-soft); }
.detail-energy thead th { font-weight: 400; color: var(--detail-soft); }
.detail-energy td:last-child, .detail-energy th:last-child { text-align: right; padding-right: 0 !important; white-space: nowrap; }
.detail-energy td:last-child { font-variant-numeric: tabular-nums; font-weight: 600; }
.detail-energy .detail-muted td { opacity: .55; }

#detail-row { display: grid !important; grid-template-columns: calc((100% - 40px) / 5) minmax(0, 1fr); gap: 10px; align-items: stretch; }
#detail-lift > div, #detail-lift .prose, .detail-card, .detail-cards { height: 100%; }
.detail-cards { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 10px; }
.detail-card { border-style: solid; border-width: 5px 1px 1px; border-color: var(--border-color-primary); border-radius: 6px;
               padding: 7px 9px 9px; background: var(--background-fill-primary); display: grid; gap: 5px; align-content: start; }
.detail-card header { min-height: 72px; }
.detail-card h3 { font-size: 15px; line-height: 1.25; margin: 0 0 2px; }
.detail-card p { margin: 0; }
.detail-what { font-size: 12px; line-height: 1.3; color: var(--detail-soft); }
.detail-psnr b { font-size: 34px; line-height: 1.1; font-weight: 700; letter-spacing: -.03em; font-variant-numeric: tabular-nums; }
.detail-psnr small { font-size: 16px; font-weight: 600; letter-spacing: 0; }
.detail-facts { font-size: 12px; line-height: 1.45; color: var(--detail-soft); }
.detail-facts span { color: var(--detail-soft); }
.detail-facts b { color: var(--body-text-color); font-variant-numeric: tabular-nums; }
#detail-lift .detail-card { border-color: var(--color-accent); }
.detail-exact .detail-psnr b { color: #1b7237; }
.dark .detail-exact .detail-psnr b { color: #6fd08c; }

@media (max-width: 1000px) {
  .detail-top { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
  .detail-energy { grid-column: 1 / -1; }
  #detail-row { grid-template-columns: minmax(0, 1fr); }
  .detail-cards { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
  #detail-lift .detail-card { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); column-gap: 10px; }
  #detail-lift header, #detail-lift p { grid-column: 1 / -1; }
  #detail-lift .detail-card header { min-height: 0; }
}
@media (max-width: 640px) {
  .detail-top { grid-template-columns: minmax(0, 1fr); }
  #detail-side { display: contents; }
  #detail-look { order: 2; }
}
"""


class Controls(NamedTuple):
    """What a visitor sets beside the picture, in the order in which `wished` takes it."""

    source: gr.Dropdown
    level: gr.Radio
    channel: gr.Slider
    lifting: gr.Radio
    kept: gr.CheckboxGroup
    levels: gr.Radio
    grid: gr.Radio
    gain: gr.Radio
    zoom: gr.Radio


class Views(NamedTuple):
    """What a visitor sees."""

    top: gr.HTML
    lift: gr.HTML
    others: gr.HTML


def tab(networks: Sequence[Network], examples: Mapping[str, Callable[[], Picture]]) -> None:
    """Lays the tab out inside the current `gr.Tab`, or a page of its own, and wires it.

    Args:
        networks: those that are no `UNet` are left out; none of them is fine.
        examples: readers of pictures by the name that is shown.
    """
    page = Page(networks, examples)
    gr.HTML(INTRODUCTION)
    with gr.Row(equal_height=False):
        with gr.Column(scale=0, min_width=270, elem_id="detail-side"):
            example = gr.Radio(list(examples), value=next(iter(examples)), label="Picture", elem_id="detail-example")
            # A plain file, not gr.Image: that one decodes before anybody can look at the header.
            upload = gr.UploadButton("Upload a picture of your own", file_types=list(SUFFIXES), size="sm", elem_id="detail-upload")
            seen_through = _source_controls(list(page.networks))
            looking = _look_controls()
        with gr.Column(scale=1, min_width=320):
            kept = gr.CheckboxGroup(list(BANDS), value=list(BANDS), label="Sub-bands that go back up", elem_id="detail-bands")
            top = gr.HTML("<p>Taking the picture apart …</p>", elem_id="detail-top")
            with gr.Row(equal_height=False, elem_id="detail-row"):
                lift = gr.HTML(elem_id="detail-lift")
                others = gr.HTML(elem_id="detail-others")
            gr.HTML(KEY)
    controls = Controls(*seen_through, kept, *looking)
    _wire(page, example, upload, controls, Views(top, lift, others))


def _source_controls(names: list[str]) -> tuple[gr.Dropdown, gr.Radio, gr.Slider, gr.Radio]:
    """Level and channel show once a network's features are the source, which also sets what they can be."""
    sources = [("the picture itself", PICTURE), *((f"features of {name}", name) for name in names)]
    return (
        gr.Dropdown(sources, value=PICTURE, label="What is taken apart", filterable=False, elem_id="detail-source"),
        gr.Radio([0], value=0, label="Level of the encoder", visible=False, elem_id="detail-level"),
        gr.Slider(0, 1, 0, step=1, label="Channel", visible=False, elem_id="detail-channel"),
        gr.Radio([(LIFTINGS[key], key) for key in ("haar", "cdf53")], value="haar", label="Lifting", elem_id="detail-lifting"),
    )


def _look_controls() -> tuple[gr.Radio, ...]:
    usual = Look()
    with gr.Column(elem_id="detail-look", min_width=160):
        return (
            gr.Radio(list(range(1, MOST_LEVELS + 1)), value=1, label="Times taken apart", elem_id="detail-levels"),
            gr.Radio(list(GRIDS), value=next(iter(GRIDS)), label="Where the sampling grid begins", elem_id="detail-grid"),
            gr.Radio([(f"x {gain}", gain) for gain in GAINS], value=usual.gain, label="Gain of bands and errors", elem_id="detail-gain"),
            gr.Radio([(f"x {zoom}", zoom) for zoom in ZOOMS], value=usual.zoom, label="Zoom of what is given back", elem_id="detail-zoom"),
        )


def _wire(page: Page, example: gr.Radio, upload: gr.UploadButton, controls: Controls, views: Views) -> None:
    seen = gr.State(None, time_to_live=3600)
    drawn = [seen, *views]
    # `private` is a courtesy, not a lock: every event checks its arguments. One id means one computation at a time.
    calm = {"api_visibility": "private", "concurrency_id": "detail", "concurrency_limit": 1, "show_progress": "hidden"}
    last = calm | {"trigger_mode": "always_last"}  # of quick changes only the latest waits
    here = Context.block  # inside the app's tab the first picture waits until somebody looks
    opened = here.select if isinstance(here, gr.Tab) else Context.root_block.load
    opened(page.open, [seen, example, *controls], drawn, api_name="detail_open", **calm)
    example.input(page.choose, [example, *controls], drawn, api_name="detail_choose", **last)
    upload.upload(page.upload, [upload, *controls], [*drawn, example], api_name="detail_upload", **calm)
    turned = [controls.level, controls.channel, controls.lifting, *views]
    # A dropdown's `input` comes twice for one choice.
    gr.on([controls.source.change, controls.level.input], page.turn, [seen, *controls], turned, api_name="detail_turn", **last)
    seen_otherwise = [controls.channel.input, *(control.input for control in (controls.lifting, *controls[5:]))]
    gr.on(seen_otherwise, page.draw, [seen, *controls], list(views), api_name="detail_draw", **last)
    controls.kept.input(page.mute, [seen, *controls], [views.top, views.lift], api_name="detail_mute", **last)
    gr.api(page.detail, api_name="detail", concurrency_id="detail", concurrency_limit=1)
