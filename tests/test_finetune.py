"""Training that begins with what others have learned: an encoder's weights, or a whole model folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import segmentation_models_pytorch as smp
import timm
import torch
import yaml
from conftest import kill_at
from torch import Tensor

import unetlift
from unetlift import cli, convert
from unetlift.info import ModelInfo
from unetlift.model import load
from unetlift.recipe import MachineConfig, TrainConfig
from unetlift.train import train

pytestmark = pytest.mark.filterwarnings(
    "ignore:The 'train_dataloader' does not have many workers",  # small data is read faster without
    "ignore:The 'val_dataloader' does not have many workers",
)

BRIEF = ["--epochs=1", "--crop=32", "--batch-size=4", "--workers=0", "--precision=float32", "--no-report", "--previews=0"]
SMALL = ["--encoder=tu-test_resnet", "--depth=2", "--width=4", "--down=lift", "--up=lift"]
TWO = {"class_names": ("ground", "cell"), "colours": ((0, 0, 0), (9, 8, 7))}
OWN = ModelInfo(**TWO, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """What somebody has trained: timm's smallest residual network, whose normalisation is 0.5 and 0.5."""
    torch.manual_seed(1)
    path = tmp_path / "weights.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A network that knows its classes and its normalisation."""
    torch.manual_seed(1)
    path = tmp_path / "trained"
    model = unetlift.UNet(encoder="tu-test_resnet", depth=2, width=4, down="lift", up="lift")
    model.save_pretrained(path, OWN)
    return path


def _train(data: Path, out: Path, *flags: object, code: int = 0) -> Path:
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", f"--data={data}", f"--out={out}", *BRIEF, *map(str, flags)])
    assert stop.value.code == code
    return out / "last"


def _refused(capsys: pytest.CaptureFixture, data: Path, out: Path, *flags: object) -> str:
    """The one sentence of an error that leaves no folder behind."""
    _train(data, out, *flags, code=2)
    said = capsys.readouterr().err
    assert said.startswith("unetlift: ") and said.count("\n") == 1 and not out.exists()
    return said


def _tensors(folder: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(folder / "model.safetensors")


def _name_classes(data: Path, *names: str) -> None:
    (data / "dataset.yaml").write_text(f"classes: [{', '.join(names)}]\n")


def test_a_frozen_encoder_keeps_its_pretrained_weights_and_normalisation(weights: Path, cells: Path, tmp_path: Path) -> None:
    last = _train(cells, tmp_path / "run", *SMALL, "--encoder-weights", weights, "--freeze-encoder")
    given, kept = torch.load(weights, weights_only=True), _tensors(last)
    own = [name for name in kept if name.startswith("encoder.body.") and ".unetlift." not in name]
    for name in own:
        assert torch.equal(kept[name], given[name.removeprefix("encoder.body.model.")]), name
    assert len(own) > 20
    assert (load(last)[1].mean, load(last)[1].std) == ((0.5,) * 3, (0.5,) * 3)
    config = (last / "config.json").read_text()
    assert "weights.pth" not in config and "weights.pth" in (last / "README.md").read_text()


def test_pretrained_weights_read_grey_pictures(weights: Path, cells: Path, tmp_path: Path) -> None:
    run = _train(cells, tmp_path / "run", *SMALL, "--encoder-weights", weights, "--encoder-rate=0.5", "--in-channels=1")
    model, info = load(run)
    assert (model.config.in_channels, info.mean, info.std) == (1, (0.5,), (0.5,))


def test_encoder_weights_that_do_not_fit_are_refused_before_anything_is_made(weights: Path, cells: Path, tmp_path: Path, capsys) -> None:
    said = _refused(capsys, cells, tmp_path / "run", "--encoder=resnet18", "--depth=2", "--encoder-weights", weights)
    assert "weights.pth is of another architecture" in said
    assert "encoder_weights missing.pth is missing" in _refused(capsys, cells, tmp_path / "run", *SMALL, "--encoder-weights=missing.pth")
    assert "freeze_encoder would keep" in _refused(capsys, cells, tmp_path / "run", *SMALL, "--freeze-encoder")


def test_training_goes_on_from_a_folder(folder: Path, cells: Path, tmp_path: Path) -> None:
    _name_classes(cells, *OWN.class_names)
    last = _train(cells, tmp_path / "run", "--from", folder, "--freeze-encoder", "--learning-rate=0", "--down=lift")
    (before, info), (after, same) = load(folder), load(last)
    assert after.config == before.config
    assert (same.class_names, same.mean, same.std) == (info.class_names, info.mean, info.std)
    statistics = "running_mean", "running_var", "num_batches_tracked"
    changed = [name for name, tensor in _tensors(folder).items() if not torch.equal(tensor, _tensors(last)[name])]
    assert changed and all(name.endswith(statistics) and not name.startswith("encoder.") for name in changed)


def test_a_run_from_a_folder_resumes_without_it(folder: Path, cells: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    last = _train(cells, run, "--from", folder)
    before = _tensors(last)
    shutil.rmtree(folder)
    _train(cells, run, "--from", folder, "--resume")
    assert all(torch.equal(tensor, before[name]) for name, tensor in _tensors(last).items())
    capsys.readouterr()
    _train(cells, run, "--from", folder, "--resume", "--down=max", code=2)
    assert "down is 'max', but the network of" in capsys.readouterr().err
    _train(cells, run, "--resume", *SMALL, code=2)
    assert f"was begun with from '{folder}', not None" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--down=blur-3"], "down is 'blur-3', but the network of .* has 'lift'; leave that flag out"),  # which is the usual one
        (["--no-lift-learned"], "lift_learned is False, but the network of .* has True"),
        (["--in-channels=1"], "in_channels is 1, but the network of .* has 3"),
        (["--encoder-weights=imagenet"], "encoder_weights is 'imagenet', but the network of --from has its own"),
    ],
)
def test_flags_that_contradict_the_folder_are_refused(flags: list[str], sentence: str, folder: Path, cells: Path, tmp_path, capsys) -> None:
    assert re.search(sentence, _refused(capsys, cells, tmp_path / "run", "--from", folder, *flags))


def test_a_file_of_settings_may_say_where_to_go_on_from(folder: Path, cells: Path, tmp_path: Path, capsys) -> None:
    settings = tmp_path / "run.yaml"
    settings.write_text(f"from: {folder}\nfreeze_encoder: true\n")
    last = _train(cells, tmp_path / "run", "--config", settings)
    assert load(last)[0].config == load(folder)[0].config
    settings.write_text(f"from: {folder}\ndown: max\n")
    assert "down is 'max', but the network of" in _refused(capsys, cells, tmp_path / "other", "--config", settings)


def test_no_network_is_asked_for_in_python_either(folder: Path, cells: Path, tmp_path: Path) -> None:
    brief = {"epochs": 1, "crop": 32, "batch_size": 4, "report": False, "machine": MachineConfig(workers=0)}
    run = train(TrainConfig(str(cells), str(tmp_path / "run"), from_=str(folder), **brief))
    assert load(run / "best")[0].config == load(folder)[0].config


def test_other_classes_need_a_new_head(folder: Path, cells: Path, tmp_path: Path, capsys) -> None:
    _name_classes(cells, "ground", "cell", "wall")
    said = _refused(capsys, cells, tmp_path / "run", "--from", folder)
    assert f"has the classes ground, cell, wall, but {folder} knows ground, cell; give --new-head to train a new last layer." in said
    last = _train(cells, tmp_path / "run", "--from", folder, "--new-head", "--freeze-encoder", "--learning-rate=0")
    model, info = load(last)
    assert (model.config.classes, info.class_names, info.mean) == (3, ("ground", "cell", "wall"), OWN.mean)
    before, after = _tensors(folder), _tensors(last)
    learned = [name for name in before if not name.startswith(("head.", "encoder.")) and name.endswith(("weight", "bias"))]
    assert learned and all(torch.equal(before[name], after[name]) for name in learned)


def test_a_data_set_without_names_takes_those_of_the_network(folder: Path, cells: Path, tmp_path: Path) -> None:
    assert load(_train(cells, tmp_path / "run", "--from", folder))[1] == OWN


def test_a_converted_network_goes_on_learning(cells: Path, tmp_path: Path, capsys) -> None:
    torch.manual_seed(0)
    original = smp.Unet("tu-test_resnet", encoder_depth=2, encoder_weights=None, decoder_channels=(8, 4), classes=1)
    convert.from_smp(original, down="blur-3", phase="adaptive").save_pretrained(tmp_path / "converted")
    said = _refused(capsys, cells, tmp_path / "run", "--from", tmp_path / "converted", "--up=nearest")
    assert "up is 'nearest', but the network of" in said and "has 'own'" in said
    last = _train(cells, tmp_path / "run", "--from", tmp_path / "converted", "--freeze-encoder")
    (before, _), (after, info) = load(tmp_path / "converted"), load(last)
    assert after.config == before.config and len(info.class_names) == 2  # one logit tells them apart
    changed = {name for name, tensor in before.state_dict().items() if not torch.equal(tensor, after.state_dict()[name])}
    assert "segmentation_head.0.weight" in changed and not any(name.startswith("encoder.") for name in changed)


@pytest.mark.slow
def test_trained_folders_load_without_a_network_and_names_of_weights_say_what_to_do(weights: Path, cells: Path, tmp_path: Path) -> None:
    last = _train(cells, tmp_path / "run", *SMALL, "--encoder-weights", weights)
    weights.unlink()
    code = f"""
import socket
def refuse(*arguments, **options):
    raise AssertionError("something wanted the network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import numpy as np
from unetlift import cli
from unetlift.predict import load_predictor
predictor = load_predictor({str(last)!r}, "cpu")
assert predictor.predict(np.zeros((20, 30, 3), np.uint8)).labels.shape == (20, 30)
for encoder in ("resnet18", "tu-resnet18"):
    try:
        cli.main(["train", "--data", {str(cells)!r}, "--out", "none", "--encoder", encoder, "--encoder-weights", "imagenet"])
    except SystemExit as stop:
        assert stop.code == 2
"""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and not (tmp_path / "none").exists()
    for line, encoder in zip(lines, ("resnet18", "tu-resnet18"), strict=True):
        assert line.startswith(f"unetlift: The weights 'imagenet' of {encoder} cannot be downloaded (")
        assert line.endswith("give a local .safetensors or .pth file, or none.")


@pytest.mark.slow  # half a minute
def test_a_killed_training_with_a_frozen_encoder_resumes_as_if_never_stopped(weights: Path, cells: Path, tmp_path: Path) -> None:
    def command(out: str, *more: str) -> list[str]:
        flags = [*BRIEF, *SMALL, "--phase=learned", "--freeze-encoder", f"--encoder-weights={weights}", "--epochs=12", *more]
        return [sys.executable, "-m", "unetlift.cli", "train", f"--data={cells}", f"--out={tmp_path / out}", *flags]

    whole = subprocess.run(command("whole"), capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    kill_at("epoch 2/12", command("cut"))
    weights.rename(tmp_path / "elsewhere.pth")  # they are not needed any more
    resumed = subprocess.run(command("cut", "--resume"), capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
    assert "epoch 1/12" not in resumed.stdout and "epoch 12/12" in resumed.stdout
    for name in ("best", "last"):
        ours, theirs = (tmp_path / run / name / "model.safetensors" for run in ("cut", "whole"))
        assert ours.read_bytes() == theirs.read_bytes()
    settings = yaml.safe_load((tmp_path / "cut" / "config.yaml").read_text())
    assert settings["encoder_weights"] == str(weights) and settings["freeze_encoder"]
