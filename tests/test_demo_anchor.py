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
from unetlift.demo import blocks, compare, examples, panels
from unetlift.shifts import Shift

STEP = Shift(1, 1)


@pytest.fixture(scope="module")
def page() -> Iterator[blocks.Page]:
    """Over the networks of the repository, with a small picture, for speed."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    page = blocks.Page(compare.Bench(compare.find(ROOT / "checkpoints")))
    page.examples = {"nuclei": small_nuclei}
    yield page
    torch.set_num_threads(before)


def small_nuclei() -> np.ndarray:
    return examples.nuclei(side=128, count=12)


def marks(sight: str) -> list[tuple[float, float]]:
    """From the top and the left, in percent."""
    return [(float(top), float(left)) for top, left in re.findall(r'class="mark" style="top: ([\d.]+)%; left: ([\d.]+)%"', sight)]


def test_in_crop_it_steadies_every_shipped_network(page: blocks.Page) -> None:
    plain = page.bench.move(page.bench.begin(small_nuclei(), "crop"), STEP)
    anchored = page.bench.move(page.bench.begin(small_nuclei(), "crop", anchor=True), STEP)
    assert [result.without for result in anchored] == [result.psnr for result in plain]
    for result in anchored:
        assert result.psnr > result.without + 10, result.network.name


def test_in_roll_it_makes_every_network_exact(page: blocks.Page) -> None:
    scene = page.bench.begin(small_nuclei(), "roll", anchor=True)
    results = [result for shift in (STEP, Shift(0, -7), Shift(16, 5)) for result in page.bench.move(scene, shift)]
    for result in results:
        assert result.psnr == stability.CEILING and result.agreement == 1 and not result.difference.any(), result.network.name
    assert results[0].without < 100


@pytest.mark.parametrize("mode", ["crop", "roll"])
def test_switched_off_again_the_page_is_what_it_was(page: blocks.Page, mode: str) -> None:
    phases = [network.predictor.model.config.phase for network in page.bench.networks]
    scene, *before = page.choose(None, "nuclei", mode, 1, 1)
    scene, *on = page.turn(scene, mode, 1, 1, True)
    _, *after = page.turn(scene, mode, 1, 1, False)
    assert after == before
    figures = [float(text) for text in re.findall(r'data-psnr="([\d.]+)"', before[1])]
    smaller = re.findall(r'class="without.*?<b>(.*?)</b>', on[1])
    assert smaller == ["exact" if figure >= stability.CEILING else f"{figure:.1f} dB" for figure in figures]
    assert "without anchoring" not in "".join(before) and not marks(before[0])
    assert [network.predictor.model.config.phase for network in page.bench.networks] == phases


@pytest.mark.parametrize(("anchor", "passes"), [(False, 1), (True, 2)])
def test_nothing_is_computed_that_is_not_shown(page: blocks.Page, anchor: bool, passes: int) -> None:
    network, seen = page.bench.networks[0], []
    scene = page.bench.begin(small_nuclei(), "crop", anchor)
    hook = network.predictor.model.register_forward_hook(lambda *_: seen.append(1))
    page.move(scene, 1, 1)
    hook.remove()
    assert len(seen) == passes


def test_the_landmark_is_marked_and_moves_with_the_picture(page: blocks.Page) -> None:
    _, sight, _, words = page.choose(None, "nuclei", "crop", 3, -5, True)
    (y, x), (moved_y, moved_x) = marks(sight)
    side = 96 / 100  # of the window that the networks see, per percent
    assert ((moved_y - y) * side, (moved_x - x) * side) == pytest.approx((-5, 3), abs=0.05)
    assert words.count("the network is untouched") == 1


def test_networks_that_disagree_have_a_cross_each() -> None:
    frame = np.zeros((96, 96, 1), np.float32)
    found = [Anchoring(Landmark(y, 48, 1.0), None) for y in (24, 24, 72)]
    assert len(marks(panels.sight(frame, frame, STEP, found, found[:2]))) == 2 + 1


@pytest.mark.parametrize("mode", ["crop", "roll"])
def test_a_picture_without_a_landmark_is_told_in_one_sentence(page: blocks.Page, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "grey.png"
    Image.new("L", (128, 128), 90).save(path)
    _, sight, columns, *_ = page.upload(None, str(path), mode, 1, 1, True)
    assert re.findall(r'class="note">(.*?)</p>', sight) == ["No landmark was found; the picture is not anchored."]
    assert not marks(sight)
    assert re.findall(r'data-psnr="([\d.]+)"', columns)


def test_the_curve_has_every_network_with_and_without(page: blocks.Page) -> None:
    scene, *_ = page.choose(None, "nuclei", "crop", 1, 1, True)
    names = [network.name for network in page.bench.networks]
    told = [unescape(re.search(r'alt="([^"]*)"', plot)[1]) for plot in page.curve(scene)]
    assert len(told) == len(names)
    for name in names:
        assert f"{name}: at least" in told[-1] and f"{name} without anchoring: at least" in told[-1]


def test_the_curve_of_a_scene_that_was_left_ends_with_and_without(page: blocks.Page) -> None:
    scene, *_ = page.choose(None, "nuclei", "crop", 1, 1, True)
    curve = page.curve(scene)
    next(curve)
    page.turn(scene, "crop", 1, 1, False)
    assert list(curve) == []
    assert scene.without.left.is_set()
