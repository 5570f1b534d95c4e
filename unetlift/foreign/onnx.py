"""ONNX files as functions: those of one's own run here, those of strangers are looked through and run apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unetlift.errors import UsageError
from unetlift.foreign.opened import USUAL_CHANNELS, Function, Opened, Prepare, Reading, reason
from unetlift.types import Map

if TYPE_CHECKING:
    from onnx import ModelProto

LARGEST = 2**27
"""Bytes of a stranger's file."""

MOST_NODES = 20_000

LARGEST_INPUT = 2**25
"""Numbers in one picture of the size that a file fixes."""

SIDES = 64, 256, 512
"""Of the pictures that a model which takes any size is tried on, one after the other until it takes one."""

FEW = 16
"""Beyond it the length of an axis is taken for a width or height."""

TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64", "tensor(uint8)": "uint8"}

PLAIN = "", "ai.onnx"

Run = Callable[[np.ndarray], list[np.ndarray]]


def open_onnx(source: str, device: str, reading: Reading) -> Opened:
    """One's own ONNX file, run in onnxruntime on the CPU.

    Raises:
        UsageError: see `open_model`.
    """
    if device not in ("auto", "cpu"):
        raise UsageError(f"ONNX files are computed on the CPU, not on {device}; leave the device out.")
    worker, path = _worker(), Path(source)
    model = _parsed(path.name, path.read_bytes())
    files = [path, *_outside(path, model)]
    del model  # as large as its weights
    try:
        session = worker.start(path, torch.get_num_threads(), {})
    except Exception as error:  # onnxruntime's errors have no common base
        raise UsageError(f"onnxruntime cannot load {path} ({reason(error)}); export it again.") from error
    described = worker.described(session)
    return _opened(source, _hash_of(files), described, lambda x: worker.run(session, described[0][0], x), reading)


def open_strange(path: Path) -> Opened:
    """A stranger's ONNX file, run in a process of its own with limits on memory and time.

    Raises:
        UsageError: see `open_upload`.
    """
    _worker()
    from unetlift.foreign.apart import Apart

    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise UsageError(f"{path.name} is larger than {LARGEST / 2**20:.0f} MB; take a smaller model.")
    _refuse_unusual(path.name, _parsed(path.name, data))
    try:
        session = Apart(path.name, data)
    except RuntimeError as error:
        raise UsageError(f"onnxruntime cannot load {path.name} ({reason(error)}); export it again.") from error
    return _opened(str(path), hashlib.sha256(data).hexdigest(), session.inputs, session.run, Reading())


def _worker() -> Any:
    """The module that runs sessions."""
    try:
        import onnx

        from unetlift.foreign import worker
    except ImportError as error:
        raise UsageError(f"ONNX files need the package {error.name}; run pip install unetlift[onnx].") from error
    del onnx
    return worker


def _parsed(name: str, data: bytes) -> ModelProto:
    """What a file describes, without the weights that lie in other files."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise UsageError(f"{name} is no ONNX file, or is cut off; copy or export it again.") from error
    if not model.graph.node:
        raise UsageError(f"{name} is an ONNX file without a graph; export it again.")
    return model


def _inside(message: Any) -> Iterator[Any]:
    """A protobuf message and all those in it."""
    yield message
    for _, value in message.ListFields():
        for one in [value] if hasattr(value, "ListFields") else value if hasattr(value, "add") else ():
            yield from _inside(one)


def _external(model: ModelProto) -> Iterator[str]:
    """The places outside the file that tensors lie in, wherever in the graph."""
    from onnx import TensorProto

    for part in _inside(model):
        if isinstance(part, TensorProto) and (part.external_data or part.data_location == TensorProto.EXTERNAL):
            yield next((entry.value for entry in part.external_data if entry.key == "location"), "")


def _outside(path: Path, model: ModelProto) -> list[Path]:
    """The files with a model's weights, which may lie in its own folder alone."""
    folder = path.parent.resolve()
    files = {}
    for location in _external(model):
        found = (folder / location).resolve()
        if not found.is_relative_to(folder):
            raise UsageError(f"{path} keeps weights in {location!r}, outside its own folder, which is not read; put them beside it.")
        if not found.is_file():
            raise UsageError(f"{path} keeps weights in {location!r}, which is not there; copy that file beside it.")
        files[found] = None
    return list(files)


def _refuse_unusual(name: str, model: ModelProto) -> None:
    """Raises UsageError unless a file holds all that it is, in plain operators."""
    from onnx import NodeProto, SparseTensorProto

    if next(_external(model), None) is not None:
        raise UsageError(f"{name} keeps weights in other files; save it as one file.")
    if model.functions:
        raise UsageError(f"{name} has functions of its own, such as {model.functions[0].name!r}; inline them (onnx.inliner).")
    nodes = 0
    for part in _inside(model):
        if isinstance(part, SparseTensorProto):
            raise UsageError(f"{name} holds sparse tensors; save them dense.")
        nodes += isinstance(part, NodeProto)
        if isinstance(part, NodeProto) and part.domain not in PLAIN:
            raise UsageError(f"{name} has the operator {part.domain}.{part.op_type}; the operators of ONNX itself are taken.")
    if nodes > MOST_NODES:
        raise UsageError(f"{name} has {nodes} operators; at most {MOST_NODES} are taken.")


def _hash_of(files: list[Path]) -> str:
    """SHA-256 of one file, or of several one after the other."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class _Layout:
    """How a file takes a picture: the axis and number of its channels, its size if that is fixed, and the type."""

    axis: int
    channels: int
    size: tuple[int, int] | None
    dtype: str

    def array(self, x: Map) -> np.ndarray:
        """(1, C, H, W) floats as the file wants them."""
        pixels = np.ascontiguousarray((x if self.axis == 1 else x.permute(0, 2, 3, 1)).numpy())
        return (np.rint(pixels.clip(0, 1) * 255) if self.dtype == "uint8" else pixels).astype(self.dtype)


def _layout(name: str, inputs: list[list], reading: Reading) -> _Layout:
    if len(inputs) != 1:
        raise UsageError(f"{name} has {len(inputs)} inputs; one picture (1, C, H, W) is what a model is given.")
    _, shape, kind = inputs[0]
    if kind not in TYPES or len(shape) != 4 or (shape[0] != 1 and isinstance(shape[0], int)):
        wanted = f"(1, C, H, W) or (1, H, W, C) of {', '.join(TYPES)}"
        raise UsageError(f"{name} takes {kind} of shape {tuple(shape)}; what can be measured takes {wanted}.")
    fixed = {axis: shape[axis] for axis in (1, 3) if isinstance(shape[axis], int)}
    if reading.channels is not None:
        free = [axis for axis in (1, 3) if axis not in fixed and all(length > FEW for length in fixed.values())]
        fits = [axis for axis in (1, 3) if fixed.get(axis) == reading.channels] or free
        if not fits:
            raise UsageError(f"{name} takes pictures of shape {tuple(shape)}, which have not {reading.channels} channels; leave them out.")
        axis, channels = fits[0], reading.channels
    else:
        axis = min(fixed, key=fixed.get, default=1)
        channels = fixed.get(axis, USUAL_CHANNELS)
    size = tuple(shape[2:] if axis == 1 else shape[1:3])
    size = size if all(isinstance(length, int) for length in size) else None
    if channels * int(np.prod(size or (1, 1), dtype=object)) > LARGEST_INPUT:
        raise UsageError(f"{name} takes pictures of shape {tuple(shape)}; at most {LARGEST_INPUT} numbers are given.")
    if TYPES[kind] == "uint8" and (reading.mean is not None or reading.std is not None):
        raise UsageError(f"{name} takes pixels of 0 to 255; leave mean and std out.")
    return _Layout(axis, channels, size, TYPES[kind])


def _opened(source: str, fingerprint: str, inputs: list[list], run: Run, reading: Reading) -> Opened:
    name = Path(source).name
    layout = _layout(name, inputs, reading)
    prepare = Prepare(layout.channels, reading.mean, reading.std)
    function = Function(name, lambda x: run(layout.array(x)), reading.answers, layout.size)
    if not _tried(function, layout, reading.stride).is_floating_point():
        function = replace(function, answers="labels")
    answers, multiple = function.answers, reading.stride
    return Opened(Path(source).stem, source, fingerprint, function, prepare, answers, multiple, layout.size)


def _tried(function: Function, layout: _Layout, stride: int) -> torch.Tensor:
    """The answer to the smallest picture that the model takes."""
    sizes = [layout.size] if layout.size else [(-(-side // stride) * stride,) * 2 for side in SIDES]
    errors: list[UsageError] = []
    for size in sizes:
        try:
            return function(torch.full((1, layout.channels, *size), 0.5))
        except UsageError as error:  # it may want a larger one
            errors.append(error)
    raise errors[0]
