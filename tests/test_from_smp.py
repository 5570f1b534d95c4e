"""A trained network of segmentation-models-pytorch keeps its answers when it is converted, and follows the picture where it can."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from conftest import ROOT
from segmentation_models_pytorch.decoders.manet.decoder import PABBlock
from torch import Tensor, nn

import unetlift
from unetlift import checkpoint, cli
from unetlift.convert import from_smp, read_smp
from unetlift.errors import ModelFolderError, UsageError
from unetlift.model import load
from unetlift.pools import LiftOptions

NARROW = {
    "Unet": {"decoder_channels": (16, 16, 8, 8, 4)},
    "UnetPlusPlus": {"decoder_channels": (16, 16, 8, 8, 4)},
    "MAnet": {"decoder_channels": (16, 16, 8, 8, 4), "decoder_pab_channels": 8},
    "FPN": {"decoder_pyramid_channels": 32, "decoder_segmentation_channels": 64},
    "DeepLabV3": {"decoder_channels": 16},
    "DeepLabV3Plus": {"decoder_channels": 16},
    "UPerNet": {"decoder_channels": 16},
    "Segformer": {"decoder_segmentation_channels": 16},
    "PSPNet": {"psp_out_channels": 16},
    "PAN": {},
    "Linknet": {},
}
PAGE = ROOT / "docs" / "smp.md"
WIDE = 32, 32, 16, 16, 16
QUICK = "Unet", "Linknet", "FPN", "DeepLabV3Plus"
KINDS = [pytest.param(kind, marks=[] if kind in QUICK else pytest.mark.slow) for kind in NARROW]


def slow(*values: str) -> list:
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


def calibrated(model: nn.Module, x: Tensor) -> nn.Module:
    """With the pictures' own statistics: those of an untrained network say nothing."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(x)
    return model.eval()


def network(kind: str = "Unet", encoder: str = "resnet18", dtype: torch.dtype = torch.float32, **options) -> nn.Module:
    torch.manual_seed(0)
    options = {"encoder_weights": None, "classes": 2} | NARROW[kind] | options
    model = getattr(smp, kind)(encoder, **options).to(dtype)
    side = 128 if kind == "PAN" else 64
    return calibrated(model, torch.randn(2, options.get("in_channels", 3), side, side, dtype=dtype))


@torch.no_grad()
def largest_error(model: nn.Module, size: tuple[int, int] = (64, 64)) -> float:
    """By how much f(roll x) differs from roll f(x), in parts of its range, over rolls that move every level's grid."""
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    calibrated(model, x)
    still = model(x)
    moved = [(shift, model(x.roll(shift, (2, 3)))) for shift in ((1, -1), (5, 11), (37, 50))]
    differences = [(answer - still.roll(shift, (2, 3))).abs().max() for shift, answer in moved]
    return float(max(differences) / (still.max() - still.min()))


@pytest.mark.parametrize("kind", KINDS)
def test_with_its_own_strides_a_network_answers_as_before_to_the_bit(kind: str) -> None:
    model = network(kind)
    converted = from_smp(model)
    side = 128 if kind == "PAN" else 64
    for size in ((side, side + 32), *([(65, 71), (33, 50)] if kind == "Unet" else [])):  # odd ones where smp takes them
        x = torch.randn(2, 3, *size)
        with torch.no_grad():
            assert torch.equal(converted(x), model(x))
    x = torch.randn(2, 3, side, side)
    answers = []
    for each in (model, converted):
        torch.manual_seed(1)  # of dropout
        each.train()(x).sum().backward()
        answers.append((each(x), {key.replace("encoder.body.", "encoder."): value for key, value in each.state_dict().items()}))
    (own, weights), (again, kept) = answers
    assert torch.equal(own, again)
    assert all(torch.equal(kept[key], weights[key]) for key in kept)  # running statistics too
    unused = [key for key in weights if key not in kept]
    assert not unused if kind != "PSPNet" else all("layer3" in key or "layer4" in key for key in unused)
    assert all(parameter.grad is not None for parameter in converted.parameters())


@pytest.mark.parametrize("encoder", ["tu-convnext_atto", *slow("vgg11", "mit_b0", "densenet121")])
def test_encoders_of_other_kinds_answer_as_before(encoder: str) -> None:
    model = network("Unet", encoder)
    converted = from_smp(model)
    for size in ((64, 96), (70, 75)):
        x = torch.randn(1, 3, *size)
        with torch.no_grad():
            assert torch.equal(converted(x), model(x))
    assert set(converted.state_dict()) == {key.replace("encoder.", "encoder.body.", 1) for key in model.state_dict()}


def test_stages_that_the_decoder_does_not_use_are_dropped() -> None:
    model = network(encoder_depth=3, decoder_channels=(16, 8, 4))
    converted = from_smp(model, "blur-3", phase="adaptive")
    converted.train()(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in converted.parameters())
    assert not any("layer3" in key for key in converted.state_dict())


@pytest.mark.parametrize("down", ["blur-1", "lift"])
def test_dense_operators_stand_where_the_strided_ones_did(down: str) -> None:
    model, x = network(), torch.randn(1, 3, 64, 96)
    lazy = LiftOptions("lazy", learned=False)  # like a blur of one tap: every second pixel
    with torch.no_grad():
        torch.testing.assert_close(from_smp(model, down, lift=lazy)(x), model(x), rtol=1e-4, atol=1e-5)


def test_where_smp_takes_the_nearest_neighbour_ours_is_the_same() -> None:
    model = network(decoder_attention_type="scse", decoder_channels=WIDE)
    converted = from_smp(model, up="nearest")
    for size in ((64, 96), (33, 50)):
        x = torch.randn(2, 3, *size)
        with torch.no_grad():
            assert torch.equal(converted(x), model(x))


@pytest.mark.parametrize("kind", ["Unet", "Linknet", *slow("UnetPlusPlus")])
@pytest.mark.parametrize("down", ["blur-3", *slow("stride", "max", "lift")])
def test_on_one_grid_its_own_decoder_follows_every_roll(kind: str, down: str) -> None:
    model = network(kind, dtype=torch.float64)
    assert largest_error(model) > 0.01
    assert largest_error(from_smp(model, down, phase="adaptive", padding_mode="circular")) < 1e-9


@pytest.mark.parametrize(
    ("down", "up", "encoder", "stem"),
    [
        ("lift", "lift", "resnet18", "keep"),
        ("blur-3", "unpool", "resnet18", "dense"),
        ("blur-3", "bilinear", "tu-convnext_atto", "dense"),
        *[
            pytest.param(down, up, encoder, stem, marks=pytest.mark.slow)
            for encoder in ("resnet18", "mobilenet_v2", "tu-resnet18")
            for down, up in (("stride", "nearest"), ("lift", "lift"), ("max", "unpool"), ("blur-3", "transpose"), ("blur-3", "blur-4"))
            for stem in ("dense", "keep")
        ],
    ],
)
def test_with_our_upsamplers_a_unet_follows_every_roll(down: str, up: str, encoder: str, stem: str) -> None:
    model = network("Unet", encoder, torch.float64, decoder_attention_type="scse", decoder_channels=WIDE)
    assert largest_error(from_smp(model, down, up, "adaptive", "circular", stem)) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["FPN", "DeepLabV3", "DeepLabV3Plus", "PSPNet", "PAN", "UPerNet", "Segformer", "MAnet"])
def test_the_page_names_the_decoders_that_no_grid_makes_exact(kind: str) -> None:
    size = (128, 128) if kind == "PAN" else (64, 64)
    assert largest_error(from_smp(network(kind, dtype=torch.float64), "blur-3", phase="adaptive", padding_mode="circular"), size) > 1e-6
    rows = [line.split("|")[1:3] for line in PAGE.read_text().splitlines() if line.startswith("|")]
    assert [what.strip().startswith("not exact") for names, what in rows if kind in names.replace(",", "").split()] == [True]


@pytest.mark.slow
def test_manet_is_exact_but_for_the_order_in_which_its_attention_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_order(self: PABBlock, x: Tensor) -> Tensor:
        top, centre, bottom = (conv(x).flatten(2) for conv in (self.top_conv, self.center_conv, self.bottom_conv))
        weights = self.map_softmax((centre.transpose(1, 2) @ top).flatten(1)).unflatten(1, (top.shape[2], top.shape[2]))
        return self.out_conv(x + (weights @ bottom.transpose(1, 2)).transpose(1, 2).reshape(x.shape))  # smp leaves out the transpose

    monkeypatch.setattr(PABBlock, "forward", in_order)
    assert largest_error(from_smp(network("MAnet", dtype=torch.float64), "blur-3", phase="adaptive", padding_mode="circular")) < 1e-9


@pytest.mark.parametrize("kind", ["Unet", *slow("FPN", "Linknet")])
def test_any_size_gives_an_answer_of_its_size(kind: str) -> None:
    model = network(kind)
    pairs = [(None, "fixed"), (None, "adaptive"), ("unpool", "fixed"), ("bilinear", "adaptive")]
    for up, phase in pairs if kind == "Unet" else pairs[:2]:
        each = from_smp(model, "blur-3", up, phase)
        for size in ((1, 1), (31, 50), (65, 33)):
            with torch.no_grad():
                assert each(torch.randn(1, 3, *size)).shape == (1, 2, *size)


def test_the_users_network_stays_as_it_is() -> None:
    model = network()
    model.decoder.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    converted = from_smp(model, "blur-3", phase="adaptive", padding_mode="circular")
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.encoder.training and model.decoder.training and model.encoder.maxpool.stride == 2
    assert converted.decoder.blocks[0].training and not converted.encoder.body.get_submodule("layer1").training
    with torch.no_grad():
        for parameter in converted.parameters():
            parameter.add_(1)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_an_encoder_that_was_frozen_stays_frozen() -> None:
    model = network()
    model.freeze_encoder()
    converted = from_smp(model, "blur-3").train()
    before = converted.state_dict()["encoder.body.bn1.running_mean"].clone()
    converted(torch.randn(2, 3, 64, 64)).sum().backward()
    assert torch.equal(converted.state_dict()["encoder.body.bn1.running_mean"], before)
    assert not any(parameter.requires_grad for name, parameter in converted.named_parameters() if name.startswith("encoder."))


def test_a_learned_phase_learns_through_the_shared_grid() -> None:
    converted = from_smp(network(), "blur-3", phase="learned", padding_mode="circular").train()
    converted(torch.randn(2, 3, 64, 64)).square().sum().backward()
    rules = [parameter for name, parameter in converted.named_parameters() if ".rules." in name]
    assert rules and all(parameter.grad.abs().sum() > 0 for parameter in rules if parameter.ndim > 1)


def test_an_anchor_takes_the_grid_over() -> None:
    converted = from_smp(network(), "blur-3", "bilinear", "adaptive", "circular")
    fixed = converted.on_fixed_grid()
    assert fixed.config.phase == "fixed" and converted.config.phase == "adaptive"
    assert [p.data_ptr() for p in fixed.parameters()] == [p.data_ptr() for p in converted.parameters()]
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert all(trace.phase is None for trace in fixed.with_traces(x)[1])
    assert unetlift.anchored(converted).function.config.phase == "fixed" and unetlift.anchored(converted).stride == 32


def test_a_last_layer_for_other_classes() -> None:
    converted = from_smp(network(), "blur-3", padding_mode="circular")
    converted.renew_head(5)
    assert converted.config.classes == 5
    with torch.no_grad():
        assert converted(torch.randn(1, 3, 64, 64)).shape == (1, 5, 64, 64)


SAVED = [
    ("Unet", "resnet18", {"down": "lift", "up": "lift", "phase": "adaptive", "padding_mode": "circular"}),
    ("DeepLabV3Plus", "resnet18", {"down": "blur-3", "phase": "learned"}),
    ("Unet", "tu-convnext_atto", {"down": "blur-3", "phase": "adaptive"}),
]


@pytest.mark.slow
def test_model_folders_load_offline_and_answer_the_same(tmp_path: Path) -> None:
    x = torch.randn(1, 3, 64, 96).to(memory_format=torch.channels_last)
    for number, (kind, encoder, settings) in enumerate(SAVED):
        model, folder = network(kind, encoder), tmp_path / str(number)
        model.config["encoder_weights"] = "imagenet"  # as a network that began with them says
        converted = from_smp(model, **settings).to(memory_format=torch.channels_last)
        converted.save_pretrained(folder)
        with torch.no_grad():
            torch.save({"x": x, "y": converted(x)}, folder / "answer.pt")
        assert checkpoint.read(folder)[0] == converted.config and "imagenet" not in (folder / "config.json").read_text()
    code = f"""
import socket
def forbidden(*args, **kwargs):
    raise AssertionError("the network was asked")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = forbidden
import torch, unetlift
for number in range({len(SAVED)}):
    model, answer = unetlift.from_pretrained(str(number)), torch.load(f"{{number}}/answer.pt", weights_only=True)
    with torch.no_grad():
        assert torch.equal(model(answer["x"]), answer["y"]), number
"""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Sub(smp.Unet):
    """As users write them: the options of smp are hidden in it."""

    def __init__(self, labels: int):
        super().__init__("resnet18", encoder_weights=None, classes=labels, decoder_channels=(16, 16, 8, 8, 4))


class Open(smp.Unet):
    """A subclass that hands its options on."""

    def __init__(self, **options):
        super().__init__(**options)


class Other(smp.Unet):
    """A subclass that computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x[:, :1]


def test_a_subclass_that_hands_its_options_on_is_known_by_them() -> None:
    torch.manual_seed(0)
    model = Open(encoder_name="resnet18", encoder_weights=None, classes=2).eval()
    assert from_smp(model).config.options["decoder_channels"] == [256, 128, 64, 32, 16]  # which its own config does not tell


def made(kind: type = smp.Unet, encoder: str = "resnet18", **options) -> nn.Module:
    return kind(encoder, encoder_weights=None, **{"classes": 2, "decoder_channels": (16, 16, 8, 8, 4)} | options)


REFUSALS = {
    "no network of smp": (lambda: from_smp(nn.Conv2d(3, 2, 1)), "Conv2d cannot be converted; a network of smp can: Unet, "),
    "a classification head": (lambda: from_smp(made(aux_params={"classes": 3})), "has a classification head"),
    "an activation": (lambda: from_smp(made(activation="sigmoid")), "ends in Sigmoid, but logits are wanted"),
    "a subclass of unknown options": (lambda: from_smp(Sub(2)), "of this Sub is another network"),
    "a subclass of its own": (lambda: from_smp(made(Other)), "of this Other is another network"),
    "a smaller answer": (lambda: from_smp(smp.FPN("resnet18", encoder_weights=None, upsampling=1)), "gives 16x16 for 64x64 pixels"),
    "an unknown pool": (lambda: from_smp(made(), "blurr"), "Downsampler of resnet18 'blurr' is unknown"),
    "an unknown phase": (lambda: from_smp(made(), phase="odd"), "phase 'odd' is unknown"),
    "an unknown border": (lambda: from_smp(made(), padding_mode="wrap"), "padding_mode 'wrap' is unknown"),
    "an unknown upsampler": (lambda: from_smp(made(), up="cubic"), "Upsampler 'cubic' is unknown"),
    "a pair that does not fit": (lambda: from_smp(made(), "blur-3", "lift"), "blur-3 cannot serve the upsampler lift"),
    "an upsampler elsewhere": (
        lambda: from_smp(smp.Linknet("resnet18", encoder_weights=None), up="nearest"), "A Linknet keeps its own way up; up is 'nearest'"
    ),
    "no maxima to return to": (lambda: from_smp(made(encoder="tu-convnext_atto"), up="unpool"), "steps over 4 pixels at once"),
    "an encoder that stays behind": (lambda: from_smp(made(encoder="mit_b0"), phase="adaptive"), "takes the phase fixed alone"),
    "a transformer without levels": (
        lambda: from_smp(smp.DPT("tu-vit_tiny_patch16_224", encoder_weights=None, dynamic_img_size=True)), "DPT cannot be converted"
    ),
    "an option that names a file": (
        lambda: from_smp(made(encoder="tu-convnext_atto", pretrained_cfg_overlay={"file": "x"})), "'pretrained_cfg_overlay' of Unet is"
    ),
    "grouped first convolutions": (lambda: from_smp(made(), "lift", lift=LiftOptions(groups=(2, 1))), "lift has 2 groups"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_converted_is_told_in_one_sentence(name: str) -> None:
    convert, sentence = REFUSALS[name]
    with pytest.raises(UsageError) as caught:
        convert()
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def smp_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for one class against all else, as smp saves it."""
    folder = tmp_path_factory.mktemp("smp")
    torch.manual_seed(0)
    made(classes=1).save_pretrained(folder)
    return folder


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    return stop.value.code


def test_a_folder_of_smp_becomes_a_model_folder_that_every_command_takes(smp_folder: Path, cells: Path, tmp_path: Path, capsys) -> None:
    folder, pictures = tmp_path / "steady", cells / "test" / "images"
    flags = ["--down", "blur-3", "--phase", "adaptive", "--padding-mode", "circular", "--stem", "keep"]
    assert run("convert", "--from", smp_folder, "--to", folder, *flags) == 0, capsys.readouterr().err
    model, info = load(folder)
    assert model.config.variant == "blur-3+own@adaptive/Unet/resnet18"
    assert len(info.class_names) == 2 and info.mean == (0.485, 0.456, 0.406)
    assert run("predict", "--model", folder, "--input", pictures, "--output", tmp_path / "out", "--anchor", "landmark") == 0
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 3
    assert run("evaluate", "--model", folder, "--data", cells, "--json", tmp_path / "scores.json") == 0
    assert json.loads((tmp_path / "scores.json").read_text())["pictures"] == 3
    assert run("stability", "--model", folder, "--input", pictures, "--out", tmp_path / "s", "--mode", "roll", "--max-shift", "1") == 0
    report = json.loads((tmp_path / "s" / "stability.json").read_text())
    assert report["subjects"][0]["reports"]["roll"]["worst"] > 90  # in float32


def test_one_number_normalises_every_channel_and_another_count_is_refused(smp_folder: Path, tmp_path: Path, capsys) -> None:
    assert run("convert", "--from", smp_folder, "--to", tmp_path / "one", "--mean", "0", "--std", "0.25") == 0
    _, info = load(tmp_path / "one")
    assert (info.mean, info.std) == (0.0, 0.25)
    assert run("convert", "--from", smp_folder, "--to", tmp_path / "two", "--mean", "0.5", "--mean", "0.4") == 2
    assert "2 numbers for 3 channels" in capsys.readouterr().err
    assert not (tmp_path / "two").exists()


@pytest.mark.slow
def test_a_converted_network_compiles_and_exports(smp_folder: Path, tmp_path: Path) -> None:
    code = f"""
import torch
from unetlift.convert import from_smp, read_smp
from unetlift.export import to_onnx
network = from_smp(read_smp({str(smp_folder)!r}), "blur-3", phase="adaptive", padding_mode="circular")
assert max(to_onnx(network, "network.onnx").errors) < 1e-4
compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
with torch.no_grad():
    for size in ((64, 96), (70, 75)):
        x = torch.randn(1, 3, *size)
        torch.testing.assert_close(compiled(x), network(x))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)  # no graph goes through shape checks
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_pages_commands_run_in_order(smp_folder: Path, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(smp_folder, tmp_path / "mine")
    lines = [line for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), flags=re.S) for line in block.splitlines()]
    assert len(lines) == 3
    for line in lines:
        prompt, program, *arguments = shlex.split(line)
        assert (prompt, program) == ("$", "unetlift")
        assert run(*arguments) == 0, (line, capsys.readouterr().err)
    assert load("tuned/best")[0].config == load("steady")[0].config


def test_one_logit_is_two_probabilities(smp_folder: Path, tmp_path: Path) -> None:
    from unetlift.predict import load_predictor

    original = read_smp(smp_folder)
    from_smp(original).save_pretrained(tmp_path / "m")
    predictor = load_predictor(tmp_path / "m", precision="float32")
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    found = predictor.predict(picture).values
    with torch.no_grad():
        wanted = original(predictor.prepare(picture)).sigmoid()[0, 0].numpy()
    np.testing.assert_allclose(found[1], wanted, atol=1e-5)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_nothing_is_written_over(smp_folder: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert run("convert", "--from", smp_folder, "--to", tmp_path) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def _change(folder: Path, **values) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({key: value for key, value in (json.loads(path.read_text()) | values).items() if value != "GONE"}))


FAULTS = {
    "config.json is missing": lambda folder: (folder / "config.json").unlink(),
    "is no JSON file": lambda folder: (folder / "config.json").write_text("{"),
    "it has no _model_class": lambda folder: _change(folder, _model_class="GONE"),
    "pytorch_model.bin is not read": lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
    "The architecture 'Mine' is unknown; it is one of Unet, ": lambda folder: _change(folder, _model_class="Mine"),
    "The architecture 'os.system' is unknown": lambda folder: _change(folder, _model_class="os.system"),
    "The option 'checkpoint_path' of Unet is unknown": lambda folder: _change(folder, checkpoint_path="x.pth"),
    "encoder 'resnet81' is unknown; near it are": lambda folder: _change(folder, encoder_name="resnet81"),
    "ends in softmax": lambda folder: _change(folder, activation="softmax"),
    "has a classification head": lambda folder: _change(folder, aux_params={"classes": 2}),
    "does not fit its config.json": lambda folder: _change(folder, classes=4),
    "is no safetensors file": lambda folder: (folder / "model.safetensors").write_bytes(b"half"),
    "smp cannot make this Unet with resnet18": lambda folder: _change(folder, encoder_depth=9),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_folder_that_cannot_be_read_is_told_in_one_sentence(smp_folder: Path, tmp_path: Path, sentence: str) -> None:
    for path in smp_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    FAULTS[sentence](tmp_path)
    with pytest.raises(ModelFolderError) as caught:
        read_smp(tmp_path)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_options_of_earlier_releases_are_understood(smp_folder: Path, tmp_path: Path) -> None:
    for path in smp_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    _change(tmp_path, decoder_use_norm="GONE", decoder_use_batchnorm=True)
    assert from_smp(read_smp(tmp_path)).config.options["decoder_use_norm"] is True


def test_a_foreign_config_in_a_model_folder_is_refused(smp_folder: Path, tmp_path: Path) -> None:
    from_smp(read_smp(smp_folder)).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["network"]["architecture"] = "Mine"
    path.write_text(json.dumps(config))
    with pytest.raises(UsageError, match="The architecture 'Mine' is unknown"):
        unetlift.from_pretrained(tmp_path)
