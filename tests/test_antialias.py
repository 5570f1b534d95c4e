"""BlurPool in any network: one tap changes nothing, keys and sizes stay, and blurs stand behind the activations."""

import copy
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import cache

import kornia
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision.models as tv
from test_anchor import photo
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift.antialias import Row, antialias, antialias_report
from unetlift.errors import UsageError
from unetlift.pools.blurpool import BlurPool1d, BlurPool2d, BlurPool3d
from unetlift.shifts import Shift, window

OPERATORS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
)  # fmt: skip

FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: tv.resnet18(),  # one ReLU for several calls
    "vgg": lambda: tv.vgg.make_layers([8, "M", 16, "M", 32, 32, "M", 32, 32, "M"], batch_norm=True),  # its body, narrow
    "densenet": lambda: tv.densenet121(),  # AvgPool
    "mobilenet v2": lambda: tv.mobilenet_v2(),  # ReLU6, depthwise
    "mobilenet v3": lambda: tv.mobilenet_v3_small(),  # Hardswish
    "efficientnet": lambda: tv.efficientnet_b0(),  # SiLU
    "squeezenet": lambda: tv.squeezenet1_1(),  # ceil_mode
    "shufflenet": lambda: tv.shufflenet_v2_x0_5(),
    "mnasnet": lambda: tv.mnasnet0_5(),
    "timm resnet-d": lambda: timm.create_model("resnet26d"),  # AvgPool with ceil_mode in the shortcut
    "timm lite": lambda: timm.create_model("tf_efficientnet_lite0"),  # "same" padding, norm and activation in one
    "timm repvgg": lambda: timm.create_model("repvgg_a0"),  # branches that are summed before the activation
    "smp unet": lambda: smp.Unet("resnet18", encoder_weights=None),
    "smp fpn": lambda: smp.FPN("mobilenet_v2", encoder_weights=None),
    "smp deeplab": lambda: smp.DeepLabV3Plus("resnet18", encoder_weights=None),
    "smp efficientnet by timm": lambda: smp.Unet("tu-efficientnet_b0", encoder_weights=None),
}
MORE: dict[str, Callable[[], nn.Module]] = {
    "resnext": lambda: tv.resnext50_32x4d(),
    "googlenet": lambda: tv.googlenet(init_weights=False),
    "inception": lambda: tv.inception_v3(init_weights=False),
    "regnet": lambda: tv.regnet_y_400mf(),
    "efficientnet v2": lambda: tv.efficientnet_v2_s(),
    "convnext": lambda: tv.convnext_tiny(),
    "alexnet": lambda: tv.alexnet(),
    "fcn": lambda: tv.segmentation.fcn_resnet50(weights_backbone=None),
    "deeplab": lambda: tv.segmentation.deeplabv3_mobilenet_v3_large(weights_backbone=None),
    "r3d": lambda: tv.video.r3d_18(),
    "r2plus1d": lambda: tv.video.r2plus1d_18(),
    "timm resnetv2": lambda: timm.create_model("resnetv2_50"),
    "timm mixnet": lambda: timm.create_model("tf_mixnet_s"),
    "timm xception": lambda: timm.create_model("xception41"),
    "timm nasnet": lambda: timm.create_model("nasnetalarge"),
    "timm dla": lambda: timm.create_model("dla34"),
    "smp efficientnet": lambda: smp.Unet("efficientnet-b0", encoder_weights=None),
    "smp densenet": lambda: smp.Unet("densenet121", encoder_weights=None),
    "smp vgg": lambda: smp.Unet("vgg11_bn", encoder_weights=None),
    "smp plusplus": lambda: smp.UnetPlusPlus("resnet18", encoder_weights=None),
    "smp pan": lambda: smp.PAN("resnet18", encoder_weights=None),
    "smp upernet": lambda: smp.UPerNet("resnet18", encoder_weights=None),
    "smp segformer": lambda: smp.Segformer("mit_b0", encoder_weights=None),
    "smp mobileone": lambda: smp.Unet("mobileone_s0", encoder_weights=None),
}
LEFT = {  # the only families in which anything is left
    "inception": "called as a function", "convnext": "stride is 4x4", "alexnet": "stride is 4x4", "smp segformer": "stride is",
    "smp efficientnet": "SiLU is shared",
}  # fmt: skip
every_family = pytest.mark.parametrize("family", [*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)])


def calibrated(network: nn.Module, x: Tensor) -> nn.Module:
    """In eval mode, with the statistics of x: with random weights and no statistics the deep levels hardly count."""
    network = copy.deepcopy(network).eval()
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        network(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval().momentum = momentum
    return network


@cache
def original(family: str) -> nn.Module:
    torch.manual_seed(0)
    return calibrated((FAMILIES | MORE)[family](), noise(2, 3, *sizes(family)[0]).float())


@cache
def blurred(family: str, filter_size: int) -> nn.Module:
    return antialias(original(family), filter_size)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sizes(family: str) -> list[tuple[int, ...]]:
    if family in ("r3d", "r2plus1d"):
        return [(8, 32, 32), (7, 33, 29)]
    if family in ("inception", "alexnet"):
        return [(96, 128), (97, 111)]
    if family.startswith("smp") or family == "timm dla":
        return [(128, 160), (160, 128)] if "pan" in family else [(64, 96), (128, 96)]  # they ask for multiples of 32
    return [(64, 48), (49, 55)]


def tensors(output: object) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(output) if isinstance(leaf, Tensor)]


def is_strided(module: nn.Module) -> bool:
    return isinstance(module, OPERATORS) and torch.tensor(module.stride).max() > 1


@every_family
def test_one_tap_gives_the_originals_answers_at_even_and_odd_sizes(family):
    """Subsampling a dense result gives the strided result: so every operator, place and size is right."""
    network, one_tap = copy.deepcopy(original(family)).double(), copy.deepcopy(blurred(family, 1)).double()
    for size in sizes(family):
        x = noise(1, 3, *size)
        with torch.no_grad():
            expected, answer = tensors(network(x)), tensors(one_tap(x))
        for y, z in zip(expected, answer, strict=True):
            assert y.shape == z.shape and (z - y).abs().max() <= 1e-10 * y.abs().max()


@every_family
def test_a_blur_keeps_every_size_and_changes_the_answer(family):
    for size in sizes(family)[1:]:
        x = noise(1, 3, *size).float()
        with torch.no_grad():
            expected, answer = tensors(original(family)(x)), tensors(blurred(family, 3)(x))
        assert [y.shape for y in expected] == [z.shape for z in answer]
        assert not all(torch.equal(y, z) for y, z in zip(expected, answer, strict=True))


@every_family
def test_weights_and_keys_stay_and_load_both_ways(family):
    network, copied = original(family), blurred(family, 3)
    theirs, ours = network.state_dict(), copied.state_dict()
    assert list(theirs) == list(ours) and all(torch.equal(theirs[key], ours[key]) for key in theirs)
    assert [name for name, _ in network.named_parameters()] == [name for name, _ in copied.named_parameters()]
    nn.Module.load_state_dict(copied, theirs)
    nn.Module.load_state_dict(network, ours)
    assert not {x.data_ptr() for x in network.parameters()} & {x.data_ptr() for x in copied.parameters()}


@every_family
def test_the_report_names_everything_strided_and_only_what_is_left_stays_so(family):
    network, copied = original(family), blurred(family, 3)
    report, modules = antialias_report(copied), dict(copied.named_modules())
    left = {row.name for row in report if row.became is None}
    assert {name for name, module in network.named_modules() if is_strided(module)} <= {row.name for row in report}
    assert {name for name, module in modules.items() if is_strided(module)} <= left
    assert all((row.became is None) != (row.reason is None) for row in report)
    assert all(LEFT.get(family, "nothing") in row.reason for row in report if row.reason)
    assert bool(left) == (family in LEFT)


@every_family
def test_every_module_stays_an_instance_of_its_class_under_its_name(family):
    theirs, ours = dict(original(family).named_modules()), dict(blurred(family, 3).named_modules())
    assert type(ours[""]) is type(theirs[""]) and all(isinstance(ours[name], type(module)) for name, module in theirs.items())


def test_the_original_is_left_as_it_is():
    network = original("resnet").train()
    x, names, state = noise(2, 3, 40, 40).float(), repr(network), copy.deepcopy(network.state_dict())
    rng = torch.get_rng_state()
    copied = antialias(network)
    assert copied.training and all(module.training for module in copied.modules())
    assert repr(network) == names and not hasattr(network, "antialiased") and torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in (*network.modules(), *copied.modules()))
    assert network.eval()(x).shape == copied.eval()(x).shape


# Numbers by hand: x is (4, -8, 4, 8, -4) along one axis; the convolution hands it on.

SIGNAL = torch.tensor([[[4.0, -8, 4, 8, -4]]])
BEHIND_RELU = [2, 4, 4]  # of (4, 0, 4, 8, 0): (0 + 2 * 4 + 0)/4, (0 + 2 * 4 + 8)/4, (8 + 2 * 0 + 8)/4
BEFORE_RELU = [0, 2, 2]  # the worse thing: (-8 + 8 - 8)/4 = -2, (-8 + 8 + 8)/4, (8 - 8 + 8)/4


def handing_on(kernel_size: int = 1, stride: int = 2, channels: int = 1) -> nn.Conv1d:
    convolution = nn.Conv1d(channels, channels, kernel_size, stride, kernel_size // 2, groups=channels, bias=False)
    nn.init.dirac_(convolution.weight, groups=channels)
    return convolution


class Functional(nn.Module):
    """An activation that no module holds; with a norm that changes nothing, or without."""

    def __init__(self, activation: Callable[[Tensor], Tensor], norm: bool = False):
        super().__init__()
        self.convolution, self.activation = handing_on(), activation
        self.norm = nn.BatchNorm1d(1, eps=0) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.convolution(x)))


class Sharing(nn.Module):
    """One activation for two calls, as in torchvision's ResNet, behind a convolution with stride and one without."""

    def __init__(self, activation: nn.Module, stride: int = 2):
        super().__init__()
        self.first, self.second, self.activation = handing_on(), handing_on(stride=stride), activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.second(self.activation(self.first(x))))


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(handing_on(), nn.ReLU()),
        nn.Sequential(handing_on(), nn.ReLU(inplace=True)),
        nn.Sequential(handing_on(3), nn.BatchNorm1d(1, eps=0), nn.Dropout(), nn.Identity(), nn.ReLU6()),
        Functional(F.relu),
        Functional(lambda x: x.clamp(min=0), norm=True),
        Functional(torch.relu_, norm=True),
        Sharing(nn.ReLU(), stride=1),
    ],
    ids=["own", "in place", "norm and ReLU6", "functional", "clamp", "in place and norm", "shared"],
)
def test_the_blur_stands_behind_the_relu(network):
    x = SIGNAL / 2 if isinstance(network, nn.Sequential) and isinstance(network[-1], nn.ReLU6) else SIGNAL
    expected = torch.tensor([[BEHIND_RELU]]) * x[0, 0, 0] / 4
    assert torch.equal(antialias(network.eval())(x), expected)


def test_before_the_relu_it_would_be_another():
    blurred_first = F.relu(BlurPool1d(1)(SIGNAL))
    assert blurred_first.tolist() == [[BEFORE_RELU]]


def test_the_pools_by_hand():
    network = nn.Sequential(nn.Conv1d(1, 1, 1), nn.MaxPool1d(2), nn.AvgPool1d(2))
    copied = antialias(network, 3)
    assert copied[1](SIGNAL).tolist() == [[[4, 7]]]  # of (4, 4, 8, 8): (4 + 2 * 4 + 4)/4, (4 + 2 * 8 + 8)/4
    assert copied[2](SIGNAL).tolist() == [[[-2, 3]]]  # of (-2, -2, 6, 2): (-2 - 4 - 2)/4, (-2 + 12 + 2)/4
    assert antialias(network, 1)[2](SIGNAL).tolist() == nn.AvgPool1d(2)(SIGNAL).tolist() == [[[-2, 6]]]


def test_a_mean_of_two_and_k_taps_are_the_blur_of_one_tap_more():
    x = noise(1, 2, 20, 24).float()
    piece = antialias(nn.Sequential(nn.Conv2d(2, 2, 1), nn.AvgPool2d(2)), 3)[1]
    torch.testing.assert_close(piece(x)[..., 1:-1, 1:-1], BlurPool2d(2, 4)(x)[..., 1:-1, 1:-1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("filter_size", [3, 5, 7])
def test_the_interior_of_a_max_piece_is_that_of_kornias_max_blur_pool(filter_size):
    x = noise(2, 3, 24, 28).float()
    piece = antialias(nn.Sequential(nn.Conv2d(3, 3, 1), nn.MaxPool2d(2)), filter_size)[1]
    theirs = kornia.filters.MaxBlurPool2D(filter_size)(x)
    torch.testing.assert_close(piece(x)[..., 2:-2, 2:-2], theirs[..., 2:10, 2:12], rtol=0, atol=1e-6)


def test_a_stage_is_what_timms_blur_pool_makes_of_the_dense_one():
    dense = nn.Sequential(nn.Conv2d(3, 5, 3, 1, 1), nn.BatchNorm2d(5), nn.SiLU())
    strided = copy.deepcopy(dense)
    strided[0].stride = (2, 2)
    x = noise(2, 3, 21, 24).float()
    for network in (dense, strided):
        network.eval()
    expected = timm.layers.BlurPool2d(5, 3, 2)(dense(x))
    torch.testing.assert_close(antialias(strided)(x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("filter_size", [2, 3, 5])
def test_a_1x1_shortcut_is_blurred_first_which_is_the_same(filter_size):
    network = nn.Sequential(nn.Conv2d(3, 4, 1, 2)).double()
    copied, x = antialias(network, filter_size), noise(2, 3, 11, 12)
    expected = BlurPool2d(4, filter_size)(F.conv2d(x, network[0].weight, network[0].bias))
    torch.testing.assert_close(copied(x), expected, rtol=0, atol=1e-12)
    assert antialias_report(copied)[0].became == f"BlurPool {filter_size}, Conv2d 1x1, stride 1"


class Joined(nn.Module):
    """A branch that is not strided by a convolution, and one that is."""

    def __init__(self):
        super().__init__()
        self.main, self.pool = nn.Conv2d(3, 3, 3, 2, 1), nn.MaxPool2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.pool(x))


def test_a_sum_of_convolutions_is_blurred_once_behind_its_activation_and_a_sum_with_others_before():
    assert [row.became for row in antialias_report(antialias(Joined()))] == [
        "Conv2d 3x3, stride 1, BlurPool 3",
        "MaxPool2d 3x3, stride 1, BlurPool 3",
    ]
    branches = antialias(nn.Sequential(RepVGG(), nn.Identity()))
    assert {row.became for row in antialias_report(branches)} == {
        f"Conv2d {kernel}, stride 1, BlurPool 3 behind 0.activation" for kernel in ("3x3", "1x1")
    }


class RepVGG(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide, self.narrow, self.activation = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(3, 4, 1, 2), nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.wide(x) + self.narrow(x))


@pytest.mark.parametrize("filter_size", range(1, 8))
def test_odd_filters_keep_the_grid_and_even_ones_move_all_branches_by_half_a_pixel(filter_size):
    """On a ramp every operator reads its own position, so the difference is how far its samples moved."""
    ramp = torch.arange(64.0).view(1, 1, 64)
    branches = [
        handing_on(), handing_on(3), nn.Sequential(handing_on(3), nn.ReLU()), nn.MaxPool1d(2), nn.MaxPool1d(3, 2, 1), nn.AvgPool1d(2),
        nn.AvgPool1d(3, 2, 1),
    ]  # fmt: skip
    for branch in branches:
        network = nn.Sequential(handing_on(stride=1), branch)
        moved = (antialias(network, filter_size)(ramp) - network(ramp))[..., 4:-4]
        assert torch.equal(moved, torch.full_like(moved, 0 if filter_size % 2 else 0.5))


# One, two and three axes, with every way of rounding sizes.

OPERATORS_OF = {axes + 1: OPERATORS[axes::3] for axes in range(3)}


@pytest.mark.parametrize("axes", OPERATORS_OF)
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 2},
        {"kernel_size": 3},
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 1, "dilation": 2},
        {"kernel_size": 5, "padding": 2},
        {"kernel_size": 2, "ceil_mode": True},
        {"kernel_size": 3, "ceil_mode": True},
        {"kernel_size": 3, "padding": 1, "ceil_mode": True},
        {"kernel_size": 2, "padding": 1, "ceil_mode": True},
    ],
    ids=str,
)
def test_one_tap_and_all_sizes_for_every_operator(axes, settings):
    """Where it cannot be done the operator is left, which also is the law."""
    convolution, maximum, mean = OPERATORS_OF[axes]
    operators = [maximum(stride=2, **settings)]
    if "ceil_mode" not in settings:
        operators.append(convolution(2, 2, stride=2, **settings))
    if "dilation" not in settings:
        operators.append(mean(stride=2, **settings))
    for operator in operators:
        network = nn.Sequential(convolution(2, 2, 3, 2, 1), convolution(2, 2, 1), operator).double()
        one_tap, three = antialias(network, 1), antialias(network, 3)
        for size in range(13, 17):
            x = noise(1, 2, *range(size, size + axes))
            torch.testing.assert_close(one_tap(x), network(x), rtol=0, atol=1e-12)
            assert three(x).shape == network(x).shape
        if mean is not type(operator) or not settings.get("ceil_mode") or settings == {"kernel_size": 2, "ceil_mode": True}:
            assert not any(is_strided(module) for module in one_tap.modules())


@pytest.mark.parametrize(
    ("strides", "blur_pool"),
    [((1, 2, 2), BlurPool2d), ((2, 1, 1), BlurPool1d), ((2, 1, 2), BlurPool2d), ((2, 2, 2), BlurPool3d)],
)
def test_only_the_strided_axes_are_blurred(strides, blur_pool):
    network = nn.Sequential(nn.Conv3d(2, 3, 3, strides, 1), nn.BatchNorm3d(3), nn.ReLU(), nn.Conv3d(3, 2, 1)).eval().double()
    x, one_tap, three = noise(2, 2, 7, 8, 9), antialias(network, 1), antialias(network, 3)
    torch.testing.assert_close(one_tap(x), network(x), rtol=0, atol=1e-12)
    assert [type(module) for module in three.modules() if isinstance(module, BlurPool1d | BlurPool2d | BlurPool3d)] == [blur_pool]
    assert three(x).shape == network(x).shape


def test_an_axis_that_is_not_strided_is_not_mixed():
    """Every frame of a video goes its own way when time has no stride."""
    network = nn.Sequential(nn.Conv3d(2, 3, (1, 3, 3), (1, 2, 2), (0, 1, 1)), nn.ReLU())
    copied, x = antialias(network, 5), noise(2, 2, 4, 9, 10).float()
    alone = torch.cat([copied(frame) for frame in x.split(1, 2)], 2)
    torch.testing.assert_close(copied(x), alone, rtol=0, atol=1e-6)


# Modules that are shared.


class Levels(nn.Module):
    """One pool for every level, as small U-Nets have it."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.pool = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1), nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(F.relu(self.second(self.pool(F.relu(self.first(x))))))


class Twice(nn.Module):
    """One convolution for two levels; the second call's output meets another activation, or none."""

    def __init__(self, second: nn.Module):
        super().__init__()
        self.convolution, self.first, self.second = nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU(), second

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.convolution(self.first(self.convolution(x))))


class Block(nn.Module):
    """Many blocks that were handed one and the same activation."""

    def __init__(self, activation: nn.Module, stride: int):
        super().__init__()
        self.convolution, self.norm, self.activation = nn.Conv2d(3, 3, 3, stride, 1), nn.BatchNorm2d(3), activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.convolution(x)))


def test_a_pool_shared_by_levels_of_different_width():
    network, x = Levels().double(), noise(1, 1, 21, 26)
    torch.testing.assert_close(antialias(network, 1)(x), network(x), rtol=0, atol=1e-12)
    assert antialias(network, 3)(x).shape == network(x).shape


def test_a_convolution_called_twice_is_replaced_if_both_calls_agree_and_left_if_not():
    x = noise(1, 4, 21, 26)
    same = Twice(nn.Identity())
    same.second = same.first
    torch.testing.assert_close(antialias(same.double(), 1)(x), same(x), rtol=0, atol=1e-12)
    assert antialias(same, 3)(x).shape == same(x).shape
    for second in (nn.SiLU(), nn.Identity()):
        with pytest.raises(UsageError, match=r"nothing to replace: convolution.*do not meet one and the same activation"):
            antialias(Twice(second))


@pytest.mark.parametrize("activation", [nn.SiLU(), nn.ReLU(), nn.LeakyReLU()])
def test_an_activation_shared_by_blocks_is_given_to_the_strided_ones_anew(activation):
    network = nn.Sequential(Block(activation, 1), Block(activation, 2), Block(activation, 1), Block(activation, 2)).eval().double()
    copied, x = antialias(network, 1), noise(1, 3, 21, 26)
    assert all(row.became.endswith(f"behind {row.name.partition('.')[0]}.activation") for row in antialias_report(copied))
    torch.testing.assert_close(copied(x), network(x), rtol=0, atol=1e-12)
    assert copied[0].activation is copied[2].activation is not copied[1].activation


def test_an_activation_that_cannot_follow_a_blur_leaves_its_convolution():
    copied = antialias(nn.Sequential(Sharing(nn.SiLU(), stride=1), nn.MaxPool1d(2)))
    (left,) = (row for row in antialias_report(copied) if row.reason)
    assert left.name == "0.first"
    assert left.reason == "its activation SiLU is shared with other steps, and would act again on what is blurred"
    with pytest.raises(UsageError, match="its activation silu is called as a function"):
        antialias(Functional(F.silu))
    with pytest.raises(UsageError, match=r"its activation abs is called as a function"):
        antialias(Functional(torch.abs))
    both = antialias(Sharing(nn.SiLU()))  # every call is one to be blurred
    assert all(row.became.endswith("behind activation") for row in antialias_report(both))


class Normless(nn.Module):
    """A norm called as a function, then an activation called as a function."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.group_norm(self.convolution(x), 2))


def test_what_is_left_says_why():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool, self.indexed, self.unused = nn.MaxPool2d(2), nn.MaxPool2d(2, return_indices=True), nn.Conv2d(3, 3, 3, 2)
            self.patches, self.blur = nn.Conv2d(3, 8, 4, 4), timm.layers.BlurPool2d(8)

        def forward(self, x: Tensor) -> Tensor:
            return self.blur(self.patches(F.max_pool2d(self.indexed(self.pool(x))[0], 2)))[..., ::2]

    reasons = {(row.name, row.was): row.reason for row in antialias_report(antialias(Odd()))}
    assert reasons == {
        ("pool", "MaxPool2d 2x2, stride 2x2"): None,
        ("indexed", "MaxPool2d 2x2, stride 2x2"): "it returns indices too, and blurred maxima have none",
        ("patches", "Conv2d 4x4, stride 4x4"): "its stride is 4x4, and only steps of 2 are blurred",
        ("blur", "BlurPool2d"): "its stride is inside a module that is no convolution, MaxPool or AvgPool of torch.nn",
        ("", "max_pool2d, stride 2x2"): "it is called as a function, not as a module",
        ("", "slice, stride 1x2"): "it is called as a function, not as a module",
        ("unused", "Conv2d 3x3, stride 2x2"): "the example did not come by it",
    }
    with pytest.raises(UsageError, match="its activation relu is called as a function, and so is native_group_norm before it"):
        antialias(Normless())


def test_the_stem_can_be_kept():
    kept = antialias(original("resnet"), stem="keep")
    assert kept.conv1.stride == (2, 2) and type(kept.relu) is nn.ReLU and kept.maxpool.stride == (1, 1)
    first = antialias_report(kept)[0]
    assert first == Row("conv1", "Conv2d 7x7, stride 2x2", None, "it is the first convolution, which stem='keep' leaves strided")
    assert str(first) == "conv1: Conv2d 7x7, stride 2x2; left, it is the first convolution, which stem='keep' leaves strided"


def test_a_second_time_there_is_nothing_to_replace():
    with pytest.raises(UsageError, match="nothing to replace: it has no strided operator"):
        antialias(blurred("resnet", 3))


# What networks are used for.


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.PReLU(8), nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.Conv2d(8, 4, 1),
    )  # fmt: skip


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
def test_gradients_are_those_of_finite_differences(padding_mode):
    network, x = antialias(small().eval().double(), 3, padding_mode=padding_mode), noise(1, 3, 10, 13).requires_grad_()
    assert torch.autograd.gradcheck(network, (x,), fast_mode=True)


def test_it_trains():
    network = antialias(original("mobilenet v3"), 3).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    x, target = noise(4, 3, 64, 64).float(), torch.arange(4)
    losses = []
    for _ in range(4):
        loss = F.cross_entropy(network.features(x).mean((2, 3))[:, :4], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.features.parameters())


def test_it_is_pickled_copied_and_saved():
    network, x = antialias(small().eval()), noise(1, 3, 20, 21).float()
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    for again in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network), torch.load(file, weights_only=False)):
        assert torch.equal(again(x), network(x)) and antialias_report(again) == antialias_report(network)
        assert type(again[2]) is type(network[2]) and isinstance(again[2], nn.PReLU)


def test_channels_last_stays_and_bfloat16_gives_float32s_numbers():
    network = antialias(small().eval()).to(memory_format=torch.channels_last)
    x = noise(2, 3, 20, 21).float().contiguous(memory_format=torch.channels_last)
    y = network(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(x)
    assert mixed.dtype == torch.bfloat16 and (mixed - y).abs().max() < 0.02 * (y.max() - y.min())


def test_a_half_precision_network_is_tried_out_in_float32():
    network = small().eval().bfloat16()
    copied = antialias(network)
    assert all(row.became for row in antialias_report(copied))
    assert copied(noise(1, 3, 20, 21).bfloat16()).dtype == torch.bfloat16


SMALL = """
network = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.BatchNorm2d(8), torch.nn.PReLU(8), torch.nn.MaxPool2d(2, ceil_mode=True),
    torch.nn.Conv2d(8, 4, 1, 2)
).eval()
sizes = (2, 3, 33, 30), (3, 3, 41, 52)
"""
RESNET = """
network = torchvision.models.resnet18().eval()
sizes = (2, 3, 65, 70), (3, 3, 96, 81)
"""
GRAPHS = """
import torch, torchvision
from unetlift.antialias import antialias
torch.manual_seed(0)
NETWORK
network = antialias(network)
first, second = (torch.randn(size) for size in sizes)
dynamic = torch.export.Dim.DYNAMIC
program = torch.export.export(network, (first,), dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},))
for x in (second, first):
    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager", dynamic=False)
    torch.testing.assert_close(program.module()(x), network(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(compiled(x), network(x), rtol=1e-4, atol=1e-4)
    weight = next(network.parameters())
    gradients = [torch.autograd.grad(f(x).square().sum(), weight)[0] for f in (compiled, network)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3 * gradients[0].abs().max().item())
"""


@pytest.mark.slow
@pytest.mark.parametrize("network", [SMALL, RESNET], ids=["small", "resnet"])
def test_it_compiles_whole_and_is_exported_for_any_batch_and_size(network):
    """In a process of its own, since the shapes asserted here are no part of a graph."""
    done = subprocess.run([sys.executable, "-c", GRAPHS.replace("NETWORK", network)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_features_follow_a_moving_window_better():
    """By the norm of the difference, summed over windows moved by 1 to 5 pixels, divided by the features' own."""
    pictures = torch.cat([photo(name)[..., :96, :96] for name in ("astronaut.png", "ihc.png")])
    error = {}
    for filter_size in (1, 3, 5):
        network = calibrated(blurred("resnet", filter_size), pictures)
        with torch.no_grad():
            answers = [network(window(pictures, Shift(0, shift), 8)) for shift in range(6)]
        error[filter_size] = sum((answer - answers[0]).norm() for answer in answers[1:]) / (answers[0] - answers[0].mean(0)).norm()
    assert error[5] < error[3] < 0.9 * error[1]


# Errors.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filter_size": 0}, "The blur's filter size 0 is unknown; it is one of 1, 2, 3, 4, 5, 6, 7."),
        ({"filter_size": 8}, "The blur's filter size 8 is unknown"),
        ({"stem": "skip"}, "stem 'skip' is unknown; it is one of blur, keep."),
        ({"padding_mode": "same"}, "padding_mode 'same' is unknown"),
        ({"example": torch.zeros(3, 64, 64)}, r"of shape \(3, 64, 64\); it has to be floats of shape \(N, 3, H, W\)"),
        ({"example": torch.zeros(1, 3, 64, 64, dtype=torch.uint8)}, "The example is torch.uint8 of shape"),
        ({"example": torch.zeros(1, 4, 64, 64)}, r"Sequential cannot be run on an example of shape \(1, 4, 64, 64\) \(.*\); give another"),
    ],
)
def test_what_does_not_suit_is_one_sentence(arguments, message):
    with pytest.raises(UsageError, match=message):
        antialias(small(), **arguments)


def test_a_network_without_anything_to_replace_is_named():
    with pytest.raises(UsageError, match="Linear has nothing to replace: it has no Conv1d, Conv2d or Conv3d"):
        antialias(nn.Linear(3, 3))
    with pytest.raises(UsageError, match="Sequential has nothing to replace: it has no strided operator"):
        antialias(nn.Sequential(nn.Conv2d(3, 3, 3)))
    with pytest.raises(UsageError, match="ResNet has no report"):
        antialias_report(original("resnet"))


class Peeking(nn.Module):
    """Does something that depends on its convolution's stride."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.convolution(x)) * self.convolution.stride[0]


def test_a_network_that_does_not_give_its_own_answers_any_more_is_refused():
    with pytest.raises(UsageError, match="Peeking cannot be antialiased: dense and then subsampled it does not give its own answers"):
        antialias(Peeking())
