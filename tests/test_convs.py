"""Padding at any size and in any memory format, and the convolution that stands on it."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unetlift.convs import PADDING_MODES, PaddedConv2d, pad
from unetlift.errors import UsageError

NUMPYS = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
SIZES = (1, 1), (1, 4), (2, 3), (5, 4)
PADS = (1, 1, 1, 1), (0, 2, 1, 0), (3, 0, 0, 4), (7, 5, 6, 8)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pads", PADS)
def test_padding_is_numpys_even_where_the_map_is_smaller_than_the_pad(mode, size, pads):
    left, right, top, bottom = pads
    x = noise(2, 3, *size)
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (top, bottom), (left, right)), NUMPYS[mode])
    assert np.array_equal(pad(x, pads, mode).numpy(), expected)


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_no_padding_is_the_map_itself(mode):
    x = noise(1, 1, 2, 2)
    assert pad(x, (0, 0, 0, 0), mode) is x


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 1, 0, 1), (1, 0, 1, 0), (2, 0, 0, 0)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_padding_keeps_the_memory_format_forward_and_backward(mode, pads, layout):
    x = noise(2, 4, 6, 8).to(memory_format=layout).requires_grad_()
    padded = pad(x, pads, mode)
    (gradient,) = torch.autograd.grad(padded.square().sum(), x)
    assert padded.is_contiguous(memory_format=layout)
    innermost = 1 if layout == torch.channels_last else 3
    assert gradient.stride(innermost) == 1  # by stride, since a gradient may be a crop


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (7, 9)])
def test_a_padded_convolution_keeps_the_size_and_convolves_the_padded_map(mode, kernel_size, size):
    torch.manual_seed(0)
    conv, x, p = PaddedConv2d(2, 3, kernel_size, mode).double(), noise(2, 2, *size), kernel_size // 2
    expected = F.conv2d(torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (p, p), (p, p)), NUMPYS[mode])), conv.weight, conv.bias)
    assert conv(x).shape == (2, 3, *size)
    torch.testing.assert_close(conv(x), expected, rtol=0, atol=1e-12)


def test_a_circular_convolution_follows_every_shift():
    torch.manual_seed(0)
    conv, x = PaddedConv2d(2, 3, 3, "circular").double(), noise(1, 2, 5, 6)
    for shift in ((0, 1), (1, 0), (2, 3), (-1, 5)):
        torch.testing.assert_close(conv(x.roll(shift, (2, 3))), conv(x).roll(shift, (2, 3)), rtol=0, atol=1e-12)


def test_an_unknown_padding_mode_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="'same' is unknown; it is one of zeros, reflect, replicate, circular"):
        PaddedConv2d(1, 1, 3, "same")
