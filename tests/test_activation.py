"""Activations on a finer grid: exact for polynomials of degree 2 at any size, nearly so for ReLU."""

from itertools import product
from math import pi, sqrt

import numpy as np
import pytest
import torch
from test_fourier import EIGHTHS, close, innermost, moved, noise, without_nyquist
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift import UNet
from unetlift.convs.activation import ACTIVATIONS, Filtered, Polynomial
from unetlift.convs.spectrum import resample

SIZES = (1, 1), (2, 2), (1, 7), (3, 5), (6, 8), (9, 16)
SHIFTS = tuple(product(EIGHTHS, EIGHTHS))
OFF_GRID = (0.3, 0.0), (0.0, 0.7), (0.3, 0.7), (0.21, 0.19), (-0.4, 1.1)

every_size = pytest.mark.parametrize("size", SIZES)
every_name = pytest.mark.parametrize("name", ACTIVATIONS)


class Square(nn.Module):
    """Degree 2 and nothing else."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x


def random_polynomial(channels: int) -> Polynomial:
    polynomial = Polynomial(channels).double()
    polynomial.coefficients.data = noise(3, channels, seed=9)
    return polynomial


def worst_under_shifts(activation: nn.Module, x: Tensor, shifts: tuple[tuple[float, float], ...] = SHIFTS) -> float:
    with torch.no_grad():
        y = activation(x.clone())
        return max((activation(moved(x, shift)) - moved(y, shift)).abs().max().item() for shift in shifts)


# Exactness.


@every_size
@pytest.mark.parametrize("samples", [3, 4])
def test_degree_2_follows_every_sub_pixel_shift(size, samples):
    assert worst_under_shifts(Filtered(random_polynomial(3), samples), without_nyquist(noise(2, 3, *size))) < 1e-12


@every_size
def test_three_samples_for_two_give_the_numbers_of_a_doubled_grid_and_of_finer_ones(size):
    x, polynomial = noise(2, 3, *size), random_polynomial(3)
    for samples in (4, 6, 16):
        close(Filtered(polynomial, samples)(x), Filtered(polynomial, 3)(x))


def test_fewer_samples_would_alias():
    """Or the 3/2 rule would say nothing: on 8 samples 3 + 3 periods pose as 2."""
    assert worst_under_shifts(Filtered(Square(), 2), without_nyquist(noise(2, 3, 8, 8))) > 0.1


def test_a_squared_wave_by_hand():
    """cos^2 t = 1/2 + cos(2t)/2. Of 8 samples a period 2 stays; of 3 periods in 8 samples 6 do not fit, and 1/2 is left."""
    t = 2 * pi * torch.arange(8, dtype=torch.float64) / 8
    once, thrice = (torch.cos(periods * t).reshape(1, 1, 1, 8) for periods in (1, 3))
    for samples in (3, 4):
        close(Filtered(Square(), samples)(once), once * once)
        close(Filtered(Square(), samples)(thrice), torch.full_like(thrice, 0.5))
    assert (Filtered(Square(), 2)(thrice) - 0.5).abs().max() > 0.4  # unfiltered it poses as 2 periods


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (9, 15)])
def test_a_filtered_relu_follows_shifts_nearly_and_a_plain_one_does_not(size):
    """Of white noise, the hardest map there is: off by 0.8 to 1.3 plain, by 0.09 to 0.17 on a doubled grid, and by
    0.002 to 0.006 on one of eight times as many samples."""
    x = without_nyquist(noise(2, 3, *size))
    plain = worst_under_shifts(nn.ReLU(), x, OFF_GRID)
    doubled, finer = (worst_under_shifts(Filtered(nn.ReLU(), samples), x, OFF_GRID) for samples in (4, 16))
    assert plain > 0.5
    assert 0.03 < doubled < plain / 5
    assert finer < doubled / 5


@every_size
def test_any_activation_follows_shifts_by_whole_steps_of_the_finer_grid(size):
    x = without_nyquist(noise(2, 3, *size))
    assert worst_under_shifts(Filtered(nn.ReLU(), 4), x, tuple(product((0.5, 1, 1.5), (0, -0.5)))) < 1e-12


def test_a_filtered_map_has_no_nyquist_content():
    x = noise(2, 3, 6, 8)
    for activation in (Filtered(nn.ReLU()), Filtered(random_polynomial(3), 3)):
        close(activation(x), without_nyquist(activation(x)))
        close(activation(x), activation(without_nyquist(x)))


@every_size
def test_around_the_identity_it_only_drops_the_nyquist_frequency(size):
    x = noise(2, 3, *size)
    for samples in (2, 3, 4):
        close(Filtered(nn.Identity(), samples)(x), without_nyquist(x))


def test_around_any_activation_it_is_the_activation_on_the_finer_grid_seen_through_the_low_pass():
    x = noise(2, 3, 7, 10)
    close(Filtered(nn.GELU())(x), resample(F.gelu(resample(x, (14, 20))), (7, 10)))


def test_signals_and_volumes_too():
    for size in ((8,), (9,), (4, 6, 5)):
        x = without_nyquist(noise(2, 3, *size))
        filtered, shift = Filtered(random_polynomial(3), 3), (0.375,) * len(size)
        close(filtered(moved(x, shift)), moved(filtered(x), shift))


# The polynomial.


def test_the_polynomial_by_hand():
    polynomial = Polynomial(2).double()
    polynomial.coefficients.data = torch.tensor([[1.0, 0], [2, 0], [3, -1]], dtype=torch.float64)
    x = torch.tensor([[-1.0, 0, 2], [1, 2, 3]], dtype=torch.float64).reshape(1, 2, 1, 3)
    assert polynomial(x).flatten().tolist() == [2, 1, 17, -1, -4, -9]


def test_for_normal_inputs_it_starts_with_the_mean_and_the_mean_square_that_a_relu_s_initialisation_counts_on():
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    coefficients = Polynomial(5).coefficients.detach().double()
    assert coefficients.shape == (3, 5)
    values = np.polynomial.polynomial.polyval(nodes, coefficients.numpy())  # (5, 9)
    means, squares = (values**power @ weights / sqrt(2 * pi) for power in (1, 2))
    assert np.abs(means).max() < 1e-7 and squares == pytest.approx(np.full(5, 0.5), abs=1e-6)


def test_a_deep_network_learns_with_it():
    """To find the noise in a picture whose edges are many times its standard deviation; nothing learned is a share of 1."""
    torch.manual_seed(0)
    network = UNet(
        down="fourier", up="fourier", activation="filtered-poly", padding_mode="circular", width=6, depth=3, classes=1, in_channels=1
    )
    optimiser = torch.optim.AdamW(network.parameters(), 0.003)
    generator = torch.Generator().manual_seed(0)
    picture = torch.zeros(2, 1, 32, 32)
    picture[:, :, 8:20, 12:18] = 8
    for _ in range(50):
        added = torch.randn(picture.shape, generator=generator)
        loss = (network(picture + added) - added).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        share = (network.eval()(picture + added) - added).square().mean()
    assert max(loss.item(), share.item()) < 0.3


def test_each_channel_learns_its_own_coefficients():
    filtered = Filtered(Polynomial(2), samples=3).double()
    filtered(noise(2, 2, 6, 6))[:, 0].square().sum().backward()
    gradient = filtered.inner.coefficients.grad
    assert (gradient[:, 0] != 0).all()
    assert (gradient[:, 1] == 0).all()


# What every activation in the table owes.


@every_name
@every_size
def test_shape_dtype_and_memory_format_stay(name, size):
    activation = ACTIVATIONS[name](4)
    for layout, dtype in product((torch.channels_last, torch.contiguous_format), (torch.float32, torch.bfloat16, torch.float16)):
        x = noise(2, 4, *size).to(dtype).contiguous(memory_format=layout)
        y = activation(x.clone())
        assert (y.shape, y.dtype) == (x.shape, dtype)
        assert y.is_contiguous(memory_format=layout)


@every_name
def test_gradients_keep_the_memory_format(name):
    activation = ACTIVATIONS[name](4)
    for layout, expected in ((torch.channels_last, 1), (torch.contiguous_format, 3)):
        x = noise(2, 4, 6, 7).float().contiguous(memory_format=layout).requires_grad_()
        y = activation(x * 1)
        assert innermost(torch.autograd.grad(y.square().sum(), x)[0]) == expected


@every_name
def test_gradients_are_those_of_finite_differences(name):
    activation = ACTIVATIONS[name](2).double()
    for size in ((1, 1), (4, 3)):
        x = noise(2, 2, *size, seed=4).requires_grad_()
        assert torch.autograd.gradcheck(lambda x: activation(x * 1), (x,))


@every_name
def test_mixed_precision_gives_single_precisions_numbers(name):
    """bfloat16 keeps eight bits, so they agree to a hundredth of their range."""
    activation, x = ACTIVATIONS[name](4), noise(2, 4, 8, 8).float()
    expected = activation(x.clone())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = activation(x.bfloat16())
    assert mixed.dtype == torch.bfloat16
    assert (mixed - expected).abs().max() < 0.01 * (expected.max() - expected.min())


@pytest.mark.parametrize("name", ["filtered-relu", "filtered-poly"])
def test_a_map_that_does_not_change_is_activated_as_a_number(name):
    activation = ACTIVATIONS[name](2).double()
    for value in (-1.5, 0.0, 2.0):
        x = torch.full((1, 2, 5, 6), value, dtype=torch.float64)
        close(activation(x), activation.inner(x.clone()))
