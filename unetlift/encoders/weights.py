"""Pretrained weights from a local file: safetensors, or PyTorch's format without anything but tensors in it."""

import pickle
import warnings
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from unetlift.encoders.flow import SIZE, on_meta
from unetlift.errors import UsageError

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
PREFIXES = ("", "model.", "encoder.", "encoder.model.", "module.")


def names_file(weights: str) -> bool:
    """Whether encoder weights are a file rather than a name."""
    return weights.endswith(SUFFIXES) or Path(weights).exists()


def load_file(body: nn.Module, path: str) -> None:
    """Copies weights into an encoder; every tensor has to be there, a classifier may be left over.

    Args:
        body: the encoder, for three input channels.
        path: its weights, under its own keys or those of the network that it is the beginning of.

    Raises:
        UsageError: there is no such file, it holds more than tensors, or it is of another architecture.
    """
    found = _read(Path(path))
    wanted = body.state_dict()
    prefixes = [(ours, theirs) for theirs in PREFIXES for ours in ("", "model.")]
    renamed = max(({f"{ours}{k.removeprefix(theirs)}": v for k, v in found.items() if k.startswith(theirs)} for ours, theirs in prefixes),
                  key=lambda names: len(names.keys() & wanted.keys()))
    missing = [key for key in wanted if key not in renamed and not key.endswith("num_batches_tracked")]
    if missing:
        raise UsageError(f"{path} is of another architecture than {body._get_name()}: {_some(missing)} of {len(wanted)} keys miss.")
    wrong = [key for key in wanted if key in renamed and renamed[key].shape != wanted[key].shape]
    if wrong:
        shapes = f"{tuple(renamed[wrong[0]].shape)} instead of {tuple(wanted[wrong[0]].shape)}"
        raise UsageError(f"{path} is of another architecture than {body._get_name()}: {wrong[0]} is {shapes}.")
    body.load_state_dict({key: renamed[key] for key in wanted if key in renamed}, strict=False)


def widen_first(body: nn.Module, channels: int) -> None:
    """Lets trained weights read other pictures than RGB: those that read the picture are summed, or repeated and scaled.

    Raises:
        UsageError: no convolution reads the picture itself.
    """
    if channels == 3:
        return
    readers = _readers(body)
    if not readers:
        raise UsageError(f"No convolution of {body._get_name()} reads the picture itself; with weights it takes in_channels 3 alone.")
    for reader in readers:
        weight = reader.weight.detach()
        repeated = [weight[:, k % 3] for k in range(channels)] if channels > 1 else [weight.sum(1)]
        reader.weight = nn.Parameter(torch.stack(repeated, 1) * (3 / channels if channels > 1 else 1))
        reader.in_channels = channels


def _readers(body: nn.Module) -> list[nn.Conv2d]:
    """The convolutions that are given the picture as it is; parallel branches make them several."""
    stand_in, picture, names = on_meta(body), torch.empty(1, 3, *SIZE, device="meta"), []
    for name, module in stand_in.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda _, args, name=name: names.append(name) if args[0] is picture else None)
    with torch.no_grad():
        stand_in(picture)
    return [body.get_submodule(name) for name in names]


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about foreign pickles, of which the sentences below say all
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UsageError(f"encoder_weights {path} is missing; give a .safetensors or .pth file, a name, or none.") from error
    except pickle.UnpicklingError as error:
        raise UsageError(f"{path} holds more than tensors, which unpickling would run; save its state_dict as .safetensors.") from error
    except (OSError, RuntimeError, EOFError, safetensors.SafetensorError) as error:
        raise UsageError(f"{path} cannot be read as weights ({type(error).__name__}); give a .safetensors or .pth file.") from error
    for key in ("state_dict", "model"):
        found = found[key] if isinstance(found, dict) and isinstance(found.get(key), dict) else found
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise UsageError(f"{path} holds no weights by name; give the file of a state_dict.")
    return found


def _some(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
