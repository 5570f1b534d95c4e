"""The network to begin with, and what its inputs and outputs mean."""

from dataclasses import replace
from pathlib import Path

import torch

from unetlift import checkpoint, data, degrade, images, runs
from unetlift.encoders.freeze import Freezable
from unetlift.errors import UsageError
from unetlift.info import ModelInfo
from unetlift.model import UNet, load
from unetlift.recipe import TrainConfig


def begin(config: TrainConfig, pairs: list[data.Pair]) -> tuple[Freezable, ModelInfo]:
    """The network in training mode.

    Args:
        config: the run.
        pairs: of all that is trained on and validated with.

    Raises:
        UsageError: the network does not fit the task or the data set.
        DataSetError, ModelFolderError: naming the file.
    """
    torch.manual_seed(config.seed)
    if runs.resumes(config):  # what the run began from need not be there any more
        model, info = load(runs.beginning(config))
    elif config.from_ is not None:
        model, info = _go_on_from(config, _describe(config, pairs))
    else:
        model, info = _begin_anew(config, _describe(config, pairs), _outputs(config, pairs))
    if config.from_ is not None:
        runs.check_network(config, model.config)
    if config.freeze_encoder:
        model.freeze_encoder()
    return model.train(), info


def _describe(config: TrainConfig, pairs: list[data.Pair]) -> ModelInfo:
    if config.task == "segment":
        return data.describe(Path(config.data), pairs)
    return ModelInfo((), (), task=config.task, residual=config.residual, degrade=config.degrade)


def _outputs(config: TrainConfig, pairs: list[data.Pair]) -> int:
    """Channels that the network answers with; of classes there may be as many as are described."""
    if config.task == "segment":
        return len(_describe(config, pairs).class_names)
    if config.task == "translate":
        return images.read_picture(pairs[0].target).shape[2]
    channels = 3 if config.degrade.grey else config.network.in_channels
    degrade.check(config.degrade, channels)
    return channels


def _begin_anew(config: TrainConfig, info: ModelInfo, outputs: int) -> tuple[UNet, ModelInfo]:
    network, weights = replace(config.network, classes=outputs), config.encoder_weights
    if config.residual and network.in_channels != outputs:
        raise UsageError(f"residual adds {outputs} channels to the {network.in_channels} of the input; they have to be as many.")
    model = UNet(weights, **vars(network)).to(memory_format=torch.channels_last)
    if weights is None:
        return model, info
    from unetlift.encoders.smp import preprocessing  # smp takes seconds to import, which our own encoder need not wait for

    mean, std = preprocessing(network.encoder, weights, network.in_channels)
    return model, replace(info, mean=mean, std=std)


def _go_on_from(config: TrainConfig, info: ModelInfo) -> tuple[Freezable, ModelInfo]:
    """A folder's network and normalisation, with the data set's classes."""
    model, kept = load(config.from_)
    if kept.task != config.task:
        raise UsageError(f"task is {config.task!r}, but the network of {config.from_} was trained to {kept.task}; give --task {kept.task}.")
    fitting = replace(info, mean=kept.mean, std=kept.std)
    if config.task != "segment":
        return model, fitting
    if config.new_head:
        model.renew_head(len(info.class_names))
        return model, fitting
    if not _named(info) and len(info.class_names) <= len(kept.class_names):
        return model, kept
    if info.class_names == kept.class_names or (not _named(kept) and len(info.class_names) == len(kept.class_names)):
        return model, fitting
    ours, theirs = ", ".join(info.class_names), ", ".join(kept.class_names)
    raise UsageError(f"{config.data} has the classes {ours}, but {config.from_} knows {theirs}; give --new-head to train a new last layer.")


def _named(info: ModelInfo) -> bool:
    return info.class_names != checkpoint.numbered(len(info.class_names)).class_names
