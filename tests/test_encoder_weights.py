"""Pretrained weights from files: they arrive unchanged, in every number of channels, or a sentence says why not."""

import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import segmentation_models_pytorch as smp
import timm
import torch
from encoder_cases import SMALL
from segmentation_models_pytorch.encoders._utils import patch_first_conv

from unetlift import UNet
from unetlift.encoders.smp import make_encoder
from unetlift.encoders.weights import widen_first
from unetlift.errors import UsageError

LITE0 = os.environ.get("UNETLIFT_LITE0", "")
"""The file of tf_efficientnet_lite0's ImageNet weights under timm's names."""


@pytest.fixture(scope="module")
def own() -> torch.nn.Module:
    """An encoder of smp, with weights to tell apart."""
    torch.manual_seed(3)
    return smp.encoders.get_encoder(SMALL, weights=None).eval()


@pytest.fixture(scope="module")
def file(own: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "encoder.safetensors"
    safetensors.torch.save_file(own.state_dict(), path)
    return str(path)


def test_an_encoder_reads_its_weights(own: torch.nn.Module, file: str) -> None:
    body = make_encoder(SMALL, 3, file)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(body.eval()(x)[1:], own(x)[1:], strict=True))


@pytest.mark.parametrize("prefix", ["", "encoder.", "encoder.model."])
@pytest.mark.parametrize("inside", [None, "state_dict"])
def test_under_the_names_of_its_network(own: torch.nn.Module, tmp_path: Path, prefix: str, inside: str | None) -> None:
    strip = "model." if prefix != "encoder." else ""
    weights = {prefix + key.removeprefix(strip): value for key, value in own.state_dict().items()} | {"classifier.weight": torch.zeros(3)}
    torch.save({inside: weights} if inside else weights, tmp_path / "network.pth")
    body = make_encoder(SMALL, 3, str(tmp_path / "network.pth"))
    assert all(torch.equal(value, own.state_dict()[key]) for key, value in body.state_dict().items())


@pytest.mark.parametrize("channels", [1, pytest.param(2, marks=pytest.mark.slow), 4, pytest.param(12, marks=pytest.mark.slow)])
def test_other_pictures_are_read_as_smp_would(own: torch.nn.Module, file: str, channels: int) -> None:
    torch.manual_seed(3)
    wanted = smp.encoders.get_encoder(SMALL, weights=None).eval()
    patch_first_conv(wanted, channels, pretrained=True)
    body = make_encoder(SMALL, channels, file).eval()
    x = torch.randn(1, channels, 64, 64)
    with torch.no_grad():
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(body(x)[1:], wanted(x)[1:], strict=True))
    model = UNet(encoder=SMALL, encoder_weights=file, in_channels=channels, depth=2, width=4)
    assert model(torch.randn(2, channels, 31, 33)).shape == (2, 2, 31, 33)


def test_every_branch_that_reads_the_picture_is_widened(tmp_path: Path) -> None:
    torch.manual_seed(0)
    own = smp.encoders.get_encoder("mobileone_s0", weights=None).eval()
    safetensors.torch.save_file(own.state_dict(), tmp_path / "mobileone.safetensors")
    grey = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        found = make_encoder("mobileone_s0", 1, str(tmp_path / "mobileone.safetensors")).eval()(grey)
        wanted = own(grey.expand(-1, 3, -1, -1))
    assert torch.allclose(found[1], wanted[1], atol=1e-5)  # a grey picture is one whose channels agree


class Regrouped(torch.nn.Module):
    """Reads blocks of pixels instead of pixels."""

    def __init__(self):
        super().__init__()
        self.blocks, self.conv = torch.nn.PixelUnshuffle(2), torch.nn.Conv2d(12, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x, self.conv(self.blocks(x))]


def test_a_stem_that_regroups_pixels_takes_three_channels_with_weights() -> None:
    with pytest.raises(UsageError, match="No convolution of Regrouped reads the picture itself; with weights it takes in_channels 3 alone"):
        widen_first(Regrouped(), 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18", r"encoder.safetensors is of another architecture than ResNetEncoder: \d+ \(conv1.weight, .*\) of \d+ keys miss\.$"),
        ("tu-mobilenetv3_small_075", r"another architecture than tu-mobilenetv3_small_075: .* is \(.*\) instead of \(.*\)\.$"),
    ],
)
def test_weights_of_another_architecture(file: str, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_encoder(name, 3, file)


class Payload:
    """What an honest file of weights never has."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("unpickled",)


def test_a_pickled_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"weight": Payload()}))
    torch.save({"weight": Payload()}, tmp_path / "torch.pth")
    for name in ("plain.pth", "torch.pth"):
        with pytest.raises(UsageError, match=rf"{name} holds more than tensors, which unpickling would run"):
            make_encoder(SMALL, 3, name)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "missing; give a .safetensors or .pth file"), (b"", "cannot be read as weights"), ({"epoch": 3}, "holds no weights by name")],
    ids=["missing", "empty", "numbers"],
)
def test_other_bad_files(tmp_path: Path, content: bytes | dict | None, message: str) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        torch.save(content, path)
    with pytest.raises(UsageError, match=message) as found:
        make_encoder(SMALL, 3, str(path))
    assert "\n" not in str(found.value)


def test_a_cut_off_safetensors_file(tmp_path: Path, file: str) -> None:
    (tmp_path / "cut.safetensors").write_bytes(Path(file).read_bytes()[:1000])
    with pytest.raises(UsageError, match=r"cut\.safetensors cannot be read as weights"):
        make_encoder(SMALL, 3, str(tmp_path / "cut.safetensors"))


def test_a_name_of_weights_that_an_encoder_does_not_have() -> None:
    with pytest.raises(UsageError, match="encoder_weights 'coco' is unknown for resnet18; it is one of imagenet, ssl, swsl, or a file"):
        make_encoder("resnet18", 3, "coco")


@pytest.mark.skipif(not LITE0, reason="UNETLIFT_LITE0 names no file of trained weights, which is not part of the repository")
def test_trained_weights_give_timms_own_features() -> None:
    own = timm.create_model("tf_efficientnet_lite0").eval()
    weights = torch.load(LITE0, weights_only=True)
    own.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in weights.items()})
    body = make_encoder("tu-tf_efficientnet_lite0", 3, LITE0).eval()
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        wanted = own.forward_intermediates(x, intermediates_only=True)
        for found, feature in zip(body(x)[1:], wanted, strict=True):
            assert torch.equal(found, feature)
