"""The page's switch for anchoring: the shipped networks with and without it, on the same picture."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image

from unetlift import stability
from unetlift.anchor import Anchoring, Landmark
from unetlift.demo import compare, examples, panels, pictures, visit
from unetlift.demo.compare import Bench
from unetlift.shifts import Shift

STEP = Shift(1, 1)


@pytest.fixture(scope="module")
def page() -> Iterator[visit.Page]:
    """Over the networks of the repository, with a small picture, for speed."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield visit.Page(compare.find(ROOT / "checkpoints"), {"nuclei": small_nuclei})
    torch.set_num_threads(before)


def small_nuclei() -> np.ndarray:
    return examples.nuclei(side=128, count=12)


@pytest.fixture(scope="module")
def task(page: visit.Page) -> str:
    """Nuclei; the repository has others too."""
    return next(task for task in page.benches if "nucleus" in task)


@pytest.fixture(scope="module")
def bench(page: visit.Page, task: str) -> Bench:
    return page.benches[task]


@pytest.fixture(scope="module")
def picture(bench: Bench) -> np.ndarray:
    """As the networks are given it."""
    return pictures.seen_by(bench.networks[0], small_nuclei())


def marks(sight: str) -> list[tuple[float, float]]:
    """From the top and the left, in percent."""
    return [(float(top), float(left)) for top, left in re.findall(r'class="mark" style="top: ([\d.]+)%; left: ([\d.]+)%"', sight)]


def test_in_crop_it_steadies_every_shipped_network(bench: Bench, picture: np.ndarray) -> None:
    plain = bench.move(bench.begin(picture, "crop"), STEP)
    anchored = bench.move(bench.begin(picture, "crop", "both"), STEP)
    alone = bench.move(bench.begin(picture, "crop", "landmark"), STEP)
    assert [result.without for result in anchored] == [result.psnr for result in plain]
    assert [(result.psnr, result.without) for result in alone] == [(result.psnr, None) for result in anchored]
    for result in anchored:
        assert result.psnr > result.without + 10, result.network.name


def test_in_roll_it_makes_every_network_exact(bench: Bench, picture: np.ndarray) -> None:
    scene = bench.begin(picture, "roll", "both")
    results = [result for shift in (STEP, Shift(0, -7), Shift(16, 5)) for result in bench.move(scene, shift)]
    for result in results:
        assert result.psnr == stability.CEILING and result.agreement == 1 and not result.difference.any(), result.network.name
    assert results[0].without < 100


@pytest.mark.parametrize("mode", ["crop", "roll"])
def test_switched_off_again_the_page_is_what_it_was(page: visit.Page, task: str, mode: str) -> None:
    phases = [network.predictor.model.config.phase for network in page.benches[task].networks]
    view, *before = page.choose(None, task, "nuclei", mode, 1, 1)
    view, *on = page.turn(view, mode, 1, 1, None, "both")
    _, *after = page.turn(view, mode, 1, 1, None, "none")
    assert after == before
    figures = [float(text) for text in re.findall(r'data-psnr="([\d.]+)"', before[1])]
    smaller = re.findall(r'class="without.*?<b>(.*?)</b>', on[1])
    assert smaller == ["exact" if figure >= stability.CEILING else f"{figure:.1f} dB" for figure in figures]
    assert "without anchoring" not in "".join(before) and not marks(before[0])
    assert [network.predictor.model.config.phase for network in page.benches[task].networks] == phases


@pytest.mark.parametrize(("anchor", "passes"), [("none", 1), ("landmark", 1), ("both", 2)])
def test_nothing_is_computed_that_is_not_shown(page: visit.Page, task: str, anchor: str, passes: int) -> None:
    network, seen = page.benches[task].networks[0], []
    view, *_ = page.choose(None, task, "nuclei", "crop", 1, 1, [network.name], anchor)
    hook = network.predictor.model.register_forward_hook(lambda *_: seen.append(1))
    page.move(view, 1, 1, 10)
    hook.remove()
    assert len(seen) == passes


def test_the_landmark_is_marked_and_moves_with_the_picture(page: visit.Page, task: str) -> None:
    _, sight, _, words, _ = page.choose(None, task, "nuclei", "crop", 3, -5, None, "landmark")
    (y, x), (moved_y, moved_x) = marks(sight)
    side = 96 / 100  # of the window that the networks see, per percent
    assert ((moved_y - y) * side, (moved_x - x) * side) == pytest.approx((-5, 3), abs=0.05)
    assert words.count("the network is untouched") == 1


def test_networks_that_disagree_have_a_cross_each() -> None:
    frame = np.zeros((96, 96, 1), np.float32)
    found = [Anchoring(Landmark(y, 48, 1.0), None) for y in (24, 24, 72)]
    assert [len(marks(panels.marks(anchorings, frame))) for anchorings in (found, found[:2])] == [2, 1]


@pytest.mark.parametrize("mode", ["crop", "roll"])
def test_a_picture_without_a_landmark_is_told_in_one_sentence(page: visit.Page, task: str, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "grey.png"
    Image.new("L", (128, 128), 90).save(path)
    _, sight, columns, *_ = page.upload(None, task, str(path), mode, 1, 1, None, "both")
    assert re.findall(r'class="note">(.*?)</p>', sight) == ["No landmark was found; the picture is not anchored."]
    assert not marks(sight)
    assert re.findall(r'data-psnr="([\d.]+)"', columns)


def test_the_curve_has_every_network_with_and_without(page: visit.Page, task: str) -> None:
    view, *_ = page.choose(None, task, "nuclei", "crop", 1, 1, None, "both")
    told = [(unescape(re.search(r'alt="([^"]*)"', plot)[1]), table) for plot, table in page.curve(view)]
    assert len(told) == 2 * len(page.variants(task))
    words, table = told[-1]
    for name in page.variants(task):
        assert f"{name}: at least" in words and f"{name} without anchoring: at least" in words
        assert f'<th scope="row">{name}</th>' in table and f'<th scope="row">{name} without anchoring</th>' in table
