"""Anybody's model becomes a function that gives its own answers."""

import hashlib
import os
import pickle
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT
from foreign_files import IMAGENET, PICTURE, SMP, WEIGHT, ask, behind, mixed, mixing, negated, onnx_file, smp_folder
from onnx import TensorProto, helper
from torch import nn

from unetlift import checkpoint
from unetlift.anchor import Anchored
from unetlift.errors import ModelFolderError, PictureError, UsageError
from unetlift.foreign import Reading, open_model, open_upload
from unetlift.predict import load_predictor
from unetlift.stability import find_kind, measure

# Folders.


@pytest.mark.parametrize(
    ("name", "opening"), [("max+nearest", lambda folder: open_model(str(folder), device="cpu")), ("lift+lift@adaptive", open_upload)]
)
def test_our_folder_answers_as_its_predictor(name: str, opening: Callable) -> None:
    folder = ROOT / "checkpoints" / name
    opened, predictor = opening(folder), load_predictor(folder, "cpu", "float32")
    assert (opened.name, opened.multiple, opened.answers, opened.size) == (name, 16, "probabilities", None)
    assert opened.fingerprint == checkpoint.fingerprint(folder) and opened.class_names == predictor.info.class_names
    assert opened.padding == predictor.model.config.padding_mode and opened.predictor is not None and opened.module is not None
    assert np.array_equal(ask(opened), predictor(predictor.prepare(PICTURE)))


def test_our_folder_leaves_nothing_to_be_read(model_folder: Path) -> None:
    with pytest.raises(UsageError, match="says itself how it is to be read; leave mean"):
        open_model(str(model_folder), reading=Reading(answers="logits"))


def test_a_folder_of_neither_is_refused_in_one_sentence(tmp_path: Path) -> None:
    for content, words in ((None, "config.json is missing"), ("{", "no JSON"), ("[" * 10**6, "no JSON"), ("[]", "neither by unetlift nor")):
        if content is not None:
            (tmp_path / "config.json").write_text(content)
        for opening in (lambda: open_model(str(tmp_path)), lambda: open_upload(tmp_path)):
            with pytest.raises(ModelFolderError, match=words):
                opening()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments, **keys):
        raise AssertionError("a connection was wanted")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("kind", SMP)
@pytest.mark.parametrize("opening", [lambda folder: open_model(str(folder), device="cpu"), open_upload])
def test_smp_folder_answers_as_its_network(tmp_path: Path, kind: str, opening: Callable, offline: None) -> None:
    torch.manual_seed(0)
    network = smp_folder(tmp_path / "trained", SMP[kind]())
    opened = opening(tmp_path / "trained")
    x = torch.from_numpy((PICTURE / 255.0 - IMAGENET[0]) / IMAGENET[1]).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        own = network(x)
    own = torch.cat((torch.zeros_like(own), own), 1) if kind == "Segformer" else own
    assert (opened.name, opened.answers, opened.multiple, opened.predictor) == ("trained", "logits", 32, None)
    np.testing.assert_allclose(ask(opened), own, rtol=1e-4, atol=1e-5)
    assert ask(opened, PICTURE[:43, :51]).shape[2:] == (43, 51)


def test_smp_folder_is_read_as_told(tmp_path: Path) -> None:
    network = smp_folder(tmp_path, SMP["Unet"]())
    opened = open_model(str(tmp_path), device="cpu", reading=Reading(mean=(0.5,), std=0.25, answers="pictures", channels=3))
    with torch.no_grad():
        own = network(torch.from_numpy((PICTURE / 255.0 - 0.5) / 0.25).permute(2, 0, 1)[None].float())
    np.testing.assert_allclose(ask(opened), own, rtol=1e-4, atol=1e-5)
    for reading, words in ((Reading(channels=4), "3 for its channels, not 4"), (Reading(stride=8), "32 for its stride, not 8")):
        with pytest.raises(UsageError, match=words):
            open_model(str(tmp_path), reading=reading)


# ONNX files.


@pytest.mark.parametrize("opening", [lambda path: open_model(str(path)), open_upload])
def test_onnx_file_answers_with_its_own_numbers(tmp_path: Path, opening: Callable) -> None:
    path = mixing(tmp_path / "mixing.onnx")
    opened = opening(path)
    assert (opened.name, opened.answers, opened.multiple, opened.size, opened.module) == ("mixing", None, 1, None, None)
    assert opened.fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()
    np.testing.assert_allclose(ask(opened), mixed(), atol=1e-5)
    np.testing.assert_allclose(ask(opened, (PICTURE.astype(np.uint16) * 257)[:33, :17]), mixed(PICTURE[:33, :17]), atol=1e-5)
    grey = PICTURE[..., :1]
    np.testing.assert_allclose(ask(opened, grey), mixed(grey.repeat(3, 2)), atol=1e-5)
    with pytest.raises(PictureError, match=r"picture\.png has 2 channels; the network wants 3"):
        ask(opened, PICTURE[..., :2])


def test_onnx_file_is_normalised_as_told(tmp_path: Path) -> None:
    opened = open_model(str(mixing(tmp_path / "m.onnx")), reading=Reading(tuple(IMAGENET[0]), tuple(IMAGENET[1]), "logits", stride=32))
    np.testing.assert_allclose(ask(opened), np.einsum("kc,hwc->khw", WEIGHT, (PICTURE / 255 - IMAGENET[0]) / IMAGENET[1])[None], atol=1e-5)
    assert (opened.answers, opened.multiple) == ("logits", 32)


@pytest.mark.parametrize("opening", [lambda path: open_model(str(path)), open_upload])
def test_onnx_layouts_and_types(tmp_path: Path, opening: Callable) -> None:
    floats = opening(behind(tmp_path / "a.onnx", shape=("n", "h", "w", 3)))
    np.testing.assert_allclose(ask(floats), mixed(), atol=1e-5)
    bytes_ = opening(behind(tmp_path / "b.onnx", shape=(1, "h", "w", 3), kind="UINT8"))
    np.testing.assert_allclose(ask(bytes_), mixed() * 255, rtol=1e-5, atol=1e-3)
    fixed = opening(behind(tmp_path / "c.onnx", shape=(1, 64, 96, 3)))
    assert fixed.size == (64, 96)
    np.testing.assert_allclose(ask(fixed), mixed(), atol=1e-5)
    with pytest.raises(UsageError, match="takes 96 x 64 pixels alone; it was given 80 x 64"):
        ask(fixed, PICTURE[:, :80])
    labels = opening(mixing(tmp_path / "d.onnx", "labels"))
    assert labels.answers == "labels" and np.array_equal(ask(labels)[0], mixed().argmax(1)) and ask(labels).dtype == np.float32
    half = [helper.make_node("Conv", ["x", "w"], ["y"])]
    narrow = opening(onnx_file(tmp_path / "e.onnx", half, {"w": WEIGHT[..., None, None].astype(np.float16)}, kind="FLOAT16"))
    np.testing.assert_allclose(ask(narrow), mixed(), atol=1e-2)


def test_the_first_map_of_several_outputs_counts(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Conv", ["x", "w"], ["y"]),
        helper.make_node("Neg", ["y"], ["z"]),
    ]
    opened = open_model(str(onnx_file(tmp_path / "m.onnx", nodes, {"w": WEIGHT[..., None, None]}, outputs=["mean", "y", "z"])))
    np.testing.assert_allclose(ask(opened), mixed(), atol=1e-5)


def test_a_lone_channel_tells_one_class_from_all_else(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["x", "axes"], ["y"])]
    path = str(onnx_file(tmp_path / "m.onnx", nodes, {"axes": np.array([1])}))
    mean = PICTURE.mean(2) / 255
    assert ask(open_model(path)).shape == (1, 1, 64, 96)
    logits = ask(open_model(path, reading=Reading(answers="logits")))[0]
    np.testing.assert_allclose(torch.from_numpy(logits).softmax(0)[1], 1 / (1 + np.exp(-mean)), atol=1e-5)
    np.testing.assert_allclose(ask(open_model(path, reading=Reading(answers="probabilities")))[0], [1 - mean, mean], atol=1e-5)


def test_a_whole_picture_may_have_one_answer(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)]
    opened = open_upload(onnx_file(tmp_path / "m.onnx", nodes, {"axes": np.array([2, 3])}))
    np.testing.assert_allclose(ask(opened), PICTURE.mean((0, 1))[None] / 255, atol=1e-5)


def test_a_foreign_file_is_measured_and_anchored(tmp_path: Path) -> None:
    """One that pools and raises again: 2-periodic, and exact under roll with a landmark."""
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["p", "", "by"], ["y"], mode="nearest"),
    ]
    opened = open_model(str(onnx_file(tmp_path / "m.onnx", nodes, {"by": np.array([1, 1, 2, 2], np.float32)})), reading=Reading(stride=2))
    x = opened.prepare(PICTURE, "p")
    report = measure(opened.function, [x], "roll", 2, multiple=opened.multiple)
    assert report.kind == "pictures"
    assert all((record.psnr == 160) == (record.dy % 2 == record.dx % 2 == 0) for record in report.records)
    anchored = Anchored(opened.function, opened.multiple, "landmark", "circular")
    assert torch.equal(anchored(x.roll((3, 5), (2, 3))), anchored(x).roll((3, 5), (2, 3)))


@pytest.mark.slow
def test_an_exported_network_is_measured_as_its_folder(tmp_path: Path) -> None:
    code = (
        "import torch, unetlift; from unetlift.export import to_onnx; torch.manual_seed(0)\n"
        "n = unetlift.UNet(depth=2, width=4, down='max', up='unpool', padding_mode='circular', classes=2).eval()\n"
        f"n.save_pretrained({str(tmp_path / 'folder')!r}); to_onnx(n, {str(tmp_path / 'n.onnx')!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})
    opened = open_upload(tmp_path / "n.onnx")
    told = open_model(str(tmp_path / "n.onnx"), reading=Reading(0.5, 0.25, "logits", stride=4))
    own = open_model(str(tmp_path / "folder"), device="cpu")
    reports = [measure(one.function, [one.prepare(PICTURE, "p")], "roll", 2, multiple=4, answers=one.answers) for one in (told, own)]
    assert reports[0].mean == pytest.approx(reports[1].mean, abs=0.1) and reports[0].mean < 100
    assert ask(opened).shape == (1, 2, 64, 96)


REFUSED = {
    "two inputs": (lambda p: _two_inputs(p), "has 2 inputs; one picture"),
    "a signal": (lambda p: negated(p, shape=(1, 3, "l")), r"takes tensor\(float\) of shape \(1, 3"),
    "a batch": (lambda p: mixing(p, shape=(8, 3, 64, 64)), "of shape \\(8, 3, 64, 64\\); what can be"),
    "integers": (lambda p: negated(p, kind="INT32"), "takes tensor\\(int32\\)"),
    "a quarter": (
        lambda p: onnx_file(p, [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[4, 4], strides=[4, 4])]),
        r"answers a picture of 64 x 64 pixels with \(1, 3, 16, 16\); it has to answer every pixel",
    ),
    "a size beyond all": (lambda p: mixing(p, shape=(1, 3, 10**5, 10**5)), "at most 33554432 numbers"),
    "channels beyond all": (lambda p: mixing(p, shape=(1, 10**9, "h", "w")), "at most 33554432 numbers"),
    "wrong weights": (lambda p: mixing(p, shape=(1, 4, "h", "w")), "onnxruntime cannot load|cannot answer"),
    "an unknown operator": (lambda p: negated(p, "Frob"), "onnxruntime cannot load"),
    "a word": (lambda p: p.write_text("not a model") and p, "is no ONNX file"),
    "nothing": (lambda p: p.write_bytes(b"") or p, "without a graph"),
    "a half": (lambda p: p.write_bytes(mixing(p).read_bytes()[:-40]) and p, "is no ONNX file, or is cut off|without a graph"),
}


def _two_inputs(path: Path) -> Path:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, "h", "w")) for name in "xz"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "z"], ["y"])], "g", infos, [onnx.ValueInfoProto(name="y")])
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize("opening", [lambda path: open_model(str(path)), open_upload])
@pytest.mark.parametrize("what", REFUSED)
def test_onnx_files_that_cannot_be_asked(tmp_path: Path, what: str, opening: Callable) -> None:
    make, words = REFUSED[what]
    with pytest.raises(UsageError, match=words) as caught:
        opening(make(tmp_path / "m.onnx"))
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".") and len(str(caught.value)) < 400


def test_channels_tell_the_layout_where_the_file_does_not(tmp_path: Path) -> None:
    path = behind(tmp_path / "m.onnx", shape=(1, 64, "w", "c"))
    np.testing.assert_allclose(ask(open_model(str(path), reading=Reading(channels=3))), mixed(), atol=1e-5)
    with pytest.raises(UsageError, match="which have not 5 channels"):
        open_model(str(behind(path, shape=(1, "h", "w", 3))), reading=Reading(channels=5)).function(torch.rand(1, 5, 8, 8))
    with pytest.raises(UsageError, match="pixels of 0 to 255; leave mean and std out"):
        open_model(str(behind(path, shape=(1, "h", "w", 3), kind="UINT8")), reading=Reading(mean=0.5))
    with pytest.raises(UsageError, match="computed on the CPU, not on cuda"):
        open_model(str(path), device="cuda")
    with pytest.raises(UsageError, match="mean has 2 numbers for 3 channels"):
        open_model(str(mixing(path)), reading=Reading(mean=(0.5, 0.5), channels=3))


def test_weights_in_other_files_stay_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = mixing(tmp_path / "a" / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    opened = open_model(str(path))
    np.testing.assert_allclose(ask(opened), mixed(), atol=1e-5)
    data = path.parent / "m.bin"
    assert opened.fingerprint == hashlib.sha256(path.read_bytes() + data.read_bytes()).hexdigest()
    with pytest.raises(UsageError, match="weights in other files; save it as one file"):
        open_upload(path)
    secret = data.rename(tmp_path / "m.bin")
    with pytest.raises(UsageError, match=r"'m\.bin', which is not there"):
        open_model(str(path))
    data.symlink_to(secret)
    for location in ("m.bin", "../m.bin", str(secret), "../a/../m.bin"):
        model = onnx.load(path, load_external_data=False)
        model.graph.initializer[0].external_data[0].value = location
        path.write_bytes(model.SerializeToString())
        with pytest.raises(UsageError, match="outside its own folder, which is not read"):
            open_model(str(path))


# TorchScript, programs, pickles.


class Halved(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :2] / 2


def scripted(path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, on its new formats
        torch.jit.trace(Halved(), torch.rand(1, 3, 8, 8)).save(path)
    return path


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ts"])
def test_torchscript_is_trusted_first(tmp_path: Path, suffix: str) -> None:
    path = scripted(tmp_path / f"halved{suffix}")
    with pytest.raises(UsageError, match=r"runs the code in it; if you trust it, give --trust"):
        open_model(str(path))
    opened = open_model(str(path), trust=True, device="cpu", reading=Reading(answers="pictures"))
    np.testing.assert_allclose(ask(opened), PICTURE.transpose(2, 0, 1)[None, :2] / 510, atol=1e-6)
    assert (opened.name, opened.answers, opened.module is not None) == ("halved", "pictures", True)
    assert opened.fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()


class Marking:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("legacy", [True, False], ids=["pickle", "zip"])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pt2"])
def test_a_pickle_is_never_opened(tmp_path: Path, legacy: bool, suffix: str) -> None:
    marker, path = tmp_path / "marker", tmp_path / f"m{suffix}"
    if legacy:
        path.write_bytes(pickle.dumps(Marking(marker)))
    else:
        torch.save(Marking(marker), path)
    for trust, words in ((False, "give --trust"), (True, "is no TorchScript file|is no program of torch.export")):
        with pytest.raises(UsageError, match=words) as caught:
            open_model(str(path), trust=trust)
        assert "\n" not in str(caught.value)
    assert not marker.exists()


@pytest.mark.slow
def test_exported_programs(tmp_path: Path) -> None:
    code = (
        "import torch, sys; sys.path.append('tests')\n"
        "class Halved(torch.nn.Module):\n    def forward(self, x): return {'out': x[:, :2] / 2}\n"
        "any = torch.export.Dim.AUTO\n"
        "for name, free in (('free', {2: any, 3: any}), ('fixed', {})):\n"
        "    program = torch.export.export(Halved(), (torch.rand(1, 3, 64, 96),), dynamic_shapes=(free,))\n"
        f"    torch.export.save(program, {str(tmp_path)!r} + f'/{{name}}.pt2')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})
    with pytest.raises(UsageError, match="give --trust"):
        open_model(str(tmp_path / "free.pt2"))
    free, fixed = (open_model(str(tmp_path / f"{name}.pt2"), trust=True, device="cpu") for name in ("free", "fixed"))
    assert (free.size, fixed.size) == (None, (64, 96))
    for opened in (free, fixed):
        np.testing.assert_allclose(ask(opened), PICTURE.transpose(2, 0, 1)[None, :2] / 510, atol=1e-6)
    assert ask(free, PICTURE[:31, :17]).shape == (1, 2, 31, 17)
    with pytest.raises(UsageError, match="takes 3 channels, not 1"):
        open_model(str(tmp_path / "free.pt2"), trust=True, reading=Reading(channels=1))


# The user's own Python.

OWN = """
import numpy as np
import torch
from beside import HALF

def halved(x):
    return x * HALF

def labels(x):
    return x[0].argmax(0).numpy()

def last(x):
    assert not torch.is_grad_enabled()
    return x.view(1, 3, -1).view_as(x).numpy().transpose(0, 2, 3, 1)

def failing(x):
    raise RuntimeError("no\\nway")

def coarse(x):
    return x[..., ::4, ::4]

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)
        self.factor = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        return self.drop(x) * self.factor

network = Network()
number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    (tmp_path / "mine_here.py").write_text(OWN)
    (tmp_path / "beside.py").write_text("HALF = 0.5\n")
    return tmp_path


def test_functions_and_modules_of_ones_own(own: Path) -> None:
    half = PICTURE.transpose(2, 0, 1)[None] / 510
    for source in ("mine_here:halved", "mine_here.py:halved", f"{own}/mine_here.py:halved", "mine_here:network"):
        opened = open_model(source, device="cpu")
        np.testing.assert_allclose(ask(opened), half, atol=1e-6)
        assert (opened.name, opened.source, len(opened.fingerprint)) == (source.rpartition("/")[2], source, 64)
        assert (opened.module is not None) == source.endswith("network")
    labels = ask(open_model("mine_here:labels"))
    assert np.array_equal(labels[0, 0], PICTURE.argmax(2)) and find_kind(torch.from_numpy(labels)) == "labels"
    np.testing.assert_allclose(ask(open_model("mine_here:last")), half * 2, atol=1e-6)
    assert ask(open_model("mine_here:halved", reading=Reading(channels=1)), PICTURE[..., :1]).shape == (1, 1, 64, 96)


def test_a_fingerprint_is_of_the_code_and_the_weights(own: Path) -> None:
    first = open_model("mine_here.py:network")
    with torch.no_grad():
        first.module.factor.fill_(0.25)
    prints = {open_model(f"mine_here.py:{name}").fingerprint for name in ("network", "halved", "labels")}
    assert open_model("mine_here.py:network").fingerprint == first.fingerprint and len(prints) == 3
    (own / "mine_here.py").write_text(OWN + "\n# changed\n")
    assert open_model("mine_here.py:network").fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("mine_here:none", "mine_here has no none"),
        ("mine_here:number", "is a int; give a function|is an int"),
        ("mine_here:Network", "is a class; give a function"),
        ("not_there_at_all:f", r"cannot be imported \(ModuleNotFoundError"),
        ("none.py:f", r"none\.py is not there"),
        ("runs/best", "runs/best is not there; give a model folder"),
        ("beside.py", r"beside\.py is a file of no kind that is known"),
        ("", "is a file of no kind|no model folder|is not there"),
    ],
)
def test_sources_that_are_none(own: Path, source: str, words: str) -> None:
    with pytest.raises((UsageError, ModelFolderError), match=words):
        open_model(source)


def test_what_a_function_does_wrong_is_told(own: Path) -> None:
    for name, words in (
        ("failing", r"cannot answer a picture of 96 x 64 pixels and 3 channels \(no way\)"),
        ("coarse", r"with \(1, 3, 16, 24\); it has to answer every pixel, with \(1, K, 64, 96\)"),
    ):
        with pytest.raises(UsageError, match=words):
            ask(open_model(f"mine_here:{name}"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"answers": "frob"}, "answers 'frob' is unknown"),
        ({"stride": 0}, "stride is 0; it is a whole number from 1"),
        ({"channels": -1}, "channels is -1"),
        ({"std": 0.0}, "std is 0.0; it is a number above 0"),
        ({"mean": float("nan")}, "mean is nan"),
    ],
)
def test_a_reading_is_checked(values: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Reading(**values)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = mixing(tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    for opening in (lambda: open_model(str(path)), lambda: open_upload(path)):
        with pytest.raises(UsageError, match=r"need the package onnx; run pip install unetlift\[onnx\]"):
            opening()
