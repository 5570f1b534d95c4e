"""Animations are read back bit for bit, by Pillow, at every moment that they show."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unetlift.errors import PictureError, UsageError
from unetlift.images import write_animation

KINDS = ("webp", "png")
by_kind = pytest.mark.parametrize("kind", KINDS)


def noise(count: int, height: int = 17, width: int = 23) -> list[NDArray[np.uint8]]:
    return list(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def shown(file: Path | BytesIO) -> list[tuple[int, NDArray[np.uint8]]]:
    """Each stored frame with the milliseconds that it lasts."""
    with Image.open(file) as animation:
        frames = []
        for number in range(animation.n_frames):
            animation.seek(number)
            pixels = np.asarray(animation.convert("RGB"))  # decodes it, which is when its duration is known
            frames.append((round(animation.info["duration"]), pixels))
        return frames


@by_kind
@pytest.mark.parametrize("count", [2, 3, 20])
def test_every_frame_is_read_back_bit_for_bit(tmp_path, kind, count):
    frames, path = noise(count), tmp_path / "flicker.bin"
    write_animation(path, frames, 120, kind)
    read = shown(path)
    assert [lasts for lasts, _ in read] == [120] * count
    np.testing.assert_array_equal([pixels for _, pixels in read], frames)


@by_kind
def test_smooth_pictures_that_move_are_kept_too(kind):
    rows, columns = np.mgrid[:64, :80]
    frames = [np.stack([rows * 3, columns * 2 + k, 255 - rows - k], 2).astype(np.uint8) for k in range(12)]
    memory = BytesIO()
    write_animation(memory, frames, 40, kind)
    np.testing.assert_array_equal([pixels for _, pixels in shown(memory)], frames)


@by_kind
def test_it_loops_for_ever_and_is_what_it_says(kind):
    memory = BytesIO()
    write_animation(memory, noise(2), 50, kind)
    with Image.open(memory) as animation:
        assert animation.format.lower() == kind and animation.is_animated and animation.info["loop"] == 0


@by_kind
def test_of_equal_neighbours_one_lasts_longer(kind):
    first, second = noise(2)
    memory = BytesIO()
    write_animation(memory, [first, first, second, first], 100, kind)
    read = shown(memory)
    assert [lasts for lasts, _ in read] == [200, 100, 100]
    np.testing.assert_array_equal([pixels for _, pixels in read], [first, second, first])


@by_kind
def test_frames_that_never_change_are_a_picture(kind):
    (frame,) = noise(1)
    for count in (1, 3):
        memory = BytesIO()
        write_animation(memory, [frame] * count, 100, kind)
        np.testing.assert_array_equal(np.asarray(Image.open(memory).convert("RGB")), frame)


@by_kind
def test_views_of_larger_arrays_are_written_as_they_are_seen(kind):
    scene = noise(1, 40, 40)[0]
    frames = [scene[k : k + 20, ::2] for k in range(3)]
    memory = BytesIO()
    write_animation(memory, frames, 100, kind)
    np.testing.assert_array_equal([pixels for _, pixels in shown(memory)], frames)


@by_kind
@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([], "no frames"),
        ([noise(1)[0], noise(1, 17, 24)[0]], r"Frame 2 .*\(17, 24, 3\)"),
        ([noise(1)[0].astype(np.float32)], "float32"),
        ([noise(1)[0][..., :1]], r"\(17, 23, 1\)"),
        ([noise(1)[0][..., 0]], r"\(17, 23\)"),
        ([np.zeros((0, 4, 3), np.uint8)], r"\(0, 4, 3\)"),
    ],
)
def test_what_is_no_animation_is_refused_and_leaves_no_file(tmp_path, kind, frames, words):
    with pytest.raises(PictureError, match=words):
        write_animation(tmp_path / "flicker", frames, 100, kind)
    assert not list(tmp_path.iterdir())


def test_what_a_format_cannot_hold_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(PictureError, match="webp does not hold an animation of 2 frames of 16384 x 1 "):
        write_animation(tmp_path / "flicker", noise(2, 1, 16384), 100, "webp")
    assert not list(tmp_path.iterdir())


@by_kind
@pytest.mark.parametrize("milliseconds", [0, -5, 65536])
def test_a_frame_lasts_for_some_time(kind, milliseconds):
    with pytest.raises(UsageError, match=f"{milliseconds} ms"):
        write_animation(BytesIO(), noise(2), milliseconds, kind)


@by_kind
def test_long_animations_of_equal_frames_add_up(kind):
    first, second = noise(2)
    memory = BytesIO()
    write_animation(memory, [first] * 30 + [second], 65535, kind)
    read = shown(memory)
    np.testing.assert_array_equal(read[0][1], first)
    np.testing.assert_array_equal(read[-1][1], second)
    assert sum(lasts for lasts, _ in read) == 31 * 65535


def test_a_kind_that_is_unknown_is_named():
    with pytest.raises(UsageError, match="'gif' is unknown; it is one of webp, png"):
        write_animation(BytesIO(), noise(2), 100, "gif")
