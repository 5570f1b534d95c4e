"""Placing puts the anchor on the grid, restoring undoes it: for any size, stride and anchor."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unetlift.anchor import PLACINGS, Frame, align
from unetlift.anchor.place import SURROUND
from unetlift.errors import UsageError

LAYOUTS = [torch.contiguous_format, torch.channels_last]

sizes, strides, anchors = st.integers(1, 40), st.integers(1, 16), st.integers(-100, 100)
ordinary = settings(max_examples=80, deadline=None, derandomize=True)
PADDINGS = [placing for placing in PLACINGS if placing != "circular"]
every_padding = pytest.mark.parametrize("placing", PADDINGS)


def picture(height: int, width: int, layout: torch.memory_format = torch.contiguous_format) -> Tensor:
    """Every pixel of it is another."""
    return torch.arange(2.0 * 3 * height * width).reshape(2, 3, height, width).contiguous(memory_format=layout)


def windows(draw: st.DrawFn, height: int, width: int, placing: str) -> Frame | None:
    if placing != "context":
        return None
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return Frame(top, left, draw(st.integers(1, height - top)), draw(st.integers(1, width - left)))


@st.composite
def placings(draw: st.DrawFn, placing: str) -> tuple[tuple[int, int], tuple[int, int], int, Frame | None]:
    """Size, anchor, stride and frame."""
    height, width = draw(sizes), draw(sizes)
    return (height, width), (draw(anchors), draw(anchors)), draw(strides), windows(draw, height, width, placing)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("placing", PLACINGS)
@ordinary
@given(st.data())
def test_restoring_undoes_placing(placing, layout, data):
    size, anchor, stride, frame = data.draw(placings(placing))
    x = picture(*size, layout)
    before = x.clone()
    placed, placement = align(x, anchor, stride, placing, frame=frame)
    assert torch.equal(placement.restore(placed), frame.cut(x) if frame else x)
    placed.fill_(-1)  # a new tensor, never a view of the picture
    assert torch.equal(x, before)


@pytest.mark.parametrize("placing", PLACINGS)
def test_every_anchor_gives_one_layout(placing):
    """Networks answer with other bits where the same pixels lie in memory otherwise, and the caller's own roll changes that."""
    frame = Frame(0, 0, 24, 40) if placing == "context" else None
    for layout in LAYOUTS:
        for anchor in [(3, 5), (8, 5), (3, 16), (8, 16)]:
            placed, _ = align(picture(24, 40, layout), anchor, 8, placing, frame=frame)
            assert placed.is_contiguous(memory_format=torch.contiguous_format if placing == "circular" else layout)


@every_padding
@ordinary
@given(st.data())
def test_a_marked_pixel_lands_on_the_grid(placing, data):
    (height, width), _, stride, frame = data.draw(placings(placing))
    top, left, rows, columns = frame or (0, 0, height, width)
    y, x = top + data.draw(st.integers(0, rows - 1)), left + data.draw(st.integers(0, columns - 1))
    marked = torch.zeros(1, 1, height, width)
    marked[0, 0, y, x] = 1
    placed, placement = align(marked, (y, x), stride, placing, frame=frame)
    at = (y - top + placement.down, x - left + placement.right)
    assert at[0] % stride == at[1] % stride == 0 and placed[0, 0][at] == 1


@every_padding
@ordinary
@given(st.data(), st.one_of(st.none(), strides))
def test_the_padding_is_the_least_that_serves(placing, data, multiple):
    (height, width), anchor, stride, frame = data.draw(placings(placing))
    top, left, rows, columns = frame or (0, 0, height, width)
    placed, placement = align(picture(height, width), anchor, stride, placing, frame=frame, multiple=multiple)
    every, least = multiple or stride, SURROUND if placing == "surround" else 0
    for at, first, before, size, got in zip(
        anchor, (top, left), (placement.down, placement.right), (rows, columns), placed.shape[2:], strict=True
    ):
        assert least <= before < least + stride and (at - first + before) % stride == 0
        assert got % every == 0 and least <= got - size - before < least + every


@ordinary
@given(st.data())
def test_a_rolled_anchor_lands_on_one_place_of_the_grid_near_the_middle(data):
    size, anchor, stride, _ = data.draw(placings("circular"))
    marked = torch.zeros(1, 1, *size)
    marked[0, 0, anchor[0] % size[0], anchor[1] % size[1]] = 1
    placed, placement = align(marked, anchor, stride, "circular", multiple=stride)
    (at,) = placed[0, 0].nonzero().tolist()
    assert placed.shape == marked.shape and placement.circular
    assert all(place % stride == 0 and 0 <= side // 2 - place < stride for place, side in zip(at, size, strict=True))


@every_padding
def test_what_is_put_around_is_the_pictures_own(placing):
    x = torch.arange(6.0 * 7).reshape(1, 1, 6, 7)
    frame = Frame(2, 3, 4, 4) if placing == "context" else None
    placed, placement = align(x, (3, 5), 4, placing, frame=frame)
    down, right = placement.down, placement.right
    if placing == "context":  # real neighbours above and to the left; the rest is there already
        assert (down, right) == (3, 2) and torch.equal(placed[0, 0, 1:7, 0:6], x[0, 0, :, 1:])
        assert torch.equal(placed[0, 0, 0], placed[0, 0, 2])  # beyond the picture it is mirrored
    elif placing == "surround":
        assert (down, right) == (SURROUND + 1, SURROUND + 3)
        rows, columns = ((torch.arange(length) - first).clamp(0, last) for length, first, last in ((72, 33, 5), (76, 35, 6)))
        assert torch.equal(placed[0, 0], x[0, 0][rows][:, columns])
    else:
        assert (down, right) == (1, 3)
        source = {"reflect": ([1, 0, 1, 2, 3, 4, 5, 4], [3, 2, 1, 0, 1, 2, 3, 4, 5, 6, 5, 4])}
        source["replicate"] = ([0, 0, 1, 2, 3, 4, 5, 5], [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 6])
        rows, columns = (torch.tensor(of) for of in source[placing])
        assert torch.equal(placed[0, 0], x[0, 0][rows][:, columns])


def test_answers_with_other_channels_and_types_come_back_too():
    placed, placement = align(picture(13, 22), (5, 6), 8)
    labels = placed.argmax(1, keepdim=True)
    assert torch.equal(placement.restore(labels), picture(13, 22).argmax(1, keepdim=True))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"placing": "zeros"}, "placing 'zeros' is unknown; it is one of reflect, replicate, surround, context, circular"),
        ({"stride": 0}, "stride is 0; it is a whole number from 1 on"),
        ({"multiple": 0}, "multiple is 0; it is a whole number from 1 on"),
        ({"placing": "context"}, "The placing 'context' came without a frame; only 'context' takes one"),
        ({"frame": Frame(0, 0, 4, 4)}, "The placing 'reflect' came with a frame; only 'context' takes one"),
        ({"placing": "context", "frame": Frame(5, 0, 4, 4)}, "does not lie in a picture of 9 x 8"),
        ({"placing": "context", "frame": Frame(0, -1, 4, 4)}, "does not lie in a picture of 9 x 8"),
        ({"placing": "context", "frame": Frame(0, 0, 0, 4)}, "does not lie in a picture of 9 x 8"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        align(picture(8, 9), **{"anchor": (1, 2), "stride": 4} | arguments)
