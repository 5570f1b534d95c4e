"""Other engines that stand in for a network: onnxruntime and OpenVINO, on a file that is exported once and kept."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unetlift.errors import UsageError, one_of
from unetlift.export import difference, to_onnx
from unetlift.runtime import choose_precision
from unetlift.types import Map, Output

Backend = Literal["torch", "onnx", "openvino"]
BACKENDS: tuple[Backend, ...] = ("torch", "onnx", "openvino")

TOLERANCE = 1e-4
"""The largest difference of another engine's output from PyTorch's in float32, in parts of the output's range."""

OPSET = 20

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Start = Callable[[Path, torch.dtype], Run]


class Carried(nn.Module):
    """Stands in for a network: the same answers, of another engine, on the CPU, from any thread.

    It has no weights of its own to move or to cast: `eval` and `to` do nothing to it.

    Args:
        model: what it stands in for.
        run: (N, C, H, W) float32 to (N, K, H, W) float32; safe to call from several threads.
        backend: the engine's name.
        dtype: what the engine computes in.
    """

    def __init__(self, model: nn.Module, run: Run, backend: Backend, dtype: torch.dtype):
        super().__init__()
        self.config, self.backend, self.dtype = model.config, backend, dtype
        self._run = run
        self._origin = (model,)  # in a tuple, so that nobody takes its weights for ours

    @property
    def origin(self) -> nn.Module:
        """The network itself."""
        return self._origin[0]

    def forward(self, x: Map) -> Output:
        """(N, C, H, W) to logits (N, K, H, W), on x's device."""
        return torch.from_numpy(self._run(np.ascontiguousarray(x.cpu().float().numpy()))).to(x.device)

    def on_fixed_grid(self) -> Carried:
        """The same for the network with fixed phases; a network without adaptive phases is itself.

        Raises:
            UsageError: that network cannot be carried.
        """
        fixed = self.origin.on_fixed_grid()
        return self if fixed is self.origin else carried(fixed, self.backend, "bf16" if self.dtype is torch.bfloat16 else "float32")


def carried(model: nn.Module, backend: Backend, precision: str = "auto") -> nn.Module:
    """What answers for a network on another engine.

    The ONNX file is made by `unetlift.export.to_onnx` at the first call and kept in the user's cache folder (or in
    `UNETLIFT_CACHE`), under the hash of the weights, the config and the versions. Every file is tried beside the network
    before it is trusted, in float32: one that is damaged or answers otherwise is made anew.

    Args:
        model: a `UNet` or `Converted`; with the backend `torch` it is what comes back.
        backend: torch, onnx (onnxruntime) or openvino; both compute on the CPU, with as many threads as PyTorch has.
        precision: auto (as for PyTorch), float32 or bf16. onnxruntime, and OpenVINO for networks that choose phases, have
            float32 alone, which is what auto then means.

    Raises:
        UsageError: a name is unknown, a package is missing, the network cannot be carried, or its answers differ.
    """
    one_of("backend", backend, BACKENDS)
    if backend == "torch":
        return model
    if not hasattr(model, "config"):
        raise UsageError(f"The backend {backend} carries networks of unetlift; {type(model).__name__} is none: convert it, or take torch.")
    dtype = _dtype(model, backend, precision)
    start = {"onnx": _onnxruntime, "openvino": _openvino}[backend]()
    path, run = _proved(model.eval(), start)
    return Carried(model, run if dtype is torch.float32 else start(path, dtype), backend, dtype)


def _dtype(model: nn.Module, backend: Backend, precision: str) -> torch.dtype:
    reason = None
    if backend == "onnx":
        reason = "The backend onnx computes in float32"
    elif model.config.phase != "fixed":
        reason = "OpenVINO in bf16 would choose other phases"  # PyTorch keeps the norms that decide in float32
    if reason and precision == "bf16":
        raise UsageError(f"{reason}; give the precision float32, or the backend torch for bf16.")
    return torch.float32 if reason else choose_precision(precision, torch.device("cpu"))


def _proved(model: nn.Module, start: Start) -> tuple[Path, Run]:
    """The kept file, and the engine's run on it; it is made if there is none that answers as the network does."""
    path = kept(model)
    if path.exists():
        try:
            run = start(path, torch.float32)
            if _difference(model, run) <= TOLERANCE:
                return path, run
        except Exception:  # a damaged file: the engines' errors have no common base
            path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    to_onnx(model, path, opset=OPSET)
    run = start(path, torch.float32)
    if not (apart := _difference(model, run)) <= TOLERANCE:
        said = f"{type(model).__name__} answers otherwise on this backend, by {apart:.1e} of the range of its answers"
        raise UsageError(f"{said}, more than the tolerance {TOLERANCE:g}; take torch.")
    return path, run


def _difference(model: nn.Module, run: Run) -> float:
    """Between both outputs for a small map of odd size."""
    x = torch.randn((1, model.config.in_channels, 67, 85), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        own = model(x.to(next(model.parameters()))).float().cpu()
    return difference(own, torch.from_numpy(run(x.numpy())))


def kept(model: nn.Module) -> Path:
    """Where a network's ONNX file is kept."""
    import pooch

    from unetlift import __version__

    versions = __version__, torch.__version__, OPSET
    digest = hashlib.sha256(repr((type(model).__name__, model.config, versions)).encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().data)
    folder = Path(os.environ.get("UNETLIFT_CACHE") or pooch.os_cache("unetlift")) / "onnx"
    return folder / f"{digest.hexdigest()[:32]}.onnx"


def _onnxruntime() -> Start:
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError("The backend onnx needs the package onnxruntime; run pip install unetlift[onnx].") from error

    def start(path: Path, dtype: torch.dtype) -> Run:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what it has to say is raised
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others read and write meanwhile
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda x: session.run(None, {"input": x})[0]

    return start


def _openvino() -> Start:
    try:
        import openvino
    except ImportError as error:
        raise UsageError("The backend openvino needs the package openvino; run pip install unetlift[openvino].") from error

    def start(path: Path, dtype: torch.dtype) -> Run:
        settings = {
            "INFERENCE_PRECISION_HINT": "f32" if dtype is torch.float32 else "bf16",  # by itself it takes what is fastest
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        network = openvino.Core().compile_model(path, "CPU", settings)
        own = threading.local()  # a request serves one caller at a time

        def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
            if not hasattr(own, "request"):
                own.request = network.create_infer_request()
            return own.request.infer([x])[0]

        return run

    return start
