"""A model folder is written whole, read exactly, and never unpickled."""

import json
from pathlib import Path

import pytest
import torch
from conftest import ROOT

import unetlift
from unetlift import checkpoint
from unetlift.errors import ModelFolderError, UsageError
from unetlift.info import ModelInfo


@pytest.mark.parametrize("variant", [("max", "nearest"), ("stride", "transpose"), ("blur-3", "bilinear"), ("lift", "lift")])
def test_a_saved_network_answers_the_same_to_the_bit(tmp_path: Path, variant: tuple[str, str]) -> None:
    torch.manual_seed(0)
    model = unetlift.UNet(depth=2, width=4, down=variant[0], up=variant[1]).to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 21, 18).to(memory_format=torch.channels_last)
    model(x)  # moves the running means
    model.eval().save_pretrained(tmp_path / "m")
    again = unetlift.from_pretrained(tmp_path / "m")
    assert again.config == model.config
    assert torch.equal(model(x), again(x))


def test_a_folder_without_a_kind_is_from_before_there_were_two(model_folder: Path) -> None:
    before = unetlift.from_pretrained(model_folder)
    config = json.loads((model_folder / "config.json").read_text())
    assert config.pop("kind") == "unet"
    (model_folder / "config.json").write_text(json.dumps(config))
    again, x = unetlift.from_pretrained(model_folder), torch.randn(1, 3, 20, 24)
    assert torch.equal(before(x), again(x))


SHIPPED = sorted(config.parent for config in (ROOT / "checkpoints").rglob("config.json"))


def test_what_is_shipped_is_small_and_says_under_what_licence() -> None:
    assert len(SHIPPED) == 15
    sizes = [(folder / "model.safetensors").stat().st_size for folder in SHIPPED]
    assert max(sizes) <= 4 * 2**20 and sum(sizes) <= 40 * 2**20
    for folder in SHIPPED:
        card = (folder / "README.md").read_text()
        assert "license: mit" in card and "CC0 1.0" in card and "sha256" in card and "unetlift train" in card


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.relative_to(ROOT / "checkpoints").as_posix())
def test_every_shipped_folder_loads(folder: Path) -> None:
    assert unetlift.from_pretrained(folder).config.variant == folder.name


def test_half_precision_takes_half_the_space_and_is_read_as_rounded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = unetlift.UNet(depth=2, width=8, down="lift", up="lift").eval()
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "half", precision="float16")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert 0.5 < sizes[1] / sizes[0] < 0.6
    again = unetlift.from_pretrained(tmp_path / "half").state_dict()
    for name, tensor in model.state_dict().items():
        assert again[name].dtype == tensor.dtype and torch.equal(again[name], tensor.half().to(tensor.dtype))


def test_a_weight_that_half_precision_does_not_hold_is_named(tmp_path: Path) -> None:
    model = unetlift.UNet(depth=1, width=4)
    with torch.no_grad():
        model.head.bias[0] = 70_000.0
    with pytest.raises(UsageError, match=r"does not hold 70000 of head\.bias; give float32\."):
        model.save_pretrained(tmp_path / "half", precision="float16")
    with torch.no_grad():
        model.head.bias[0] = 0.0
        model.blocks[0][1].running_var[2] = 1e-9
    with pytest.raises(UsageError, match=r"does not hold 1e-09 of blocks\.0\.1\.running_var; give float32\."):
        model.save_pretrained(tmp_path / "half", precision="float16")
    with pytest.raises(UsageError, match="bfloat16"):
        model.save_pretrained(tmp_path / "half", precision="bfloat16")
    assert not (tmp_path / "half").exists()
    model.save_pretrained(tmp_path / "whole")
    with torch.no_grad():
        model.blocks[0][1].running_var[2] = 0.0  # of a dead channel: held exactly
    model.save_pretrained(tmp_path / "half", precision="float16")


def test_what_classes_mean_is_kept(tmp_path: Path) -> None:
    from unetlift.model import load

    info = ModelInfo(("ground", "cell"), ((0, 0, 0), (9, 8, 7)), mean=0.4, std=0.2, ignore_index=255)
    unetlift.UNet(depth=1, width=4).save_pretrained(tmp_path, info, "# A card\n")
    assert load(tmp_path)[1] == info
    assert (tmp_path / "README.md").read_text() == "# A card\n"


def test_saving_leaves_foreign_files_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    unetlift.UNet(depth=1, width=4).save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors", "notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write(part: Path) -> None:
        part.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        checkpoint.write_atomically(path, write)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def _remove_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _cut_weights(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def _foreign_weights(folder: Path) -> None:
    _change(folder, lambda config: config["network"].update(width=8))


def _foreign_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"encoder_name": "resnet34"}')


def _no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _unknown_key(folder: Path) -> None:
    _change(folder, lambda config: config["network"].update(colour="red"))


def _unknown_kind(folder: Path) -> None:
    _change(folder, lambda config: config.update(kind="os.system"))


def _wrong_value(folder: Path) -> None:
    _change(folder, lambda config: config["network"].update(depth="deep"))


def _change(folder: Path, edit) -> None:
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (folder / "config.json").write_text(json.dumps(config))


FAULTS = {
    _remove_weights: r"model\.safetensors is missing",
    _cut_weights: r"model\.safetensors is damaged or belongs to another config\.json",
    _foreign_weights: r"model\.safetensors does not fit its config\.json",
    _foreign_config: r"config\.json was not written by unetlift",
    _no_json: r"config\.json is no JSON file",
    _unknown_key: r"config\.json does not describe a network: .*unknown key 'colour'",
    _unknown_kind: r"config\.json does not describe a network: kind 'os\.system' is unknown; it is one of unet, converted",
    _wrong_value: r"config\.json does not describe a network: depth is 'deep'",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_fault_is_one_sentence_that_names_the_file(model_folder: Path, fault) -> None:
    fault(model_folder)
    with pytest.raises(ModelFolderError, match=FAULTS[fault]) as caught:
        unetlift.from_pretrained(model_folder)
    assert "\n" not in str(caught.value)


def test_a_pickle_in_place_of_weights_is_not_run(model_folder: Path, tmp_path: Path) -> None:
    import hashlib
    import pickle

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    data = pickle.dumps(Evil())
    (model_folder / "model.safetensors").write_bytes(data)
    _change(model_folder, lambda config: config.update(weights_sha256=hashlib.sha256(data).hexdigest()))
    with pytest.raises(ModelFolderError, match="is no safetensors file"):
        unetlift.from_pretrained(model_folder)
    assert not (tmp_path / "ran").exists()
