"""Shifts by parts of a pixel: the resampling that subpixel anchoring and subpixel stability stand on."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import fourier_shift, gaussian_filter
from test_anchor import ROLLS, blocks, follows, photo
from torch import Tensor

from unetlift.anchor import Anchored
from unetlift.shifts import Fraction, by_fraction, eighths

BORDERS = ("reflect", "replicate", "circular")
SHIFTS = [(0.5, 0), (0, -0.5), (0.125, 0.875), (-0.3, 0.6), (0.99, -0.99)]
every_border = pytest.mark.parametrize("border", BORDERS)
every_shift = pytest.mark.parametrize("shift", SHIFTS)


def wave(length: float, by: tuple[float, float] = (0, 0)) -> Tensor:
    """A periodic wave along the diagonal, so many pixels long each way, moved exactly: it is a formula, not pixels."""
    y, x = torch.arange(48, dtype=torch.float64)[:, None] - by[0], torch.arange(72, dtype=torch.float64) - by[1]
    return torch.cos(2 * math.pi * (y + x) / length + 1)[None, None]


def soft_photo() -> Tensor:
    return torch.from_numpy(gaussian_filter(photo().numpy().astype(np.float64), (0, 0, 2, 2), mode="wrap"))


@every_shift
@pytest.mark.parametrize("length", [8, 12, 24])
def test_a_wave_moves_as_the_formula_says(shift, length):
    """Four lobes pass waves of 8 pixels and more to within 0.6% of their height, once along each axis."""
    error = by_fraction(wave(length), Fraction(*shift), "circular") - wave(length, shift)
    assert error.abs().max() < 0.006 * sum(part != 0 for part in shift)


@every_shift
def test_a_soft_photograph_moves_as_by_its_spectrum(shift):
    x = soft_photo()
    spectrum = fourier_shift(np.fft.fft2(x.numpy()), (0, 0, *shift))
    expected = torch.from_numpy(np.fft.ifft2(spectrum).real)
    assert (by_fraction(x, Fraction(*shift), "circular") - expected).abs().max() < 0.006 * (x.max() - x.min())


@every_border
@every_shift
def test_there_and_back_a_soft_photograph_is_itself(shift, border):
    x = soft_photo()
    back = by_fraction(by_fraction(x, Fraction(*shift), border), Fraction(-shift[0], -shift[1]), border)
    inner = (..., slice(10, -10), slice(10, -10))
    assert (back - x)[inner].abs().max() < 0.006 * (x.max() - x.min())


@every_border
@every_shift
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (30, 17)])
def test_a_constant_stays_constant(shift, border, size):
    moved = by_fraction(torch.full((2, 3, *size), 0.7), Fraction(*shift), border)
    assert moved.shape == (2, 3, *size) and (moved - 0.7).abs().max() < 1e-6


@every_border
def test_no_shift_is_the_picture(border):
    assert torch.equal(by_fraction(photo(), Fraction(0, 0), border), photo())


@every_shift
def test_on_a_torus_it_follows_every_roll_to_the_bit(shift):
    assert all(follows(lambda x: by_fraction(x, Fraction(*shift), "circular"), photo()[..., :61, :47], roll) for roll in ROLLS)


def test_down_and_to_the_right_is_positive():
    x = torch.zeros(1, 1, 32, 32)
    x[0, 0, 10, 20] = 1
    moved = by_fraction(x, Fraction(0.75, -0.25), "circular")[0, 0]
    assert divmod(moved.argmax().item(), 32) == (11, 20)
    moments = [(moved.sum(1 - axis) * torch.arange(32)).sum().item() for axis in (0, 1)]
    assert moments == pytest.approx([10.75, 19.75], abs=0.02)


@every_border
def test_layout_and_type_stay(border):
    x = photo().double().contiguous(memory_format=torch.channels_last)
    moved = by_fraction(x, Fraction(0.3, 0.3), border)
    assert moved.dtype is torch.float64 and moved.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(moved, by_fraction(x.contiguous(), Fraction(0.3, 0.3), border))


def test_the_eighths_are_all_below_a_pixel_and_none_is_nothing():
    assert len(eighths()) == len(set(eighths())) == 21
    assert all(0 < max(shift) < 1 and min(shift) >= 0 and 8 * max(shift) % 1 == 0 for shift in eighths())


def test_subpixel_anchoring_follows_parts_of_a_pixel_where_a_whole_landmark_cannot():
    """The blocks read one value each: soft enough to resample, wide enough to jump."""
    x = soft_photo()

    def error(function, shift: Fraction) -> float:
        moved, expected = function(by_fraction(x, shift, "circular")), by_fraction(function(x), shift, "circular")
        return (moved - expected).square().mean().sqrt().item()

    for shift in (Fraction(0.5, 0), Fraction(0.25, 0.5), Fraction(0, 0.875)):
        subpixel, landmark, none = (error(Anchored(blocks, 8, mode, "circular"), shift) for mode in ("subpixel", "landmark", "none"))
        assert subpixel < 0.5 * landmark and subpixel < 0.5 * none
