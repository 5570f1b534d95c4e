"""Steps, strided operators and windows of encoders small enough to say by hand where they are; what no rule fits is refused."""

import pytest
import torch
from encoder_cases import SMALL, network
from timm.layers import Conv2dSame, ScaledStdConv2d, StdConv2dSame
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift.config import NetworkConfig
from unetlift.encoders.assemble import pooled_encoder
from unetlift.encoders.commuting import stays_behind
from unetlift.encoders.flow import Flow, follow
from unetlift.encoders.levels import Step, steps_of
from unetlift.encoders.window import Window, set_window, window_of
from unetlift.errors import UsageError
from unetlift.pools import LiftOptions

slow = pytest.mark.slow


class Residual(nn.Module):
    """A strided convolution, an activation, a convolution; a strided 1x1 shortcut; their sum."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm, self.conv2 = nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1)
        self.shortcut = nn.Conv2d(3, 4, 1, 2)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, F.relu(self.conv2(F.relu(self.norm(self.conv1(x)))) + self.shortcut(x))]


class Patches(nn.Module):
    """Patches of four pixels, a 1x1 convolution, then those of two."""

    def __init__(self):
        super().__init__()
        self.stem, self.mix, self.down = nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 2, 2)

    def forward(self, x: Tensor) -> list[Tensor | None]:
        y = self.mix(self.stem(x))
        return [x, None, y, self.down(y)]


class Pooled(nn.Module):
    """A convolution, its activation, a 3x3 maximum; the picture's size has a feature."""

    def __init__(self):
        super().__init__()
        self.conv, self.act, self.pool = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        y = self.act(self.conv(x))
        return [y, self.pool(y)]


class Branches(nn.Module):
    """Two strided convolutions whose sum is activated."""

    def __init__(self):
        super().__init__()
        self.wide, self.point = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(3, 4, 1, 2)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, torch.relu(self.wide(x) + self.point(x))]


def seen(body: nn.Module, depth: int) -> tuple[Flow, list[Step]]:
    flow = follow(body, 3, depth)
    return flow, steps_of(flow, depth)


def test_a_shortcut_is_pooled_before_it_and_a_main_path_behind_its_activation() -> None:
    flow, (step,) = seen(Residual(), 1)
    assert (step.level, step.halvings, [node.name for node in step.entries]) == (0, 1, ["x"])
    assert [node.target for node in step.strided] == ["conv1", "shortcut"]
    main, other = step.spots
    assert (main.node.name, main.before, main.operators[0].target, main.channels) == ("relu", False, "conv1", 4)
    assert (other.node.target, other.before, other.channels) == ("shortcut", True, 3)
    assert step.main.target == "conv1"
    assert flow.in_channels == 3


def test_a_stem_of_patches_is_halved_twice() -> None:
    _, (stem, down) = seen(Patches(), 3)
    assert (stem.level, stem.halvings, stem.spots[0].node.target, stem.spots[0].before) == (0, 2, "stem", False)
    assert (down.level, down.halvings, [node.target for node in down.entries]) == (2, 1, ["mix"])
    assert down.spots[0].node.target == "down"


def test_a_maximum_is_followed_by_its_downsampler() -> None:
    _, (step,) = seen(Pooled(), 1)
    (spot,) = step.spots
    assert (spot.node.target, spot.before, spot.channels) == ("pool", False, 4)


def test_parallel_branches_share_one_downsampler_behind_their_sum() -> None:
    _, (step,) = seen(Branches(), 1)
    (spot,) = step.spots
    assert (spot.node.name, {node.target for node in spot.operators}) == ("relu", {"wide", "point"})


@pytest.mark.parametrize("body", [Residual, Pooled, Branches])
def test_small_networks_dense_and_pooled_by_one_tap_are_themselves(body: type[nn.Module]) -> None:
    torch.manual_seed(0)
    own = body().double().eval()
    x = torch.randn(1, 3, 16, 24, dtype=torch.float64)
    with torch.no_grad():
        wanted = own(x)[1]
        config = NetworkConfig(encoder="made by hand", depth=1, down="blur-1", up="blur-3")  # whose grid is the corner, as these windows'
        encoder, _, _ = pooled_encoder(own, config, LiftOptions())
        features, _ = encoder(x)
    assert torch.allclose(features[1], wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("module", "window", "centre", "floors"),
    [
        (nn.Conv2d(1, 1, 3, 2, 1), Window((3, 3), (1, 1), (1, 1), 2, "zeros"), 0, False),
        (nn.Conv2d(1, 1, 7, 2, 3), Window((7, 7), (3, 3), (3, 3), 2, "zeros"), 0, False),
        (nn.Conv2d(1, 1, 4, 4), Window((4, 4), (0, 0), (0, 0), 4, "zeros"), 1.5, True),
        (nn.Conv2d(1, 1, 1, 2), Window((1, 1), (0, 0), (0, 0), 2, "zeros"), 0, False),
        (nn.Conv2d(1, 1, 3, padding=2, dilation=2), Window((5, 5), (2, 2), (2, 2), 1, "zeros"), 0, False),
        (Conv2dSame(1, 1, 3, 2), Window((3, 3), (0, 0), (2, 2), 2, "zeros"), 1, False),
        (StdConv2dSame(1, 1, 3, 2), Window((3, 3), (0, 0), (2, 2), 2, "zeros"), 1, False),
        (nn.MaxPool2d(2), Window((2, 2), (0, 0), (0, 0), 2, "replicate"), 0.5, True),
        (nn.MaxPool2d(3, 2, ceil_mode=True), Window((3, 3), (0, 0), (1, 1), 2, "replicate"), 1, True),
        (nn.AvgPool2d(3, 2, 1), Window((3, 3), (1, 1), (1, 1), 2, "zeros"), 0, False),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False), Window((3, 3), (1, 1), (1, 1), 2, "uncounted"), 0, False),
    ],
)
def test_windows(module: nn.Module, window: Window, centre: float, floors: bool) -> None:
    assert window_of(module) == window
    assert (window.centre, window.floors) == (centre, floors)
    assert window.pointwise == (window.size == (1, 1))


class Unknown(nn.Conv2d):
    """Whose forward is its own affair."""


@pytest.mark.parametrize(
    "module",
    [nn.ReLU(), Unknown(1, 1, 3), nn.Conv2d(1, 1, 3, 3), nn.Conv2d(1, 1, 3, (2, 1)), nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
     nn.MaxPool2d(2, return_indices=True), nn.AvgPool2d(2, divisor_override=3)],
)  # fmt: skip
def test_what_is_no_ordinary_window_has_none(module: nn.Module) -> None:
    assert window_of(module) is None


@pytest.mark.parametrize(
    "module",
    [nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 5, 2, 2), Conv2dSame(2, 2, 3, 2), ScaledStdConv2d(2, 2, 3, 2),
     StdConv2dSame(2, 2, 3, 2), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(3, 1, 1), nn.AvgPool2d(3, 2, 1, count_include_pad=False)],
    ids=lambda module: type(module).__name__,
)  # fmt: skip
def test_its_own_window_changes_nothing_but_with_another_border(module: nn.Module) -> None:
    x = torch.randn(1, 2, 12, 16)
    with torch.no_grad():
        wanted = module(x)
        set_window(module, window_of(module)._replace(stride=1), "zeros")
        stride = x.shape[2] // wanted.shape[2]
        assert torch.allclose(module(x)[..., ::stride, ::stride], wanted, atol=1e-6)
        set_window(module, Window((3, 3), (1, 1), (1, 1), 1, "zeros"), "circular")
        if module.kernel_size in (3, (3, 3)):
            assert torch.allclose(module(x.roll((2, 5), (2, 3))), module(x).roll((2, 5), (2, 3)), atol=1e-6)


# What does not move with the picture.


class Odd(Pooled):
    """The pooled network with a part of one's choice before its pool."""

    def __init__(self, part: nn.Module):
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> list[Tensor]:
        y = self.part(self.act(self.conv(x)))
        return [y, self.pool(y)]


class Windows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = x.view(n, c, h // 2, 2, w // 2, 2)
        return (parts - parts.mean((3, 5), keepdim=True)).view(n, c, h, w)


class Positions(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.linspace(0, 1, x.shape[3], device=x.device)


class Shrunk(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + F.interpolate(F.avg_pool2d(x, 2), size=x.shape[2:])


class Attention(nn.Module):
    """Of every place to every place: no part of it knows where it is."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        mixed = (tokens @ tokens.transpose(1, 2)).softmax(-1) @ tokens
        return mixed.transpose(1, 2).unflatten(2, x.shape[2:])


class Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean((2, 3), keepdim=True).sigmoid() + x.mean(3, keepdim=True) + x.amax(2, keepdim=True)


@pytest.mark.parametrize(
    ("part", "reason"),
    [(Windows(), "windows"), (Positions(), "positions"), (Shrunk(), "resamples"), (nn.Conv2d(4, 4, 2), "loses its border"),
     (Attention(), None), (Gate(), None)],
    ids=lambda part: type(part).__name__,
)  # fmt: skip
def test_what_stays_behind_is_seen(part: nn.Module, reason: str | None) -> None:
    body = Odd(nn.Sequential(part))
    if isinstance(part, nn.Conv2d):
        body.part = nn.Sequential(part, nn.ZeroPad2d((0, 1, 0, 1)))
    flow, (step,) = seen(body, 1)
    found = stays_behind(flow, step.strided)
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize("name", ["mit_b0", *(pytest.param(name, marks=slow) for name in ("tu-mobilevit_xxs", "tu-edgenext_xx_small"))])
def test_encoders_that_do_not_move_with_the_picture_take_the_phase_fixed_alone(name: str) -> None:
    with pytest.raises(UsageError, match=r"takes the phase fixed alone, since it does not follow every shift: .*(strides|windows|pos)"):
        network(name, "lift+lift@adaptive", padding_mode="circular")


@pytest.mark.parametrize(
    ("name", "variant", "message"),
    [
        ("tu-inception_v3", "stride+nearest", r"tu-inception_v3 has no features at stride 32; of 192x256 they are 192x256, 93x125"),
        ("tu-hrnet_w18_small", "stride+nearest", r"goes on from stride 4 both by 2 and by 4"),
        ("tu-xception41", "stride+nearest", r"gives its features through hooks, which no graph shows"),
        ("tu-coat_lite_tiny", "stride+nearest", r"does not take a picture of 192 x 256, thus not any"),
        ("tu-convit_tiny", "stride+nearest", r"'tu-convit_tiny' cannot be built by smp: Unsupported model downsampling pattern"),
        ("tu-densenetblur121d", "blur-3+bilinear", r"cannot pool with blur-3: .*pool0.1 \(BlurPool2d\) strides, .*; it takes stride"),
        (SMALL, "conv-blur-3+bilinear", r"Downsampler of tu-mobilenetv3_small_050 'conv-blur-3' is unknown; it is one of max, avg"),
        (SMALL, "blur-3+lift", r"blur-3 cannot serve the upsampler lift"),
        ("tu-convnext_atto", "stride+unpool", r"steps over 4 pixels at once: unpool has no maxima to return to"),
        ("resnet19", "max+nearest", r"encoder 'resnet19' is unknown; near it are .*resnet1[08]"),
        ("!", "max+nearest", r"encoder '!' is unknown; near it are resnet34"),
    ],
)
def test_the_rest_is_refused_by_a_sentence(name: str, variant: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as found:
        network(name, variant)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(("depth", "message"), [(6, "depth is 6; .* has 1 to 5"), (0, "depth is 0; it is a number from 1 on")])
def test_depths_out_of_range(depth: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        network(SMALL, "max+nearest", depth=depth)


def test_convnext_has_no_depth_of_one() -> None:
    with pytest.raises(UsageError, match="tu-convnext_atto has no features at stride 2; of 192x256 they are 192x256, none"):
        network("tu-convnext_atto", "stride+nearest", depth=1)
