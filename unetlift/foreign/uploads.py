"""Model folders of strangers: their sizes are known before anything of such a size is made."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from unetlift.config import ConvertedConfig, from_mapping
from unetlift.errors import ModelFolderError, UnetliftError, UsageError
from unetlift.foreign.folders import SETTINGS, WEIGHTS, is_smp, open_ours, open_smp, settings_of
from unetlift.foreign.opened import Opened, Reading, reason

LARGEST = {SETTINGS: 2**20, WEIGHTS: 2**27}
"""Bytes of each file."""

MOST_NUMBERS = 2**26
"""In all weights; files in half precision unfold to as much."""

HIGHEST = 1024
"""Number in a description: channels, classes, kernels."""


def open_strange_folder(folder: Path) -> Opened:
    """A stranger's model folder, or folder of smp.

    Raises:
        ModelFolderError: a file is missing, damaged or foreign.
        UsageError: it is too large, or reaches beyond itself.
    """
    for name, largest in LARGEST.items():
        path = folder / name
        if path.is_symlink():
            raise UsageError(f"{name} is a link; give the file itself.")
        if path.is_file() and path.stat().st_size > largest:
            raise UsageError(f"{name} is larger than {largest / 2**20:.0f} MB; take a smaller model.")
    settings = settings_of(folder)
    smp = is_smp(folder, settings)
    described = settings if smp else settings["network"]
    for value in _numbers(described):
        if not abs(value) <= HIGHEST:
            raise UsageError(f"{SETTINGS} has the number {value}; those of its network go up to {HIGHEST}.")
    _check_weight(folder, settings, smp)
    return (open_smp if smp else open_ours)(str(folder), "cpu", Reading())


def _numbers(value: Any) -> Iterator[float]:
    """All numbers of parsed JSON, its lists' lengths among them, however deep they lie."""
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, dict | list):
            yield len(value)
            left += value.values() if isinstance(value, dict) else value
        elif isinstance(value, int | float):
            yield value


class _Lists(TorchFunctionMode):
    """Leaves real what networks read numbers from while they are made."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.linspace:
            kwargs.setdefault("device", "cpu")
        return function(*args, **kwargs)


def _check_weight(folder: Path, settings: dict[str, Any], smp: bool) -> None:
    """Raises UsageError if the network that a folder describes has too many weights; none of them are made."""
    try:
        with torch.device("meta"), _Lists():
            network = _smp(settings) if smp else _ours(settings)
    except UnetliftError:
        raise
    except Exception as error:  # whatever PyTorch raises at sizes that nothing can have
        raise ModelFolderError(f"{folder / SETTINGS} does not describe a network ({reason(error)}); copy the folder again.") from error
    count = sum(tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
    if count > MOST_NUMBERS:
        raise UsageError(f"{SETTINGS} describes {count:,} weights; at most {MOST_NUMBERS:,} are taken.")


def _smp(settings: dict[str, Any]) -> nn.Module:
    from unetlift.convert.source import make  # smp takes seconds to import

    return make(settings["_model_class"], settings)


def _ours(settings: dict[str, Any]) -> nn.Module:
    from unetlift.checkpoint import KINDS
    from unetlift.model import UNet

    config = from_mapping(KINDS[settings.get("kind", "unet")], settings["network"], f"network in {SETTINGS}")
    if not isinstance(config, ConvertedConfig):
        return UNet(**vars(config))
    from unetlift.convert import build  # the same

    return build(config)
