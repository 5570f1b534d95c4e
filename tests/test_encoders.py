"""Networks with the encoders of segmentation-models-pytorch and timm: the laws."""

import copy
import subprocess
import sys
import threading
import warnings

import pytest
import segmentation_models_pytorch as smp
import torch
from encoder_cases import EVERY, FAMILIES, QUICK, SMALL, calibrated, encoder_of, network, roll_error
from torch.nn import functional as F

from unetlift import UNet, from_pretrained
from unetlift.encoders.flow import follow
from unetlift.encoders.levels import steps_of
from unetlift.encoders.pooled import Pooling, rebuild
from unetlift.encoders.smp import make_encoder
from unetlift.pools import CORNER, LiftOptions, lone_down
from unetlift.pools.phase import roll_each

PAIRS = ["stride+nearest", "blur-3+bilinear", "max+unpool", "lift+lift", "avg+blur-3", "fourier+fourier"]
slow = pytest.mark.slow
DIAGONAL = [(k, k) for k in range(1, 8)] + [(0, 1), (1, 0), (5, 2), (-3, 6), (7, 4)]


# Law 2: with adaptive phases and circular padding a network commutes with every roll.


@pytest.mark.parametrize("encoder", ["resnet18", "tu-convnext_atto", "tu-tf_efficientnet_lite0"])
def test_a_network_commutes_with_every_roll(encoder: str) -> None:
    assert roll_error(network(encoder, "lift+lift@adaptive", depth=3, padding_mode="circular"), 32, DIAGONAL) < 1e-9


@pytest.mark.parametrize(
    "variant",
    [
        *(f"{pair}@adaptive" for pair in PAIRS),
        "lift+lift@learned",
        *(pytest.param(f"{pair}@learned", marks=slow) for pair in PAIRS if pair != "lift+lift"),
    ],
)
def test_with_every_pair_of_pools(variant: str) -> None:
    assert roll_error(network(SMALL, variant, depth=3, padding_mode="circular"), 32, DIAGONAL) < 1e-9


@slow
@pytest.mark.parametrize("variant", ["stride+nearest@adaptive", "blur-3+bilinear@adaptive", "max+unpool@adaptive", "lift+lift@adaptive"])
@pytest.mark.parametrize("encoder", EVERY)
def test_every_family_commutes_with_every_roll(encoder: str, variant: str) -> None:
    generator = torch.Generator().manual_seed(1)
    others = torch.randint(-32, 33, (8, 2), generator=generator).tolist()
    shifts = [(k, k) for k in range(1, 32)] + [(0, 1), (1, 0), *map(tuple, others)]
    assert roll_error(network(encoder, variant, padding_mode="circular"), 64, shifts) < 1e-9


@pytest.mark.parametrize("pair", PAIRS[1:4])
def test_a_stem_that_strides_as_it_is_commutes_too(pair: str) -> None:
    assert roll_error(network("resnet18", f"{pair}@adaptive", depth=2, stem="keep", padding_mode="circular"), 16, DIAGONAL[:4]) < 1e-9


@pytest.mark.parametrize("variant", ["lift+lift"])
def test_the_even_grid_does_not(variant: str) -> None:
    assert roll_error(network(SMALL, variant, depth=3, padding_mode="circular"), 32, [(1, 1)]) > 1e-3


# Untouched networks are untouched.


def assert_same_features(name: str, size: tuple[int, int], train: bool) -> None:
    """Against smp's own encoder, to the bit."""
    encoder = encoder_of(name, "stride", "nearest")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # smp's own, about names that it has deprecated
        own = smp.encoders.get_encoder(name, weights=None)
    weights = {key: value for key, value in encoder.body.state_dict().items() if not key.startswith("unetlift.")}
    assert weights.keys() <= own.state_dict().keys()
    own.load_state_dict(own.state_dict() | weights)
    encoder.train(train), own.train(train)
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        torch.manual_seed(1)  # of drop path and dropout
        features, traces = encoder(x)
        torch.manual_seed(1)
        wanted = own(x)
    assert len(features) == len(wanted) == 6 and len(traces) == 5
    for found, feature in zip(features[1:], wanted[1:], strict=True):
        assert (found is None and feature.shape[1] == 0) or torch.equal(found, feature)
    assert encoder.skips == [0 if feature is None else feature.shape[1] for feature in features]


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(("name", "size"), [("resnet18", (65, 97)), ("tu-convnext_atto", (64, 96)), (SMALL, (67, 45))])
def test_strides_on_the_even_grid_are_smps_own_encoder_to_the_bit(name: str, size: tuple[int, int], train: bool) -> None:
    assert_same_features(name, size, train)


@slow
@pytest.mark.parametrize("name", EVERY)
def test_strides_of_every_family_are_smps_own_encoder_to_the_bit(name: str) -> None:
    for train in (False, True):
        assert_same_features(name, (64, 96), train)


def assert_dense_law(name: str) -> None:
    """Everything dense, then every other pixel: the strided network."""
    torch.manual_seed(0)
    body = make_encoder(name, 3, None).double()
    x = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    calibrated(body, x)
    with torch.no_grad():
        wanted = body(x)
    flow = follow(body, 3, 5)

    def tap(channels: int) -> torch.nn.Module:
        return lone_down("avg-blur-1", channels, CORNER, "zeros", LiftOptions())

    pooling = Pooling("blur-1", "zeros", False, None, False, lambda _, channels, ahead: tap(channels), lambda c, _: tap(c), None)
    encoder = rebuild(flow, steps_of(flow, 5), pooling)
    with torch.no_grad():
        features, _ = encoder.eval()(x)
    for found, feature in zip(features[1:], wanted[1:], strict=True):
        assert found is None or torch.allclose(found, feature, rtol=1e-9, atol=1e-9)
    convolutions = [module for module in encoder.modules() if isinstance(module, torch.nn.Conv2d)]
    assert all(set(torch.tensor(module.stride).flatten().tolist()) == {1} for module in convolutions)


@pytest.mark.parametrize("name", ["resnet18", "tu-convnext_atto", "tu-tf_efficientnet_lite0"])
def test_dense_and_then_every_other_pixel_is_the_strided_network(name: str) -> None:
    assert_dense_law(name)


@slow
@pytest.mark.parametrize("name", EVERY)
def test_the_same_for_every_family(name: str) -> None:
    assert_dense_law(name)


@pytest.mark.parametrize("down", ["lift", pytest.param("max", marks=slow)])
def test_the_encoders_own_keys_stay(down: str) -> None:
    own = smp.encoders.get_encoder(SMALL, weights=None).state_dict()
    encoder = encoder_of(SMALL, down, "lift" if down == "lift" else "nearest", phase="learned")
    kept = {key for key in encoder.body.state_dict() if not key.startswith("unetlift.")}
    assert kept <= own.keys()
    missing, unexpected = encoder.body.load_state_dict({key: own[key] for key in kept}, strict=False)
    assert not unexpected and all(key.startswith("unetlift.") for key in missing)


def test_stages_that_a_smaller_depth_does_not_reach_are_dropped() -> None:
    deep, shallow = (sum(p.numel() for p in network("resnet18", "blur-3+bilinear", depth=depth).encoder.parameters()) for depth in (5, 2))
    assert shallow < deep / 10


# Traces.


def test_a_trace_has_the_size_of_the_map_that_was_halved() -> None:
    for variant in ("stride+nearest", "lift+lift"):
        features, traces = network("tu-convnext_atto", variant).encoder(torch.randn(1, 3, 67, 45))
        sizes = [tuple(trace.size) for trace in traces]
        assert [sizes[0], *sizes[2:]] == [(67, 45), (17, 12), (9, 6), (5, 3)]
        assert sizes[1] in ((34, 23), (34, 24))  # half of the picture, or of it filled up to quarters
        assert [None if f is None else tuple(f.shape[2:]) for f in features] == [None, None, *sizes[2:], (3, 2)]


@pytest.mark.parametrize("size", [(32, 48), (37, 23)])
def test_a_lift_up_gives_back_exactly_what_the_main_paths_lift_down_read(size: tuple[int, int]) -> None:
    for phase in ("fixed", "adaptive"):
        model, seen = network("resnet18", f"lift+lift@{phase}", depth=3).double().eval(), {}
        for level in range(3):
            pool = model.get_submodule(f"encoder.body.unetlift.pools.{level}_0")
            pool.register_forward_hook(lambda _, args, result, level=level, seen=seen: seen.update({level: (args[0], result[0])}))
        with torch.no_grad():
            _, traces = model.with_traces(torch.randn(2, 3, *size, dtype=torch.float64))
            for level, (dense, low) in seen.items():
                found = model.ups[level](low, traces[level])
                if phase == "adaptive":
                    dense = roll_each(dense, traces[level].phase)[(..., *map(slice, found.shape[2:]))]
                assert torch.allclose(found, dense, atol=1e-12), (phase, level)
        assert seen[1][0].shape[1] == model.ups[1](seen[1][1], traces[1]).shape[1] == 64  # the main path's, as wide as its block


def test_indices_point_at_the_maxima_of_the_main_path() -> None:
    model = network("resnet18", "max+unpool", depth=2).double().eval()
    seen = []
    model.get_submodule("encoder.body.unetlift.pools.0_0").register_forward_hook(lambda _, args, result: seen.append((args[0], result)))
    with torch.no_grad():
        model(torch.randn(1, 3, 16, 16, dtype=torch.float64))
    ((dense, (pooled, trace)),) = seen
    assert torch.equal(dense.flatten(2).gather(2, trace.indices.flatten(2)).reshape(pooled.shape), pooled)


# Any size, any depth, no idle parameter.


ODD_PAIRS = [*PAIRS, "stride+unpool@learned", "avg+transpose"]


@pytest.mark.parametrize("variant", ["lift+lift@adaptive", "stride+unpool", *(pytest.param(pair, marks=slow) for pair in ODD_PAIRS)])
def test_any_size_comes_out_as_it_went_in(variant: str) -> None:
    model = network(SMALL, variant).eval()
    with torch.no_grad():
        for size in [(1, 1), (3, 2), (33, 47), (64, 32), (97, 65)]:
            assert model(torch.randn(1, 3, *size)).shape == (1, 2, *size)


@slow
@pytest.mark.parametrize("variant", ["stride+nearest", "max+unpool@adaptive", "lift+lift"])
@pytest.mark.parametrize("name", EVERY)
def test_any_size_with_every_family(name: str, variant: str) -> None:
    model = network(name, variant).eval()
    with torch.no_grad():
        for size in [(1, 1), (33, 47), (97, 65)]:
            assert model(torch.randn(1, 3, *size)).shape == (1, 2, *size)


def idle_parameters(name: str, variant: str, depth: int) -> list[str]:
    """Those that no gradient reaches."""
    model = network(name, variant, depth=depth).train()
    model(torch.randn(2, 3, 64, 64)).square().mean().backward()
    return [key for key, parameter in model.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize("depth", [1, pytest.param(2, marks=slow), 3, pytest.param(4, marks=slow), 5])
def test_every_parameter_gets_a_gradient_at_every_depth(depth: int) -> None:
    assert idle_parameters(SMALL, "lift+lift@learned", depth) == []


@slow
@pytest.mark.parametrize("name", [*QUICK, *FAMILIES])
def test_every_parameter_of_every_family_gets_a_gradient(name: str) -> None:
    for depth in (2, 3, 5):
        assert idle_parameters(name, "lift+lift@learned", depth) == []


# A model is a value.


@pytest.mark.parametrize("variant", ["lift+lift@adaptive", "blur-3+unpool"])
def test_two_threads_may_share_a_model(variant: str) -> None:
    model = network(SMALL, variant, depth=3).eval()
    pictures = [torch.randn(1, 3, 64, 64), torch.randn(1, 3, 47, 95)]
    with torch.no_grad():
        wanted = [model(x) for x in pictures]
    wrong = []

    def work(x: torch.Tensor, y: torch.Tensor) -> None:
        with torch.no_grad():
            wrong.extend(1 for _ in range(5) if not torch.allclose(model(x), y, atol=1e-6))

    threads = [threading.Thread(target=work, args=pair) for pair in zip(pictures, wanted, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_copies_and_saved_networks_are_the_network(tmp_path) -> None:
    model = calibrated(network(SMALL, "lift+lift@adaptive", depth=2), torch.randn(4, 3, 32, 32))
    x = torch.randn(1, 3, 29, 32)
    with torch.no_grad():
        y = model(x)
        assert torch.equal(copy.deepcopy(model)(x), y)
        other = UNet(**vars(model.config)).eval()
        other.load_state_dict(model.state_dict())
        assert torch.equal(other(x), y)
        model.save_pretrained(tmp_path / "model")
        assert torch.allclose(from_pretrained(tmp_path / "model")(x), y, atol=1e-5)


def test_on_the_fixed_grid_it_shares_its_weights_and_follows_no_phase() -> None:
    model = calibrated(network("resnet18", "lift+lift@adaptive", depth=3), torch.randn(2, 3, 64, 64))
    twin = model.on_fixed_grid()
    x = torch.randn(1, 3, 64, 64)
    fixed = network("resnet18", "lift+lift", depth=3).eval()
    fixed.load_state_dict({key.replace(".up.", "."): value for key, value in model.state_dict().items()})
    with torch.no_grad():
        _, traces = twin.with_traces(x)
        assert all(trace.phase is None for trace in traces)
        assert torch.allclose(twin(x), fixed(x), atol=1e-5)
        assert not torch.allclose(twin(x), model(x), atol=1e-3)
    assert {id(p) for p in twin.parameters()} == {id(p) for p in model.parameters()}


def test_channels_last_is_kept() -> None:
    encoder = encoder_of(SMALL, "lift", "lift").to(memory_format=torch.channels_last).eval()
    with torch.no_grad():
        features, _ = encoder(torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last))
    assert all(f.is_contiguous(memory_format=torch.channels_last) for f in features[1:])


@slow
@pytest.mark.parametrize("how", ["compile", "export"])
def test_compiled_and_exported_it_says_the_same(how: str) -> None:
    code = f"""
import torch
from unetlift import UNet
torch.manual_seed(0)
model = UNet(encoder="{SMALL}", depth=3, width=4, down="lift", up="lift", phase="adaptive").eval()
x = torch.randn(2, 3, 64, 96)
other = torch.compile(model, backend="eager", fullgraph=True) if "{how}" == "compile" else torch.export.export(model, (x,)).module()
with torch.no_grad():
    assert torch.allclose(other(x), model(x), atol=1e-4)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_same_grid_serves_main_path_and_shortcut() -> None:
    """Of a block that adds a picture's subsample to itself, mixed phases would show; one phase gives twice the subsample."""
    torch.manual_seed(0)
    model = network("resnet18", "stride+nearest@adaptive", depth=3, padding_mode="circular").double().eval()
    block = model.encoder.body.layer2.get_submodule("0")
    for conv in (block.conv1, block.conv2):
        torch.nn.init.dirac_(conv.weight)
    torch.nn.init.dirac_(block.get_submodule("downsample.0").weight)
    inputs, outputs = [], []
    block.bn2.register_forward_hook(lambda _, args, result: inputs.append(result))
    block.get_submodule("downsample.1").register_forward_hook(lambda _, args, result: outputs.append(result))
    with torch.no_grad():
        _, traces = model.encoder(torch.randn(8, 3, 32, 32, dtype=torch.float64))
    assert len({tuple(phase) for phase in traces[2].phase.tolist()}) > 1  # the samples do not agree
    scale = 1 / (1 + 1e-5) ** 0.5
    assert torch.allclose(inputs[0], F.relu(outputs[0]) * scale, atol=1e-12)
