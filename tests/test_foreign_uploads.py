"""A stranger's model reads, runs and allocates nothing that it should not."""

import gc
import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from foreign_files import PICTURE, SMP, ask, mixing, negated, onnx_file, smp_folder
from onnx import TensorProto, helper, numpy_helper

from unetlift import UNet, from_smp
from unetlift.errors import ModelFolderError, UsageError
from unetlift.foreign import apart, open_upload, uploads

# ONNX files.


def _attribute(path: Path) -> Path:
    """A constant deep in a branch that lies in another file."""
    tensor = numpy_helper.from_array(np.ones(3, np.float32), "t")
    onnx.external_data_helper.set_external_data(tensor, "/etc/hostname")
    tensor.ClearField("raw_data")
    branch = helper.make_graph([helper.make_node("Constant", [], ["b"], value=tensor)], "b", [], [onnx.ValueInfoProto(name="b")])
    nodes = [helper.make_node("If", ["yes"], ["c"], then_branch=branch, else_branch=branch), helper.make_node("Add", ["x", "c"], ["y"])]
    return onnx_file(path, nodes, {"yes": np.array(True)})


def _sparse(path: Path) -> Path:
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("i", TensorProto.INT64, [1], [0]), [10**10])
    nodes = [helper.make_node("Constant", [], ["c"], sparse_value=sparse), helper.make_node("Add", ["x", "c"], ["y"])]
    return onnx_file(path, nodes)


def _functions(path: Path) -> Path:
    """Each calls the one before twice: thirty of them would unfold to a thousand million operators."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    functions = []
    for k in range(30):
        below, domain = (f"f{k - 1}", "own") if k else ("Neg", "")
        twice = [helper.make_node(below, [a], [b], domain=domain) for a, b in ("am", "mb")]
        functions.append(helper.make_function("own", f"f{k}", ["a"], ["b"], twice, opsets))
    node = helper.make_node("f29", ["x"], ["y"], domain="own")
    return onnx_file(path, [node], opsets=opsets[1:], more={"functions": functions})


def _many(path: Path) -> Path:
    names = ["x", *map(str, range(20_000)), "y"]
    return onnx_file(path, [helper.make_node("Neg", [a], [b]) for a, b in pairwise(names)])


def _large(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(2**27 + 1)
    return path


STRANGE = {
    "a constant in another file": (_attribute, "weights in other files"),
    "a sparse tensor": (_sparse, "sparse tensors; save them dense"),
    "functions": (_functions, "functions of its own, such as 'f0'"),
    "a foreign operator": (lambda p: negated(p, "Gelu", "com.microsoft"), "operator com.microsoft.Gelu"),
    "too many operators": (_many, "20001 operators; at most 20000"),
    "a large file": (_large, "larger than 128 MB"),
    "a giant constant": (lambda p: _bomb(p, 40_000), "wants more than 768 MB of memory; take a smaller"),
    "a giant enlargement": (
        lambda p: onnx_file(p, [helper.make_node("Resize", ["x", "", "by"], ["y"])], {"by": np.array([1, 1, 900, 900], np.float32)}),
        "wants more than 768 MB of memory; take a smaller",
    ),
}


def _bomb(path: Path, side: int) -> Path:
    steps = ("ConstantOfShape", ["s"], ["c"]), ("ReduceSum", ["c"], ["r"]), ("Add", ["x", "r"], ["y"])
    return onnx_file(path, [helper.make_node(*step) for step in steps], {"s": np.array([1, 3, side, side])})


@pytest.mark.parametrize("what", STRANGE)
def test_what_a_strangers_file_may_not(tmp_path: Path, what: str) -> None:
    make, words = STRANGE[what]
    path, begin = make(tmp_path / "m.onnx"), time.monotonic()
    with pytest.raises(UsageError, match=words) as caught:
        open_upload(path)
    assert "\n" not in str(caught.value) and time.monotonic() - begin < 20


def _endless(path: Path) -> Path:
    names = [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("c", TensorProto.BOOL, [])]
    value = [onnx.ValueInfoProto(name=name) for name in ("v", "w")]
    steps = [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Neg", ["v"], ["w"])]
    body = helper.make_graph(steps, "b", [*names, value[0]], [helper.make_tensor_value_info("d", TensorProto.BOOL, []), value[1]])
    loop = helper.make_node("Loop", ["n", "yes", "x"], ["y"], body=body)
    return onnx_file(path, [loop], {"n": np.array(2**62), "yes": np.array(True)})


def test_an_endless_model_is_ended(tmp_path: Path) -> None:
    session = apart.Apart("m.onnx", _endless(tmp_path / "m.onnx").read_bytes(), seconds=3)
    for _ in range(2):  # and stays so
        with pytest.raises(UsageError, match=r"m\.onnx was ended: it crashed, or wanted more than 768 MB and 3 seconds"):
            session.run(np.zeros((1, 3, 8, 8), np.float32))


@pytest.mark.slow
def test_an_endless_model_ends_itself_when_nobody_is_left(tmp_path: Path) -> None:
    code = (
        "import sys, numpy, threading, time; from unetlift.foreign import apart; from pathlib import Path\n"
        f"session = apart.Apart('m.onnx', Path({str(_endless(tmp_path / 'm.onnx'))!r}).read_bytes(), seconds=0.5)\n"
        "session.seconds = 60\n"
        "threading.Thread(target=session.run, args=(numpy.zeros((1, 3, 8, 8), numpy.float32),), daemon=True).start()\n"
        "time.sleep(0.5); print(session._process.pid, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = Path("/proc") / process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdout.close()
    assert child.exists()
    deadline = time.monotonic() + 20
    while child.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not child.exists()


def test_a_strangers_process_ends_with_its_model(tmp_path: Path) -> None:
    session = apart.Apart("m.onnx", mixing(tmp_path / "m.onnx").read_bytes())
    process = session._process
    assert process.poll() is None and session.run(np.zeros((1, 3, 8, 8), np.float32))[0].shape == (1, 4, 8, 8)
    del session
    gc.collect()
    assert process.poll() is not None


def test_a_crash_is_told(tmp_path: Path) -> None:
    opened = open_upload(mixing(tmp_path / "m.onnx"))
    session = opened.function.run.__closure__
    process = next(cell.cell_contents.__self__._process for cell in session if hasattr(cell.cell_contents, "__self__"))
    process.kill()
    with pytest.raises(UsageError, match="was ended: it crashed"):
        ask(opened)


def test_uploads_are_files_of_two_kinds(tmp_path: Path) -> None:
    mixing(tmp_path / "m.onnx")
    (tmp_path / "l.onnx").symlink_to(tmp_path / "m.onnx")
    (tmp_path / "m.py").write_text("f = abs")
    for name in ("l.onnx", "m.py", "none.onnx", "m.py:f", "m.pt"):
        with pytest.raises(UsageError, match=r"cannot be measured here; give an \.onnx file, or a folder"):
            open_upload(tmp_path / name)


# Folders.


def described(folder: Path, **network) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["network"] |= network
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"width": 10**6}, "the number 1000000; those of its network go up to 1024"),
        ({"depth": 1000}, "does not describe a network|weights; at most"),
        ({"width": 1024, "depth": 8}, "weights; at most 67,108,864"),
        ({"width": 1e400}, "the number inf"),
        ({"depth": "deep"}, "depth is 'deep'|does not describe"),
        ({"frob": 1}, "unknown key 'frob'"),
    ],
)
def test_sizes_are_known_before_anything_is_made(model_folder: Path, network: dict, words: str) -> None:
    described(model_folder, **network)
    before = peak()
    with pytest.raises((UsageError, ModelFolderError), match=words):
        open_upload(model_folder)
    assert peak() - before < 200


def peak() -> float:
    """MB that this process has ever had."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_sizes_of_smp_are_known_too(tmp_path: Path) -> None:
    smp_folder(tmp_path, SMP["Unet"]())
    config = json.loads((tmp_path / "config.json").read_text())
    for changes, words in (
        ({"encoder_name": "tu-convnext_xxlarge"}, "weights; at most"),
        ({"decoder_channels": [4096, 16, 8, 8, 4]}, "the number 4096"),
        ({"_model_class": "os.system"}, "'os.system' is unknown"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | changes))
        before = peak()
        with pytest.raises((UsageError, ModelFolderError), match=words):
            open_upload(tmp_path)
        assert peak() - before < 200


def test_large_files_and_links_of_a_folder_are_refused(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(uploads.LARGEST, "model.safetensors", 1000)
    with pytest.raises(UsageError, match=r"model\.safetensors is larger than"):
        open_upload(model_folder)
    weights = (model_folder / "model.safetensors").rename(model_folder / "weights")
    (model_folder / "model.safetensors").symlink_to(weights)
    with pytest.raises(UsageError, match=r"model\.safetensors is a link"):
        open_upload(model_folder)


@pytest.mark.slow
def test_converted_folders_of_strangers_open(tmp_path: Path) -> None:
    from_smp(SMP["Unet"]().eval(), down="blur-3").save_pretrained(tmp_path / "c")
    assert open_upload(tmp_path / "c").name == "blur-3+own/Unet/resnet18"


def test_small_folders_of_strangers_open(tmp_path: Path) -> None:
    UNet(depth=1, width=4, in_channels=1, classes=1).save_pretrained(tmp_path / "d")
    assert ask(open_upload(tmp_path / "d"), PICTURE[..., :1]).shape == (1, 2, 64, 96)
