"""Functions and modules of the user's own Python, named as `module:function` or `FILE.py:function`."""

import hashlib
import importlib
import importlib.util
import sys
from functools import reduce
from math import ceil
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from unetlift.errors import UsageError
from unetlift.foreign.opened import USUAL_CHANNELS, Function, Opened, Prepare, Reading, reason
from unetlift.foreign.torchfiles import asked
from unetlift.runtime import choose_device

TRIED = 64
"""Pixels, at least, along the sides of the noise that a function is tried on."""


def names_callable(source: str) -> bool:
    """Whether it is written as `module:function` or `FILE.py:function`."""
    module, _, name = source.rpartition(":")
    return all(part.isidentifier() for part in name.split(".")) and (
        module.endswith(".py") or all(part.isidentifier() for part in module.split("."))
    )


def open_callable(source: str, device: str, reading: Reading) -> Opened:
    """What `source` names: a function from (1, C, H, W) floats to a tensor or array, or an nn.Module.

    Raises:
        UsageError: it cannot be imported, or is neither; or the device is not to be had.
    """
    module, _, name = source.rpartition(":")
    found, where = _imported(source, module), choose_device(device)
    try:
        target = reduce(getattr, name.split("."), found)
    except AttributeError as error:
        raise UsageError(f"{module} has no {name}; give the name of a function or nn.Module in it.") from error
    if isinstance(target, type) or not callable(target):
        kind = "class" if isinstance(target, type) else type(target).__name__
        raise UsageError(f"{source} is a {kind}; give a function from (1, C, H, W) floats to its answer, or an nn.Module.")
    network = target.eval().to(where) if isinstance(target, nn.Module) else None
    run = torch.no_grad()(target) if network is None else lambda x: asked(network, x.to(where))
    channels = reading.channels or USUAL_CHANNELS
    prepare = Prepare(channels, reading.mean, reading.std)
    function = Function(source, run, reading.answers)
    said = f"{Path(module).name if module.endswith('.py') else module}:{name}"
    mark = _fingerprint(found, name, network, _tried(function, channels, reading.stride))
    return Opened(said, source, mark, function, prepare, reading.answers, reading.stride, module=network)


def _imported(source: str, module: str) -> ModuleType:
    path = Path(module)
    if module.endswith(".py") and not path.is_file():
        raise UsageError(f"{module} is not there; give a Python file and what in it to ask, FILE.py:function.")
    folder = str(path.parent.resolve() if module.endswith(".py") else Path.cwd())
    if folder not in sys.path:  # stays, since functions may import later
        sys.path.insert(0, folder)
    try:
        return _executed(path) if module.endswith(".py") else importlib.import_module(module)
    except Exception as error:  # whatever the user's own code raises
        raise UsageError(f"{source} cannot be imported ({type(error).__name__}: {reason(error)}).") from error


def _executed(path: Path) -> ModuleType:
    """A Python file as a module, which `sys.modules` knows while it is made, as dataclasses want."""
    name = f"{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec: Any = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _tried(function: Function, channels: int, stride: int) -> Tensor:
    """The answer to noise; nothing where it takes none of this size."""
    side = stride * ceil(TRIED / stride)
    try:
        return function(torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(0)))
    except UsageError:
        return torch.zeros(0)


def _fingerprint(module: ModuleType, name: str, network: nn.Module | None, answer: Tensor) -> str:
    """SHA-256 of the source file, the name in it, a network's tensors, and an answer: what else it depends on lies anywhere."""
    file = getattr(module, "__file__", None)
    digest = hashlib.sha256(Path(file).read_bytes() if file else module.__name__.encode())
    digest.update(name.encode())
    for key, tensor in network.state_dict().items() if network is not None else ():
        digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    digest.update(answer.contiguous().numpy().tobytes())
    return digest.hexdigest()
