"""The tab that answers many pictures at once: chosen, sent, answered by one network, and handed back as one archive."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from unetlift import images
from unetlift.batch.manifest import DONE, Record
from unetlift.demo import events, panels, told
from unetlift.demo.answering import FOLDERS, MOST_PIXELS, Batch, check, safe_names
from unetlift.demo.errors import in_one_sentence
from unetlift.demo.networks import Network
from unetlift.demo.parcel import Turn, Upload, addressed, leave, remove_old, uploads
from unetlift.errors import PictureError, UnetliftError, UsageError, one_of
from unetlift.images import SUFFIXES, Picture

MOST = 20
LARGEST = 20 * 2**20
"""Bytes of one picture."""
SECONDS = 300
"""Of one batch."""
THUMBNAIL = 120
ARCHIVE = "unetlift-answers.zip"

INTRODUCTION = f"""
<div class="batch-words"><h2>Several pictures in, one archive out</h2>
<p>Up to {MOST} pictures of up to {MOST_PIXELS // 10**6} megapixels, twice that in all, go through one network. The archive holds the masks,
the overlays and a table (summary.csv). Your pictures are removed as soon as they are answered; the archive stays for ten minutes, at an
address that nobody can guess. For whole folders there is <code>unetlift predict</code>.</p></div>
"""
NOTHING_YET = '<p class="batch-nothing">No pictures were answered yet.</p>'

CSS = """
.batch-words h2 { font-size: 17px; margin: 2px 0 4px; } .batch-words p { font-size: 13.5px; line-height: 1.45; color: var(--soft); }
.batch-words code { color: var(--body-text-color); }
.batch-nothing { color: var(--soft); padding: 18px 0 !important; }
.gradio-container a.batch-archive { display: inline-block; margin: 8px 0; padding: 8px 16px; border-radius: 6px; font-weight: 600;
  text-decoration: none; color: #fff; background: #0b6a66; }
.gradio-container a.batch-archive:focus-visible { outline: 3px solid #f0a202; outline-offset: 2px; }
.batch-list { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 10px; margin: 8px 0; padding: 0; }
.batch-list li { list-style: none; margin: 0 !important; border-style: solid; border-width: 1px; border-color: var(--line);
  border-radius: 6px; padding: 8px; font-size: 12px; overflow-wrap: anywhere; }
.batch-list img { display: block; margin: 0 0 6px; width: auto; max-width: 100%; height: auto; image-rendering: auto; }
.batch-list .batch-failed { color: #b3261e; } .dark .batch-list .batch-failed { color: #ff8a80; }
@media (max-width: 700px) { .batch-side { flex: 1 1 100% !important; } }
"""

Examples = Mapping[str, Callable[[], Picture]]
Drawn = tuple[str, str, Path | None]
"""The status, the answers, and where the archive is, once it is."""


class Batches:
    """What the tab's events call."""

    def __init__(self, networks: tuple[Network, ...]):
        self.networks = {network.name: network for network in networks}

    @in_one_sentence
    def begin(self, before: Turn | None, archive: Path | None, given: Any) -> tuple[Turn, str, str, None]:
        """Takes pictures in, and ends and removes what the visitor had before."""
        leave(before)
        remove(archive)
        remove_old()
        with uploads(given, MOST) as files:
            turn = Turn()
            try:
                take(files, turn.room)
            except BaseException:
                turn.leave()
                raise
        return turn, told.status(0, len(files), "Waiting for its turn …"), "", None

    def answer(self, turn: Turn | None, network: Any, overlay: Any) -> Iterator[Drawn]:
        """The answers as they come, then the archive; at the end, whatever it is, nothing of the visitor's is left but that."""
        if turn is None or not turn.begin():
            return
        records, drawn = list[Record](), ""
        try:
            one_of("network", network, self.networks)
            (turn.room / "out").mkdir()
            batch = Batch(self.networks[network], turn.room / "in", turn.room / "out", bool(overlay))
            count = len(list(batch.pictures.iterdir()))
            for outcome in batch.answered(turn.left, SECONDS):
                records.append(outcome.record)
                drawn += _item(outcome.record, batch.output)
                yield told.status(len(records), count, f"{len(records)} of {count} pictures …"), _list(drawn), None
            if turn.left.is_set():
                yield told.status(len(records), count, "Cancelled."), _list(drawn), None
                return
            with addressed(ARCHIVE) as (path, address):
                size = batch.pack(path)
            done = sum(record.status == DONE for record in records)
            yield told.status(count, count, f"{done} of {count} pictures answered."), _link(address, size) + _list(drawn), path.parent
        except UnetliftError as error:
            yield told.sentence(str(error)), _list(drawn), None
        finally:
            turn.left.set()
            turn.clear()

    def cancel(self, turn: Turn | None) -> None:
        """Ends it after the tile that the network works at."""
        leave(turn)


def take(files: list[Upload], room: Path) -> None:
    """Moves pictures into a visitor's folder, under names of our own.

    Raises:
        PictureError: one is no single picture, or too large.
        UsageError: they are too large together.
    """
    (room / "in").mkdir()
    pixels = 0
    for file in files:
        if Path(file.name).suffix.lower() not in SUFFIXES:
            raise PictureError(f"{file.name} is no picture; take {', '.join(SUFFIXES)} files.")
        if file.size > LARGEST:
            raise PictureError(f"{file.name} has {file.size / 2**20:.0f} MB; up to {LARGEST // 2**20} MB are taken.")
        pixels += check(file.path, file.name)
        if pixels > 2 * MOST_PIXELS:
            raise UsageError(f"The pictures have more than {2 * MOST_PIXELS // 10**6} megapixels together; take fewer at a time.")
    for file, name in zip(files, safe_names([file.name for file in files]), strict=True):
        shutil.move(file.path, room / "in" / name)


def remove(archive: Path | None) -> None:
    """Removes the folder of an archive, if there is one; called too when its time is over."""
    if archive is not None:
        shutil.rmtree(archive, ignore_errors=True)


def _link(address: str, size: int) -> str:
    return f'<a class="batch-archive" href="{address}" download="{ARCHIVE}">Download the archive ({size / 2**10:,.0f} kB)</a>'


def _list(items: str) -> str:
    return f'<ul class="batch-list">{items}</ul>' if items else ""


def _item(record: Record, output: Path) -> str:
    """One picture's answer, small, or why there is none."""
    if record.status != DONE:
        return f'<li><b>{escape(record.file)}</b><br><span class="batch-failed">{escape(record.error or "not answered")}</span></li>'
    shown = next((name for folder in reversed(FOLDERS) for name in record.outputs if name.startswith(folder)), None)
    picture = f'<img src="{_thumbnail(output / shown)}" alt="{escape(f"Answer to {record.file}")}">' if shown else ""
    return f"<li>{picture}<b>{escape(record.file)}</b><br>{record.seconds:.1f} s</li>"


def _thumbnail(path: Path) -> str:
    pixels = images.to_float(images.read_picture(path))
    step = max(1, max(pixels.shape[:2]) // THUMBNAIL)
    return panels.png(panels.rgb(np.ascontiguousarray(pixels[::step, ::step])))


def tab(networks: tuple[Network, ...], examples: Examples) -> None:
    """Lays the tab out and wires it.

    Args:
        networks: of which one is chosen.
        examples: unused; a batch is of a visitor's own pictures.
    """
    batches = Batches(networks)
    names = list(batches.networks)
    turn = gr.State(None, time_to_live=3600, delete_callback=leave)
    archive = gr.State(None, time_to_live=600, delete_callback=remove)
    gr.HTML(INTRODUCTION)
    with gr.Row(equal_height=False):
        with gr.Column(scale=0, min_width=290, elem_classes="batch-side"):
            network = gr.Dropdown(names, value=names[-1], label="Network", filterable=False, elem_id="batch-network")
            overlay = gr.Checkbox(True, label="Overlays: the pictures tinted by class", elem_id="batch-overlay")
            pictures = gr.UploadButton(
                "Choose and answer pictures",
                file_count="multiple",
                file_types=list(SUFFIXES),
                variant="primary",
                elem_id="batch-pictures",
            )
            stop = gr.Button("Cancel", size="sm", elem_id="batch-cancel")
        with gr.Column(scale=1, min_width=320):
            status = gr.HTML(NOTHING_YET, elem_id="batch-status")
            result = gr.HTML(elem_id="batch-result")
    quick, slow = events.taking("batch"), events.answering("batch")
    begun = pictures.upload(batches.begin, [turn, archive, pictures], [turn, status, result, archive], api_name="batch_begin", **quick)
    begun.success(batches.answer, [turn, network, overlay], [status, result, archive], api_name="batch_answer", **slow)
    stop.click(batches.cancel, [turn], None, api_name="batch_cancel", **quick)
