"""Folders that segmentation-models-pytorch saves, read without unpickling or downloading, and made into model folders."""

import json
from dataclasses import replace
from os import PathLike
from pathlib import Path

import safetensors
import safetensors.torch
from torch import nn

from unetlift import checkpoint
from unetlift.config import PoolsConfig
from unetlift.convert.network import Converted, convert
from unetlift.convert.source import make
from unetlift.encoders.smp import preprocessing
from unetlift.errors import ModelFolderError, UsageError

CONFIG, WEIGHTS, PICKLED = "config.json", "model.safetensors", "pytorch_model.bin"


def convert_folder(
    source: str, target: str, pools: PoolsConfig, mean: tuple[float, ...] = (), std: tuple[float, ...] = ()
) -> Converted:
    """Makes a model folder of a folder that smp has saved; its classes are numbered.

    Args:
        source: of smp.
        target: a new or empty folder.
        pools: what the network is given.
        mean: of pictures scaled to 0..1, as the network was trained, for each channel or for all; without it, what its
            encoder's own weights expect, which for most is ImageNet's.
        std: likewise.

    Returns:
        The network.

    Raises:
        ModelFolderError: see `read_smp`.
        UsageError: the target holds files, or the network cannot take the pools.
    """
    folder = Path(target)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not empty; give another --to.")
    model = convert(read_smp(source), pools)
    config = model.config
    usual = preprocessing(config.encoder, WEIGHTS, config.in_channels)
    given = [values[0] if len(values) == 1 else values for values in (mean, std)]  # one number is every channel's
    chosen = [value if value != () else own for value, own in zip(given, usual, strict=True)]
    info = replace(checkpoint.numbered(max(2, config.classes)), mean=chosen[0], std=chosen[1])
    card = (
        f"# {config.variant}\n\nAn smp.{config.architecture} with {config.encoder}, converted by unetlift: its weights are those of the "
        f"original, trained without these pools, so that it wants fine-tuning (`unetlift train --from`).\n\n"
        f"Pictures are normalised with mean {info.mean} and std {info.std}. Its stride is {config.stride}.\n"
    )
    model.save_pretrained(folder, info, card)
    return model


def read_smp(folder: str | PathLike[str]) -> nn.Module:
    """The network of a folder that smp's `save_pretrained` has written, in eval mode; nothing is unpickled or downloaded.

    Raises:
        ModelFolderError: a file is missing, damaged, or not of this kind.
    """
    folder = Path(folder)
    path, weights = folder / CONFIG, folder / WEIGHTS
    if not path.is_file():
        raise ModelFolderError(f"{folder} is no folder of smp: config.json is missing; give one that its save_pretrained has written.")
    if not weights.is_file():
        pickled = " (pytorch_model.bin is not read, since unpickling can run code)" if (folder / PICKLED).exists() else ""
        raise ModelFolderError(f"{folder} has no model.safetensors{pickled}; save the network again with smp's save_pretrained.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFolderError(f"{path} is no JSON file ({error}); copy the folder again.") from error
    if not isinstance(config, dict) or "_model_class" not in config:
        raise ModelFolderError(f"{path} was not written by smp (it has no _model_class); give a folder of its save_pretrained.")
    try:
        model = make(config["_model_class"], config)
    except UsageError as error:
        raise ModelFolderError(f"{path}: {error}") from error
    try:
        model.load_state_dict(safetensors.torch.load_file(weights))
    except safetensors.SafetensorError as error:
        raise ModelFolderError(f"{weights} is no safetensors file ({error}); copy it again.") from error
    except RuntimeError as error:
        first = " ".join(str(error).split("\n\t")[-1].split())[:160]
        raise ModelFolderError(f"{weights} does not fit its config.json: {first}; copy both from one source.") from error
    return model.eval()
