"""The folder of a training: what makes it the run that it is, and whether it can go on."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from unetlift.checkpoint import write_atomically
from unetlift.commands import USUAL, TrainConfig
from unetlift.config import ConvertedConfig, NetworkConfig
from unetlift.errors import UsageError

CONFIG = "config.json"
RESUME = Path("resume") / "last.ckpt"
ELSEWHERE = "out", "resume", "workers", "device"
"""Settings that may change while a run is stopped."""


def last(config: TrainConfig) -> Path:
    """The model folder of the last finished epoch."""
    return Path(config.out) / "last"


def resumes(config: TrainConfig) -> bool:
    """Whether there is an epoch to go on from."""
    return config.resume and (Path(config.out) / RESUME).exists()


def settings(config: TrainConfig) -> dict[str, Any]:
    """What makes a run the run that it is; one that begins from a model folder has the network of that."""
    but = ELSEWHERE if config.from_ is None else (*ELSEWHERE, "network")
    return {key: value for key, value in asdict(config).items() if key not in but}


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
    now, then = settings(config), settings(TrainConfig("", "")) | json.loads(path.read_text())
    changed = [key for key in now if now[key] != then[key]]
    if changed:
        key = changed[0]
        was = f"{run} was begun with {key.rstrip('_')} {then[key]!r}, not {now[key]!r}"
        raise UsageError(f"{was}; resume with the same, or give another --out.")


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


def make(config: TrainConfig) -> Path:
    """Makes the run's folder, with its settings in it."""
    run = Path(config.out)
    run.mkdir(parents=True, exist_ok=True)
    text = json.dumps(settings(config), indent=2) + "\n"
    write_atomically(run / CONFIG, lambda part: part.write_text(text))
    return run


def card(config: TrainConfig, variant: str, epoch: int, score: float) -> str:
    """README.md of a run's model folder."""
    begun = f", begun from the network `{Path(config.from_).name}`" if config.from_ is not None else ""
    if config.encoder_weights is not None:
        begun = f", its encoder begun with the weights `{Path(config.encoder_weights).name}`"
    frozen = ", its encoder frozen" if config.freeze_encoder else ""
    return (
        f"# {variant}\n\nA U-Net trained with unetlift on the folder `{Path(config.data).name}`: epoch {epoch} of {config.epochs}, "
        f"{config.batch_size} crops of {config.crop} pixels a step, loss {config.loss}, seed {config.seed}{begun}{frozen}.\n\n"
        f"Validation mIoU: {score:.4f}.\n\nLoad it with `unetlift.from_pretrained(folder)`.\n"
    )
