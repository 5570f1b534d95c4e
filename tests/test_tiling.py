"""Where tiles lie and what is kept of them: on the stride's grid, covering a picture exactly once, weights that sum to one."""

import numpy as np
import pytest

from unetlift.errors import UsageError
from unetlift.tiling import BLENDS, Cut, Tiling, choose_cut, pieces, ramp

CUTS = [Cut(64, 0, 0), Cut(64, 16, 0), Cut(64, 32, 8), Cut(96, 64, 16), Cut(40, 32, 2)]
LENGTHS = [1, 63, 64, 65, 72, 100, 127, 128, 129, 200, 333, 1024]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("length", LENGTHS)
def test_tiles_cover_an_axis_and_lie_on_the_grid(length, cut):
    stride = 8
    parts = pieces(length, cut, stride)
    assert all(part.first % stride == 0 for part in parts)
    assert parts[0].first == 0 and parts[-1].last == length
    assert all(part.last - part.first == cut.side for part in parts[:-1])
    assert len(parts) == 1 or cut.side - stride < parts[-1].last - parts[-1].first <= cut.side
    assert [part.own[1] for part in parts[:-1]] == [part.own[0] for part in parts[1:]]
    assert (parts[0].own[0], parts[-1].own[1]) == (0, length) and all(part.own[0] % stride == 0 for part in parts)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("length", [128, 136, 256, 800])
@pytest.mark.parametrize("wraps", [False, True])
def test_inner_borders_are_a_margin_away_from_what_counts(length, cut, wraps):
    margin = (cut.overlap - cut.ramp) // 2
    for part in pieces(length, cut, 8, wraps):
        assert part.start - part.first >= margin or (part.start == part.first == 0 and not wraps)
        assert part.last - part.stop >= margin or (part.stop == part.last == length and not wraps)


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("cut", CUTS)
def test_weights_sum_to_one(length, cut, blend):
    cut = cut._replace(ramp=0) if blend == "centre" else cut
    total = np.zeros(length)
    for part in pieces(length, cut, 8):
        weights = np.ones(part.stop - part.start, np.float32)
        weights[: part.before] *= ramp(part.before, blend)
        weights[len(weights) - part.after :] *= 1 - ramp(part.after, blend)
        total[part.start : part.stop] += weights
    assert np.abs(total - 1).max() < 1e-6
    if blend == "centre":
        assert (total == 1).all()


@pytest.mark.parametrize("blend", ["linear", "hann"])
def test_a_ramp_rises_from_one_tile_to_the_other_alike_from_either_side(blend):
    weights = ramp(32, blend)
    assert (np.diff(weights) > 0).all() and 0 < weights[0] < 0.05
    np.testing.assert_allclose(weights + weights[::-1], 1, atol=1e-6)


def test_a_torus_has_tiles_of_one_size_that_go_on_beyond_its_ends():
    parts = pieces(256, Cut(96, 32, 0), 8, wraps=True)
    assert {part.last - part.first for part in parts} == {96}
    assert parts[0].first == -16 and parts[-1].last == 256 + 16
    assert (parts[0].start, parts[-1].stop) == (0, 256)


def test_the_sizes_follow_the_network():
    assert choose_cut(Tiling(), 16, 96) == Cut(768, 192, 0)
    assert choose_cut(Tiling(), 16, 16).side == 512 and choose_cut(Tiling(), 32, 512).side == 1536
    assert choose_cut(Tiling(tile=250, overlap=50), 16, 0) == Cut(256, 64, 0)
    assert choose_cut(Tiling(blend="hann"), 16, 96) == Cut(896, 224, 32)
    assert choose_cut(Tiling(tile=512, overlap=256, blend="linear"), 16, 96) == Cut(512, 256, 64)
    assert choose_cut(Tiling(tile=512, overlap=64, blend="linear"), 16, 96) == Cut(512, 64, 32)  # half of it, since no margin fits


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"tile": -1}, "tile is -1; it is a whole number of pixels from 0 on"),
        ({"overlap": 0.5}, "overlap is 0.5; it is a whole number"),
        ({"whole": True}, "whole is True; it is a whole number"),
        ({"blend": "max"}, "blend 'max' is unknown; it is one of centre, linear, hann"),
        ({"tile": 64, "overlap": 64}, "overlap is 64 and tile 64; a tile is larger"),
    ],
)
def test_a_wrong_tiling_is_one_sentence(wrong, sentence):
    with pytest.raises(UsageError, match=sentence):
        Tiling(**wrong)


def test_a_tile_that_the_field_leaves_nothing_of_is_one_sentence():
    with pytest.raises(UsageError, match="tile is 128, but the network's field asks for an overlap of 192: give a tile of 224 or more"):
        choose_cut(Tiling(tile=128), 16, 96)


def test_a_picture_that_fits_is_not_cut():
    assert Tiling(whole=100).is_whole(10, 10) and not Tiling(whole=100).is_whole(10, 11)
    assert Tiling(tile=10).is_whole(10, 10) and not Tiling(tile=10).is_whole(10, 11)
