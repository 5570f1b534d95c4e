"""`unetlift stability` as people use it: any model, pictures or clips, a report, and a measurement that goes on where it was stopped."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from conftest import write_split
from PIL import Image

from unetlift import UNet, cli, images, lab
from unetlift.commands import StabilityConfig
from unetlift.errors import DataSetError, UsageError
from unetlift.lab.journal import Entry, Journal
from unetlift.stability import Record

COUNT = 4


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes that are started: sums of other threads round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of stride 2, calibrated, so that untrained as it is it has something to say."""
    folder = tmp_path_factory.mktemp("network") / "max"
    torch.manual_seed(0)
    model = UNet(depth=1, width=4, down="max", up="nearest", classes=2)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(torch.rand(4, 3, 32, 32))
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    write_split(tmp_path / "cells", COUNT, 0)
    return tmp_path / "cells"


def config(network: object, cells: Path, out: Path, **keys: object) -> StabilityConfig:
    usual = {"mode": "crop", "max_shift": 2, "margin": 4, "cases": 1}
    return StabilityConfig((str(network),), str(cells / "images"), str(out), **(usual | keys))


QUIET = lab.Show(lambda items, words: items, lambda sentence: None)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    return stop.value.code


def read(out: Path) -> list[dict]:
    return json.loads((out / "stability.json").read_text())["subjects"]


def comparisons(out: Path) -> list[list[str]]:
    """Of the CSV, every line."""
    with (out / "stability.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_a_report_is_made_of_every_picture_and_shift(network: Path, cells: Path, tmp_path: Path) -> None:
    result = lab.run(config(network, cells, tmp_path / "out"), QUIET, ["stability", "--model", "a b"])
    (subject,) = result.measured
    assert len(subject.reports["crop"].records) == COUNT * 6 and not result.failures
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "records", "stability.csv", "stability.html", "stability.json", "stability.md", "stability.png",
    }  # fmt: skip
    page = (tmp_path / "out" / "stability.html").read_text()
    assert "unetlift stability --model 'a b'" in page and subject.fingerprint in page
    assert len(comparisons(tmp_path / "out")) == 1 + COUNT * 6


def test_what_was_measured_is_not_measured_again(network: Path, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    lab.run(config(network, cells, out, cases=0), QUIET)
    before = comparisons(out)
    asked = []
    ask = lab.run.__globals__["compared"]
    monkeypatch.setitem(lab.run.__globals__, "compared", lambda *a, **k: asked.append(1) or ask(*a, **k))
    lab.run(config(network, cells, out, cases=0), QUIET)
    assert not asked and comparisons(out) == before
    lab.run(config(network, cells, out, cases=0, margin=5), QUIET)
    assert len(asked) == COUNT and comparisons(out) != before
    picture = next((cells / "images").iterdir())
    Image.open(picture).rotate(180).save(picture)
    asked.clear()
    lab.run(config(network, cells, out, cases=0), QUIET)
    assert len(asked) == 1


def test_a_line_that_was_cut_off_is_measured_again(network: Path, cells: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    lab.run(config(network, cells, out), QUIET)
    before, (journal,) = comparisons(out), (out / "records").iterdir()
    journal.write_bytes(journal.read_bytes()[:-40])
    lab.run(config(network, cells, out), QUIET)
    assert comparisons(out) == before
    lab.run(config(network, cells, out), QUIET)  # the torn line stays alone on its own
    assert comparisons(out) == before and len(journal.read_bytes().splitlines()) == COUNT + 1


def test_a_killed_measurement_goes_on_to_the_same_figures(network: Path, cells: Path, tmp_path: Path) -> None:
    flags = ["--model", network, "--input", cells / "images", "--mode=crop", "--max-shift=2", "--margin=4", "--shifts=square", "--cases=0"]
    command = [sys.executable, "-m", "unetlift.cli", "stability", *map(str, flags), "--out", str(tmp_path / "killed")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    records = tmp_path / "killed" / "records"
    until = time.monotonic() + 100
    while not any(records.glob("*.jsonl")) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "stability.json").exists()
    for out in ("killed", "whole"):
        lab.run(config(network, cells, tmp_path / out, shifts="square", cases=0), QUIET)
    rows = [[row[:-1] for row in comparisons(tmp_path / out)] for out in ("killed", "whole")]
    assert rows[0] == rows[1]


def test_a_picture_that_cannot_be_read_is_named_and_the_others_measured(network: Path, cells: Path, tmp_path: Path, capsys) -> None:
    (cells / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    flags = ["--model", network, "--input", cells / "images", "--out", tmp_path / "out", "--mode=crop", "--max-shift=2", "--margin=4"]
    assert run("stability", *flags) == 1
    assert "broken.png" in capsys.readouterr().err
    assert len(comparisons(tmp_path / "out")) == 1 + COUNT * 6


def test_no_readable_picture_is_an_error(network: Path, tmp_path: Path) -> None:
    (tmp_path / "cells" / "images").mkdir(parents=True)
    (tmp_path / "cells" / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UsageError, match="None of the 1 pictures"):
        lab.run(config(network, tmp_path / "cells", tmp_path / "out"), QUIET)


def test_a_pipeline_fails_below_what_it_asks_for(network: Path, cells: Path, tmp_path: Path, capsys) -> None:
    flags = ["--model", network, "--input", cells / "images", "--out", tmp_path / "out", "--mode=crop", "--max-shift=2", "--margin=4"]
    assert run("stability", *flags, "--fail-under=150") == 1
    assert "dB under crop, below 150." in capsys.readouterr().err
    assert run("stability", *flags, "--fail-under=5") == 0


def test_the_truth_tells_what_a_move_costs(network: Path, cells: Path, tmp_path: Path) -> None:
    (subject,) = lab.run(config(network, cells, tmp_path / "out", truth=str(cells / "masks")), QUIET).measured
    means = subject.reports["crop"].means
    assert 0 < means["score"] < 1 and "decline" in means
    next((cells / "masks").iterdir()).unlink()
    with pytest.raises(DataSetError, match="has no truth in the folder of --truth"):
        lab.run(config(network, cells, tmp_path / "out", truth=str(cells / "masks")), QUIET)


def test_the_whole_square_and_the_layers_are_drawn(network: Path, cells: Path, tmp_path: Path) -> None:
    (subject,) = lab.run(config(network, cells, tmp_path / "out", mode="roll", shifts="square", layers=True), QUIET).measured
    assert subject.reports["roll"].grid().full
    assert subject.layers.layers[0] == "encoder 0" and subject.layers.values.shape[1:] == (5, 5)
    assert "encoder 0" in (tmp_path / "out" / "stability.html").read_text()


def test_random_shifts_are_the_seeds(network: Path, cells: Path, tmp_path: Path) -> None:
    found = []
    for seed in (0, 0, 1):
        (subject,) = lab.run(config(network, cells, tmp_path / "out", shifts="random", count=5, seed=seed, cases=0), QUIET).measured
        found.append([(record.dy, record.dx) for record in subject.reports["crop"].records])
    assert found[0] == found[1] != found[2] and len(found[0]) == COUNT * 5


def test_the_middle_of_each_picture(network: Path, cells: Path, tmp_path: Path) -> None:
    assert lab.run(config(network, cells, tmp_path / "out", size=32), QUIET).measured
    with pytest.raises(UsageError, match=r"\.png: A picture of .* is too small"):
        lab.run(config(network, cells, tmp_path / "out", size=640), QUIET)


@pytest.fixture
def users_code(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(
        "import torch\n"
        "def blink(x):\n"
        "    return torch.nn.functional.interpolate(x[..., ::2, ::2], scale_factor=2)\n"
        "def steady(x):\n"
        "    return (x.mean(1) > 0.5).long()\n"
    )
    return path


@pytest.mark.parametrize("mode", ["crop", "video"])
def test_anybodys_function_stands_beside_ours(mode: str, network: Path, users_code: Path, cells: Path, tmp_path: Path) -> None:
    models = (str(network), f"{users_code}:blink", f"{users_code}:steady")
    told = StabilityConfig(models, str(cells / "images"), str(tmp_path / "out"), mode, max_shift=2, margin=4, stride=2, cases=1)
    if mode == "video":  # a pan over one picture
        scene = np.kron(np.random.default_rng(0).integers(0, 256, (40, 60, 1), dtype=np.uint8), np.ones((2, 2, 3), np.uint8))
        for path in (cells / "images").iterdir():
            path.unlink()
        for number in range(3):
            images.write_picture(cells / "images" / f"{number}.png", scene[:64, number : number + 96])
    _, blink, steady = lab.run(told, QUIET).measured
    assert blink.reports[mode].worst < 40 and not blink.labels
    assert steady.reports[mode].worst == 160 and steady.labels and steady.reports[mode].kind == "labels"


def test_an_anchor_needs_a_stride(users_code: Path, cells: Path, tmp_path: Path) -> None:
    source = f"{users_code}:blink"
    with pytest.raises(UsageError, match="has no known stride, which an anchor needs; give it: --stride 32"):
        lab.run(config(source, cells, tmp_path / "out", anchor=("landmark",)), QUIET)
    plain, anchored = lab.run(config(source, cells, tmp_path / "out", anchor=("none", "landmark"), stride=2), QUIET).measured
    assert anchored.reports["crop"].mean > plain.reports["crop"].mean + 3
    mirrored = config(source, cells, tmp_path / "out", anchor=("landmark",), placing="reflect", stride=2)
    (another,) = lab.run(mirrored, QUIET).measured  # measured anew, and told apart
    assert another.title == f"{anchored.title}, reflect" and another.reports["crop"].mean > plain.reports["crop"].mean + 3


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"model": ()}, "--model is missing"),
        ({"mode": "video", "spin": (2,)}, "Under --mode video there is no --spin"),
        ({"range": 0.0}, "range is 0.0"),
        ({"range": float("nan")}, "range is nan"),
        ({"fail_under": float("nan")}, "fail_under is nan, which nothing is below"),
        ({"seed": 2**63}, "seed is 9223372036854775808"),
        ({"input": "nowhere"}, "nowhere does not exist"),
        ({"mode": "video", "input": "nowhere"}, "nowhere does not exist"),
        ({"truth": "nowhere"}, "nowhere is no folder"),
    ],
)
def test_wrong_settings_are_one_sentence(keys: dict, sentence: str, network: Path, cells: Path, tmp_path: Path) -> None:
    usual = {"model": (str(network),), "input": str(cells / "images"), "out": str(tmp_path / "out"), "mode": "crop", "max_shift": 2}
    with pytest.raises(UsageError, match=sentence):
        lab.run(StabilityConfig(**(usual | {"margin": 4} | keys)), QUIET)
    assert not (tmp_path / "out").exists()


def test_a_function_whose_weights_lie_elsewhere_is_measured_again(cells: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.txt").write_text("0.5")
    code = f"from pathlib import Path\nshare = float(Path({str(tmp_path / 'weights.txt')!r}).read_text())\nask = lambda x: x * share\n"
    (tmp_path / "mine.py").write_text(code)
    prints = []
    for weight in ("0.5", "0.5", "0.25"):
        (tmp_path / "weights.txt").write_text(weight)
        (one,) = lab.run(config(f"{tmp_path / 'mine.py'}:ask", cells, tmp_path / "out", cases=0), QUIET).measured
        prints.append((one.fingerprint, one.reports["crop"].means["total_variation"]))
    assert prints[0] == prints[1] and prints[2][0] != prints[0][0]
    assert prints[2][1] == pytest.approx(prints[0][1] / 2, rel=1e-5)


def test_an_earlier_report_is_no_picture(network: Path, cells: Path, tmp_path: Path) -> None:
    for _ in range(2):
        (one,) = lab.run(config(network, cells, cells / "images" / "out", cases=0), QUIET).measured
        assert len(one.reports["crop"].names) == COUNT


def test_frames_suit_every_stride(users_code: Path, network: Path, cells: Path, tmp_path: Path) -> None:
    source = f"{users_code}:sixths"
    users_code.write_text(users_code.read_text() + "def sixths(x):\n    assert not x.shape[2] % 6 and not x.shape[3] % 6\n    return x\n")
    path = tmp_path / "deep"
    torch.manual_seed(0)
    UNet(depth=3, width=2, down="max", up="nearest", classes=2).save_pretrained(path)
    told = replace(config(source, cells, tmp_path / "out", max_shift=1, stride=6), model=(source, str(path)))
    sixths, _ = lab.run(told, QUIET).measured
    assert sixths.reports["crop"].worst == 160


def test_the_square_of_subpixel_is_of_eighths(network: Path, cells: Path, tmp_path: Path) -> None:
    told = config(network, cells, tmp_path / "out", mode="subpixel", shifts="square", margin=0, pictures=1, cases=0)
    report = lab.run(told, QUIET).measured[0].reports["subpixel"]
    grid = report.grid()
    assert grid.full and grid.dys == grid.dxs == tuple(k / 8 for k in range(-7, 8))
    assert report.resampling == "lanczos" and report.margin == 4


def test_names_that_are_not_unicode_are_written_all_the_same(network: Path, cells: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted((cells / "images").iterdir())):
        os.rename(path, os.fsencode(cells / "images") + b"/caf\xe9 %d <b>.png" % number)
    lab.run(config(network, cells, tmp_path / "out"), QUIET)
    assert "caf\\udce9 0 <b>.png" in {line[4] for line in comparisons(tmp_path / "out")}
    assert "caf\\udce9" in (tmp_path / "out" / "stability.html").read_text(encoding="utf-8")


def test_two_measurements_into_one_folder_keep_each_others_lines(tmp_path: Path) -> None:
    record = Record(0, 1, 2, {f"figure {number}": number / 7 for number in range(2000)})
    both = [Journal(tmp_path, {"mode": "crop"}) for _ in range(2)]
    writers = [
        Thread(target=lambda journal=journal, name=name: [journal.append(Entry(f"{name}{k}", "labels", 0.1, (record,))) for k in range(20)])
        for name, journal in zip("ab", both, strict=True)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    again = Journal(tmp_path, {"mode": "crop"})
    assert set(again.entries) == {f"{name}{k}" for name in "ab" for k in range(20)}
