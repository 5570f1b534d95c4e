"""The command line: quick help, honest exit codes, one sentence for every fault."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, draw_cells
from PIL import Image

from unetlift import cli


def _run(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def _one_sentence(err: str) -> bool:
    return err.startswith("unetlift: ") and err.count("\n") == 1 and "Traceback" not in err


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "plate").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, size in {"a.png": (50, 61), "plate/a.png": (33, 47), "plate/b.jpg": (64, 64)}.items():
        Image.fromarray(draw_cells(rng, *size)[0]).save(folder / name)
    return folder


def test_help_is_quick_and_lists_every_command() -> None:
    best = 9.0
    for _ in range(3):  # the quickest of three: the machine may be busy
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-m", "unetlift.cli", "--help"], capture_output=True, text=True)
        best = min(best, time.monotonic() - began)
    assert done.returncode == 0 and all(name in done.stdout for name in cli.COMMANDS)
    assert best < 0.5


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_its_flags(command: str, capsys: pytest.CaptureFixture) -> None:
    code, out, _ = _run(capsys, *command.split(), "--help")
    assert code == 0 and f"unetlift {command}" in out


def test_heavy_libraries_are_not_imported_for_nothing() -> None:
    code = "import sys, unetlift.cli; sys.exit(any(m in sys.modules for m in ('torch', 'gradio', 'cv2', 'lightning', 'tyro')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_predict_keeps_the_tree_and_sizes(model_folder: Path, pictures: Path, tmp_path: Path, capsys) -> None:
    code, out, _ = _run(capsys, "predict", "--model", model_folder, "--input", pictures, "--output", tmp_path / "out", "--overlay")
    assert code == 0 and "3 of 3" in out
    for name in ("a.png", "plate/a.png", "plate/b.jpg.png"):
        with Image.open(tmp_path / "out" / "masks" / name) as mask, Image.open(tmp_path / "out" / "overlays" / name) as tinted:
            assert mask.mode == "P" and tinted.mode == "RGB" and mask.size == tinted.size
            assert set(np.unique(np.asarray(mask))) <= {0, 1}
    with Image.open(tmp_path / "out" / "masks" / "plate" / "a.png") as mask:
        assert mask.size == (47, 33)


def test_names_that_differ_in_their_suffix_alone_both_survive(model_folder: Path, pictures: Path, tmp_path: Path, capsys) -> None:
    Image.new("L", (20, 20)).save(pictures / "a.bmp")
    code, _, _ = _run(capsys, "predict", "--model", model_folder, "--input", pictures, "--output", tmp_path / "out")
    names = sorted(p.relative_to(tmp_path / "out" / "masks").as_posix() for p in (tmp_path / "out").rglob("*.png"))
    assert code == 0 and names == ["a.bmp.png", "a.png", "plate/a.png", "plate/b.jpg.png"]


def test_one_bad_picture_is_named_and_the_rest_is_done(model_folder: Path, pictures: Path, tmp_path: Path, capsys) -> None:
    (pictures / "broken.png").write_bytes(b"no picture")
    before = {p: p.read_bytes() for p in pictures.rglob("*") if p.is_file()}
    code, out, err = _run(capsys, "predict", "--model", model_folder, "--input", pictures, "--output", tmp_path / "out")
    assert code == 1 and "3 of 4" in out and "broken.png cannot be read" in err
    assert before == {p: p.read_bytes() for p in pictures.rglob("*") if p.is_file()}
    assert not list((tmp_path / "out").rglob("*.part"))


def test_stability_writes_table_json_and_plot(model_folder: Path, pictures: Path, tmp_path: Path, capsys) -> None:
    twice = ["--model", model_folder, "--model", model_folder]
    code, out, _ = _run(capsys, "stability", *twice, "--input", pictures, "--out", tmp_path / "out", "--max-shift=2", "--margin=2")
    assert code == 0 and "lift+lift@adaptive" in out and "under roll" in out and "under crop" in out
    written = json.loads((tmp_path / "out" / "stability.json").read_text())
    assert len(written["subjects"]) == 2
    roll = written["subjects"][0]["reports"]["roll"]
    assert len(roll["records"]) == 3 * 6 and roll["worst"] > 120  # the adaptive phase is exact
    with Image.open(tmp_path / "out" / "stability.png") as plot:
        assert plot.size[0] > 800
    assert (tmp_path / "out" / "stability.md").read_text().count("| lift+lift@adaptive |") == 4


WAYS = [("landmark", "reflect"), ("landmark", "surround"), ("subpixel", "replicate"), ("track", "surround"), ("track-subpixel", "reflect")]


@pytest.mark.parametrize(("anchor", "placing"), WAYS)
def test_predict_anchors_and_its_masks_are_the_anchored_networks(
    anchor: str, placing: str, model_folder: Path, pictures: Path, tmp_path: Path, capsys
) -> None:
    from unetlift.images import read_mask, read_picture
    from unetlift.predict import load_predictor

    flags = ["--model", model_folder, "--input", pictures, "--output", tmp_path / "out", f"--anchor={anchor}", "--precision=float32"]
    code, out, _ = _run(capsys, "predict", *flags, f"--placing={placing}")
    assert code == 0 and "3 of 3" in out
    predictor = load_predictor(model_folder, precision="float32")
    ask, names = predictor.anchored(anchor, placing), {"a.png": "a.png", "plate/a.png": "plate/a.png", "plate/b.jpg": "plate/b.jpg.png"}
    for name, mask in names.items():
        expected = predictor.predict(read_picture(pictures / name), ask=ask).labels
        assert np.array_equal(read_mask(tmp_path / "out" / "masks" / mask), expected)
    if anchor.startswith("track"):  # three sizes, three scenes
        assert out.count("chosen anew at frame") == 2 and "plate/a.png: anchor: chosen anew at frame 1 (size)" in out


def test_predict_says_which_pictures_could_not_be_anchored(model_folder: Path, pictures: Path, tmp_path: Path, capsys) -> None:
    Image.new("L", (30, 20), 90).save(pictures / "even.png")
    Image.new("L", (30, 2), 90).save(pictures / "flat.png")
    code, out, _ = _run(capsys, "predict", "--model", model_folder, "--input", pictures, "--output", tmp_path / "out", "--anchor=landmark")
    assert code == 0 and "5 of 5" in out and out.count("anchor:") == 2
    assert "even.png: anchor: no landmark was found; the picture is not anchored\n" in out
    assert "flat.png: anchor: a picture of 30 x 2 is smaller than the stride 4; it is not anchored\n" in out


def test_predict_without_anchor_says_nothing_of_anchors(model_folder: Path, pictures: Path, tmp_path: Path, capsys) -> None:
    Image.new("L", (30, 20), 90).save(pictures / "even.png")
    code, out, _ = _run(capsys, "predict", "--model", model_folder, "--input", pictures, "--output", tmp_path / "out", "--anchor=none")
    assert code == 0 and "anchor:" not in out


def test_stability_sets_anchors_side_by_side(tmp_path: Path, pictures: Path, capsys) -> None:
    from unetlift import UNet

    torch.manual_seed(0)
    UNet(depth=2, width=4, down="max", up="nearest", classes=2).save_pretrained(tmp_path / "fixed")
    flags = ["--model", tmp_path / "fixed", "--input", pictures, "--out", tmp_path / "out", "--max-shift=2", "--margin=2"]
    code, out, _ = _run(capsys, "stability", *flags, "--anchor", "none", "--anchor", "landmark")
    subjects = json.loads((tmp_path / "out" / "stability.json").read_text())["subjects"]
    assert code == 0 and [subject["anchor"] for subject in subjects] == ["none", "landmark"] and "landmark" in out
    none, landmark = (subject["reports"]["roll"] for subject in subjects)
    assert none["worst"] < 100 and landmark["worst"] == 160  # the ceiling: the same bits
    assert "landmark" in (tmp_path / "out" / "stability.md").read_text()


def test_stability_by_parts_of_a_pixel(model_folder: Path, pictures: Path, tmp_path: Path, capsys) -> None:
    flags = ["--model", model_folder, "--input", pictures, "--out", tmp_path / "out", "--max-shift=2", "--margin=2", "--mode=subpixel"]
    code, out, _ = _run(capsys, "stability", *flags, "--anchor=subpixel")
    (subject,) = json.loads((tmp_path / "out" / "stability.json").read_text())["subjects"]
    assert code == 0 and "under subpixel" in out and list(subject["reports"]) == ["subpixel"]
    assert len(subject["reports"]["subpixel"]["records"]) == 3 * 21


def test_evaluate_scores_the_anchored_network(tmp_path: Path, cells: Path, capsys) -> None:
    from unetlift.evaluate import evaluate
    from unetlift.predict import load_predictor

    folder, scores = ROOT / "checkpoints" / "max+nearest", {}
    for anchor in ("none", "landmark"):
        file = tmp_path / f"{anchor}.json"
        flags = ["--model", folder, "--data", cells, "--json", file, "--precision=float32", "--anchor", anchor, "--placing=reflect"]
        assert _run(capsys, "evaluate", *flags)[0] == 0
        scores[anchor] = json.loads(file.read_text())
    file = tmp_path / "surround.json"
    assert _run(capsys, "evaluate", *flags, "--json", file, "--placing", "surround")[0] == 0
    scores["surround"] = json.loads(file.read_text())
    for name, placing in (("landmark", "reflect"), ("surround", "surround")):
        expected = evaluate(load_predictor(folder, precision="float32"), cells, "test", "landmark", placing)
        assert scores[name]["iou"] == expected.iou != scores["none"]["iou"]
    assert scores["landmark"]["iou"] != scores["surround"]["iou"]


@pytest.mark.parametrize("command", ["predict", "stability", "evaluate"])
def test_an_unknown_anchor_exits_with_wrong_usage(command: str, model_folder: Path, pictures: Path, tmp_path: Path, capsys) -> None:
    places = {
        "predict": ["--input", pictures, "--output", tmp_path / "out"],
        "stability": ["--input", pictures, "--out", tmp_path / "out"],
        "evaluate": ["--data", pictures],
    }
    code, _, err = _run(capsys, command, "--model", model_folder, *places[command], "--anchor", "corner")
    assert code == 2 and "corner" in err and "landmark" in err and not (tmp_path / "out").exists()


def test_evaluate_takes_no_sequences(model_folder: Path, cells: Path, capsys) -> None:
    code, _, err = _run(capsys, "evaluate", "--model", model_folder, "--data", cells, "--anchor", "track")
    assert code == 2 and "track" in err


def test_evaluate_counts_what_a_hand_would(tmp_path: Path, cells: Path, model_folder: Path, capsys) -> None:
    from unetlift.images import read_mask, read_picture
    from unetlift.predict import load_predictor

    code, out, _ = _run(capsys, "evaluate", "--model", model_folder, "--data", cells, "--json", tmp_path / "s.json", "--precision=float32")
    assert code == 0 and "miou" in out
    predictor = load_predictor(model_folder, precision="float32")
    inside = union = 0
    for path in sorted((cells / "test" / "images").iterdir()):
        truth = read_mask(cells / "test" / "masks" / path.name) == 1
        ours = predictor.predict(read_picture(path)).labels == 1
        inside, union = inside + (truth & ours).sum(), union + (truth | ours).sum()
    assert json.loads((tmp_path / "s.json").read_text())["iou"]["1"] == pytest.approx(inside / union)


FAULTS = {
    "an unknown command": (["fly"], 2, "'fly' is unknown; it is one of train, convert"),
    "an unknown pool": (["train", "--data", "{cells}", "--out", "{out}", "--down", "maxx"], 2, "'maxx' is unknown; it is one of max, avg"),
    "an impossible pair": (["train", "--data", "{cells}", "--out", "{out}", "--down=max", "--up=lift"], 2, "max cannot serve"),
    "a missing data set": (["train", "--data", "{out}", "--out", "{out}2"], 3, "is no folder"),
    "a missing split": (["evaluate", "--model", "{model}", "--data", "{out}3"], 3, "is no folder"),
    "no model folder": (["predict", "--model", "{cells}", "--input", "{pictures}", "--output", "{out}"], 2, "config.json is missing"),
    "an empty input": (["predict", "--model", "{model}", "--input", "{empty}", "--output", "{out}"], 2, "has no pictures"),
    "an output over the input": (["predict", "--model", "{model}", "--input", "{pictures}", "--output", "{pictures}/x"], 2, "lies in"),
    "a full output": (["predict", "--model", "{model}", "--input", "{pictures}", "--output", "{cells}"], 2, "is not empty"),
    "an unknown key in a config": (["train", "--config", "{yaml}"], 2, "unknown key 'colour'"),
    "a bad number": (["train", "--data", "{cells}", "--out", "{out}", "--epochs", "0"], 2, "epochs is 0"),
    "too few pictures": (["train", "--data", "{cells}", "--out", "{out}", "--batch-size", "99"], 3, "fewer than the 99 of a step"),
    "too large a window": (
        ["stability", "--model={model}", "--input={pictures}", "--out", "{out}", "--max-shift=40", "--pictures=1"],
        2,
        "is too small",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_is_one_sentence_and_leaves_nothing(fault: str, cells, model_folder, pictures, tmp_path: Path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "run.yaml").write_text("colour: red\n")
    places = {"cells": cells, "model": model_folder, "pictures": pictures, "out": tmp_path / "out", "empty": tmp_path / "empty"}
    arguments, expected, sentence = FAULTS[fault]
    code, _, err = _run(capsys, *(a.format(**places, yaml=tmp_path / "run.yaml") for a in arguments))
    assert code == expected and sentence in err and _one_sentence(err), err
    assert not (tmp_path / "out").exists()


def test_config_files_give_defaults_and_flags_win(cells: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "run.yaml").write_text(f"data: {cells}\ndown: maxx\nup: nothing\n")
    arguments = ["train", "--config", tmp_path / "run.yaml", "--out", tmp_path / "out"]
    assert "'maxx' is unknown" in _run(capsys, *arguments)[2]
    assert "'nothing' is unknown" in _run(capsys, *arguments, "--down", "max")[2]
    (tmp_path / "run.yaml").write_text("epochs: 0\n")
    code, _, err = _run(capsys, *arguments)
    assert code == 2 and "epochs is 0" in err and _one_sentence(err)


def test_data_scripts_convert_a_copy_or_say_why_not(tmp_path: Path) -> None:
    for name in ("camvid", "dsb2018"):
        script = ROOT / "data_scripts" / f"{name}.py"
        (tmp_path / "copy").mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, script, "--from", tmp_path / "copy", "--to", tmp_path / name], capture_output=True, text=True
        )
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
        assert not (tmp_path / name).exists()


def test_models_lists_whatever_a_network_can_be_made_of(capsys: pytest.CaptureFixture) -> None:
    from unetlift.convs import ACTIVATIONS, CONVS
    from unetlift.pools import DOWNS, PHASES, UPS

    code, out, _ = _run(capsys, "models")
    assert code == 0 and {*DOWNS, *UPS, *PHASES, *CONVS, *ACTIVATIONS} <= set(out.replace(",", " ").split())


@pytest.mark.parametrize(("flag", "right"), [("--conv=3x3", "c2sp"), ("--activation=gelu", "filtered-poly"), ("--phase=auto", "learned")])
def test_an_unknown_piece_is_wrong_usage(flag: str, right: str, cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    code, _, err = _run(capsys, "train", f"--data={cells}", f"--out={tmp_path / 'run'}", flag)
    assert code == 2 and _one_sentence(err) and repr(flag.partition("=")[2]) in err and right in err
    assert not (tmp_path / "run").exists()
