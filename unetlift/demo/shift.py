"""The first tab: a picture moves, and how still every variant's answer holds."""

from collections.abc import Sequence

import gradio as gr

from unetlift.demo import endpoints, layout, pictures, script, visit
from unetlift.demo.layout import Controls, Drift, Mapping, Views
from unetlift.demo.networks import Network

# `private` is a courtesy, not a lock: every event checks its arguments.
PRIVATE = {"api_visibility": "private"}
AT_ONCE = PRIVATE | {"queue": False, "show_progress": "hidden"}
SLOW = PRIVATE | {"concurrency_limit": 1, "show_progress": "hidden"}
KEPT = ("task", "picture", "mode", "dx", "dy", "variants", "anchor", "gain")


def tab(networks: Sequence[Network], examples: pictures.Examples) -> None:
    """Lays out and wires the tab inside the page that is being built."""
    page = visit.Page(networks, examples)
    gr.HTML(layout.INTRODUCTION, elem_classes="introduction")
    with gr.Row(equal_height=False):
        with gr.Column(scale=0, min_width=250, elem_id="side"):
            sight = gr.HTML(elem_id="sight")
            source, moving, drift = layout.source(page), layout.moving(), layout.drift()
            gr.HTML(layout.KEY, elem_id="key")
        with gr.Column(scale=1, min_width=300, elem_id="stage"):
            choices = layout.choices(page)
            views, mapping = layout.views(sight)
    controls = Controls(*source, *moving, *choices)
    endpoints.publish(page)  # first, for their names: events of the page that are called alike get a number
    _wire_scene(page, controls, views)
    _wire_moves(page, controls, views)
    _wire_drift(page, controls, views, drift)
    _wire_map(page, views, mapping)
    kept = [controls.task, controls.example, *controls.settings]
    gr.on([control.change for control in kept], None, kept, None, js=script.keeping(KEPT), **PRIVATE)


def _wire_scene(page: visit.Page, controls: Controls, views: Views) -> None:
    """A new picture, task or mode asks for the curve too, which takes some fifty passes of the networks."""
    drawn = [views.view, views.sight, views.columns, views.about_mode, views.maps]
    # One id means one computation at a time; of clicks that come meanwhile the last one counts.
    calm = PRIVATE | {"concurrency_id": "shift", "concurrency_limit": 1, "trigger_mode": "always_last"}
    calm |= {"show_progress": "minimal", "show_progress_on": [views.columns]}
    task, example, settings = controls.task, controls.example, controls.settings
    begins = [
        gr.on(None, page.arrive, None, [*drawn, task, *_offered(controls), *_set(controls)], **calm),
        task.input(page.turn_to, [views.view, task, *settings], [*drawn, *_offered(controls)], **calm),
        example.input(page.choose, [views.view, task, example, *settings], drawn, **calm),
        controls.upload.upload(page.upload, [views.view, task, controls.upload, *settings], [*drawn, example], **calm),
        controls.camera.click(page.snap, [views.view, task, controls.shot, *settings], [*drawn, example], js=script.SNAP, **calm),
        gr.on([controls.mode.input, controls.anchor.input, controls.variants.input], page.turn, [views.view, *settings], drawn, **calm),
    ]
    for begin in begins:  # by itself Gradio forgets what is asked for while the last curve is still drawn
        begin.success(page.curve, [views.view], [views.plot, views.table], trigger_mode="always_last", concurrency_id="curve", **SLOW)


def _offered(controls: Controls) -> list[gr.components.Component]:
    """What depends on the task."""
    return [controls.variants, controls.example]


def _set(controls: Controls) -> list[gr.components.Component]:
    """What else an address may say."""
    return [controls.mode, controls.dx, controls.dy, controls.anchor, controls.gain]


def _wire_moves(page: visit.Page, controls: Controls, views: Views) -> None:
    """While a slider is dragged only the latest place waits, so the page never runs behind."""
    calm = PRIVATE | {"trigger_mode": "always_last", "show_progress": "hidden"}
    moved = [views.view, views.sight, views.columns, views.about_mode]
    gr.on(
        [controls.dx.change, controls.dy.change],
        page.move,
        [views.view, controls.dx, controls.dy, controls.gain],
        moved,
        concurrency_id="shift",
        concurrency_limit=1,
        **calm,
    )
    controls.gain.change(page.amplify, [views.view, controls.gain], [views.sight, views.columns], **calm)


def _wire_drift(page: visit.Page, controls: Controls, views: Views, drift: Drift) -> None:
    """Whoever plays again, or stops, ends what is playing first, past the queue.

    The turn begins with the click: what ends it before the drift itself is asked for, which the page does next, has ended it.
    """
    shown, asked = [views.sight, views.columns], [views.view, drift.turn, drift.step, controls.gain]
    drift.play.click(visit.begin_drift, [views.view], [drift.turn], **AT_ONCE).then(
        page.drift, asked, shown, trigger_mode="multiple", concurrency_id="drift", **SLOW
    )
    drift.stop.click(page.amplify, [views.view, controls.gain], shown, **AT_ONCE)


def _wire_map(page: visit.Page, views: Views, mapping: Mapping) -> None:
    """The same for the map."""
    mapping.draw.click(visit.end_map, [views.view], None, **AT_ONCE).then(
        page.grid, [views.view, mapping.reach], [views.maps], trigger_mode="multiple", concurrency_id="grid", **SLOW
    )
    mapping.stop.click(visit.end_map, [views.view], None, **AT_ONCE)
