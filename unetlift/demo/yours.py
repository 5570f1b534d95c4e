"""The tab that measures a visitor's own model: chosen, sent, measured apart from the server, shown, and gone."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import gradio as gr
import numpy as np

from unetlift.checkpoint import CONFIG, WEIGHTS
from unetlift.demo import events, told, verdict
from unetlift.demo.errors import in_one_sentence
from unetlift.demo.job import FARTHEST, FOUND, LARGEST, SECONDS, Job, cut, take
from unetlift.demo.networks import Network
from unetlift.demo.parcel import Turn, leave, uploads
from unetlift.demo.pictures import read_upload
from unetlift.errors import PictureError, UnetliftError, one_of
from unetlift.guest import heard
from unetlift.images import SUFFIXES, Picture
from unetlift.stability import KINDS, Record, StabilityReport

LARGEST_PICTURE = 20 * 2**20
"""Bytes."""
PAUSE = 0.7
"""Seconds at least between two drawings of what has been measured so far."""
MODES = [("crop: a camera moves", "crop"), ("roll: wraps around", "roll"), ("subpixel: parts of a pixel", "subpixel")]
TYPES = [".onnx", ".zip", ".json", ".safetensors"]

INTRODUCTION = f"""
<div class="yours-words"><h2>How still does your own model hold?</h2>
<p>The picture is moved by a few pixels in every direction. A steady model's answer moves along and stays the same otherwise; the large
figure says how nearly it does (shift PSNR: <b>higher is steadier</b>; steady from 50 dB on, jumping below 40 dB).</p>
<p>Choose an <b>ONNX file</b>, or a <b>model folder</b> as its two files ({CONFIG} and {WEIGHTS}) or as a zip archive of them, up to
{LARGEST // 2**20} MB. It is measured on this machine, in a process of its own, for up to {SECONDS // 60} minutes, and then removed.
Files that can run code (.pt, .pth, .pt2, .py, .pkl) are not taken; <code>unetlift stability --trust</code> takes them.</p></div>
"""
NOTHING_YET = '<p class="yours-nothing">Nothing was measured yet.</p>'

CSS = told.CSS + """
.yours-words h2 { font-size: 17px; margin: 2px 0 4px; } .yours-words p { font-size: 13.5px; line-height: 1.45; color: var(--soft); }
.yours-words b, .yours-words code { color: var(--body-text-color); }
.yours-nothing { color: var(--soft); padding: 18px 0 !important; }
.yours-verdict { border-style: solid; border-width: 5px 1px 1px; border-color: var(--tone) var(--line) var(--line); border-radius: 6px;
  padding: 10px 14px 12px; margin: 8px 0; background: var(--background-fill-primary); }
.yours-verdict h2 { font-size: 17px; margin: 0; overflow-wrap: anywhere; }
.yours-verdict .yours-about { font-size: 12px; color: var(--soft); overflow-wrap: anywhere; }
.yours-large { display: flex; flex-wrap: wrap; gap: 4px 30px; margin: 8px 0; }
.yours-figure b { display: block; font-size: 32px; line-height: 1.1; letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
.yours-figure:first-child b { color: var(--tone); } .yours-figure span { font-size: 12px; color: var(--soft); }
.yours-plot { width: 100%; max-width: 900px; background: #fff; border-radius: 6px; }
.gradio-container .yours-table { border-collapse: collapse; font-size: 13px; margin-top: 8px; }
.yours-table, .yours-table :is(thead, tbody, tr, th, td) { border-width: 0 !important; background: none !important; }
.yours-table caption { text-align: left; color: var(--soft); font-size: 12px; }
.gradio-container .yours-table :is(th, td) { color: var(--body-text-color); padding: 2px 18px 2px 0; text-align: left; font-weight: 400; }
.gradio-container .yours-table td { white-space: nowrap; font-variant-numeric: tabular-nums; }
.yours-heading { font-size: 15px; margin: 10px 0 4px; }
.yours-worst { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 10px; max-width: 1100px; }
@media (max-width: 700px) {
  .yours-worst { grid-template-columns: 1fr 1fr; }
  .yours-side { flex: 1 1 100% !important; }
}
"""

Examples = Mapping[str, Callable[[], Picture]]
Drawn = tuple[str, str]
"""The status and the result."""


class Yours:
    """What the tab's events call."""

    def __init__(self, examples: Examples):
        self.examples = examples

    @in_one_sentence
    def choose(self, picture: Any) -> tuple[np.ndarray, None, str]:
        """A visitor's picture to measure on, instead of an example."""
        with uploads(picture, 1) as (file,):
            if file.size > LARGEST_PICTURE:
                raise PictureError(f"{file.name} has more than {LARGEST_PICTURE // 2**20} MB; take a smaller picture.")
            pixels = cut(read_upload(file.path))
        return pixels, None, '<p class="yours-about">Measured on the middle of your picture.</p>'

    @in_one_sentence
    def begin(self, before: Turn | None, model: Any, example: Any, picture: Any, *job: Any) -> tuple[Turn, str, str]:
        """Takes a model in, and ends what the visitor had asked for before."""
        leave(before)
        with uploads(model, 2) as files:
            turn = Turn()
            try:
                title = take(files, turn.room)
                Job(*job).write(turn.room, title)
                np.save(turn.room / "picture.npy", self._pixels(example, picture), allow_pickle=False)
            except BaseException:
                turn.leave()
                raise
        return turn, told.status(0, 1, "Waiting for its turn …"), ""

    def _pixels(self, example: Any, picture: Any) -> np.ndarray:
        if isinstance(picture, np.ndarray) and example is None:
            return picture
        one_of("example", example, self.examples)
        return cut(self.examples[example]())

    def measure(self, turn: Turn | None) -> Iterator[Drawn]:
        """The figures as they come; at the end, whatever it is, nothing of the visitor's is left."""
        if turn is None or not turn.begin():
            return
        seen = Seen(json.loads((turn.room / "job.json").read_text(encoding="utf-8")))
        shown = ""
        yield told.status(0, 1, "Opening the model …"), ""
        try:
            for said in heard(turn.room, SECONDS, turn.left):
                if said is None:
                    yield gr.skip(), gr.skip()  # the moment when whoever has gone is noticed
                elif seen.take(said, turn.room):
                    shown = seen.drawn()
                    yield seen.status("measuring"), shown
        except UnetliftError as error:
            yield told.sentence(str(error)), shown
        except (KeyError, ValueError, TypeError, OSError):  # the process was the model's before it said this
            yield told.sentence("The model made its process say what nobody understands."), shown
        else:
            yield (seen.status("cancelled"), shown) if turn.left.is_set() else (seen.status("done; the model was removed"), seen.drawn())
        finally:
            turn.left.set()
            turn.clear()

    def cancel(self, turn: Turn | None) -> None:
        """Ends it; what has been measured stays on the page."""
        leave(turn)


class Seen:
    """What the process has said so far."""

    def __init__(self, job: dict[str, Any]):
        self.job = job
        self.subject: verdict.Subject | None = None
        self.records: list[Record] = []
        self.kind, self.worst, self._drawn_at = "probabilities", "", 0.0

    def take(self, said: dict[str, Any], room: Path) -> bool:
        """Keeps what was said; whether it is worth a drawing."""
        if "name" in said:
            name = self.job["title"] or str(said["name"])[:80]
            self.subject = verdict.Subject(name, str(said["fingerprint"]), str(said["padding"]), int(said["count"]))
        elif "record" in said:
            dy, dx, figures = said["record"]
            self.records.append(Record(0, float(dy), float(dx), {str(name): float(value) for name, value in figures.items()}))
            self.kind = said["kind"] if said["kind"] in KINDS else self.kind
        elif "worst" in said:
            self.worst = verdict.worst(room / "worst.npz", *map(float, said["worst"]), self.kind, said["colours"])
        late = monotonic() - self._drawn_at > PAUSE
        self._drawn_at = monotonic() if late else self._drawn_at
        return late and bool(self.records)

    def drawn(self) -> str:
        """The figures so far."""
        if self.subject is None or not self.records:
            return ""
        job = self.job
        report = StabilityReport(job["mode"], job["max_shift"], 1.0, job["margin"], tuple(self.records), self.kind)
        return verdict.verdict(self.subject, report) + self.worst

    def status(self, word: str) -> str:
        """How far it is."""
        count = self.subject.count if self.subject else 0
        return told.status(len(self.records), count, f"{len(self.records)} of {count} shifts: {word}.")


def tab(networks: tuple[Network, ...], examples: Examples) -> None:
    """Lays the tab out and wires it.

    Args:
        networks: of the page; a visitor's model stands for itself.
        examples: pictures to measure on, by name.
    """
    yours = Yours(examples)
    turn = gr.State(None, time_to_live=3600, delete_callback=leave)
    own = gr.State(None, time_to_live=3600)
    gr.HTML(INTRODUCTION)
    with gr.Row(equal_height=False):
        with gr.Column(scale=0, min_width=290, elem_classes="yours-side"):
            example = gr.Radio(list(examples), value=next(iter(examples)), label="Picture", elem_id="yours-example")
            picture = gr.UploadButton("Upload a picture of your own", file_types=list(SUFFIXES), size="sm", elem_id="yours-picture")
            about_picture = gr.HTML()
            mode = gr.Radio(MODES, value="crop", label="How it moves", elem_id="yours-mode")
            max_shift = gr.Slider(1, FARTHEST, 4, step=1, label="Largest shift in pixels", elem_id="yours-shift")
            with gr.Accordion("What an ONNX file does not say", open=False):
                mean = gr.Textbox("0", label="Mean of its inputs, of pictures of 0 to 1", elem_id="yours-mean", max_length=200)
                std = gr.Textbox("1", label="Standard deviation of its inputs", elem_id="yours-std", max_length=200)
                answers = gr.Dropdown([FOUND, *KINDS], value=FOUND, label="What it answers with", elem_id="yours-answers")
            model = gr.UploadButton(
                "Choose and measure a model", file_count="multiple", file_types=TYPES, variant="primary", elem_id="yours-model"
            )
            stop = gr.Button("Cancel", size="sm", elem_id="yours-cancel")
        with gr.Column(scale=1, min_width=320):
            status = gr.HTML(NOTHING_YET, elem_id="yours-status")
            result = gr.HTML(elem_id="yours-result")
    quick, slow = events.taking("yours"), events.answering("yours")
    picture.upload(yours.choose, [picture], [own, example, about_picture], api_name="yours_picture", **quick)
    example.input(lambda: "", None, [about_picture], api_name="yours_example", api_visibility="private", show_progress="hidden")
    job = [mode, max_shift, mean, std, answers]
    begun = model.upload(yours.begin, [turn, model, example, own, *job], [turn, status, result], api_name="yours_begin", **quick)
    begun.success(yours.measure, [turn], [status, result], api_name="yours_measure", **slow)
    stop.click(yours.cancel, [turn], None, api_name="yours_cancel", **quick)
