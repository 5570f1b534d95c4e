"""What a layer cannot take is answered by one sentence with what it can."""

import pytest
import torch

from unetlift import UNet
from unetlift.convs import DeformConv2d, ModulatedDeformConv2d, SymmetricConv2d
from unetlift.errors import UsageError
from unetlift.pools import DOWNS, PHASES, BlurPool1d, BlurPool2d, BlurPool3d, lift_pair, pool_pair, ups_for

MAPS = {
    "a signal": (torch.zeros(1, 4, 8), r"\(1, 4, 8\); it takes \(N, C, H, W\)"),
    "a volume": (torch.zeros(1, 4, 8, 8, 8), r"\(1, 4, 8, 8, 8\); it takes \(N, C, H, W\)"),
    "no pixels": (torch.zeros(1, 4, 0, 8), r"\(1, 4, 0, 8\); it takes \(N, C, H, W\) with sizes from 1 on"),
    "bytes": (torch.zeros(1, 4, 8, 8, dtype=torch.uint8), r"torch.uint8; it takes floating-point numbers, for example x.float\(\)"),
    "indices": (torch.zeros(1, 4, 8, 8, dtype=torch.int64), r"torch.int64; it takes floating-point numbers"),
}

every_map = pytest.mark.parametrize(("x", "sentence"), MAPS.values(), ids=MAPS)


def one_sentence(error: pytest.ExceptionInfo) -> bool:
    text = str(error.value)
    return text.endswith(".") and "\n" not in text and len(text) < 200


@every_map
@pytest.mark.parametrize("down", DOWNS)
@pytest.mark.parametrize("phase", PHASES)
def test_every_downsampler(down, phase, x, sentence):
    pool, _ = pool_pair(down, ups_for(down)[0], 4, phase)
    with pytest.raises(UsageError, match=sentence) as error:
        pool(x)
    assert one_sentence(error)


@every_map
@pytest.mark.parametrize("layer", [SymmetricConv2d, DeformConv2d, ModulatedDeformConv2d])
def test_every_convolution(layer, x, sentence):
    with pytest.raises(UsageError, match=sentence.replace("N, C,", "N, 4,")) as error:
        layer(4, 4)(x)
    assert one_sentence(error)


@every_map
def test_the_network(x, sentence):
    with pytest.raises(UsageError, match=sentence.replace("N, C,", "N, 4,")) as error:
        UNet(depth=1, width=2, in_channels=4)(x)
    assert one_sentence(error)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 3)])
def test_maps_smaller_than_a_filter_are_no_error(size):
    for padding_mode in ("zeros", "reflect", "replicate", "circular"):
        assert BlurPool2d(2, 7, padding_mode)(torch.ones(1, 2, *size)).isfinite().all()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: BlurPool2d(4)(torch.zeros(1, 3, 8, 8)), r"BlurPool2d was given a tensor of shape \(1, 3, 8, 8\); it takes \(N, 4, H, W\)"),
        (lambda: SymmetricConv2d(3, 4)(torch.zeros(1, 4, 8, 8)), r"SymmetricConv2d was .* it takes \(N, 3, H, W\)"),
        (lambda: DeformConv2d(3, 4)(torch.zeros(1, 4, 8, 8)), r"DeformConv2d was .* it takes \(N, 3, H, W\)"),
        (lambda: BlurPool1d(4)(torch.zeros(1, 4, 8, 8)), r"BlurPool1d was .* \(1, 4, 8, 8\); it takes \(N, 4, W\)"),
        (lambda: BlurPool3d(4)(torch.zeros(1, 4, 8, 8)), r"BlurPool3d was .* \(1, 4, 8, 8\); it takes \(N, 4, D, H, W\)"),
        (lambda: BlurPool2d(4, 8), "The blur's filter size 8 is unknown; it is one of 1, 2, 3, 4, 5, 6, 7"),
        (lambda: BlurPool2d(4, 3, "same"), "padding_mode 'same' is unknown"),
        (lambda: lift_pair(4, 3)[0](torch.zeros(1, 4, 8, 8)), r"LiftDown was .* it takes \(N, C, D, H, W\)"),
        (lambda: lift_pair(4, 1, "adaptive")[0](torch.zeros(1, 4, 8, 8)), r"AdaptiveDown was .* it takes \(N, C, W\)"),
        (lambda: UNet(lift_groups=3, down="lift", up="lift"), "3 groups do not divide 16 channels; give a divisor of it, or 0"),
        (lambda: UNet(in_channels=3)(torch.zeros(1, 1, 8, 8)), r"shape \(1, 1, 8, 8\); it takes \(N, 3, H, W\)"),
    ],
)
def test_what_cannot_be_is_answered_with_what_can(make, sentence):
    with pytest.raises(UsageError, match=sentence) as error:
        make()
    assert one_sentence(error)
