"""Stability figures are known in advance for functions whose equivariance is known."""

import json
import math
import re
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from conftest import write_split
from torch.nn import functional as F

from unetlift import cli, report, shifts, stability
from unetlift.errors import UsageError
from unetlift.info import ModelInfo
from unetlift.predict.steady import Timed
from unetlift.shifts import Shift


def _pictures(count: int = 2, size: int = 64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(1, 3, size, size + 8, generator=generator) for _ in range(count)]


def _jumpy(x: torch.Tensor) -> torch.Tensor:
    """Reads one pixel of every 2x2 block."""
    return F.interpolate(x[..., ::2, ::2], scale_factor=2)


def _local(x: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(x, 3, 1, padding=1)


by_whole_pixels = pytest.mark.parametrize("mode", ["roll", "crop"])


@by_whole_pixels
def test_a_pixelwise_function_is_perfectly_stable(mode: str) -> None:
    report = stability.measure(torch.sigmoid, _pictures(), mode, 4, answers="probabilities")
    assert report.mean == report.worst == stability.CEILING and report.agreement == 1


def test_a_local_filter_is_stable_away_from_the_frame() -> None:
    assert stability.measure(_local, _pictures(), "crop", 4, margin=1).worst == stability.CEILING
    assert stability.measure(_local, _pictures(), "crop", 4, margin=0).worst < 40


@by_whole_pixels
def test_subsampling_is_stable_under_even_shifts_alone(mode: str) -> None:
    for record in stability.measure(_jumpy, _pictures(), mode, 4, multiple=2, margin=2).records:
        even = record.dy % 2 == 0 and record.dx % 2 == 0
        assert (record.psnr == stability.CEILING) == even
        assert even or record.psnr < 15


def _waves(size: int = 64, least: int = 12) -> torch.Tensor:
    """A picture of waves of `least` pixels and longer, which a resampling hardly harms."""
    rows, columns = torch.meshgrid(torch.arange(float(size)), torch.arange(float(size)), indexing="ij")
    angles = torch.linspace(0, math.pi, 9)
    waves = [torch.sin((angle.cos() * columns + angle.sin() * rows) * 2 * math.pi / (least + 3 * n)) for n, angle in enumerate(angles)]
    return (0.5 + sum(waves) / 36).expand(1, 3, size, size)


def test_by_parts_of_a_pixel_the_identity_measures_the_resampling_itself():
    """There and back is filtered twice, which waves survive and noise does not."""
    smooth = stability.measure(lambda x: x, [_waves()], "subpixel", 4)
    assert smooth.worst > 55 and smooth.mean < stability.CEILING
    noise = stability.measure(lambda x: x, _pictures(), "subpixel", 4)
    assert noise.worst < noise.mean < 35 and smooth.worst > noise.mean + 20


def test_by_parts_of_a_pixel_the_identity_has_the_figure_of_shifting_there_and_back():
    x, shift = _waves(), shifts.Fraction(0.5, 0.25)
    record = stability.measure(lambda y: y, [x], "subpixel", 4, shifts=[shift], margin=16).records[0]
    back = shifts.by_fraction(shifts.by_fraction(x.double(), shift, "circular"), shifts.Fraction(-0.5, -0.25), "circular")
    inner = slice(4 + 16, -4 - 16)
    error = (back - x)[..., inner, inner].square().mean()
    assert record.psnr == pytest.approx(10 * math.log10(1 / error.item()), abs=0.1)


def test_by_parts_of_a_pixel_linear_functions_are_as_stable_as_the_resampling():
    ceiling = stability.measure(lambda x: x, [_waves()], "subpixel", 4)
    for function in (lambda x: 1 - x, lambda x: x.flip(1), _local):
        report = stability.measure(function, [_waves()], "subpixel", 4)
        assert report.worst > ceiling.worst - 0.5 and report.mean > ceiling.mean - 0.5
    assert stability.measure(lambda x: 0.1 * x, [_waves()], "subpixel", 4).mean == pytest.approx(ceiling.mean + 20, abs=0.1)


def test_by_parts_of_a_pixel_subsampling_is_far_below_the_resampling():
    ceiling, jumpy = (stability.measure(f, [_waves()], "subpixel", 4, multiple=2) for f in (lambda x: x, _jumpy))
    assert jumpy.mean < ceiling.mean - 20


def test_by_parts_of_a_pixel_every_eighth_is_a_record():
    report = stability.measure(lambda x: x, _pictures(), "subpixel", 4)
    assert len(report.records) == 2 * 21 and list(report.by_shift()) == [k / 8 for k in range(1, 8)]
    assert report.margin == 16 and report.mode == "subpixel"


def test_psnr_is_the_formula() -> None:
    still = torch.zeros(1, 1, 4, 4)
    comparison = stability.Comparison(still, still + 0.1, torch.ones(4, 4, dtype=torch.bool))
    assert comparison.psnr(1.0) == pytest.approx(20, abs=1e-5)
    assert comparison.psnr(2.0) == pytest.approx(20 + 20 * math.log10(2), abs=1e-5)


def test_only_valid_pixels_count() -> None:
    still, valid = torch.zeros(1, 2, 2, 2), torch.tensor([[True, True], [False, False]])
    moved = still.clone()
    moved[:, 1, 1] = 5.0
    comparison = stability.Comparison(still, moved, valid)
    assert comparison.psnr() == stability.CEILING and comparison.agreement() == 1


def test_label_agreement_counts_pixels() -> None:
    still = torch.zeros(1, 2, 2, 2)
    still[:, 0] = 1
    moved = still.clone()
    moved[0, :, 0, 0] = torch.tensor([0.0, 1.0])
    assert stability.Comparison(still, moved, torch.ones(2, 2, dtype=torch.bool)).agreement() == 0.75


def test_a_window_shows_content_moved_by_the_shift() -> None:
    scene = torch.arange(100.0).reshape(1, 1, 10, 10)
    still, moved = shifts.window(scene, Shift(0, 0), 3), shifts.window(scene, Shift(1, -2), 3)
    expected, valid = shifts.translate(still, Shift(1, -2))
    assert torch.equal(moved[..., valid], expected[..., valid])
    assert valid.sum() == 3 * 2


def test_translate_is_undone_where_it_is_valid() -> None:
    x = torch.rand(1, 2, 5, 6)
    there = shifts.translate(x, Shift(2, -1)).map
    back, valid = shifts.translate(there, Shift(-2, 1))
    assert torch.equal(back[..., valid], x[..., valid]) and valid.sum() == 3 * 5


def test_windows_have_sizes_that_are_multiples() -> None:
    frame = stability.still_frame(torch.rand(1, 3, 67, 90), "crop", 8, 16)
    assert frame.shape[2:] == (48, 64)


def test_the_adaptive_network_is_exact_and_the_fixed_one_is_not() -> None:
    from unetlift import UNet

    figures, pictures = {}, [picture.double() for picture in _pictures(1)]
    for phase in ("fixed", "adaptive"):
        torch.manual_seed(0)
        model = UNet(depth=2, width=4, down="max", up="nearest", padding_mode="circular", phase=phase).double()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0  # one pass then gives every level its say; untrained, the deep ones hardly count
        with torch.inference_mode():
            model(pictures[0])
            model.eval()
            figures[phase] = stability.measure(lambda x, model=model: model(x).sigmoid(), pictures, "roll", 4, multiple=4).worst
    assert figures["adaptive"] == stability.CEILING and figures["fixed"] < 60


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"mode": "spin"}, "mode 'spin' is unknown; it is one of roll, crop, subpixel"),
        ({"max_shift": 0}, "max_shift is 0"),
        ({"max_shift": 40}, "is smaller than|too small"),
        ({"margin": 31}, "A margin of 31 pixels leaves nothing"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        stability.measure(torch.sigmoid, _pictures(1), **arguments)


def test_no_pictures_is_an_error() -> None:
    with pytest.raises(UsageError, match="no pictures"):
        stability.measure(torch.sigmoid, [])


# What is said of several networks, each asked in several ways.


def _subjects() -> list[report.Subject]:
    reports = {"crop": stability.measure(_local, _pictures(1), "crop", 2, margin=1, answers="probabilities")}
    network = ("max+nearest", "a", "zeros", reports)
    spun = report.Subject(*network, spin=4, seconds=0.5)
    return [report.Subject(*network, seconds=0.025), report.Subject(*network, anchor="landmark", seconds=0.03), spun]


def test_a_spun_network_is_a_subject_of_its_own_with_its_price():
    subjects = _subjects()
    assert [subject.title for subject in subjects] == ["max+nearest", "max+nearest, landmark", "max+nearest, spin 4"]
    text = report.markdown(subjects)
    assert "| max+nearest, spin 4 | zeros | none | >= 160 |" in text
    assert "| max+nearest, spin 4 | none | 16 | 0.5000 | 20.0 |" in text and "| max+nearest | landmark | 1 | 0.0300 | 1.2 |" in text
    found = json.loads(report.as_json(subjects))["subjects"]
    assert [(s["name"], s["spin"], s["calls"], s["seconds"]) for s in found] == [
        ("max+nearest", 1, 1, 0.025), ("max+nearest", 1, 1, 0.03), ("max+nearest, spin 4", 4, 16, 0.5),
    ]  # fmt: skip
    assert [s["times"] for s in found] == pytest.approx([1, 1.2, 20])
    assert [table.title for table in report.tables(subjects)] == ["Shift stability under crop", "Price of an answer"]


def test_a_price_needs_a_plain_answer_of_the_same_network_beside_it():
    plain, landmark, spun = _subjects()
    other = report.Subject("max+nearest", "b", "zeros", spun.reports, spin=4, seconds=0.5)
    assert other.times([plain, other]) is None and "| max+nearest, spin 4 | none | 16 | 0.5000 | - |" in report.markdown([plain, other])
    assert landmark.times([landmark]) is None and json.loads(report.as_json([landmark]))["subjects"][0]["times"] is None
    assert "price" not in report.markdown([plain]) and len(report.tables([plain])) == 1


def test_networks_that_answer_with_pictures_have_no_labels_that_agree():
    pictures = report.Subject("max+nearest", "a", "zeros", _subjects()[0].reports, labels=False)
    assert pictures.row("crop")[-1] == "-" and report.markdown([pictures]).count("%") == 0
    assert json.loads(report.as_json([pictures]))["subjects"][0]["reports"]["crop"]["agreement"] is None


def test_time_is_taken_of_every_answer():
    timed = Timed(lambda x: x + 1)
    assert torch.equal(timed(torch.zeros(1, 1, 2, 2)), torch.ones(1, 1, 2, 2))
    timed(torch.zeros(1, 1, 2, 2))
    assert 0 < timed.seconds < 1


@pytest.mark.parametrize(
    ("mode", "max_shift", "margin", "sentence"),
    [("crop", 29, 4, "is too small"), ("subpixel", 29, 4, "is too small"), ("crop", 4, 26, "leaves nothing"), ("roll", 99, 99, None)],
)
def test_frames_are_checked_as_they_are_measured(mode: str, max_shift: int, margin: int, sentence: str | None) -> None:
    pictures = _pictures(2)
    conditions = stability.Conditions(mode, max_shift, multiple=8, margin=margin)
    check = lambda: [conditions.check(x) for x in pictures]  # noqa: E731
    measure = lambda: stability.measure(torch.sigmoid, pictures, mode, max_shift, multiple=8, margin=margin)  # noqa: E731
    for ask in (check, measure):
        with pytest.raises(UsageError, match=sentence) if sentence else nullcontext():
            ask()


@pytest.fixture
def circular(tmp_path: Path) -> Path:
    """A network of stride 2 with circular padding, on a fixed grid."""
    from unetlift import UNet

    torch.manual_seed(0)
    model = UNet(depth=1, width=4, down="max", up="nearest", padding_mode="circular", classes=2)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(torch.rand(4, 3, 32, 32))
    model.save_pretrained(tmp_path / "circular")
    return tmp_path / "circular"


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    return stop.value.code


def test_cycle_spinning_stands_beside_the_network_and_its_anchors(circular: Path, tmp_path: Path, capsys) -> None:
    write_split(tmp_path / "cells", 2, 0)
    flags = ["--model", circular, "--input", tmp_path / "cells" / "images", "--out", tmp_path / "out", "--max-shift=3", "--margin=4"]
    assert _run("stability", *flags, "--anchor=none", "--anchor=landmark", "--spin=2", "--spin=3") == 0
    subjects = json.loads((tmp_path / "out" / "stability.json").read_text())["subjects"]
    assert [(s["anchor"], s["spin"], s["calls"]) for s in subjects] == [("none", 1, 1), ("landmark", 1, 1), ("none", 2, 4), ("none", 3, 9)]
    plain, _, exact, odd = (s["reports"] for s in subjects)
    assert plain["roll"]["worst"] < 60 and odd["roll"]["worst"] < 100  # 3 x 3 shifts ask two grids unequally often
    assert exact["roll"]["worst"] > 130 and exact["crop"]["mean"] > plain["crop"]["mean"]
    assert subjects[2]["times"] > 1.5 and subjects[0]["times"] == 1
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "Price of an answer" in shown and "max+nearest, spin 2" in shown


WRONG = {"--max-shift=40": "is too small", "--margin=40": "leaves nothing", "--spin=1": "spin is 1"}


@pytest.mark.parametrize(("flag", "sentence"), WRONG.items())
def test_what_cannot_be_measured_is_said_before_anything_is(flag, sentence, circular, tmp_path, monkeypatch, capsys) -> None:
    write_split(tmp_path / "cells", 2, 0)
    asked = []
    monkeypatch.setattr("unetlift.predict.Predictor.__call__", lambda *_: asked.append(1))
    code = _run("stability", "--model", circular, "--input", tmp_path / "cells" / "images", "--out", tmp_path / "out", flag)
    assert code == 2 and sentence in capsys.readouterr().err and not asked and not (tmp_path / "out").exists()


def test_a_network_that_answers_with_pictures_is_measured_without_labels(circular: Path, tmp_path: Path, capsys) -> None:
    from unetlift import from_pretrained

    model = from_pretrained(circular)
    model.renew_head(3)
    model.save_pretrained(circular, ModelInfo((), (), task="translate"))
    write_split(tmp_path / "cells", 1, 0)
    places = ["--model", circular, "--input", tmp_path / "cells" / "images", "--out", tmp_path / "out"]
    assert _run("stability", *places, "--max-shift=2", "--margin=4", "--mode=roll") == 0
    (subject,) = json.loads((tmp_path / "out" / "stability.json").read_text())["subjects"]
    assert subject["reports"]["roll"]["agreement"] is None and "%" not in (tmp_path / "out" / "stability.md").read_text()
