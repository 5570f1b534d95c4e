"""The only reader and writer of model folders: config.json, model.safetensors, README.md; nothing is unpickled."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from unetlift.config import ConvertedConfig, NetworkConfig, from_mapping
from unetlift.errors import ModelFolderError, UnetliftError, UsageError, one_of
from unetlift.info import ModelInfo

FORMAT = 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
Folder = str | PathLike[str]
NetworkKind = NetworkConfig | ConvertedConfig
KINDS: dict[str, type[NetworkKind]] = {"unet": NetworkConfig, "converted": ConvertedConfig}
"""What a folder may hold; one without a kind is from before there were two, and holds a UNet."""

# The colours of classes that come without any: background black, then hues that stay apart for the colour-blind
# (Okabe and Ito).
PALETTE = ((0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))


PRECISIONS = ("float32", "float16")
"""Of stored weights: as they are, or in half the space with 11 bits. Either is read into float32."""


def numbered(classes: int) -> ModelInfo:
    """Classes known by their numbers alone."""
    colours = tuple(PALETTE[k] if k < len(PALETTE) else (37 * k % 256, 91 * k % 256, 151 * k % 256) for k in range(classes))
    return ModelInfo(tuple(str(k) for k in range(classes)), colours)


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a temporary file beside `path`, then puts it in place; on failure nothing is left behind."""
    write_together({path: write})


def write_together(files: dict[Path, Callable[[Path], None]]) -> None:
    """The same for files that belong to each other: all are on the disk before the first takes its place."""
    parts: dict[Path, Path] = {}
    try:
        for path, write in files.items():
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
            os.close(handle)
            parts[path] = part = Path(name)
            write(part)
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.chmod(0o644)
        for path, part in parts.items():
            part.replace(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def save(
    model: nn.Module, folder: Folder, info: ModelInfo | None = None, card: str | None = None, precision: str = "float32"
) -> None:
    """Writes `model` (which has a `config`) as a model folder; see `UNet.save_pretrained`.

    The weights' hash stands in config.json, so that files of two saves are never taken for one.

    Raises:
        UsageError: mean or std of `info` are not as many as the network's channels, the precision is unknown, or it does not hold a
            weight.
    """
    one_of("precision", precision, PRECISIONS)
    info = info or numbered(max(2, model.config.classes))  # one logit tells two classes apart
    info.check_channels(model.config.in_channels)
    weights = {name: _stored(name, tensor, precision) for name, tensor in _unique_state(model).items()}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = safetensors.torch.save(weights)
    config = {
        "format": FORMAT,
        "kind": next(name for name, kind in KINDS.items() if isinstance(model.config, kind)),
        "network": asdict(model.config),
        "info": asdict(info),
        "weights_sha256": hashlib.sha256(data).hexdigest(),
    }
    card = card or (
        f"# {model.config.variant}\n\nA network made with unetlift; `unetlift.from_pretrained` loads it.\n\n"
        f"Its stride is {model.config.stride}: what an anchor wants to know.\n"
    )
    contents = {WEIGHTS: data, CONFIG: (json.dumps(config, indent=2) + "\n").encode(), CARD: card.encode()}
    write_together({folder / name: lambda part, content=content: _write(part, content) for name, content in contents.items()})


def _stored(name: str, tensor: Tensor, precision: str) -> Tensor:
    """A tensor as it is written; whole numbers stay what they are."""
    tensor = tensor.detach().cpu().contiguous()
    if precision == "float32" or not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    lost = half.isinf() & tensor.isfinite()
    if name.endswith("running_var"):  # what is divided by may be small, but not vanish
        lost |= (half == 0) & (tensor != 0)
    if lost.any():
        raise UsageError(f"precision is 'float16', which does not hold {tensor[lost][0]:g} of {name}; give float32.")
    return half


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _unique_state(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and saved buffers, each once: a LiftUp shares its tensors with its LiftDown."""
    saved = model.state_dict(keep_vars=True)
    unique = {id(tensor): name for name, tensor in reversed(saved.items())}  # the first name wins
    return {name: saved[name] for name in saved if unique[id(saved[name])] == name}


def read(folder: Folder) -> tuple[NetworkKind, ModelInfo, dict[str, Tensor]]:
    """Reads and checks a model folder.

    Raises:
        ModelFolderError: naming the file that is missing, damaged or foreign.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelFolderError(f"{folder} is no model folder: {name} is missing; give a folder made by unetlift train.")
    config = _read_config(folder / CONFIG)
    data = (folder / WEIGHTS).read_bytes()
    if hashlib.sha256(data).hexdigest() != config["weights_sha256"]:
        raise ModelFolderError(f"{folder / WEIGHTS} is damaged or belongs to another {CONFIG}; copy both again from one source.")
    try:
        weights = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise ModelFolderError(f"{folder / WEIGHTS} is no safetensors file ({error}); copy it again.") from error
    try:
        one_of("kind", kind := config.get("kind", "unet"), KINDS)
        network = from_mapping(KINDS[kind], config["network"], f"network in {folder / CONFIG}")
        info = from_mapping(ModelInfo, _tuples(config["info"]), f"info in {folder / CONFIG}")
        info.check_channels(network.in_channels)
    except (UnetliftError, TypeError, AttributeError) as error:
        raise ModelFolderError(f"{folder / CONFIG} does not describe a network: {error}") from error
    return network, info, weights


def fingerprint(folder: Folder) -> str:
    """SHA-256 of all that a network's answers depend on: structure, meaning of in- and outputs, weights; not of its card.

    Raises:
        ModelFolderError: the folder's description is missing, damaged or foreign.
    """
    config = _read_config(Path(folder) / CONFIG)
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFolderError(f"{path} is no JSON file ({error}); copy the folder again.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ModelFolderError(f"{path} was not written by unetlift (its format is not {FORMAT}); give a folder made by unetlift train.")
    missing = {"network", "info", "weights_sha256"} - set(config)
    if missing:
        raise ModelFolderError(f"{path} lacks {sorted(missing)[0]!r}; copy the folder again.")
    return config


def _tuples(info: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples."""
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in info.items()}
    return plain | {"colours": tuple(tuple(c) for c in info["colours"])}


def assign(model: nn.Module, weights: dict[str, Tensor], folder: Folder) -> None:
    """Copies weights into a freshly built model; every tensor must be there, none may be left over."""
    expected = _unique_state(model)
    wrong = sorted(set(expected) ^ set(weights)) or [k for k in expected if expected[k].shape != weights[k].shape]
    if wrong:
        raise ModelFolderError(f"{Path(folder) / WEIGHTS} does not fit its {CONFIG}: tensor {wrong[0]!r}; copy both from one source.")
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(weights[name])
