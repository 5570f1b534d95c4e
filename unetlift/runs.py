"""The folder of a training: what makes it the run that it is, and whether it can go on."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from unetlift import checkpoint
from unetlift.checkpoint import write_atomically
from unetlift.config import ConvertedConfig, NetworkConfig
from unetlift.errors import UsageError
from unetlift.info import ModelInfo
from unetlift.recipe import USUAL, TrainConfig

CONFIG = "config.yaml"
RESUME = Path("resume") / "last.ckpt"
ELSEWHERE = "out", "resume", "dry_run", "workers", "cache", "device", "save_minutes", "previews", "logger", "report"
"""Settings that may change while a run is stopped."""


def beginning(config: TrainConfig) -> Path:
    """The model folder that the run has begun with."""
    return Path(config.out) / RESUME.parent / "begin"


def resumes(config: TrainConfig) -> bool:
    """Whether there is something to go on from."""
    return config.resume and (beginning(config) / "config.json").exists()


def flat(config: Any) -> dict[str, Any]:
    """The flags of a config and those in it, with their values, as YAML knows them."""
    found: dict[str, Any] = {}
    for f in fields(config):
        value = getattr(config, f.name)
        found |= flat(value) if is_dataclass(value) else {f.name.rstrip("_"): list(value) if isinstance(value, tuple) else value}
    return found


def settings(config: TrainConfig) -> dict[str, Any]:
    """What makes a run the run that it is; one that begins from a model folder has the network of that."""
    network = [] if config.from_ is None else [f.name for f in fields(NetworkConfig)]
    return {key: value for key, value in flat(config).items() if key not in network}


def check(config: TrainConfig) -> None:
    """Raises UsageError where settings contradict each other, or if the run's folder holds another run than the one to resume."""
    if config.from_ is not None and config.encoder_weights is not None:
        raise UsageError(f"encoder_weights is {config.encoder_weights!r}, but the network of --from has its own; give one of them.")
    if config.new_head and config.from_ is None:
        raise UsageError("new_head is for the network of --from; without that every layer is new.")
    if config.freeze_encoder and config.encoder_weights is None and config.from_ is None:
        raise UsageError("freeze_encoder would keep an encoder that has learned nothing; give --encoder-weights or --from.")
    if config.freeze_encoder and config.encoder_rate is not None:
        raise UsageError(f"encoder_rate is {config.encoder_rate}, but freeze_encoder leaves nothing that has one; give one of them.")
    _check_folder(config)


def _check_folder(config: TrainConfig) -> None:
    run, path = Path(config.out), Path(config.out) / CONFIG
    if not run.exists() or not any(run.iterdir()):
        return
    if not config.resume:
        raise UsageError(f"{run} exists already; give another --out, or --resume to go on with it.")
    if not path.exists():
        raise UsageError(f"{run} holds no run to resume ({CONFIG} is missing); give another --out.")
    now, then = settings(config), settings(TrainConfig("", "")) | yaml.safe_load(path.read_text(encoding="utf-8"))
    found = {"learning_rate"} if now["learning_rate"] == "auto" else set()  # by the run, when it began
    changed = [key for key in now if key not in {*ELSEWHERE, *found} and now[key] != then.get(key)]
    if changed:
        key = changed[0]
        was = f"{run} was begun with {key} {then.get(key)!r}, not {now[key]!r}"
        raise UsageError(f"{was}; resume with the same, or give another --out.")


def kept_rate(config: TrainConfig) -> float:
    """The learning rate that the run to resume has found."""
    return yaml.safe_load((Path(config.out) / CONFIG).read_text(encoding="utf-8"))["learning_rate"]


def flags_of(network: NetworkConfig | ConvertedConfig) -> NetworkConfig:
    """What the flags of networks say of either kind; of a converted one, those that there are."""
    if isinstance(network, NetworkConfig):
        return network
    common = {name: getattr(network, name) for name in ("encoder", "in_channels", "classes")}
    pools = vars(network.pools) | {"up": network.pools.up or "own"}
    return NetworkConfig(**common, **pools, depth=network.options["encoder_depth"])


def check_network(config: TrainConfig, network: NetworkConfig | ConvertedConfig) -> None:
    """Raises UsageError where the settings' network, if one is given, is another than that of the folder to go on from."""
    kept = flags_of(network)
    for f in fields(NetworkConfig) if config.network is not USUAL else ():
        given, theirs = getattr(config.network, f.name), getattr(kept, f.name)
        if f.name != "classes" and given != theirs:  # the classes are the data set's
            raise UsageError(f"{f.name} is {given!r}, but the network of {config.from_} has {theirs!r}; leave that flag out.")


def make(config: TrainConfig, model: nn.Module, info: ModelInfo) -> None:
    """Makes the run's folder, with its settings and what it begins with in it, unless they are there."""
    run = Path(config.out)
    if resumes(config):
        return
    run.mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in settings(config).items() if key not in ("out", "resume", "dry_run")}
    text = f"# unetlift train --config {CONFIG} --out ANOTHER\n" + yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)
    write_atomically(run / CONFIG, lambda part: part.write_text(text, encoding="utf-8"))
    checkpoint.save(model, beginning(config), info)


def card(config: TrainConfig, variant: str, epoch: int, worth: str, score: float) -> str:
    """README.md of a run's model folder."""
    begun = f", begun from the network `{Path(config.from_).name}`" if config.from_ is not None else ""
    if config.encoder_weights is not None:
        begun = f", its encoder begun with the weights `{Path(config.encoder_weights).name}`"
    frozen = ", its encoder frozen" if config.freeze_encoder else ""
    task = f"restore pictures ({', '.join(config.degrade.names)})" if config.task == "restore" else config.task
    return (
        f"# {variant}\n\nA U-Net trained with unetlift to {task} on the folder `{Path(config.data).name}`: epoch {epoch} of "
        f"{config.epochs}, {config.batch_size} crops of {config.crop} pixels a step, augmentation {config.augment}, loss {config.losses}, "
        f"seed {config.seed}{begun}{frozen}.\n\nValidation {worth}: {score:.4f}.\n\n"
        "Load it with `unetlift.from_pretrained(folder)`.\n"
    )
