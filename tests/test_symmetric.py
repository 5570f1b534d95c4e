"""Symmetric convolutions: they stay where they are, and they are what padding towards the corners defines."""

import numpy as np
import pytest
import torch
from conftest import blob, centroid
from torch import Tensor
from torch.nn import functional as F

from unetlift.convs import PADDING_MODES
from unetlift.convs.symmetric import SymmetricConv2d, centred
from unetlift.errors import UsageError

NUMPYS = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
TOP_LEFT, BOTTOM_RIGHT, TOP_RIGHT, BOTTOM_LEFT = (1, 0, 1, 0), (0, 1, 0, 1), (0, 1, 1, 0), (1, 0, 0, 1)
FOUR = TOP_LEFT, BOTTOM_RIGHT, TOP_RIGHT, BOTTOM_LEFT
"""The pixel more that is padded left, right, top and bottom."""

ONE_GROUP = {  # what the channels of one group are padded towards; four corners are read as their mean
    1: [FOUR],
    2: [[TOP_LEFT], [BOTTOM_RIGHT]],
    3: [[TOP_LEFT], [BOTTOM_RIGHT], FOUR],
    4: [[TOP_LEFT], [BOTTOM_RIGHT], [TOP_RIGHT], [BOTTOM_LEFT]],
    5: [[TOP_LEFT], [BOTTOM_RIGHT], [TOP_RIGHT], [BOTTOM_LEFT], FOUR],
    9: [[TOP_LEFT]] * 2 + [[BOTTOM_RIGHT]] * 2 + [[TOP_RIGHT]] * 2 + [[BOTTOM_LEFT]] * 2 + [FOUR],
    11: [[TOP_LEFT]] * 3 + [[BOTTOM_RIGHT]] * 3 + [[TOP_RIGHT]] * 2 + [[BOTTOM_LEFT]] * 2 + [FOUR],
}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def towards(x: Tensor, corner: tuple[int, ...], kernel_size: int, mode: str) -> Tensor:
    left, right, top, bottom = (kernel_size // 2 - 1 + more for more in corner)
    return torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (top, bottom), (left, right)), NUMPYS[mode]))


def defined(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, mode: str, pattern: list) -> Tensor:
    """The definition: each channel padded towards its corners, then a convolution without padding."""
    kernel_size = weight.shape[-1]
    padded = [
        sum(towards(x[:, [channel]], corner, kernel_size, mode) for corner in corners) / len(corners)
        for channel, corners in enumerate(pattern * groups)
    ]
    return F.conv2d(torch.cat(padded, 1), weight, bias, groups=groups)


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
@pytest.mark.parametrize("kernel_size", [2, 4])
@pytest.mark.parametrize(("channels", "groups"), [(c, 1) for c in ONE_GROUP] + [(3, 3), (4, 2), (9, 3), (10, 2), (22, 2)])
def test_it_is_a_convolution_of_channels_padded_towards_the_corners(channels, groups, kernel_size, padding_mode):
    torch.manual_seed(0)
    conv = SymmetricConv2d(channels, 2 * groups, kernel_size, padding_mode, groups).double()
    for size in ((1, 1), (1, 2), (5, 7), (6, 4)):
        x = noise(2, channels, *size)
        expected = defined(x, conv.weight, conv.bias, groups, padding_mode, ONE_GROUP[channels // groups])
        assert conv(x).shape == (2, 2 * groups, *size)
        torch.testing.assert_close(conv(x), expected, rtol=0, atol=1e-12)


def test_four_channels_by_hand():
    """Each channel has one bright pixel and one weight of the kernel; where it is seen is where the corner put it."""
    conv = SymmetricConv2d(4, 4, bias=False).double()
    conv.weight.data.zero_()
    for channel in range(4):
        conv.weight.data[channel, channel, 0, 0] = 1
    x = torch.zeros(1, 4, 3, 3, dtype=torch.float64)
    x[..., 1, 1] = 1
    assert conv(x)[0].nonzero().tolist() == [[0, 2, 2], [1, 1, 1], [2, 2, 1], [3, 1, 2]]


def test_one_channel_by_hand():
    """In the middle a 2x2 kernel is read as a 3x3 one: each weight spread over the four places it can take."""
    weight = torch.tensor([[[[4.0, 8.0], [16.0, 32.0]]]])
    assert centred(weight).tolist() == [[[[1, 3, 2], [5, 15, 10], [4, 12, 8]]]]


# The shift problem: twenty layers that average 2x2 pixels and all channels.

LAYERS = 20


def averaging(channels: int, kernel_size: int) -> Tensor:
    return torch.full((channels, channels, kernel_size, kernel_size), 1 / (channels * kernel_size**2), dtype=torch.float64)


def drift(channels: int, kernel_size: int, pattern: list) -> tuple[float, float]:
    """How far a blob wanders down and to the right in twenty layers of the definition."""
    x = blob(100, 103, 49.3, 51.6, sigma=1.5).repeat(1, channels, 1, 1)
    for _ in range(LAYERS):
        x = defined(x, averaging(channels, kernel_size), None, 1, "zeros", pattern)
    row, column = centroid(x)
    return row - 49.3, column - 51.6


@pytest.mark.parametrize("kernel_size", [2, 4])
def test_padding_on_one_side_moves_the_map_by_half_a_pixel_a_layer(kernel_size):
    assert drift(1, kernel_size, [[BOTTOM_RIGHT]]) == pytest.approx((-10, -10), abs=1e-9)
    assert drift(1, kernel_size, [[TOP_LEFT]]) == pytest.approx((10, 10), abs=1e-9)


def test_a_rest_spread_over_the_corners_would_drift_more_slowly():
    """Five channels: the fifth's half pixel counts a fifth, and two pixels are lost in twenty layers."""
    spread = [[TOP_LEFT]] * 2 + [[BOTTOM_RIGHT], [TOP_RIGHT], [BOTTOM_LEFT]]
    assert drift(5, 2, spread) == pytest.approx((2, 2), abs=1e-9)


@pytest.mark.parametrize("kernel_size", [2, 4])
@pytest.mark.parametrize("channels", range(1, 10))
def test_a_blob_stays_where_it_is_for_any_number_of_channels(channels, kernel_size):
    conv = SymmetricConv2d(channels, channels, kernel_size, bias=False).double()
    conv.weight.data = averaging(channels, kernel_size)
    x = blob(100, 103, 49.3, 51.6, sigma=1.5).repeat(1, channels, 1, 1)
    with torch.no_grad():
        for _ in range(LAYERS):
            x = conv(x)
    assert centroid(x) == pytest.approx((49.3, 51.6), abs=1e-9)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_every_group_is_centred_in_itself(groups):
    conv = SymmetricConv2d(6, groups, groups=groups, bias=False).double()
    conv.weight.data.fill_(1)
    x = blob(100, 103, 49.3, 51.6, sigma=1.5).repeat(1, 6, 1, 1)
    for map_of_group in conv(x).split(1, 1):
        assert centroid(map_of_group) == pytest.approx((49.3, 51.6), abs=1e-9)


# Laws that every convolution here obeys.


@pytest.mark.parametrize("kernel_size", [2, 4])
@pytest.mark.parametrize("channels", [4, 7])
def test_a_circular_one_follows_every_shift(channels, kernel_size):
    torch.manual_seed(0)
    conv, x = SymmetricConv2d(channels, 3, kernel_size, "circular").double(), noise(1, channels, 5, 6)
    for dy in range(5):
        for dx in range(6):
            torch.testing.assert_close(conv(x.roll((dy, dx), (2, 3))), conv(x).roll((dy, dx), (2, 3)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_gradients_are_those_of_finite_differences(padding_mode):
    torch.manual_seed(0)
    conv, x = SymmetricConv2d(7, 2, 2, padding_mode).double(), noise(1, 7, 3, 4).requires_grad_()

    def run(x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(conv, {"weight": weight}, (x,))

    assert torch.autograd.gradcheck(run, (x, conv.weight))
    assert torch.autograd.gradgradcheck(run, (x, conv.weight), fast_mode=True)


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
@pytest.mark.parametrize(("layout", "innermost"), [(torch.channels_last, 1), (torch.contiguous_format, 3)])
def test_the_memory_format_goes_through(padding_mode, layout, innermost):
    conv = SymmetricConv2d(7, 4, 2, padding_mode).to(memory_format=layout)
    x = noise(2, 7, 6, 8).float().to(memory_format=layout).requires_grad_()
    y = conv(x)
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    assert (y.stride(innermost), gradient.stride(innermost)) == (1, 1)


def test_mixed_precision_gives_single_precisions_numbers():
    """bfloat16 keeps eight bits, so maps agree to a hundredth of their range."""
    torch.manual_seed(0)
    conv, x = SymmetricConv2d(7, 4, 2, "reflect"), noise(2, 7, 6, 8).float()
    expected = conv(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = conv(x)
    assert mixed.dtype == torch.bfloat16
    assert (mixed - expected).abs().max() < 0.01 * (expected.max() - expected.min())


@pytest.mark.parametrize(("padding_mode", "groups"), [("zeros", 1), ("circular", 7)])
def test_it_exports_for_any_batch_and_size(padding_mode, groups):
    conv = SymmetricConv2d(7, 7, 2, padding_mode, groups).double().eval()
    sizes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=2), 3: torch.export.Dim("width", min=2)}
    program = torch.export.export(conv, (noise(2, 7, 6, 8),), dynamic_shapes=(sizes,)).module()
    for shape in ((3, 7, 5, 9), (1, 7, 12, 4)):
        torch.testing.assert_close(program(noise(*shape)), conv(noise(*shape)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 3}, "is 3; it is 2, 4 or another even number"),
        ({"kernel_size": 0}, "is 0; it is 2, 4 or another even number"),
        ({"padding_mode": "same"}, "'same' is unknown; it is one of zeros, reflect, replicate, circular"),
        ({"groups": 4}, "groups is 4; it is a number that divides 6 and 8 channels"),
        ({"groups": 0}, "groups is 0"),
    ],
)
def test_wrong_arguments_are_answered_with_the_right_ones(arguments, message):
    with pytest.raises(UsageError, match=message):
        SymmetricConv2d(6, 8, **arguments)
