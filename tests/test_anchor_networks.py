"""Networks that know nothing of anchoring, unmodified: torchvision's, smp's, an ONNX file and our own."""

from collections.abc import Callable
from functools import cache

import numpy as np
import onnxruntime
import pytest
import segmentation_models_pytorch as smp
import torch
from conftest import ROOT
from numpy.typing import NDArray
from test_anchor import ROLLS, follows, photo
from torch import Tensor, nn
from torchvision.models import segmentation

import unetlift
from unetlift import stability
from unetlift.anchor import Anchored
from unetlift.errors import UsageError
from unetlift.predict import load_predictor

STRIDE = 32
CHECKPOINTS = sorted(config.parent.name for config in (ROOT / "checkpoints").glob("*/config.json"))
Function = Callable[[Tensor], Tensor]

FOREIGN = {
    "torchvision fcn": lambda: segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=5),
    "torchvision deeplab": lambda: segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5),
    "smp unet": lambda: smp.Unet("resnet18", encoder_weights=None, classes=5),
}
SEEN = {"torchvision fcn": "astronaut.png", "torchvision deeplab": "ihc.png", "smp unet": "coins.png", "onnx": "astronaut.png"}


def seen(kind: str) -> Tensor:
    return stability.trim(photo(SEEN[kind]), STRIDE)[..., :64, :64]


@cache
def network(kind: str) -> nn.Module:
    """In eval mode, its weights random, its statistics those of photographs: untrained, the deep levels hardly count."""
    torch.manual_seed(0)
    model = FOREIGN[kind]().train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(torch.cat([photo(name)[..., :64, :64] for name in ("astronaut.png", "ihc.png")]))
    return model.eval()


@cache
def steady(kind: str) -> tuple[Function, Tensor]:
    """The network anchored, and its answer to the picture that stands still."""
    anchored = Anchored(asked(kind), STRIDE, placing="circular")
    return anchored, anchored(seen(kind))


def asked(kind: str) -> Function:
    def ask(x: Tensor) -> Tensor:
        with torch.inference_mode():
            answer = network(kind)(x)
        return answer if isinstance(answer, Tensor) else answer["out"]

    return ask


@pytest.fixture(scope="module")
def onnx_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[NDArray], NDArray]:
    """The smp network as a file, run by another library."""
    file = tmp_path_factory.mktemp("onnx") / "network.onnx"
    torch.onnx.export(network("smp unet"), (seen("onnx"),), file, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})[0]


def far_from_following(function: Function, x: Tensor) -> bool:
    """By more than a hundredth of the output's range under a roll by one pixel."""
    still, moved = function(x), function(x.roll(1, 3))
    return bool((moved - still.roll(1, 3)).abs().max() > 0.01 * (still.max() - still.min()))


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("roll", ROLLS)
def test_an_anchored_foreign_network_follows_every_roll_to_the_bit(kind, roll):
    anchored, still = steady(kind)
    assert torch.equal(anchored(seen(kind).roll(roll, (2, 3))), still.roll(roll, (2, 3)))


@pytest.mark.parametrize("kind", FOREIGN)
def test_without_anchor_it_does_not(kind):
    """Or the law above would say nothing."""
    assert far_from_following(asked(kind), seen(kind))


def test_channels_last_pictures_follow_every_roll_to_the_bit():
    x = seen("smp unet").contiguous(memory_format=torch.channels_last)
    assert all(follows(steady("smp unet")[0], x, roll) for roll in ROLLS)


def test_an_anchored_file_follows_every_roll_to_the_bit(onnx_run):
    x, anchored = seen("onnx").numpy(), Anchored(onnx_run, STRIDE, placing="circular")
    still = anchored(x)
    assert isinstance(still, np.ndarray) and still.shape[2:] == x.shape[2:]
    for roll in ROLLS:
        assert np.array_equal(anchored(np.roll(x, roll, (2, 3))), np.roll(still, roll, (2, 3)))


def test_the_file_is_the_network_and_does_not_follow_by_itself(onnx_run):
    x = seen("onnx")
    expected = asked("smp unet")(x)
    assert np.abs(onnx_run(x.numpy()) - expected.numpy()).max() < 1e-4 * (expected.max() - expected.min())
    assert far_from_following(lambda x: torch.from_numpy(onnx_run(x.numpy())), x)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_every_shipped_network_follows_every_roll_to_the_bit_once_anchored(name):
    model, x = unetlift.from_pretrained(ROOT / "checkpoints" / name), seen("smp unet")
    with torch.inference_mode():
        assert all(follows(unetlift.anchored(model, placing="circular"), x, roll) for roll in ROLLS[1:9:2])


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_every_predictor_does_too(name):
    predictor = load_predictor(ROOT / "checkpoints" / name, precision="float32")
    x = predictor.prepare((seen("smp unet")[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8))
    anchored = predictor.anchored("landmark", "circular")
    assert all(follows(anchored, x.contiguous(memory_format=layout), (5, 0)) for layout in (torch.contiguous_format, torch.channels_last))


@pytest.mark.parametrize("placing", ["circular", "reflect"])
def test_a_padded_network_gives_up_its_phases_and_a_rolled_one_keeps_them(placing):
    model = unetlift.from_pretrained(ROOT / "checkpoints" / "lift+lift@adaptive")
    phase = unetlift.anchored(model, placing=placing).function.config.phase
    assert phase == {"circular": "adaptive", "reflect": "fixed"}[placing] and model.config.phase == "adaptive"


def test_an_anchor_lets_the_commonest_network_hold_still_under_a_moving_window():
    model = unetlift.from_pretrained(ROOT / "checkpoints" / "max+nearest")
    x, worst = (photo("ihc.png", step=2)[..., :100, :100] - 0.5) / 0.25, {}
    for mode in ("none", "landmark"):
        anchored = unetlift.anchored(model, mode)
        with torch.inference_mode():
            worst[mode] = stability.measure(
                lambda x, ask=anchored: ask(x).softmax(1), [x], "crop", 2, multiple=model.config.stride, margin=16
            ).worst
    assert worst["landmark"] > worst["none"] + 6


class TestOnFixedGrid:
    @pytest.fixture(params=["lift+lift", "max+unpool", "blur-3+nearest"])
    def pair(self, request) -> tuple[unetlift.UNet, unetlift.UNet]:
        """An adaptive network and one built on the fixed grid, with the same weights."""
        down, up = request.param.split("+")
        settings = {"depth": 2, "width": 4, "down": down, "up": up, "padding_mode": "circular", "classes": 2}
        torch.manual_seed(0)
        adaptive = unetlift.UNet(**settings, phase="adaptive").eval()
        fixed = unetlift.UNet(**settings, phase="fixed").eval()
        for ours, theirs in zip(fixed.parameters(), adaptive.parameters(), strict=True):
            ours.data.copy_(theirs)
        return adaptive, fixed

    def test_it_is_the_network_built_so(self, pair):
        adaptive, fixed = pair
        x = photo()[..., :61, :70]
        twin = adaptive.on_fixed_grid()
        assert twin.config == fixed.config and not twin.training
        with torch.inference_mode():
            assert torch.equal(twin(x), fixed(x)) and not torch.equal(twin(x), adaptive(x))

    def test_it_shares_every_tensor_and_leaves_the_original_alone(self, pair):
        adaptive, _ = pair
        names, x = list(adaptive.state_dict()), photo()[..., :61, :70]
        with torch.inference_mode():
            before = adaptive(x)
            twin = adaptive.on_fixed_grid()
            assert torch.equal(adaptive(x), before)
        assert list(adaptive.state_dict()) == names and adaptive.config.phase == "adaptive"
        for one, other in ((adaptive.parameters(), twin.parameters()), (adaptive.buffers(), twin.buffers())):
            assert {tensor.data_ptr() for tensor in one} == {tensor.data_ptr() for tensor in other}

    def test_a_fixed_network_is_its_own(self, pair):
        assert pair[1].on_fixed_grid() is pair[1]


def test_an_unknown_anchor_or_placing_is_one_sentence():
    model = unetlift.UNet(depth=1, width=4)
    with pytest.raises(UsageError, match="anchor 'corner' is unknown"):
        unetlift.anchored(model, "corner")
    with pytest.raises(UsageError, match="placing 'zeros' is unknown"):
        unetlift.anchored(model, placing="zeros")
