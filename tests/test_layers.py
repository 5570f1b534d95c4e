"""The layers of a network by name, and how far each is from moving with the picture."""

from collections.abc import Callable

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from test_exactness import network, noise
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift import UNet, from_smp
from unetlift.errors import UsageError
from unetlift.shifts import Fraction, Shift, roll, square, star
from unetlift.stability.hooks import hooked
from unetlift.stability.layers import LayerDistances, distances

NAMES = "encoder 0", "encoder 1", "encoder 2", "bottom", "decoder 2", "decoder 1", "decoder 0", "logits"
STRIDES = 1, 2, 4, 8, 4, 2, 1, 1

one_a_kind = pytest.mark.parametrize(
    "settings",
    [
        dict(down="max", up="unpool"),
        dict(down="lift", up="lift", phase="adaptive", padding_mode="circular"),
        dict(down="blur-3", up="bilinear", phase="learned"),
        pytest.param(dict(encoder="resnet18", depth=4, width=4, down="max", up="nearest", phase="adaptive"), id="resnet18"),
    ],
)


def built(**settings) -> UNet:
    torch.manual_seed(0)
    return UNet(**{"depth": 3, "width": 4, "classes": 2} | settings).double().eval()


def picture(*size: int, channels: int = 3, seed: int = 0) -> Tensor:
    return noise(1, channels, *size, seed=seed)


@one_a_kind
@pytest.mark.parametrize("size", [(32, 48), (37, 45)])
def test_features_are_what_forward_computes(settings: dict, size: tuple[int, int]) -> None:
    model, x = built(**settings), picture(*size)
    with torch.no_grad():
        logits, traces = model.with_traces(x)
        layers = model.features(x)
        assert torch.equal(layers["logits"].map, logits)
        expected, _ = model.encoder(x)
    assert torch.equal(layers["bottom"].map, expected[-1])
    for level, (feature, trace) in enumerate(zip(expected[:-1], traces, strict=True)):
        assert layers[f"decoder {level}"].map.shape[2:] == trace.size
        if feature is None:  # an encoder that begins with a stride
            assert f"encoder {level}" not in layers
        else:
            assert torch.equal(layers[f"encoder {level}"].map, feature)


def test_names_and_strides_are_those_of_the_u() -> None:
    layers = built(down="max", up="nearest").features(picture(16, 24))
    assert tuple(layers) == NAMES
    assert tuple(layer.stride for layer in layers.values()) == STRIDES
    assert all(layer.offset is None for layer in layers.values())


def test_an_offset_is_the_sum_of_the_phases_above() -> None:
    model, x = network("lift", "lift", phase="adaptive", padding_mode="circular"), noise(6, 2, 16, 24)
    with torch.no_grad():
        layers, (first, second, third) = model.features(x), [trace.phase for trace in model.with_traces(x)[1]]
    assert len({tuple(phase) for phase in first.tolist()}) > 1, "each sample has its own"
    assert layers["encoder 0"].offset is layers["decoder 0"].offset is layers["logits"].offset is None
    assert torch.equal(layers["encoder 1"].offset, first) and torch.equal(layers["decoder 1"].offset, first)
    assert torch.equal(layers["encoder 2"].offset, first + 2 * second)
    assert torch.equal(layers["bottom"].offset, first + 2 * second + 4 * third)


@pytest.mark.parametrize(("down", "up"), [("max", "nearest"), ("lift", "lift"), ("blur-3", "bilinear"), ("fourier", "fourier")])
def test_adaptive_layers_follow_every_roll(down: str, up: str) -> None:
    model, around = network(down, up, phase="adaptive", padding_mode="circular"), [Shift(k, 3 * k % 8) for k in range(1, 8)]
    found = distances(model.features, [picture(16, 24, channels=2)], "roll", 8, shifts=around)
    assert found.layers == NAMES and found.strides == STRIDES
    assert all(found.worst(layer) < 1e-9 for layer in NAMES)


def test_without_their_offsets_adaptive_layers_seem_to_jump() -> None:
    """What is sampled on a grid of its own choice meets other samples where the frame's grid is taken for it."""
    model = network("max", "nearest", phase="adaptive", padding_mode="circular")

    def bare(x: Tensor) -> dict[str, Tensor]:
        return {name: layer.map for name, layer in model.features(x).items()}

    found = distances(bare, [picture(16, 24, channels=2)], "roll", 2, shifts=square(2))
    assert found.worst("logits") < 1e-9 < 0.01 < found.worst("encoder 2")


def test_fixed_layers_are_exact_at_multiples_of_their_stride() -> None:
    """The 2^levels periodic pattern: an encoder's level has its own period, all that has been through the bottom has the bottom's."""
    model = network("max", "nearest", padding_mode="circular")
    found = distances(model.features, [picture(32, 32, channels=2)], "roll", 8, shifts=star(8))
    periods = 1, 2, 4, 8, 8, 8, 8, 8
    for layer, period in zip(found.layers, periods, strict=True):
        for distance in range(1, 9):
            exact = found.values[found.layers.index(layer)][found.dys.index(distance), found.dxs.index(distance)] < 1e-9
            assert exact == (distance % period == 0), (layer, distance)
        assert found.mean(layer) < found.worst(layer) or period == 1


def halves(x: Tensor) -> dict[str, Tensor]:
    return {"same": x.sigmoid(), "half": x[..., ::2, ::2]}


@pytest.mark.parametrize("mode", ["roll", "crop"])
def test_a_pixelwise_layer_moves_and_a_subsampled_one_does_at_even_shifts(mode: str) -> None:
    found = distances(halves, [picture(48, 56)], mode, 3, shifts=square(3), multiple=2, margin=4)
    assert found.strides == (1, 2) and found.dys == found.dxs == tuple(range(-3, 4))
    same, half = found.values
    assert same.max() < 1e-12
    even = np.array(found.dys) % 2 == 0
    assert ((half < 1e-12) == (even[:, None] & even[None])).all() and half.max() > 0.3


def expected(features: Callable, x: Tensor, shift: Shift, name: str) -> float:
    """By nearest upsampling of everything, and PyTorch's own cosine."""
    still, moved = (F.interpolate(features(frame)[name], x.shape[2:]) for frame in (x, roll(x, shift).map))
    return (1 - F.cosine_similarity(still, moved.roll((-shift.dy, -shift.dx), (2, 3)))).mean().item()


@pytest.mark.parametrize("size", [(24, 40), (23, 37)])
def test_distances_are_those_of_upsampled_maps(size: tuple[int, int]) -> None:
    body = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ELU(), nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(5, 4, 3, 2, 1)).double()
    x, shifts = picture(*size), [Shift(1, 0), Shift(-2, 3), Shift(4, 5)]
    found = distances(hooked(body), [x], "roll", 5, shifts=shifts)
    for number, name in enumerate(found.layers):
        for shift in shifts:
            value = found.values[number][found.dys.index(shift.dy), found.dxs.index(shift.dx)]
            assert value == pytest.approx(expected(hooked(body), x, shift, name), abs=1e-12)
    assert np.isnan(found.values).sum() == len(found.layers) * (len(found.dys) * len(found.dxs) - 4)


def test_parts_of_a_pixel_are_resampled_back() -> None:
    rows = torch.arange(64, dtype=torch.float64)[:, None] / 12
    columns = torch.arange(72, dtype=torch.float64) / 9
    wave = torch.stack([(rows + columns).sin() + 2, (rows - columns).cos() + 2])[None]
    found = distances(lambda x: {"same": x, "quarter": x[..., ::4, ::4]}, [wave], "subpixel", 1, multiple=4, margin=12)
    assert 0 < found.worst("same") < 1e-5 < found.mean("quarter")
    whole = [Fraction(1.0, 0.0), Fraction(-1.0, 1.0)]
    resampled = distances(halves, [wave], "subpixel", 1, shifts=whole, margin=12)
    moved = distances(halves, [wave], "crop", 1, shifts=[Shift(1, 0), Shift(-1, 1)], margin=12)
    assert np.array_equal(resampled.values, moved.values, equal_nan=True)


def test_zero_vectors_are_equal_and_one_alone_is_a_right_angle_away() -> None:
    answers, shifts = iter([0.0, 0.0, 1.0, 2.0]), [Shift(0, k) for k in (1, 2, 3)]
    found = distances(lambda x: {"a": torch.full_like(x, next(answers))}, [picture(8, 8)], "roll", 3, shifts=shifts)
    assert found.values.tolist() == [[[0, 0, 1, 1]]]


def test_pictures_are_taken_one_by_one_and_averaged() -> None:
    pictures = [picture(24, 24, seed=1), picture(32, 24, seed=2)]
    taken = []

    def stream():
        for number, x in enumerate(pictures):
            taken.append(number)
            yield x

    def features(x: Tensor) -> dict[str, Tensor]:
        assert taken[-1] == (x.shape[2] == 32)
        return halves(x)

    both = distances(features, stream(), "roll", 2)
    alone = [distances(halves, [x], "roll", 2).values for x in pictures]
    np.testing.assert_allclose(both.values, sum(alone) / 2)


def test_one_precision_is_enough_for_half_precision_features() -> None:
    x = picture(16, 16).float() * 300  # whose squares half precision cannot hold
    found = distances(lambda x: {"a": x.half()}, [x], "roll", 1)
    assert found.worst("a") < 1e-6


@pytest.mark.parametrize(
    ("features", "images", "settings", "sentence"),
    [
        (halves, [], {}, "no pictures"),
        (halves, [torch.rand(2, 3, 16, 16)], {}, "one alone"),
        (halves, [torch.rand(1, 3, 16, 16)], {"mode": "video"}, "mode 'video' is unknown"),
        (lambda x: {"a": x / 0}, [torch.rand(1, 3, 16, 16)], {}, "layer a has numbers that are not finite"),
        (lambda x: {str(x[0, 0, 0, 0].item()): x}, [torch.rand(1, 3, 16, 16)], {}, "not the same each time"),
    ],
)
def test_what_cannot_be_measured_is_said(features: Callable, images: list[Tensor], settings: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        distances(features, images, **{"mode": "roll", "max_shift": 2} | settings)


def test_a_grid_tells_its_mean_and_its_worst() -> None:
    values = np.array([[[np.nan, 0.5], [0, 0.25]]])
    found = LayerDistances(("a",), (2,), (-1, 0), (0, 1), values)
    assert found.mean("a") == 0.375 and found.worst("a") == 0.5
    with pytest.raises(UsageError, match="layer 'b' is unknown; it is one of a"):
        found.mean("b")


CONVERSIONS = [
    pytest.param("Unet", dict(down="blur-3"), True, id="unet"),
    pytest.param("Unet", dict(down="lift", up="lift"), True, id="unet-up", marks=pytest.mark.slow),
    pytest.param("FPN", dict(down="max"), False, id="fpn"),
    pytest.param("DeepLabV3Plus", dict(down="stride"), False, id="deeplab", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kind", "pools", "exact"), CONVERSIONS)
def test_a_converted_network_shows_where_it_ceases_to_follow(kind: str, pools: dict, exact: bool) -> None:
    """smp's Unet is exact to the end; bilinear upsampling with aligned corners is not, whatever the encoder does."""
    torch.manual_seed(0)
    original = getattr(smp, kind)("resnet18", encoder_weights=None, classes=2).double().eval()
    model, x = from_smp(original, phase="adaptive", padding_mode="circular", **pools), picture(64, 64)
    with torch.no_grad():
        assert torch.equal(model.features(x)["logits"].map, model(x))
    found = distances(model.features, [x], "roll", 37, shifts=[Shift(1, 2), Shift(5, 11), Shift(37, 26)])
    *encoder, decoder, logits = found.layers
    assert encoder == ["encoder 1", "encoder 2", "encoder 3", "encoder 4", "bottom"] and (decoder, logits) == ("decoder", "logits")
    assert found.strides[:5] == (2, 4, 8, 16, 16 if kind == "DeepLabV3Plus" else 32)
    assert all(found.worst(layer) < 1e-9 for layer in encoder)
    assert (found.worst("decoder") < 1e-9) == (found.worst("logits") < 1e-9) == exact


def resnet() -> nn.Module:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    return resnet18().eval()


@torch.no_grad()
def test_hooks_see_what_a_traced_graph_shows() -> None:
    from torchvision.models.feature_extraction import create_feature_extractor

    model, x = resnet(), torch.rand(1, 3, 64, 96)
    found = hooked(model)(x)
    blocks = [f"layer{stage}.0" for stage in (1, 2, 3, 4)] + [f"layer{stage}" for stage in (1, 2, 3, 4)]
    wanted = create_feature_extractor(model, ["relu", "maxpool", *blocks])(x)
    assert set(wanted) < set(found) and all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert [name for name in found if name in wanted] == ["relu", "maxpool", *sorted(blocks, key=lambda name: (name[:6], -len(name)))]
    assert not {"layer1.0.conv1", "layer1.1", "bn1", "avgpool", "fc"} & set(found)


@torch.no_grad()
def test_hooks_are_gone_after_the_call_and_after_an_error() -> None:
    model, x = resnet(), torch.rand(1, 3, 32, 32)
    features, before = hooked(model), {name: dict(vars(part)) for name, part in model.named_modules()}
    first = features(x)
    with pytest.raises(RuntimeError):
        features(torch.rand(1, 5, 32, 32))
    assert not any(part._forward_hooks for part in model.modules())
    assert all(vars(part).keys() == before[name].keys() for name, part in model.named_modules())
    assert all(torch.equal(map, again) for map, again in zip(first.values(), features(x).values(), strict=True))


@torch.no_grad()
@pytest.mark.parametrize("limit", [1, 3, 8, 12])
def test_of_too_many_maps_the_outermost_stay(limit: int) -> None:
    model, x = resnet(), torch.rand(1, 3, 64, 64)
    every, found = hooked(model)(x), hooked(model, limit)(x)
    outer = [name for name in every if "." not in name]
    assert len(found) == limit and [name for name in every if name in found] == [*found]
    assert set(found) <= set(outer) if limit <= len(outer) else set(outer) <= set(found)


class Shared(nn.Module):
    """Asks one convolution three times, the last time about something that is no map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.squeeze = nn.Conv2d(3, 3, 3, padding=1), nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.conv(x))
        return x * self.squeeze(x)


def test_a_module_that_is_called_again_is_numbered() -> None:
    model, x = Shared(), torch.rand(1, 3, 12, 12)
    found = hooked(model)(x)
    assert [*found] == ["conv", "conv (2)"]
    assert torch.equal(found["conv (2)"], model.conv(model.conv(x)))
    assert not any(map.requires_grad for map in found.values())


def test_what_hooks_cannot_see_is_said() -> None:
    x = torch.rand(1, 3, 8, 8)
    exported = torch.export.export(nn.Sequential(nn.Conv2d(3, 2, 1)), (x,)).module()
    for module in (exported, nn.Conv2d(3, 2, 1), nn.Sequential(nn.Flatten(), nn.Linear(192, 2))):
        with pytest.raises(UsageError, match="no submodule that shows a map"):
            hooked(module)(x)
    with pytest.raises(UsageError, match="limit is 0"):
        hooked(nn.Identity(), 0)


def test_threads_wait_for_each_other() -> None:
    from concurrent.futures import ThreadPoolExecutor

    model = resnet()
    features, pictures = hooked(model), [torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(features, pictures))
    for x, found in zip(pictures, together, strict=True):
        assert all(torch.equal(map, found[name]) for name, map in features(x).items())
