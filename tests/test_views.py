"""Views are moved back to where they came from; cycle spinning makes any network follow every shift."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from unetlift import UNet
from unetlift.errors import UsageError
from unetlift.predict.views import FLIPS, Views
from unetlift.shifts import Shift, window

DEPTH, STRIDE = 2, 4


def _noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _network(padding_mode: str, down: str = "max", up: str = "nearest") -> UNet:
    """Untrained, but with every level having its say."""
    torch.manual_seed(0)
    model = UNet(depth=DEPTH, width=4, down=down, up=up, padding_mode=padding_mode).double()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(_noise(2, 3, 64, 64))
    return model.eval()


@torch.inference_mode()
def _ask(model: UNet, x: torch.Tensor) -> torch.Tensor:
    return model(x).softmax(1)


def _far(x: torch.Tensor, y: torch.Tensor) -> float:
    return (x - y).abs().max().item()


def test_one_plain_view_is_the_functions_own_answer():
    x, seen = _noise(1, 3, 7, 9), []
    y = _noise(1, 2, 7, 9)
    assert Views()(lambda given: seen.append(given) or y, x) is y and seen == [x] and Views().calls == 1


@given(
    flips=st.sampled_from(list(FLIPS)),
    spin=st.integers(1, 5),
    placing=st.sampled_from(["reflect", "circular"]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_view_is_moved_back_to_where_it_came_from(flips, spin, placing, size):
    """What answers pixel by pixel cannot tell the views apart, so the mean is its own answer; nothing is left out."""
    x, sizes = _noise(2, 3, *size), []
    views = Views(flips, (1.0,), spin, placing)
    answer = views(lambda y: sizes.append(y.shape) or y.flip(1).square(), x)
    assert _far(answer, x.flip(1).square()) < 1e-14 and len(sizes) == views.calls


def test_the_mean_is_the_mean_of_the_answers_moved_back_by_numpy():
    x, kernel = _noise(1, 1, 6, 8), _noise(1, 1, 3, 3, seed=1)
    lopsided = lambda y: F.conv2d(F.pad(y, (1, 1, 1, 1)), kernel)  # noqa: E731
    asked = lambda array: lopsided(torch.from_numpy(array.copy())[None, None])[0, 0].numpy()  # noqa: E731
    a, answers = x[0, 0].numpy(), []
    for quarter in range(4):
        answers.append(np.rot90(asked(np.rot90(a, quarter)), -quarter))
        answers.append(np.rot90(asked(np.rot90(a, quarter)[:, ::-1])[:, ::-1], -quarter))
    assert np.abs(Views("eight")(lopsided, x)[0, 0].numpy() - np.mean(answers, 0)).max() < 1e-14
    four = [asked(a), asked(a[:, ::-1])[:, ::-1], asked(a[::-1])[::-1], asked(a[::-1, ::-1])[::-1, ::-1]]
    assert np.abs(Views("four")(lopsided, x)[0, 0].numpy() - np.mean(four, 0)).max() < 1e-14
    assert np.abs(Views("horizontal")(lopsided, x)[0, 0].numpy() - np.mean(four[:2], 0)).max() < 1e-14


@pytest.mark.parametrize("flips", ["horizontal", "four", "eight"])
def test_with_flips_a_network_follows_them(flips):
    model, views, x = _network("zeros"), Views(flips), _noise(1, 3, 24, 24)
    for turn in FLIPS[flips]:
        turned = views(lambda y: _ask(model, y), turn.there(x))
        assert _far(turned, turn.there(views(lambda y: _ask(model, y), x))) < 1e-12
    assert _far(_ask(model, x.flip(3)), _ask(model, x).flip(3)) > 1e-3


@pytest.mark.parametrize(("down", "up"), [("max", "nearest"), ("blur-3", "bilinear"), ("max", "unpool"), ("lift", "lift")])
def test_spun_by_its_stride_a_circular_network_follows_every_roll(down, up):
    model, views, x = _network("circular", down, up), Views(spin=STRIDE, placing="circular"), _noise(1, 3, 16, 24)
    ask, still = (lambda y: _ask(model, y)), views(lambda y: _ask(model, y), x)
    for shift in [(1, 0), (0, 1), (3, 2), (-5, 7)]:
        assert _far(views(ask, x.roll(shift, (2, 3))), still.roll(shift, (2, 3))) < 1e-12
    assert _far(ask(x.roll(1, 3)), ask(x).roll(1, 3)) > 1e-4
    assert still.sum(1).sub(1).abs().max() < 1e-12


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect"])
def test_spun_by_its_stride_a_network_follows_every_shift_away_from_the_frame(padding_mode):
    model, views, scene = _network(padding_mode), Views(spin=STRIDE), _noise(1, 3, 3 + 84 + 3, 3 + 84 + 3)
    ask = lambda y: _ask(model, y)  # noqa: E731
    still = views(ask, window(scene, Shift(0, 0), 3))
    margin = 36 + views.reach  # the network's field
    for dy, dx in [(1, 0), (2, 3), (-1, -3)]:
        moved = views(ask, window(scene, Shift(dy, dx), 3))
        there = slice(margin + dy, 84 - margin + dy), slice(margin + dx, 84 - margin + dx)
        assert _far(moved[..., there[0], there[1]], still[..., margin:-margin, margin:-margin]) < 1e-12


def test_spun_by_a_power_of_two_the_first_halvings_are_averaged_out():
    """A network of that stride is exact; a deeper one is left with the halvings below."""
    x = _noise(1, 3, 32, 32)

    def jumps(halvings: int, views: Views) -> float:
        coarse = lambda y: F.interpolate(y[..., :: 2**halvings, :: 2**halvings], scale_factor=2**halvings)  # noqa: E731
        return _far(views(coarse, x.roll(1, 3)), views(coarse, x).roll(1, 3))

    for halvings in (1, 2, 3):
        exact = [jumps(halvings, Views(spin=2**k, placing="circular")) < 1e-12 for k in range(5)]
        assert exact == [k >= halvings for k in range(5)]
        for k in range(1, halvings):
            assert jumps(halvings, Views(spin=2**k, placing="circular")) < jumps(halvings, Views())


def test_scales_ask_for_whole_pixels_and_answer_at_the_pictures_size():
    x, sizes = torch.full((1, 2, 21, 1), 0.7, dtype=torch.float64), []
    answer = Views(scales=(0.5, 1.0, 1.5, 1 / 16))(lambda y: sizes.append(tuple(y.shape[2:])) or y, x)
    assert sizes == [(10, 1), (21, 1), (32, 2), (1, 1)] and answer.shape == x.shape
    assert _far(answer, x) < 1e-12


def test_a_smooth_picture_survives_its_scales_and_a_shrunken_one_skips_nothing():
    rows = torch.arange(64.0, dtype=torch.float64)
    smooth = torch.sin(rows / 9)[:, None] * torch.cos(rows / 7)
    assert _far(Views(scales=(0.5, 2.0))(lambda y: y, smooth[None, None])[0, 0, 4:-4, 4:-4], smooth[4:-4, 4:-4]) < 0.02
    stripes = (torch.arange(64) % 4 == 0).double().expand(1, 1, 64, 64)
    quarter = Views(scales=(0.25,))(lambda y: y, stripes)
    assert (quarter[..., 4:-4, 4:-4] - 0.25).abs().max() < 0.07


def test_calls_pixels_and_reach_are_what_is_asked():
    views, x, sizes = Views("four", (0.5, 1.0), 3), _noise(1, 3, 16, 24), []
    views(lambda y: sizes.append(y.shape[2] * y.shape[3]) or y, x)
    assert views.calls == len(sizes) == 2 * 4 * 9 and views.reach == 2 and Views(spin=3, placing="circular").reach == 0
    assert views.pixels == 1.25 * 36 and views.pixels * 16 * 24 < sum(sizes) < views.pixels * 18 * 26 + 1e4


def test_the_answer_is_the_same_bits_again():
    model, x = _network("zeros").float(), _noise(1, 3, 21, 30).float()
    views = Views("eight", (0.75, 1.0), 2)
    assert torch.equal(views(lambda y: _ask(model, y), x), views(lambda y: _ask(model, y), x))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"flips": "two"}, "flips 'two' is unknown; it is one of none, horizontal, four, eight"),
        ({"placing": "zeros"}, "placing 'zeros' is unknown; it is one of reflect, circular"),
        ({"spin": 0}, "spin is 0; it is a whole number from 1 on"),
        ({"scales": ()}, "scales has nothing; it wants one or more factors from 0.0625 to 16"),
        ({"scales": (1.0, 0.0)}, r"scales has 0\.0; it wants"),
        ({"scales": (float("nan"),)}, "scales has nan; it wants"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        Views(**arguments)
