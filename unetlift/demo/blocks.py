"""The shell of the page: its title, its tabs, its queue."""

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from unetlift.demo import batch, compare, detail, pictures, shift, yours
from unetlift.demo.examples import examples

TITLE = "Does the answer hold still when the picture moves?"
TABS = {"shift": ("Shift", shift), "detail": ("Detail", detail), "yours": ("Measure yours", yours), "batch": ("Batch", batch)}


def build(checkpoints: Path) -> gr.Blocks:
    """The page over every model folder below `checkpoints`.

    Raises:
        UsageError: there are none.
        ModelFolderError: one cannot be loaded.
    """
    networks, shown = compare.find(Path(checkpoints)), examples()
    compare.Bench(networks).warm(pictures.SIDE)
    # Uploads are removed once read; delete_cache removes what an interrupted visit leaves behind.
    with gr.Blocks(title=f"unetlift: {TITLE}", analytics_enabled=False, delete_cache=(600, 3600), fill_width=True) as blocks:
        gr.HTML(f"<h1>{TITLE}</h1>", elem_id="title")
        with gr.Tabs(elem_id="tabs") as tabs:
            for name, (label, module) in TABS.items():
                with gr.Tab(label, id=name, elem_id=name):
                    module.tab(networks, shown)
        blocks.load(_open_tab, None, [tabs], api_visibility="private", show_progress="hidden")
    # Beyond max_size a visitor is asked to come back; api_open=False leaves nobody past the queue.
    return blocks.queue(max_size=32, default_concurrency_limit=1, api_open=False)


def _open_tab(request: gr.Request) -> Any:
    """The tab that the page's address asks for."""
    name = request.query_params.get("tab", "shift")
    if name in TABS:
        return gr.update(selected=name)
    gr.Warning(f"The address asks for tab={escape(repr(name[:40]), quote=False)}, which this page does not have; it shows the first one.")
    return gr.skip()
