"""Other engines give the network's numbers; their files are made once, tried before they are trusted, and mended."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jaxtyping
import pooch
import pytest
import torch
from conftest import ROOT

from unetlift import UNet
from unetlift.anchor import Anchored
from unetlift.errors import UsageError
from unetlift.model import anchored
from unetlift.predict import backends
from unetlift.predict.backends import TOLERANCE, carried
from unetlift.predict.fold import folded, narrowed

sys.path.append(str(ROOT / "benchmarks"))
import exports

pytestmark = pytest.mark.slow  # three engines with threads of their own in one process

VARIANTS = {
    "max+nearest": {"down": "max", "up": "nearest"},
    "blur-3+bilinear": {"down": "blur-3", "up": "bilinear"},
    "lift+lift": {"down": "lift", "up": "lift"},
    "lift+lift@adaptive": {"down": "lift", "up": "lift", "phase": "adaptive", "padding_mode": "circular"},
}
SIZES = (41, 67), (64, 48), (33, 1), (1, 29)
ENGINES = ("onnx", "openvino")


@pytest.fixture(scope="module", autouse=True)
def unasserted() -> Iterator[None]:
    """The size of a map that is traced is a symbol, which is no `int` to whoever asserts types."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the files of all tests of this module."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNETLIFT_CACHE", str(folder))
        yield folder


def _network(name: str, depth: int = 1) -> UNet:
    return exports.prepared(lambda: UNet(width=4, depth=depth, classes=3, **VARIANTS[name])).eval()


def _apart(model: torch.nn.Module, other: torch.nn.Module, size: tuple[int, int], batch: int = 2) -> float:
    """The largest difference of probabilities, in float32."""
    x = exports.noise((batch, 3, *size)).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        return (model(x).softmax(1) - other(x).softmax(1)).abs().max().item()


@pytest.fixture(scope="module", params=ENGINES)
def stand_in(request, cache: Path) -> tuple[UNet, backends.Carried]:
    model = _network("max+nearest", depth=2)
    return model, carried(model, request.param, "float32")


def test_it_answers_as_the_network_does_at_any_batch_and_size(stand_in):
    model, other = stand_in
    assert all(_apart(model, other, size, batch) <= TOLERANCE for size in SIZES for batch in (1, 3))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_answers_as_the_network_does(name, engine, cache):
    model = _network(name, 2)
    other = carried(model, engine, "float32")
    assert max(_apart(model, other, size) for size in SIZES) <= TOLERANCE
    fixed, other = model.on_fixed_grid(), other.on_fixed_grid()
    assert max(_apart(fixed, other, size) for size in SIZES) <= TOLERANCE
    assert other.on_fixed_grid() is other and other.config == fixed.config


def test_it_stands_where_a_network_stands(stand_in):
    model, other = stand_in
    moved = other.eval().to("cpu", memory_format=torch.channels_last).to(torch.bfloat16)
    assert moved is other and other.config == model.config and not list(other.parameters()) and other.origin is model
    assert other.on_fixed_grid() is other
    steady, x = anchored(other, "landmark"), exports.noise((1, 3, 40, 56))
    assert isinstance(steady, Anchored) and steady.stride == 4
    with torch.inference_mode():
        assert (steady(x) - anchored(model, "landmark")(x)).abs().max() < 1e-4


def test_many_threads_ask_at_once(stand_in):
    model, other = stand_in
    pictures = [exports.noise((1, 3, 30 + k % 7, 40)) + k for k in range(32)]
    with torch.inference_mode(), ThreadPoolExecutor(8) as pool:
        for own, theirs in zip(map(model, pictures), pool.map(other, pictures), strict=True):
            assert (own - theirs).abs().max() <= 1e-4


def test_the_answer_is_kept_while_the_next_is_asked_for(stand_in):
    _, other = stand_in
    first = other(exports.noise((1, 3, 32, 32)))
    before = first.clone()
    other(exports.noise((1, 3, 32, 32)) + 1)
    assert torch.equal(first, before)


def test_torch_is_the_network_itself():
    model = _network("max+nearest")
    assert carried(model, "torch") is model


def test_the_file_is_made_once_under_a_name_of_its_own(stand_in, cache, monkeypatch):
    model, other = stand_in
    path = backends.kept(model)
    assert path.parent == cache / "onnx" and path.exists() and not [p for p in path.parent.iterdir() if p.suffix != ".onnx"]
    monkeypatch.setattr(backends, "to_onnx", lambda *_, **__: pytest.fail("it was made again"))
    assert _apart(model, carried(model, other.backend, "float32"), (32, 40)) <= TOLERANCE
    twin = _network("max+nearest", depth=2)
    assert backends.kept(twin) == path
    with torch.no_grad():
        twin.head.bias += 1
    assert backends.kept(twin) != path


@pytest.mark.parametrize(("engine", "damage"), [("onnx", "cut off"), ("openvino", "another network's")])
def test_a_file_that_is_damaged_or_answers_otherwise_is_made_anew(engine, damage, cache):
    model, other = _network("max+nearest"), _network("max+nearest")
    with torch.no_grad():
        other.head.weight += 0.5
    carried(other, "onnx")
    carried(model, "onnx")
    content = backends.kept(other).read_bytes() if damage == "another network's" else backends.kept(model).read_bytes()[:-500]
    backends.kept(model).write_bytes(content)
    assert _apart(model, carried(model, engine, "float32"), (32, 40)) <= TOLERANCE
    assert _apart(model, carried(model, "onnx"), (32, 40)) <= TOLERANCE and backends.kept(model).read_bytes() != content


def test_bf16_is_openvinos_and_of_fixed_phases_alone(stand_in, cache):
    model, _ = stand_in
    rough = carried(model, "openvino", "bf16")
    assert rough.dtype is torch.bfloat16 and _apart(model, rough, (64, 80)) < 0.05
    assert carried(model, "onnx", "auto").dtype is torch.float32
    for network, engine, sentence in [
        (model, "onnx", "The backend onnx computes in float32; give the precision float32"),
        (_network("lift+lift@adaptive"), "openvino", "OpenVINO in bf16 would choose other phases; give the precision float32"),
    ]:
        with pytest.raises(UsageError, match=sentence):
            carried(network, engine, "bf16")


def test_what_cannot_be_carried_is_a_sentence(cache, monkeypatch):
    with pytest.raises(UsageError, match="backend 'tensorrt' is unknown; it is one of torch, onnx, openvino"):
        carried(_network("max+nearest"), "tensorrt")
    with pytest.raises(UsageError, match="The backend onnx carries networks of unetlift; Conv2d is none"):
        carried(torch.nn.Conv2d(3, 3, 1), "onnx")
    branching = _network("max+nearest")
    branching.head = Branching()
    with pytest.raises(UsageError, match="UNet cannot be carried to ONNX"):
        carried(branching, "onnx")
    assert not backends.kept(branching).exists()


class Branching(torch.nn.Module):
    """Decides by what it sees."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else 2 * x


@pytest.mark.parametrize(("engine", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_missing_package_is_named(engine, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"The backend {engine} needs the package {package}; run pip install unetlift\[{engine}\]"):
        carried(_network("max+nearest"), engine)


def test_without_a_folder_of_ones_own_the_file_lies_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("UNETLIFT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = backends.kept(_network("max+nearest"))
    assert path.is_relative_to(pooch.os_cache("unetlift")) and (sys.platform != "linux" or path.is_relative_to(tmp_path))


# Folding.


def _stirred(model: torch.nn.Module) -> torch.nn.Module:
    """With statistics and weights of normalisations that are far from nothing."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            if module.running_mean is not None:
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.normal_(module.bias)
    return model.eval()


def _norms(model: torch.nn.Module) -> int:
    return sum(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())


SMALL = {"depth": 2, "width": 4, "down": "blur-3", "up": "bilinear"}
PLAIN = {conv: SMALL | {"conv": conv} for conv in ("conv", "c2sp", "deform", "deform-v2")}
FOLDABLE = PLAIN | {
    "lift@adaptive": {"depth": 2, "width": 4, "down": "lift", "up": "lift", "phase": "adaptive", "padding_mode": "circular"},
    "resnet18": {"encoder": "resnet18", "depth": 3, "width": 4, "down": "max", "up": "nearest"},
    "timm's": {"encoder": "tu-efficientnet_lite0", "depth": 3, "width": 4, "down": "blur-3", "up": "bilinear"},
}


@pytest.mark.parametrize("name", FOLDABLE)
def test_a_folded_network_gives_the_same_numbers_without_its_normalisations(name):
    model = _stirred(UNet(**FOLDABLE[name]).double())
    twin, x = folded(model), exports.noise((2, 3, 37, 50)).double()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with torch.no_grad():
        own, other = model(x), twin(x)
        assert exports.difference(own, other) < 1e-10 and exports.difference(model.float()(x.float()), twin.float()(x.float())) < 1e-5
    assert _norms(twin) == 0 < _norms(model)
    assert all(torch.allclose(tensor.double(), before[key].double()) for key, tensor in model.state_dict().items())
    assert exports.difference(model.on_fixed_grid()(x.float()).detach(), twin.on_fixed_grid()(x.float())) < 1e-5


def test_a_converted_network_of_smp_is_folded_whole():
    import segmentation_models_pytorch as smp

    from unetlift import from_smp

    model = _stirred(from_smp(smp.Unet("resnet18", encoder_weights=None, classes=2)))
    twin, x = folded(model), exports.noise((1, 3, 64, 96))
    with torch.no_grad():
        assert _norms(twin) == 0 and _norms(model) == 30 and exports.difference(model(x), twin(x)) < 1e-5


@pytest.mark.parametrize("name", [*PLAIN, "lift@adaptive", "resnet18"])
def test_weights_cast_once_give_autocasts_bits(name):
    model, x = folded(_stirred(UNet(**FOLDABLE[name]))), exports.noise((2, 3, 37, 50)).to(memory_format=torch.channels_last)
    twin = narrowed(model, torch.bfloat16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(x), twin(x)) and not torch.equal(model(x), model(1.01 * x))
    narrow = [p.dtype for p in twin.parameters()].count(torch.bfloat16)
    assert narrow > 0 and all(p.dtype is torch.float32 for p in model.parameters())


class Odd(torch.nn.Module):
    """Whose every normalisation may not be folded, each for a reason of its own."""

    def __init__(self):
        super().__init__()
        conv, norm = torch.nn.Conv2d, torch.nn.BatchNorm2d
        self.shared, self.first, self.second = conv(3, 3, 1), norm(3), norm(3)
        self.branching, self.third = conv(3, 3, 1), norm(3)
        self.watched = torch.nn.Sequential(conv(3, 3, 1), norm(3))
        self.watched[0].register_forward_hook(lambda *_: None)
        self.made_anew = torch.nn.Sequential(torch.nn.utils.parametrizations.weight_norm(conv(3, 3, 1)), norm(3))
        self.bent = torch.nn.Sequential(Bent(3, 3, 1), norm(3))
        self.unlearned = torch.nn.Sequential(conv(3, 3, 1), norm(3, track_running_stats=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(self.shared(x)) + self.second(self.shared(x))
        y = self.branching(x)
        return self.unlearned(self.bent(self.made_anew(self.watched(y + self.third(y)))))


class Bent(torch.nn.Conv2d):
    """Not linear in its weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).tanh()


def test_what_cannot_be_folded_stays_as_it_is():
    model, x = _stirred(Odd()), exports.noise((1, 3, 8, 9))
    twin = folded(model)
    with torch.no_grad():
        assert _norms(twin) == _norms(model) == 7 and torch.equal(model(x), twin(x))


def test_a_network_in_training_is_not_folded():
    with pytest.raises(UsageError, match="UNet is in training mode; call eval"):
        folded(_network("max+nearest").train())
