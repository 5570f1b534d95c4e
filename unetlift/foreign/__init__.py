"""Anybody's model as a function: our folders, those of smp, ONNX, TorchScript, exported programs, the user's own Python."""

from pathlib import Path

from unetlift.errors import UsageError
from unetlift.foreign import onnx
from unetlift.foreign.callables import names_callable, open_callable
from unetlift.foreign.folders import open_folder
from unetlift.foreign.opened import Function, Opened, Prepare, Reading
from unetlift.foreign.torchfiles import PROGRAMS, SCRIPTS, open_torch
from unetlift.foreign.uploads import open_strange_folder

__all__ = ["Function", "Opened", "Prepare", "Reading", "open_model", "open_upload"]

ONNX = ".onnx"
_SOURCES = f"give a model folder, a folder of smp, a file ({', '.join((ONNX, *SCRIPTS, *PROGRAMS))}), or module:function"


def open_model(source: str, *, trust: bool = False, device: str = "auto", reading: Reading = Reading()) -> Opened:
    """A model of one's own, as a function from pictures to answers; nothing is downloaded or unpickled.

        opened = open_model("network.onnx", reading=Reading(answers="logits", stride=32))
        answer = opened.function(opened.prepare(picture, "picture.png"))

    Args:
        source: a model folder, a folder of smp's save_pretrained, an .onnx file, a TorchScript file (.pt, .pth, .ts), a program
            of torch.export (.pt2), or `module:function` or `FILE.py:function`, whose code is the user's own.
        trust: that the code in TorchScript and exported programs may run.
        device: auto, cpu, cuda or mps; ONNX files are computed on the CPU, and a function is given what is on the CPU.
        reading: what the source does not say itself.

    Raises:
        ModelFolderError: a folder has a missing, damaged or foreign file.
        UsageError: there is no such source, it cannot be asked, is not trusted, the reading does not suit it, or a package is
            missing.
    """
    path = Path(source)
    suffix = path.suffix.lower()
    if path.is_dir():
        return open_folder(source, device, reading)
    if names_callable(source):
        return open_callable(source, device, reading)
    if not path.is_file():
        raise UsageError(f"{source} is not there; {_SOURCES}.")
    if suffix == ONNX:
        return onnx.open_onnx(source, device, reading)
    if suffix not in (*SCRIPTS, *PROGRAMS):
        raise UsageError(f"{source} is a file of no kind that is known; {_SOURCES}.")
    if not trust:
        raise UsageError(f"Loading {source} runs the code in it; if you trust it, give --trust (trust=True), or an ONNX file instead.")
    return open_torch(source, device, reading)


def open_upload(path: Path) -> Opened:
    """A stranger's model: an .onnx file, which runs in a process of its own, or a model folder; nothing that can run code.

    Raises:
        ModelFolderError: a folder has a missing, damaged or foreign file.
        UsageError: it is of another kind, too large, reaches beyond itself, or cannot be asked; or a package is missing.
    """
    if path.is_dir() and not path.is_symlink():
        return open_strange_folder(path)
    if path.suffix.lower() != ONNX or path.is_symlink() or not path.is_file():
        raise UsageError(f"{path.name} cannot be measured here; give an .onnx file, or a folder with config.json and model.safetensors.")
    return onnx.open_strange(path)
