"""A dataclass as the flags of a command: from the command line, from a YAML file, from a model folder."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from unetlift.errors import UsageError, nearest
from unetlift.recipe import TrainConfig

Config = TypeVar("Config")


def parse(kind: type[Config], argv: list[str], prog: str, description: str) -> Config:
    """Reads flags; nested dataclasses lie flat, and a field named like a keyword of Python, as `from_`, has the flag without `_`.

    Args:
        kind: the dataclass; a field without a default is a flag that has to be given.
        argv: the flags. `--config FILE.yaml` gives defaults for the others; for the network's, so does the folder to train on from.
        prog: what stands for the program in its help.
        description: of the help.

    Raises:
        ModelFolderError: that folder is missing, damaged or foreign.
        UsageError: the file cannot be read or has unknown keys, or the dataclass refuses a value.
    """
    argv = [part for given in argv for part in (given.split("=", 1) if given.startswith("--config=") else [given])]
    values: dict[str, Any] = {}
    if "--config" in argv:
        at = argv.index("--config")
        if at + 1 == len(argv):
            raise UsageError("--config wants a file: --config FILE.yaml.")
        path = Path(argv[at + 1])
        values = _read(path)
        if unknown := sorted(set(values) - set(_keys(kind))):
            near = nearest(unknown[0], _keys(kind))
            raise UsageError(f"--config {path} has the unknown key {unknown[0]!r}; the keys are the flags of the command's --help{near}.")
        del argv[at : at + 2]
    config = _ask(kind, argv, values, prog, description)
    if isinstance(config, TrainConfig) and config.from_ is not None:
        from unetlift import checkpoint, runs  # seconds to import

        folder = runs.beginning(config) if runs.resumes(config) else config.from_
        network = checkpoint.read(folder)[0]
        config = _ask(kind, argv, vars(runs.flags_of(network)) | values, prog, description)
    return config


def _ask(kind: type[Config], argv: list[str], values: dict[str, Any], prog: str, description: str) -> Config:
    import tyro

    for f in fields(kind):
        if f.name.endswith("_"):
            kind.__annotations__[f.name] = Annotated[f.type, tyro.conf.arg(name=_key(f.name))]
    flat = (tyro.conf.OmitArgPrefixes, tyro.conf.UseAppendAction)
    default = _fill(kind, values, tyro.MISSING) if values else None
    return tyro.cli(kind, args=argv, default=default, prog=prog, description=description, config=flat)


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--config {path} cannot be read as YAML ({' '.join(str(error).split())[:120]}).") from error
    if not isinstance(values, dict):
        raise UsageError(f"--config {path} holds no keys; write lines like 'epochs: 40'.")
    return {str(key).replace("-", "_"): value for key, value in values.items()}


def _key(name: str) -> str:
    return name.rstrip("_")


def _keys(kind: type) -> list[str]:
    """Of every flag."""
    return [key for f in fields(kind) for key in (_keys(f.type) if is_dataclass(f.type) else [_key(f.name)])]


def _fill(kind: type[Config], values: dict[str, Any], missing: Any) -> Config:
    """An instance with some values and otherwise its defaults."""
    chosen = {}
    for f in fields(kind):
        if is_dataclass(f.type):
            chosen[f.name] = _fill(f.type, values, missing)
        elif _key(f.name) in values:
            value = values[_key(f.name)]
            chosen[f.name] = tuple(value) if isinstance(value, list) else value
        elif f.default is f.default_factory:  # both MISSING: the command line has to give it
            chosen[f.name] = missing
    return kind(**chosen)
