"""Model folders as functions: ours, and those of segmentation-models-pytorch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from unetlift import checkpoint
from unetlift.errors import ModelFolderError, UsageError
from unetlift.foreign.opened import Function, Opened, Prepare, Reading
from unetlift.predict import load_predictor
from unetlift.runtime import choose_device
from unetlift.types import Map

SETTINGS, WEIGHTS = checkpoint.CONFIG, checkpoint.WEIGHTS


def open_folder(source: str, device: str, reading: Reading) -> Opened:
    """A folder that unetlift or smp has written.

    Raises:
        ModelFolderError: it is neither, or a file is missing or damaged.
        UsageError: the reading does not suit it.
    """
    folder = Path(source)
    return open_smp(source, device, reading) if is_smp(folder, settings_of(folder)) else open_ours(source, device, reading)


def settings_of(folder: Path) -> dict[str, Any]:
    """What a folder's config.json says."""
    path = folder / SETTINGS
    if not path.is_file():
        raise ModelFolderError(f"{folder} is no model folder: {SETTINGS} is missing; give one of unetlift or of smp's save_pretrained.")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(f"{path} is no JSON file ({error}); copy the folder again.") from error
    return settings if isinstance(settings, dict) else {}


def is_smp(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether smp wrote a folder, not unetlift.

    Raises:
        ModelFolderError: neither did.
    """
    if "_model_class" in settings or "network" in settings:
        return "_model_class" in settings
    raise ModelFolderError(f"{folder / SETTINGS} was written neither by unetlift nor by smp's save_pretrained; give a folder of theirs.")


def open_ours(source: str, device: str, reading: Reading) -> Opened:
    """A model folder of unetlift.

    Raises:
        ModelFolderError: a file is missing or damaged.
        UsageError: a reading is given although the folder says it all, or the device is not to be had.
    """
    if reading != Reading():
        raise UsageError(f"{source} says itself how it is to be read; leave mean, std, answers, channels and stride out.")
    predictor = load_predictor(source, device, "float32")
    network, info = predictor.model, predictor.info
    labels = info.task == "segment"
    return Opened(
        name=network.config.variant,
        source=source,
        fingerprint=checkpoint.fingerprint(source),
        function=lambda x: predictor(x.to(predictor.device)).cpu(),
        prepare=predictor.prepare,
        answers="probabilities" if labels else "pictures",
        multiple=network.config.stride,
        padding=network.config.padding_mode,
        class_names=info.class_names if labels else (),
        colours=info.colours if labels else (),
        predictor=predictor,
        module=network,
    )


def open_smp(source: str, device: str, reading: Reading) -> Opened:
    """A folder that smp's `save_pretrained` has written, for any size of pictures.

    Raises:
        ModelFolderError: a file is missing or damaged, or smp's network is of a kind that is not read.
        UsageError: the reading does not suit it, or the device is not to be had.
    """
    from unetlift.convert.folder import read_smp  # smp takes seconds to import
    from unetlift.convert.source import describe
    from unetlift.encoders.grid import fill_up
    from unetlift.encoders.smp import preprocessing

    folder = Path(source)
    name, where = folder.resolve().name, choose_device(device)
    network = read_smp(folder).to(where)
    _, options = describe(network)
    channels, stride = options["in_channels"], network.encoder.output_stride
    for what, given, own, usual in (("channels", reading.channels, channels, None), ("stride", reading.stride, stride, 1)):
        if given not in (usual, own):
            raise UsageError(f"{source} has {own} for its {what}, not {given}; leave it out.")
    usual = preprocessing(options["encoder_name"], WEIGHTS, channels)
    mean, std = (own if given is None else given for given, own in zip((reading.mean, reading.std), usual, strict=True))

    def run(x: Map) -> Map:
        with torch.inference_mode():
            return network(fill_up(x.to(where), stride))[..., : x.shape[2], : x.shape[3]]

    function = Function(name, run, reading.answers or "logits")
    prepare, digest = Prepare(channels, mean, std), hashlib.sha256()
    for file in (SETTINGS, WEIGHTS):
        digest.update((folder / file).read_bytes())
    return Opened(name, source, digest.hexdigest(), function, prepare, function.answers, stride, padding="zeros", module=network)
