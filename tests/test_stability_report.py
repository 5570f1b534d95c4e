"""The report of a stability measurement: its files say the same, whatever things are called, and its page needs nothing else."""

import csv
import json
import math
import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch.nn import functional as F

from unetlift import report, stability
from unetlift.report import cases, heatmaps
from unetlift.report.stability_page import html
from unetlift.shifts import Shift, square
from unetlift.stability.layers import LayerDistances
from unetlift.stability.measure import Conditions, compared

NAMES = ('<script>alert("1")</script>.png', "a, b.png", "new\nline $x$ 'q'.png", "plain.png")
ODD = "_odd [bold] $a_b | <b>name"
CLASSES = ("background", "cell & <core>")


def _pictures(count: int = 4) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(1, 3, 24, 28, generator=generator) for _ in range(count)]


def _blocky(side: int):
    """Two classes, by one pixel of every block; with a side of 1 exact."""

    def function(x: torch.Tensor) -> torch.Tensor:
        bright = F.interpolate(x.mean(1, keepdim=True)[..., ::side, ::side], scale_factor=side)
        return torch.cat((bright, 1 - bright), 1)

    return function


def _reports(function, modes=("roll", "crop"), names=NAMES, **conditions) -> dict[str, stability.StabilityReport]:
    given = {"max_shift": 2, "multiple": 2, "margin": 4, "shifts": square(1), "classes": CLASSES} | conditions
    measured = {mode: stability.measure(function, _pictures(len(names)), mode, **given) for mode in modes}
    return {mode: replace(found, names=names) for mode, found in measured.items()}


@pytest.fixture(scope="module")
def six() -> list[report.Subject]:
    jumpy, exact = _reports(_blocky(2)), _reports(_blocky(1))
    distances = np.add.outer([0.2, 0.0, 0.1], [0.1, 0.0, 0.1])
    layers = LayerDistances(("one", "<two>"), (1, 2), (-1, 0, 1), (-1, 0, 1), np.stack([distances, distances / 2]))
    first = report.Subject("max+nearest", "here/a", "zeros", jumpy, seconds=0.1, fingerprint="0f" * 32, layers=layers)
    return [
        first,
        replace(first, anchor="landmark", reports=exact, layers=None),
        replace(first, spin=2, seconds=0.4, layers=None),
        report.Subject("max+nearest", "there/b", "circular", jumpy),
        report.Subject("lift+lift@adaptive", "c", "circular", exact),
        report.Subject(ODD, "models/<i>.onnx", "", jumpy),
    ]


ABOUT = report.About("unetlift stability --model 'a <b>'", 7, {"Python": "3.x", "PyTorch": "2.x"}, "2026-01-02 03:04 UTC")


def _case(subject: report.Subject, function, kind: str, mode: str = "crop") -> report.Case:
    found = subject.reports[mode]
    worst = found.worst_records(1)[0]
    conditions = Conditions(mode, 2, [Shift(int(worst.dy), int(worst.dx))], 2, 4)
    x = _pictures()[worst.image]
    ((record, comparison, _),) = compared(function, x, conditions, kind)
    picture = conditions.frame(x)[0].permute(1, 2, 0).numpy()
    return report.draw_case(subject.title, mode, found.names[worst.image], record, picture, comparison, kind)


class _Page(HTMLParser):
    """Everything on a page, which has to be well formed."""

    VOID = ("meta", "img", "source", "br", "hr", "link", "input")

    def __init__(self, text: str):
        super().__init__()
        self.open, self.elements, self.words, self.rows = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, text):
        if "style" not in self.open:
            self.words.append(text)
        if {"td", "th"} & {*self.open}:
            self.rows[-1][-1] += text

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def written(six, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("reports") / "new" / "folder"
    report.write(six, out, [_case(six[0], _blocky(2), "probabilities")], ABOUT)
    return out


@pytest.fixture(scope="module")
def page(written) -> _Page:
    return _Page((written / "stability.html").read_text(encoding="utf-8"))


def test_all_files_are_written_together(written, six, tmp_path):
    assert sorted(path.name for path in written.iterdir()) == [f"stability.{kind}" for kind in ("csv", "html", "json", "md", "png")]
    broken = replace(six[0], reports={"crop": replace(six[0].reports["crop"], records=())})
    with pytest.raises(Exception, match=r".+"):
        report.write([broken], tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_the_page_asks_nobody_for_anything_and_runs_nothing(page, written):
    text = re.sub(r"base64,[\w+/=]+", "", (written / "stability.html").read_text(encoding="utf-8"))
    assert not re.search(r"https?:|//[a-z]|url\((?!#)|@import", text)
    assert not {"script", "iframe", "link", "object", "core", "form"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:image/"))


def test_names_on_the_page_are_its_own(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    used = {attributes["href"][1:] for _, attributes in page.elements if "href" in attributes}
    assert len(ids) == len(set(ids)) and used <= set(ids) and used


def test_everything_to_see_is_told_in_words(page):
    assert page.all("img") and page.all("svg")
    assert all(image["alt"].strip() for image in page.all("img")) and all(drawing["aria-label"] for drawing in page.all("svg"))
    maps = [image["alt"] for image in page.all("img") if image["alt"].startswith("Heat map of")]
    assert len(maps) == 6 * 2 + 2 and sum("It is flat." in words for words in maps) == 4
    assert "lift+lift@adaptive under roll" in "".join(maps) and "layer <two>" in maps[-1]


def test_others_words_stay_words(page):
    told = "".join(page.words)
    assert ODD in told and "models/<i>.onnx" in told and "cell & <core>" in told and ABOUT.command in told
    assert any(NAMES[number] in told for number in range(4))


def test_the_figures_on_the_page_are_those_of_the_json(page, written):
    subjects = json.loads((written / "stability.json").read_text())["subjects"]
    rows = [row for row in page.rows if row and row[0] in ("max+nearest (a)", ODD, "lift+lift@adaptive")]
    for name, subject in (("max+nearest (a)", subjects[0]), (ODD, subjects[5])):
        for found in subject["reports"].values():
            ends = f"{found['interval']['low']:.1f}..{found['interval']['high']:.1f}"
            figures = [f"{found['mean']:.1f}", ends, f"{found['deviation']:.2f}", f"{found['low']:.1f}", f"{found['worst']:.1f}"]
            means = found["means"]
            others = [f"{100 * means['agreement']:.2f} %", *(f"{means[key]:.4f}" for key in ("miou", "boundary_iou", "ssim"))]
            assert [name, *figures] in rows and any(row[: 1 + len(others)] == [name, *others] for row in rows)
    beside = subjects[4]["reports"]["crop"]["beside_the_first"]
    assert ["lift+lift@adaptive", f"{beside['difference']['mean']:+.2f}"] in [row[:2] for row in rows] and beside["larger"] == 1
    assert "beside_the_first" not in subjects[0]["reports"]["crop"]
    assert sum(word.startswith("exact: every shift >= 160 dB") for word in page.words) == 4
    assert "0f" * 32 in "".join(page.words)


def test_json_holds_every_comparison(written, six):
    found = json.loads((written / "stability.json").read_text(), parse_constant=pytest.fail)
    assert found["about"] == {"command": ABOUT.command, "seed": 7, "versions": ABOUT.versions, "date": ABOUT.date}
    for subject, told in zip(six, found["subjects"], strict=True):
        for mode, measured in subject.reports.items():
            lines = told["reports"][mode]["records"]
            assert [(line["image"], line["dy"], line["dx"]) for line in lines] == [(r.image, r.dy, r.dx) for r in measured.records]
            assert [line["psnr"] for line in lines] == [r.psnr for r in measured.records]
            assert told["reports"][mode]["pictures"] == {str(n): name for n, name in enumerate(NAMES)}
            assert np.array_equal(told["reports"][mode]["grid"]["values"], measured.grid().values)
    assert found["subjects"][0]["layers"]["layers"] == ["one", "<two>"]


def test_json_knows_no_number_that_is_none(six):
    first = six[0].reports["crop"]
    star = replace(first, records=tuple(replace(r, figures={**r.figures, "ssim": math.nan}) for r in first.records if r.image == 0))
    (subject,) = json.loads(report.as_json([replace(six[0], reports={"crop": star})]), parse_constant=pytest.fail)["subjects"]
    assert subject["reports"]["crop"]["means"]["ssim"] is None and subject["reports"]["crop"]["interval"] is None


def test_csv_has_a_line_for_each_comparison(written, six):
    with (written / "stability.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    records = [(s, mode, r) for s in six for mode, found in s.reports.items() for r in found.records]
    assert len(lines) == len(records)
    for line, (subject, mode, record) in zip(lines, records, strict=True):
        assert (line["subject"], line["source"], line["way"], line["mode"]) == (subject.variant, subject.folder, subject.way, mode)
        assert line["picture"] == NAMES[record.image] and (float(line["dy"]), float(line["dx"])) == (record.dy, record.dx)
        assert float(line["psnr"]) == record.psnr and float(line["agreement"]) == record.agreement


def test_markdown_has_one_cell_a_column_whatever_names_are(written):
    lines = [line for line in (written / "stability.md").read_text().splitlines() if line.startswith("|")]
    widths = [len(re.split(r"(?<!\\)\|", line)) for line in lines]
    assert widths.count(10) == 2 * 8 and widths.count(7) == 8 and "<b>" not in "".join(lines)


def test_tables_fit_a_terminal_of_80_columns(six):
    console = Console(width=80, record=True, file=StringIO())
    for table in report.tables(six):
        console.print(table)
    shown = console.export_text()
    assert max(map(len, shown.splitlines())) <= 80 and "[bold]" in shown
    assert all(word in shown for word in ("lift+lift@adaptive", "agreement", "100.00 %", "interval", "5th", ">= 160"))
    assert f"{six[0].reports['crop'].percentile(5):.1f}" in shown


def test_pictures_have_no_labels(tmp_path):
    reports = _reports(lambda x: _blocky(2)(x)[:, :1].expand(-1, 3, -1, -1), ("crop",))
    subject = report.Subject("blur-3+nearest", "a", "reflect", reports, labels=False)
    case = _case(subject, lambda x: _blocky(2)(x)[:, :1].expand(-1, 3, -1, -1), "pictures")
    report.write([subject], tmp_path, [case])
    page = _Page((tmp_path / "stability.html").read_text(encoding="utf-8"))
    assert not any("labels kept" in word or "mIoU" in word for word in page.words) and "SSIM" in page.words
    assert "Shift stability of blur-3+nearest" in page.words and not any(word.startswith("Beside") for word in page.words)


def test_one_picture_has_no_interval_and_few_shifts_no_map(tmp_path):
    subject = report.Subject("a", "a", "zeros", _reports(_blocky(2), ("crop",), ("one",), shifts=None))
    report.write([subject, replace(subject, folder="b")], tmp_path)
    page = _Page((tmp_path / "stability.html").read_text(encoding="utf-8"))
    assert not page.all("img") and [row[2] for row in page.rows if row[0] == "a (a)" and len(row) == 6 and "dB" not in row[1]][-1] == "-"


def test_what_cannot_be_compared_is_said(six):
    other = replace(six[3], reports={mode: replace(found, margin=5) for mode, found in six[3].reports.items()})
    told = json.loads(report.as_json([six[0], other]))["subjects"][1]["reports"]["crop"]
    assert told["beside_the_first"] is None
    page = _Page(html([six[0], other]))
    assert any("differ in margin" in word for word in page.words)


def test_a_clip_is_drawn_frame_by_frame(tmp_path):
    records = tuple(stability.Record(n, 0.1 * n, 0.5, {"psnr": 20.0 + n, "scene": 30.0, "flicker": 0.1}) for n in (1, 2, 4, 5))
    clip = stability.StabilityReport("video", 1, 1.0, 20, records, names=tuple(f"frame {n + 1}" for n in range(6)))
    report.write([report.Subject("a", "a", "zeros", {"video": clip}), report.Subject("b", "b", "zeros", {"video": clip})], tmp_path)
    page = _Page((tmp_path / "stability.html").read_text(encoding="utf-8"))
    (drawing,) = page.all("svg")
    assert "a clip of 6 frames; cuts: 1" in drawing["aria-label"] and "the scene itself: mean 30.0 dB" in drawing["aria-label"]
    assert "scene dB" in page.words and any("6 frames" in word for word in page.words)
    told = json.loads((tmp_path / "stability.json").read_text())["subjects"][0]["reports"]["video"]
    assert told["interval"] is None and "grid" not in told and told["records"][-1]["scene"] == 30


# What a worst case shows.


def _comparison(still: torch.Tensor, moved: torch.Tensor, invalid: int = 4) -> stability.Comparison:
    valid = torch.ones(still.shape[2:], dtype=torch.bool)
    valid[:invalid] = False
    return stability.Comparison(still, moved, valid)


SIDE = 128  # shown as it is
RECORD = stability.Record(0, 1.0, -2.0, {"psnr": 20.0})


def _drawn(still, moved, kind, colours=()):
    picture = np.full((SIDE, SIDE, 3), 0.5, np.float32)
    return report.draw_case("s", "crop", "p", RECORD, picture, _comparison(still, moved), kind, colours)


def test_labels_are_tinted_and_those_that_changed_are_red():
    still = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    moved = still.clone()
    moved[..., 10, 10] = 1000.0  # as foreign models number them
    case = _drawn(still, moved, "labels", ((0, 0, 0), (0, 255, 0)))
    _, answer, after, changed = case.pictures.values()
    assert len(np.unique(answer.reshape(-1, 3), axis=0)) == 1
    assert (after[:4] == cases.IGNORED).all() and (after[10, 10] != answer[10, 10]).any()
    assert (changed == cases.WRONG).all(2).nonzero() == (10, 10) and list(case.pictures)[-1] == "labels that changed, in red"


GAINS = {0.0: "difference", 0.1: "difference times 8", 0.6: "difference", 1e-9: "difference times 1024"}


@pytest.mark.parametrize(("change", "words"), GAINS.items())
def test_the_gain_of_a_difference_is_told(change, words):
    still = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64)
    moved = still.clone()
    moved[0, 1, 20, 30] = change
    moved[0, 1, 0, 0] = 1.0  # not valid
    drawn = _drawn(still, moved, "pictures").pictures[words]
    brightest = drawn[4:].sum(2)
    assert brightest.max() == brightest[16, 30] and (drawn[:4] == cases.IGNORED).all()


def test_an_answer_to_the_whole_picture_is_drawn_over_all_of_it():
    still, moved = torch.tensor([[[[0.9]], [[0.1]]]]), torch.tensor([[[[0.2]], [[0.8]]]])
    picture = np.full((SIDE, SIDE, 1), 0.5, np.float32)
    comparison = stability.Comparison(still, moved, torch.ones(1, 1, dtype=torch.bool))
    case = report.draw_case("s", "roll", "p", RECORD, picture, comparison, "probabilities")
    assert (case.frames[0] != case.frames[1]).any() and {drawn.shape for drawn in case.pictures.values()} == {(SIDE, SIDE, 3)}


def test_the_flicker_moves_only_for_those_who_want_it(page, six):
    (source,), case = page.all("source"), _case(six[0], _blocky(2), "probabilities")
    assert source["media"] == "(prefers-reduced-motion: reduce)" and page.all("details")
    moving = next(image["src"] for image in page.all("img") if image["src"].startswith("data:image/webp"))
    stored = [BytesIO(b64decode(found.split(",")[1])) for found in (moving, source["srcset"])]
    with Image.open(stored[0]) as shown, Image.open(stored[1]) as still:
        assert shown.n_frames == 2 and np.array_equal(np.asarray(shown.convert("RGB")), case.frames[0])
        assert np.array_equal(np.asarray(still), case.frames[0])


def test_maps_share_a_scale_and_exact_ones_are_flat():
    values = np.array([[20.0, 30.0], [40.0, 160.0]])
    drawn = heatmaps.paint(values, 20.0, 40.0, values >= 100)
    side = heatmaps.SIDE // 2
    light = [drawn[y, x].astype(int).sum() for y, x in ((0, 0), (0, side), (side, 0), (side, side))]
    assert light == sorted(light) and len(set(light)) == 4 and drawn.shape == (2 * side, 2 * side, 3)
    flat = heatmaps.paint(np.full((3, 3), 160.0), 20.0, 40.0, np.ones((3, 3), bool))
    assert len(np.unique(flat.reshape(-1, 3), axis=0)) == 1
