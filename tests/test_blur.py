"""The blurs: taps and small maps by hand, the transpose law, and the interior of kornia's and timm's own."""

import kornia
import pytest
import timm.layers
import torch
from torch import Tensor
from torch.nn import functional as F

from unetlift.convs import PADDING_MODES, pad
from unetlift.pools import pool_pair
from unetlift.pools.base import CENTRE, CORNER, Trace
from unetlift.pools.blur import BlurDown, BlurUp, blur, blur_grid, blur_taps, dense_max

PASCAL = {1: [1], 2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1], 5: [1, 4, 6, 4, 1], 6: [1, 5, 10, 10, 5, 1], 7: [1, 6, 15, 20, 15, 6, 1]}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blurred(x: Tensor, operator: str, size: int, grid: float, padding_mode: str) -> Tensor:
    return BlurDown(operator, size, x.shape[1], grid, padding_mode).double()(x)[0]


def raised(y: Tensor, size: int, padding_mode: str) -> Tensor:
    height, width = y.shape[-2:]
    return BlurUp(size, y.shape[1], padding_mode).double()(y, Trace(size=(2 * height, 2 * width)))


@pytest.mark.parametrize(("size", "row"), PASCAL.items())
def test_taps_are_a_row_of_pascals_triangle_that_sums_to_one(size, row):
    assert blur_taps(size).tolist() == [n / 2 ** (size - 1) for n in row]


def test_tri_3_of_an_impulse_by_hand():
    """At an even pixel the centre tap alone reads it; between even pixels two or four windows share it."""
    for (row, column), expected in {
        (2, 2): [[0, 0, 0], [0, 4, 0], [0, 0, 0]],
        (2, 3): [[0, 0, 0], [0, 2, 2], [0, 0, 0]],
        (3, 3): [[0, 0, 0], [0, 1, 1], [0, 1, 1]],
    }.items():
        x = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
        x[0, 0, row, column] = 16
        assert blurred(x, "avg", 3, CORNER, "zeros")[0, 0].tolist() == expected


@pytest.mark.parametrize(
    ("size", "grid", "expected"),
    [
        (2, CENTRE, [[2.5, 4.5], [10.5, 12.5]]),  # block means
        (3, CORNER, [[2.5, 4], [8.5, 10]]),  # reflected: row 0 is (4 + 0 + 4)/4 = 2, column 0 (1 + 0 + 1)/4 = 0.5
        (4, CENTRE, [[3.75, 5.25], [9.75, 11.25]]),  # reflected: columns (1, 0, 1, 2) give 0.75, (1, 2, 3, 2) give 2.25, rows 4 times that
    ],
)
def test_blurs_of_a_ramp_by_hand(size, grid, expected):
    x = torch.arange(16, dtype=torch.float64).reshape(1, 1, 4, 4)
    assert blurred(x, "avg", size, grid, "reflect")[0, 0].tolist() == expected


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
@pytest.mark.parametrize(("grid", "up"), [(CENTRE, "nearest"), (CORNER, "blur-3")])
def test_a_max_blur_of_one_tap_is_max_pooling(padding_mode, grid, up):
    x = noise(2, 3, 6, 8)
    assert torch.equal(blurred(x, "max", 1, grid, padding_mode), pool_pair("max", up, 3, padding_mode=padding_mode)[0](x)[0])


def test_max_pooling_by_hand():
    x = torch.arange(16, dtype=torch.float64).reshape(1, 1, 4, 4)
    assert pool_pair("max", "nearest", 1)[0](x)[0].tolist() == [[[[5, 7], [13, 15]]]]
    assert pool_pair("max", "blur-3", 1)[0](x)[0].tolist() == [[[[5, 7], [13, 15]]]]  # 3x3 about (0, 0), (0, 2), (2, 0), (2, 2)
    assert pool_pair("max", "blur-3", 1)[0](-x)[0].tolist() == [[[[0, -1], [-4, -5]]]]


def test_max_unpooling_puts_the_value_where_the_maximum_stood():
    x = torch.zeros(1, 1, 4, 4)
    for row, column in ((1, 0), (0, 3), (2, 1), (3, 3)):
        x[0, 0, row, column] = 1
    down, up = pool_pair("max", "unpool", 1)
    _, trace = down(x)
    assert up(torch.tensor([[[[2.0, 3.0], [4.0, 5.0]]]]), trace).tolist() == [[[[0, 0, 0, 3], [2, 0, 0, 0], [0, 4, 0, 0], [0, 0, 0, 5]]]]


@pytest.mark.parametrize("down", ["avg", "blur-3", "lift"])
def test_any_downsampler_can_remember_where_its_maxima_stood(down):
    x = noise(1, 1, 4, 6).float()
    _, trace = pool_pair(down, "unpool", 1)[0](x)
    expected = F.max_pool2d(x, 2, return_indices=True)[1]
    assert torch.equal(trace.indices, expected)


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_rect_2_upwards_is_nearest_upsampling(padding_mode):
    y = noise(2, 3, 3, 5)
    torch.testing.assert_close(raised(y, 2, padding_mode), F.interpolate(y, scale_factor=2), rtol=0, atol=1e-12)


def test_one_tap_upwards_is_zero_insertion_times_four():
    y = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=torch.float64)
    assert raised(y, 1, "zeros").tolist() == [[[[4, 0, 8, 0], [0, 0, 0, 0], [12, 0, 16, 0], [0, 0, 0, 0]]]]


def test_tri_3_upwards_interpolates_linearly_between_even_pixels():
    y = torch.tensor([[[[0.0, 4.0], [8.0, 20.0]]]], dtype=torch.float64)
    expected = [[0, 2, 4, 4], [4, 8, 12, 12], [8, 14, 20, 20], [8, 14, 20, 20]]  # the last even pixel's value goes on
    assert raised(y, 3, "replicate")[0, 0].tolist() == expected


@pytest.mark.parametrize("size", PASCAL)
@pytest.mark.parametrize(("height", "width"), [(2, 2), (6, 8), (12, 4)])
def test_blur_up_is_four_times_the_adjoint_of_avg_blur_down(size, height, width):
    x, y = noise(2, 3, height, width), noise(2, 3, height // 2, width // 2, seed=1)
    down = (blurred(x, "avg", size, blur_grid(size), "zeros") * y).sum()
    torch.testing.assert_close(4 * down, (x * raised(y, size, "zeros")).sum(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", PASCAL)
@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_a_constant_stays_itself_but_for_zeros_beyond_the_border(size, padding_mode):
    x = torch.ones(1, 1, 8, 10, dtype=torch.float64)
    for y in (blurred(x, "max", size, CENTRE, padding_mode), blurred(x, "avg", size, CORNER, padding_mode)):
        inner = y[..., 2:-2, 2:-2] if padding_mode == "zeros" else y
        torch.testing.assert_close(inner, torch.ones_like(inner), rtol=0, atol=1e-12)
    if size > 1:  # zero insertion alone has gaps
        again = raised(x, size, padding_mode)
        inner = again[..., 4:-4, 4:-4] if padding_mode == "zeros" else again
        torch.testing.assert_close(inner, torch.ones_like(inner), rtol=0, atol=1e-12)


def padded_first(x: Tensor, taps: int, before: int, size: tuple[int, int], padding_mode: str) -> Tensor:
    """The definition: pad on all sides, filter densely, keep every second sample."""
    row = blur_taps(taps)
    kernel = torch.outer(row, row).repeat(x.shape[1], 1, 1, 1)
    dense = F.conv2d(pad(x, (before, taps, before, taps), padding_mode), kernel, groups=x.shape[1])
    return dense[..., : size[0] : 2, : size[1] : 2]


@pytest.mark.parametrize("taps", PASCAL)
@pytest.mark.parametrize("padding_mode", PADDING_MODES)
@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("large", [False, True])
def test_blur_and_its_gradient_equal_padding_first(taps, padding_mode, missing, large, monkeypatch):
    """`missing`: the row and column that an even window without padding has taken. `large`: as maps of many bytes are."""
    monkeypatch.setattr("unetlift.pools.blur.LARGE", 0 if large else 2**40)
    row = blur_taps(taps)
    kernel = torch.outer(row, row).repeat(2, 1, 1, 1)
    for size in ((2, 2), (2, 8), (6, 4), (10, 12)):
        x = noise(2, 2, size[0] - missing, size[1] - missing).requires_grad_()
        before = taps // 2 if missing or taps % 2 else taps // 2 - 1
        ours, expected = blur(x, kernel, before, size, padding_mode), padded_first(x, taps, before, size, padding_mode)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
        weights = noise(*ours.shape, seed=1)
        gradients = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (ours, expected)]
        torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", PASCAL)
def test_gradients_of_gradients_are_those_of_finite_differences(size):
    down, up = BlurDown("avg", size, 2, blur_grid(size), "reflect").double(), BlurUp(size, 2, "reflect").double()
    x = noise(1, 2, 4, 6).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: up(*down(x)).square(), (x,), fast_mode=True)


@pytest.mark.parametrize("size", [1, 3, 4])
def test_mixed_precision_gives_single_precisions_numbers(size):
    """bfloat16 keeps eight bits, so maps and gradients agree to a hundredth of their range."""
    down, up = BlurDown("avg", size, 4, blur_grid(size), "reflect"), BlurUp(size, 4, "reflect")
    x = noise(2, 4, 8, 8).float().requires_grad_()
    expected = up(*down(x))
    (gradient,) = torch.autograd.grad(expected.square().sum(), x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = up(*down(x.bfloat16()))
        assert mixed.dtype == torch.bfloat16
        (mixed_gradient,) = torch.autograd.grad(mixed.float().square().sum(), x)
    assert (mixed - expected).abs().max() < 0.01 * (expected.max() - expected.min())
    assert (mixed_gradient - gradient).abs().max() < 0.01 * (gradient.max() - gradient.min())


# Independent references, away from the border where each has its own padding.


@pytest.mark.parametrize("size", [3, 4, 5, 6, 7])
def test_the_interior_is_that_of_kornias_blur_pool(size):
    x = noise(2, 3, 20, 24)
    ours, theirs = blurred(x, "avg", size, blur_grid(size), "reflect"), kornia.filters.BlurPool2D(size)(x)
    torch.testing.assert_close(ours[..., 2:-2, 2:-2], theirs[..., 2:8, 2:10], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [3, 5, 7])
def test_the_interior_is_that_of_kornias_max_blur_pool(size):
    x = noise(2, 3, 20, 24)
    ours, theirs = blurred(x, "max", size, CENTRE, "reflect"), kornia.filters.MaxBlurPool2D(size)(x)
    torch.testing.assert_close(ours[..., 2:-2, 2:-2], theirs[..., 2:8, 2:10], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [3, 5, 7])
def test_odd_blurs_are_timms_to_the_border(size):
    x = noise(2, 3, 20, 24)
    theirs = timm.layers.BlurPool2d(3, size, 2).double()(x)
    torch.testing.assert_close(blurred(x, "avg", size, CORNER, "reflect"), theirs, rtol=0, atol=1e-6)


def test_an_even_blur_has_the_size_and_the_centre_that_timms_has_not():
    """timm begins a pixel earlier, so that its 4 taps sit on the corner between blocks, and adds a row and a column."""
    x = noise(2, 3, 20, 24)
    ours, theirs = blurred(x.roll((1, 1), (2, 3)), "avg", 4, CENTRE, "reflect"), timm.layers.BlurPool2d(3, 4, 2).double()(x)
    assert (ours.shape[-2:], theirs.shape[-2:]) == ((10, 12), (11, 13))
    torch.testing.assert_close(ours[..., 1:-1, 1:-1], theirs[..., 1:-2, 1:-2], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(2, 2), (5, 4), (9, 8)])
def test_the_dense_maximum_is_poolings_with_and_without_a_gradient(size):
    x = noise(2, 3, *size)
    expected = F.max_pool2d(x, 2, 1)
    assert torch.equal(dense_max(x), expected)
    assert torch.equal(dense_max(x.clone().requires_grad_()), expected)
