"""TorchScript files and exported programs as functions; loading either runs code, so that only trusted ones are."""

import hashlib
import pickle
import warnings
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor, nn

from unetlift.errors import UsageError
from unetlift.foreign.opened import USUAL_CHANNELS, Function, Opened, Prepare, Reading, reason
from unetlift.runtime import choose_device

SCRIPTS, PROGRAMS = (".pt", ".pth", ".ts"), (".pt2",)
MARKS = {"archive_format", "serialized_exported_program.json"}
"""Of the files in an exported program, now and before PyTorch 2.8."""


def open_torch(source: str, device: str, reading: Reading) -> Opened:
    """A file that is trusted: TorchScript, or a program of torch.export.

    Raises:
        UsageError: it is neither, the reading does not suit it, or the device is not to be had.
    """
    path, where = Path(source), choose_device(device)
    shape: tuple[int | None, ...] = (None,) * 4
    if path.suffix.lower() in PROGRAMS:
        module, shape = _program(path)
        module = module.to(where)
    else:
        module = _script(path, where)
    channels = reading.channels or shape[1] or USUAL_CHANNELS
    if shape[1] not in (None, channels):
        raise UsageError(f"{path.name} takes {shape[1]} channels, not {channels}; leave them out.")
    size = None if None in shape[2:] else tuple(shape[2:])
    function = Function(path.name, lambda x: asked(module, x.to(where)), reading.answers, size)
    prepare, fingerprint = Prepare(channels, reading.mean, reading.std), hashlib.sha256(path.read_bytes()).hexdigest()
    return Opened(path.stem, source, fingerprint, function, prepare, reading.answers, reading.stride, size, module=module)


def asked(module: nn.Module, x: Tensor) -> Any:
    """What a network says, without gradients."""
    with torch.inference_mode():
        return module(x)


def _script(path: Path, device: torch.device) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PyTorch's, on its new formats, which the user may not have
            return torch.jit.load(path, map_location=device).eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise UsageError(
            f"{path} is no TorchScript file ({reason(error)}); pickled modules and state dicts are not read, since unpickling runs "
            "code: save TorchScript, a program of torch.export, or ONNX."
        ) from error


def _program(path: Path) -> tuple[nn.Module, tuple[int | None, ...]]:
    """An exported program as a module, and the shape of its one input, None where that is not fixed."""
    try:
        names = {name.rpartition("/")[2] for name in ZipFile(path).namelist()}
        if not names & MARKS:
            raise ValueError("it lacks the mark of one")
        program = torch.export.load(path)
    except (RuntimeError, ValueError, OSError, LookupError, TypeError, AssertionError, pickle.UnpicklingError, BadZipFile) as error:
        raise UsageError(f"{path} is no program of torch.export that this PyTorch can load ({reason(error)}); export it again.") from error
    wanted = set(program.graph_signature.user_inputs)
    inputs = [node.meta["val"] for node in program.graph.nodes if node.name in wanted]
    shapes = [tuple(x.shape) if isinstance(x, Tensor) else x for x in inputs]
    if len(shapes) != 1 or not isinstance(shapes[0], tuple) or len(shapes[0]) != 4:
        said = ", ".join(map(str, shapes)) or "nothing"
        raise UsageError(f"{path.name} takes {said}; one picture (1, C, H, W) is what a model is given.")
    return program.module(), tuple(length if isinstance(length, int) else None for length in shapes[0])
