"""Models of other people's making: ONNX files built by hand, folders as smp saves them, and what they answer."""

import json
from pathlib import Path

import numpy as np
import onnx
import segmentation_models_pytorch as smp
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from unetlift.foreign import Opened

IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
WEIGHT = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
PICTURE = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)


def ask(opened: Opened, picture: np.ndarray = PICTURE) -> np.ndarray:
    return opened.function(opened.prepare(picture, "picture.png")).numpy()


def mixed(picture: np.ndarray = PICTURE) -> np.ndarray:
    """What the ONNX files below compute of pictures of 0..1, (1, 4, H, W)."""
    return np.einsum("kc,hwc->khw", WEIGHT, picture / 255.0)[None]


def smp_folder(folder: Path, model: nn.Module) -> nn.Module:
    """Saved as smp does, with the names of weights that it would download."""
    model.eval().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text()) | {"encoder_weights": "imagenet"}
    (folder / "config.json").write_text(json.dumps(config))
    return model


SMP = {
    "Unet": lambda: smp.Unet("resnet18", encoder_weights=None, classes=3, decoder_channels=(16, 16, 8, 8, 4)),
    "Segformer": lambda: smp.Segformer("mit_b0", encoder_weights=None, classes=1, decoder_segmentation_channels=16),
}


def onnx_file(path: Path, nodes: list, tensors: dict | None = None, shape: tuple = (1, 3, "h", "w"), kind: str = "FLOAT", **keys) -> Path:
    """A file from `x` to `y`, and further outputs where `outputs` names them."""
    outputs = [onnx.ValueInfoProto(name=name) for name in keys.pop("outputs", ["y"])]
    first = helper.make_tensor_value_info("x", getattr(TensorProto, kind), shape)
    held = [numpy_helper.from_array(array, name) for name, array in (tensors or {}).items()]
    graph = helper.make_graph(nodes, "g", [first], outputs, held)
    opsets = [helper.make_opsetid("", 18), *keys.pop("opsets", [])]
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=9, **keys.pop("more", {})), path, **keys)
    return path


def mixing(path: Path, out: str = "y", **keys) -> Path:
    """(1, 3, H, W) floats to four channels."""
    conv = helper.make_node("Conv", ["x", "w"], ["y"])
    more = {"labels": [helper.make_node("ArgMax", ["y"], ["labels"], axis=1, keepdims=0)]}
    return onnx_file(path, [conv, *more.get(out, [])], {"w": WEIGHT[..., None, None]}, outputs=[out], **keys)


def negated(path: Path, operator: str = "Neg", domain: str = "", **keys) -> Path:
    """A file of one operator."""
    opsets = [helper.make_opsetid(domain, 1)] if domain else []
    return onnx_file(path, [helper.make_node(operator, ["x"], ["y"], domain=domain)], opsets=opsets, **keys)


def behind(path: Path, **keys) -> Path:
    """(1, H, W, 3) to four channels behind."""
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), helper.make_node("MatMul", ["f", "w"], ["y"])]
    return onnx_file(path, nodes, {"w": WEIGHT.T.copy()}, **keys)
