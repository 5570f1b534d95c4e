"""The landmark: a point of the scene, whatever the frame does."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from test_anchor import photo

from unetlift.anchor import align, landmark
from unetlift.anchor.landmark import BORDERS
from unetlift.errors import UsageError

every_border = pytest.mark.parametrize("border", BORDERS)


def dark(height: int = 40, width: int = 48) -> NDArray[np.float32]:
    return np.zeros((1, height, width), np.float32)


def blob(y: float, x: float, sigma: float = 2.0, height: int = 40, width: int = 48) -> NDArray[np.float32]:
    rows, columns = np.mgrid[:height, :width]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2)).astype(np.float32)[None]


def placed(picture: NDArray) -> torch.Tensor:
    """The picture rolled into place, which is all that a function sees of it."""
    found = landmark(picture, "wrap")
    assert found is not None
    return align(torch.from_numpy(picture)[None], found[:2], 4, "circular")[0]


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random(shape, np.float32)


def grating(across: int, down: int) -> NDArray[np.float32]:
    rows, columns = np.mgrid[:24, :30]
    return np.sin(2 * np.pi * (across * columns / 30 + down * rows / 24)).astype(np.float32)[None].round(3)


def bricks() -> NDArray[np.float32]:
    """Every second row of tiles lies half a tile further, and one brick in the wall is another."""
    course = np.tile(noise(1, 6, 12), (1, 1, 3))
    wall = np.concatenate([course, np.roll(course, 6, 2)] * 2, 1)
    wall[0, 20, 20] += 1e-4
    return wall


PICTURES = {
    "noise": partial(noise, 3, 18, 22),
    "odd": partial(noise, 1, 13, 11),
    "tiling": lambda: np.tile(noise(2, 6, 5), (1, 4, 5)),
    "tiles that share no period": lambda: np.tile(noise(1, 9, 9), (1, 2, 3)),
    "bricks": bricks,
    "two equal blobs": lambda: np.maximum(blob(8, 9, height=24, width=30), blob(17, 22, height=24, width=30)),
    "blobs that see different neighbours": lambda: np.maximum(blob(8, 9, 1, 24, 30), blob(8, 22, 1, 24, 30)) + 1e-3 * grating(1, 1),
    "columns": partial(grating, 3, 0),
    "rows": partial(grating, 0, 2),
    "diagonals": partial(grating, 2, 3),
    "chessboard": lambda: (np.indices((24, 30)).sum(0) // 3 % 2).astype(np.float32)[None],
    "a step": lambda: (np.arange(30) < 11).astype(np.float32)[None, None].repeat(24, 1),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_every_roll_is_seen_as_one_picture(kind):
    picture = PICTURES[kind]()
    still = placed(picture)
    height, width = picture.shape[1:]
    shifts = [(dy, dx) for dy in range(height) for dx in range(width)]
    assert all(torch.equal(placed(np.roll(picture, shift, (1, 2))), still) for shift in shifts)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 2), st.integers(9, 14), st.integers(9, 14)), elements=st.sampled_from([0.0, 0.5, 1.0])),
    st.tuples(st.integers(-40, 40), st.integers(-40, 40)),
)
def test_pictures_of_three_values_have_ties_and_no_matter(picture, shift):
    if (picture.sum(0) == picture.sum(0)[0, 0]).all():
        assert landmark(picture, "wrap") is None
    else:
        assert torch.equal(placed(np.roll(picture, shift, (1, 2))), placed(picture))


def test_where_it_is_alone_the_point_moves_with_the_roll():
    picture = photo()[0].numpy()
    still, height, width = landmark(picture, "wrap"), *picture.shape[1:]
    for dy, dx in [(1, 0), (0, 1), (37, -21), (-400, 333)]:
        assert landmark(np.roll(picture, (dy, dx), (1, 2)), "wrap") == still._replace(y=(still.y + dy) % height, x=(still.x + dx) % width)


@pytest.mark.parametrize("name", ["astronaut.png", "ihc.png", "coins.png", "chelsea.png"])
def test_a_moving_window_shows_the_scenes_point_as_long_as_it_is_inside(name):
    scene, side = photo(name, step=3)[0].numpy(), 64
    still = landmark(scene)
    assert still.confidence > 0.01  # or the last bit of the grey values would decide, whose scale is the frame's
    generator = np.random.default_rng(1)
    for _ in range(40):
        low = [max(0, at + 5 - side) for at in still[:2]]
        high = [min(size - side, at - 4) for at, size in zip(still[:2], scene.shape[1:], strict=True)]
        top, left = generator.integers(low, high, endpoint=True)
        found = landmark(scene[:, top : top + side, left : left + side])
        assert (found.y + top, found.x + left) == still[:2] and found.fraction == pytest.approx(still.fraction, abs=1e-3)


@every_border
def test_one_bright_pixel_in_the_dark_is_found_for_certain(border):
    picture = dark()
    picture[0, 13, 29] = 1
    assert landmark(picture, border) == (13, 29, 1.0, (0.0, 0.0))
    assert landmark(1 - picture, border) == (13, 29, 1.0, (0.0, 0.0))


@every_border
def test_of_two_equal_blobs_one_is_found_without_confidence(border):
    found = landmark(np.maximum(blob(12, 10), blob(27, 35)), border)
    assert found[:2] in [(12, 10), (27, 35)] and found.confidence == 0


@every_border
def test_confidence_is_the_lead_over_the_next(border):
    found = landmark(np.maximum(blob(12, 10), 0.75 * blob(27, 35)), border)
    assert found[:2] == (12, 10) and found.confidence == pytest.approx(0.25, abs=2e-3)


def test_a_blob_beats_a_brighter_edge():
    picture = 0.5 * blob(12, 10)
    picture[0, :, 24:] += 1
    assert landmark(picture)[:2] == (12, 10)


def test_a_point_at_the_frames_border_counts_on_a_torus_alone():
    picture = dark()
    picture[0, 0, 47] = 1
    assert landmark(picture, "wrap")[:2] == (0, 47) and landmark(picture, "inside") is None


@every_border
@pytest.mark.parametrize("sigma", [1.5, 2.0, 3.0])
def test_the_fraction_is_the_blobs_centre_between_the_pixels(border, sigma):
    for dy, dx in [(0, 0), (0.25, -0.25), (-0.4, 0.1), (0.1, 0.45), (-0.3, -0.45)]:
        found = landmark(blob(20 + dy, 23 + dx, sigma), border)
        assert found[:2] == (20, 23) and found.fraction == pytest.approx((dy, dx), abs=0.05)


@every_border
@pytest.mark.parametrize("exponent", [-40, -3, 1, 30])
def test_scale_by_powers_of_two_changes_nothing(border, exponent):
    picture = photo()[0].numpy()
    assert landmark(picture * np.float32(2.0**exponent), border) == landmark(picture, border)


@every_border
def test_arrays_tensors_and_layouts_have_one_landmark(border):
    x = photo()
    expected = landmark(x[0].numpy(), border)
    assert landmark(x[0], border) == landmark(x.contiguous(memory_format=torch.channels_last)[0], border) == expected
    assert landmark(x[0].double(), border) == landmark(x[0].clone().requires_grad_(), border) == expected


@every_border
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_one_sentence(border, value):
    picture = noise(3, 20, 20)
    picture[1, 4, 4] = value
    with pytest.raises(UsageError, match="The picture holds values that are not finite numbers; replace them"):
        landmark(picture, border)


def test_infinities_that_cancel_are_the_same_sentence():
    with pytest.raises(UsageError, match="not finite"):
        landmark(np.stack([np.full((12, 12), np.inf), np.full((12, 12), -np.inf)]).astype(np.float32))


@every_border
@pytest.mark.parametrize("picture", [dark(), dark() - 3.5, noise(1, 1, 1)], ids=lambda p: p.shape)
def test_without_structure_there_is_none(border, picture):
    assert landmark(picture, border) is None


@pytest.mark.parametrize("picture", [noise(3, 8, 40), noise(1, 40, 5)], ids=lambda p: p.shape)
def test_without_room_there_is_none_but_on_the_torus(picture):
    assert landmark(picture, "inside") is None
    assert landmark(picture, "wrap").confidence == 0


def test_nothing_but_edges_is_no_point():
    assert landmark(PICTURES["columns"]()) is None and landmark(PICTURES["a step"]()) is None


def test_an_unknown_border_is_one_sentence():
    with pytest.raises(UsageError, match="border 'mirror' is unknown; it is one of inside, wrap"):
        landmark(dark(), "mirror")


@every_border
def test_a_tensor_of_any_float_has_the_landmark_of_its_values(border):
    picture = torch.from_numpy(noise(3, 24, 40)).bfloat16()
    assert landmark(picture, border) == landmark(picture.float(), border) == landmark(picture.double().numpy(), border)
