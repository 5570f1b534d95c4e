"""Ideal resampling: projection, adjoint, and every sub-pixel shift followed to rounding; by FFT and by matrices."""

import subprocess
import sys
from itertools import product
from math import sqrt

import pytest
import torch
from conftest import blob, centroid
from scipy.signal import resample as scipy_resample
from torch import Tensor, nn

from unetlift.convs import PaddedConv2d
from unetlift.convs.activation import ACTIVATIONS
from unetlift.convs.spectrum import resample
from unetlift.pools import pool_pair
from unetlift.pools.base import CENTRE, CORNER, Trace
from unetlift.pools.fourier import FourierDown, FourierUp

GRIDS = CORNER, CENTRE
SIZES = (2, 2), (2, 6), (6, 8), (10, 4), (12, 18), (16, 16)  # coarse sizes odd and even
EIGHTHS = 0.125, 0.375, 0.5, 0.875, 1, 2.625, -0.25
SHIFTS = *product(EIGHTHS, EIGHTHS), (0, 0.125), (0.125, 0)

every_size = pytest.mark.parametrize("size", SIZES)
every_grid = pytest.mark.parametrize("grid", GRIDS)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def frequencies(size: torch.Size) -> list[Tensor]:
    """For each axis its whole frequencies, shaped so that they add up over the axes."""
    return [torch.fft.fftfreq(n, 1 / n, dtype=torch.float64).reshape(-1, *[1] * (len(size) - 1 - axis)) for axis, n in enumerate(size)]


def kept(x: Tensor, below: tuple[float, ...]) -> Tensor:
    """x with the frequencies that are lower than `below` on every axis and no others."""
    spectrum = torch.fft.fftn(x, dim=tuple(range(2, x.ndim)))
    for axis, limit in zip(frequencies(x.shape[2:]), below, strict=True):
        spectrum = spectrum * (axis.abs() < limit)
    return torch.fft.ifftn(spectrum, dim=tuple(range(2, x.ndim))).real


def without_nyquist(x: Tensor) -> Tensor:
    return kept(x, tuple(n / 2 for n in x.shape[2:]))


def moved(x: Tensor, shift: tuple[float, ...]) -> Tensor:
    """x moved circularly by any fraction of a pixel: a phase ramp over the whole complex spectrum.

    Of a map without Nyquist content only: what would a wave of alternating signs be half a pixel further?
    """
    turns = sum(axis * by / n for axis, by, n in zip(frequencies(x.shape[2:]), shift, x.shape[2:], strict=True))
    ramp = torch.exp(-2j * torch.pi * turns)
    return torch.fft.ifftn(torch.fft.fftn(x, dim=tuple(range(2, x.ndim))) * ramp, dim=tuple(range(2, x.ndim))).real


def lowered(x: Tensor, grid: float = CORNER) -> Tensor:
    return FourierDown(grid, x.ndim - 2)(x)[0]


def raised(y: Tensor) -> Tensor:
    return FourierUp()(y, Trace(size=tuple(2 * n for n in y.shape[2:])))


def close(ours: Tensor, expected: Tensor, atol: float = 1e-12) -> None:
    torch.testing.assert_close(ours, expected, rtol=0, atol=atol)


def test_the_tests_own_shift_moves_whole_pixels_and_adds_up():
    x = without_nyquist(noise(1, 2, 6, 8))
    close(moved(x, (2, -3)), x.roll((2, -3), (2, 3)))
    close(moved(moved(x, (0.375, 1.5)), (0.625, -0.5)), x.roll((1, 1), (2, 3)))


# By hand.


def test_a_wave_by_hand():
    """Six samples of one period become three; half a pixel further they are cos 30, cos 150 and cos 270 degrees."""
    x = torch.tensor([1, 0.5, -0.5, -1, -0.5, 0.5], dtype=torch.float64).expand(1, 1, 2, 6)
    close(lowered(x), torch.tensor([[[[1, -0.5, -0.5]]]], dtype=torch.float64))
    close(lowered(x, CENTRE), torch.tensor([[[[sqrt(3) / 2, -sqrt(3) / 2, 0]]]], dtype=torch.float64))
    close(raised(x[:, :, :1, ::2]), x)


def test_an_impulse_by_hand():
    """4 x 4 become 2 x 2, which holds the mean alone; 3 become 6: (1 + 2 cos(2 pi d/6)) / 3 at distance d."""
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    x[0, 0, 1, 2] = 16
    for grid in GRIDS:
        close(lowered(x, grid), torch.ones(1, 1, 2, 2, dtype=torch.float64))
    y = torch.tensor([3.0, 0, 0], dtype=torch.float64).reshape(1, 1, 1, 3)
    close(raised(y), torch.tensor([3, 2, 0, -1, 0, 2], dtype=torch.float64).expand(1, 1, 2, 6))


def test_waves_of_two_coarse_pixels_are_dropped():
    x = torch.tensor([1.0, 0, -1, 0], dtype=torch.float64).expand(1, 1, 2, 4)
    close(lowered(x), torch.zeros(1, 1, 1, 2, dtype=torch.float64))
    close(raised(x[..., ::2]), torch.zeros(1, 1, 4, 4, dtype=torch.float64))


@every_size
@every_grid
def test_a_constant_stays_itself(size, grid):
    x = torch.full((1, 1, *size), 3.5, dtype=torch.float64)
    close(lowered(x, grid), x[..., ::2, ::2])
    close(raised(x), x.repeat(1, 1, 2, 2))


# What kind of maps they are.


@every_size
@every_grid
def test_down_reads_and_up_writes_only_what_the_coarse_grid_can_hold(size, grid):
    x, y = noise(2, 3, *size), noise(2, 3, size[0] // 2, size[1] // 2, seed=1)
    limits = size[0] / 4, size[1] / 4
    close(lowered(kept(x, limits), grid), lowered(x, grid))
    close(lowered(x, grid), without_nyquist(lowered(x, grid)))
    close(kept(raised(y), limits), raised(y))
    close(raised(without_nyquist(y)), raised(y))


@every_size
def test_on_what_the_coarse_grid_can_hold_they_are_each_others_inverse(size):
    x, y = noise(2, 3, *size), noise(2, 3, size[0] // 2, size[1] // 2, seed=1)
    limits = size[0] / 4, size[1] / 4
    close(raised(lowered(kept(x, limits))), kept(x, limits))
    close(lowered(raised(y)), without_nyquist(y))
    close(raised(lowered(x)), kept(x, limits))  # the projection onto such maps ..
    close(raised(lowered(raised(lowered(x)))), raised(lowered(x)))  # .. which changes nothing the second time


@every_size
def test_up_keeps_the_coarse_samples_on_the_even_pixels(size):
    y = without_nyquist(noise(2, 3, *size))
    close(raised(y)[..., ::2, ::2], y)


@every_size
def test_up_is_four_times_the_adjoint_of_down(size):
    x, y = noise(2, 3, *size), noise(2, 3, size[0] // 2, size[1] // 2, seed=1)
    close(4 * (lowered(x) * y).sum(), (x * raised(y)).sum())


@pytest.mark.parametrize(("old", "new"), [(6, 3), (10, 5), (3, 6), (5, 10), (7, 11), (9, 5), (7, 7)])
def test_it_is_scipys_resampling_where_no_nyquist_frequency_is_in_play(old, new):
    x = noise(2, 3, old, 5)
    close(resample(x, (new, 5)), torch.from_numpy(scipy_resample(x.numpy(), new, axis=2)))
    close(resample(x.mT, (5, new)), torch.from_numpy(scipy_resample(x.mT.numpy(), new, axis=3)))


# Every shift.


@every_size
@every_grid
def test_they_follow_every_sub_pixel_shift(size, grid):
    """down S_d = S_{d/2} down and up S_{d/2} = S_d up, so the pair commutes with S_d."""
    x, y = without_nyquist(noise(2, 3, *size)), without_nyquist(noise(2, 3, size[0] // 2, size[1] // 2, seed=1))
    for shift in SHIFTS:
        half = shift[0] / 2, shift[1] / 2
        close(lowered(moved(x, shift), grid), moved(lowered(x, grid), half))
        close(raised(moved(y, half)), moved(raised(y), shift))
        close(raised(lowered(moved(x, shift), grid)), moved(raised(lowered(x, grid)), shift))


@every_size
@every_grid
def test_whole_pixels_are_followed_with_nyquist_content_too(size, grid):
    x = noise(2, 3, *size)
    for shift in ((0, 1), (1, 0), (1, 1), (3, 2)):
        close(raised(lowered(x.roll(shift, (2, 3)), grid)), raised(lowered(x, grid)).roll(shift, (2, 3)))


def test_average_pooling_does_not_follow_half_a_pixel():
    """Or the law above would say nothing."""
    down, up = pool_pair("avg", "bilinear", 2, padding_mode="circular")
    x = without_nyquist(noise(1, 2, 12, 18))
    assert (up(*down(moved(x, (0.5, 0)))) - moved(up(*down(x)), (0.5, 0))).abs().max() > 0.1


@pytest.mark.parametrize("size", [(6,), (8,), (4, 6, 10), (2, 8, 4)])
@every_grid
def test_signals_and_volumes_obey_the_same_laws(size, grid):
    x = without_nyquist(noise(2, 3, *size))
    y = without_nyquist(noise(2, 3, *(n // 2 for n in size), seed=1))
    for by in EIGHTHS:
        shift = tuple(by * (axis + 1) for axis in range(len(size)))
        half = tuple(part / 2 for part in shift)
        close(lowered(moved(x, shift), grid), moved(lowered(x, grid), half))
        close(raised(moved(y, half)), moved(raised(y), shift))
    close(lowered(raised(y)), y)


# Where the samples lie.


@every_size
def test_the_centre_grid_is_the_corner_grid_of_a_map_moved_back_by_half_a_pixel(size):
    x = without_nyquist(noise(2, 3, *size))
    close(lowered(x, CENTRE), lowered(moved(x, (-0.5, -0.5))))


@every_size
@pytest.mark.parametrize("axis", [2, 3])
def test_the_grids_commute_with_their_mirrors(size, axis):
    """About the middle of the map for block centres, about pixel 0 for even pixels."""
    x, y = noise(2, 3, *size), noise(2, 3, size[0] // 2, size[1] // 2, seed=1)
    close(lowered(x.flip(axis), CENTRE), lowered(x, CENTRE).flip(axis))
    close(lowered(x.flip(axis).roll(1, axis)), lowered(x).flip(axis).roll(1, axis))
    close(raised(y.flip(axis).roll(1, axis)), raised(y).flip(axis).roll(1, axis))


@pytest.mark.parametrize(("up", "grid"), [("fourier", CORNER), ("blur-3", CORNER), ("nearest", CENTRE), ("bilinear", CENTRE)])
def test_under_any_upsampler_a_blob_stays_where_it_is(up, grid):
    x = blob(64, 66, 31.3, 33.6, sigma=4)
    y, trace = FourierDown(grid, x.ndim - 2)(x)
    again = raised(y) if up == "fourier" else pool_pair("avg", up, 1, padding_mode="circular")[1].double()(y, trace)
    assert centroid(again) == pytest.approx((31.3, 33.6), abs=1e-6)


# Any size, gradients, precision, memory.


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1), (7, 9), (6, 5)])
@every_grid
def test_odd_sizes_come_back(size, grid):
    x = noise(2, 3, *size)
    y, trace = FourierDown(grid, x.ndim - 2)(x)
    assert y.shape == (2, 3, (size[0] + 1) // 2, (size[1] + 1) // 2)
    assert FourierUp()(y, trace).shape == x.shape


@pytest.mark.parametrize("size", [(2, 2), (5, 4), (4, 6)])
@every_grid
def test_gradients_are_those_of_finite_differences(size, grid):
    down, up = FourierDown(grid), FourierUp()
    x = noise(2, 2, *size).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: up(*down(x)), (x,))
    assert torch.autograd.gradgradcheck(lambda x: up(*down(x)).square(), (x,), fast_mode=True)


def test_single_precision_gives_double_precisions_numbers():
    x = noise(2, 3, 24, 18)
    for grid in GRIDS:
        close(lowered(x.float(), grid).double(), lowered(x, grid), 2e-6)
    close(raised(x.float()).double(), raised(x), 2e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_single_precision_rounded(dtype, autocast):
    x = noise(2, 3, 12, 10).to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        for act in (lambda x: lowered(x, CENTRE), raised):
            y = act(x)
            assert y.dtype == dtype
            assert torch.equal(y, act(x.float()).to(dtype))
            (gradient,) = torch.autograd.grad(y.square().sum(), x)
            assert gradient.dtype == dtype
        assert lowered(x.float()).dtype == torch.float32


def innermost(x: Tensor) -> int:
    return min(range(1, x.ndim), key=lambda axis: x.stride(axis))


@pytest.mark.parametrize(
    ("size", "layout"),
    [
        ((10, 12), torch.channels_last),
        ((10, 12), torch.contiguous_format),
        ((9, 7), torch.channels_last),
        ((4, 6, 8), torch.channels_last_3d),
        ((8,), torch.contiguous_format),
    ],
)
@every_grid
def test_the_memory_format_goes_through(size, layout, grid):
    x = noise(2, 4, *size).contiguous(memory_format=layout).requires_grad_()
    y, trace = FourierDown(grid, x.ndim - 2)(x)
    again = FourierUp()(y, trace)
    expected = x.ndim - 1 if layout == torch.contiguous_format else 1
    assert [innermost(part) for part in (y, again, *torch.autograd.grad(again.sum(), x))] == [expected] * 3


# The whole U: what a network of these pieces promises.


class SmallU(nn.Module):
    """Two levels, made by hand of the pieces under test."""

    def __init__(self, activation: str, pools):
        super().__init__()
        self.first, self.middle = self.block(3, 6, activation), self.block(6, 6, activation)
        self.last, self.head = self.block(12, 6, activation), nn.Conv2d(6, 2, 1)
        self.down, self.up = pools

    @staticmethod
    def block(channels_in: int, channels_out: int, activation: str) -> nn.Sequential:
        conv = PaddedConv2d(channels_in, channels_out, 3, "circular", bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(channels_out), ACTIVATIONS[activation](channels_out))

    def forward(self, x: Tensor) -> Tensor:
        features = self.first(x)
        y, trace = self.down(features)
        return self.head(self.last(torch.cat((features, self.up(self.middle(y), trace)), 1)))


def small_u(activation: str, pools) -> nn.Module:
    torch.manual_seed(3)
    network = SmallU(activation, pools).double()
    network(noise(4, 3, 16, 24, seed=5))  # statistics for the normalisations
    return network


def worst_under_shifts(network: nn.Module, x: Tensor) -> float:
    """Largest |f(S_d x) - S_d f(x)| over shifts by eighths of a pixel, as a part of f(x)'s range."""
    with torch.no_grad():
        y = network(x)
        errors = [(network(moved(x, shift)) - moved(y, shift)).abs().max() for shift in SHIFTS]
    return (max(errors) / (y.max() - y.min())).item()


@pytest.mark.parametrize("size", [(16, 24), (12, 10)])
@pytest.mark.parametrize("training", [False, True])
def test_a_whole_alias_free_u_follows_every_shift(size, training):
    """In training too: the mean and variance of a map without Nyquist content do not change when it moves."""
    network = small_u("filtered-poly", (FourierDown(CORNER), FourierUp())).train(training)
    assert worst_under_shifts(network, without_nyquist(noise(2, 3, *size))) < 1e-12


def test_the_u_needs_each_of_its_alias_free_pieces():
    x = without_nyquist(noise(2, 3, 16, 24))
    fourier = FourierDown(CORNER), FourierUp()
    blurred = pool_pair("avg-blur-3", "blur-3", 6, padding_mode="circular")
    plain = worst_under_shifts(small_u("relu", fourier).eval(), x)  # 0.17 of the output's range
    filtered = worst_under_shifts(small_u("filtered-relu", fourier).eval(), x)  # 0.017
    blur = worst_under_shifts(small_u("filtered-poly", blurred).eval(), x)  # 0.0089
    assert plain > 0.1 > filtered > 0.001
    assert blur > 0.001


# Graphs: the matrices are the same filter.

EXPORTED = """
import warnings
warnings.simplefilter("error")
import onnxruntime, torch
from torch import nn
from unetlift.convs.activation import ACTIVATIONS
from unetlift.pools.fourier import FourierDown, FourierUp

class Pieces(nn.Module):
    def __init__(self):
        super().__init__()
        self.activation, self.down, self.up = ACTIVATIONS["filtered-poly"](3), FourierDown(0.5), FourierUp()
    def forward(self, x):
        return self.up(*self.down(self.activation(x)))

torch.manual_seed(0)
pieces = Pieces().eval()
any_size = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
maps = [torch.randn(2, 3, 12, 8), torch.randn(5, 3, 20, 34), torch.randn(1, 3, 4, 6), torch.randn(2, 3, 90, 128)]
with torch.no_grad():
    expected = [pieces(x) for x in maps]
"""

COMPILE = """
graph = torch.compile(pieces, fullgraph=True, dynamic=True)
with torch.no_grad():
    answers = [graph(x) for x in maps]
x, again = maps[1].clone().requires_grad_(), maps[1].clone().requires_grad_()
torch.testing.assert_close(*(torch.autograd.grad(f(x).square().sum(), x)[0] for f, x in ((graph, x), (pieces, again))), rtol=0, atol=2e-5)
"""

EXPORT = """
program = torch.export.export(pieces, (maps[0],), dynamic_shapes=(any_size,))
torch.onnx.export(program, (maps[0],), "pieces.onnx", dynamo=True, verbose=False)
session = onnxruntime.InferenceSession("pieces.onnx")
with torch.no_grad():
    answers = [program.module()(x) for x in maps]
for answer, x in zip(answers, maps, strict=True):
    onnx = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
    torch.testing.assert_close(answer, onnx, rtol=0, atol=1e-5)
"""

COMPARE = """
for answer, right in zip(answers, expected, strict=True):
    torch.testing.assert_close(answer, right, rtol=0, atol=1e-5)
"""


@pytest.mark.slow  # tests/test_export.py does the same more quickly for a whole network
@pytest.mark.parametrize("way", [EXPORT, COMPILE], ids=["export", "compile"])
def test_a_graph_gives_the_eager_numbers_at_any_batch_and_size(way, tmp_path):
    """In a process of its own, since the shape checks of these tests do not go into a graph."""
    done = subprocess.run([sys.executable, "-c", EXPORTED + way + COMPARE], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("old", [(1, 1), (2, 2), (6, 8), (7, 10)])
@pytest.mark.parametrize("new", [(1, 1), (3, 4), (6, 8), (12, 16), (11, 15)])
@pytest.mark.parametrize("half_pixels", [0, 1])
def test_the_matrices_of_a_graph_are_the_spectrums_filter(old, new, half_pixels, monkeypatch):
    x = noise(2, 3, *old)
    eager = resample(x, new, half_pixels)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    close(resample(x, new, half_pixels), eager)
    with torch.autocast("cpu", torch.bfloat16):
        close(resample(x.float(), new, half_pixels).double(), eager, 1e-5)
