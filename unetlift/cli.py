"""The command line: one dataclass a command, heavy imports inside the commands that need them."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from unetlift.config import TrainConfig
from unetlift.errors import UnetliftError, UsageError

INTERRUPTED = 130


def train(config: TrainConfig) -> int:
    """Train a U-Net for segmentation on a folder of pairs."""
    from unetlift import train as training

    run = training.train(config)
    print(f"{run / 'best'} holds the best network by validation mIoU, {run / 'last'} the last.")
    return 0


COMMANDS: dict[str, tuple[type, Callable[[Any], int]]] = {
    "train": (TrainConfig, train),
}


def _with_defaults(kind: type, path: Path) -> Any:
    """A default instance of `kind` from a YAML file whose keys are the flags' names; nested configs lie flat in it."""
    import tyro
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--config {path} cannot be read as YAML ({' '.join(str(error).split())[:120]}).") from error
    if not isinstance(values, dict):
        raise UsageError(f"--config {path} holds no keys; write lines like 'epochs: 40'.")
    values = {str(key).replace("-", "_"): value for key, value in values.items()}
    default, used = _fill(kind, values, tyro.MISSING)
    unknown = sorted(set(values) - used)
    if unknown:
        raise UsageError(f"--config {path} has the unknown key {unknown[0]!r}; the keys are the flags of the command's --help.")
    return default


def _fill(kind: type, values: dict[str, Any], missing: Any) -> tuple[Any, set[str]]:
    chosen, used = {}, set()
    for f in fields(kind):
        if is_dataclass(f.type):
            chosen[f.name], below = _fill(f.type, values, missing)
            used |= below
        elif f.name in values:
            chosen[f.name] = values[f.name]
            used.add(f.name)
        elif f.default is f.default_factory:  # both MISSING: the command line has to give it
            chosen[f.name] = missing
    return kind(**chosen), used


def _help() -> str:
    lines = [f"  {name:<12} {command.__doc__.splitlines()[0]}" for name, (_, command) in COMMANDS.items()]
    return "\n".join(["usage: unetlift COMMAND [--help] [flags]", "", "U-Nets that hold still when the picture moves.", "", *lines])


def _parse(argv: list[str]) -> tuple[Callable[[Any], int], Any]:
    name = next((name for name in COMMANDS if argv[: len(name.split())] == name.split()), None)
    if name is None:
        raise UsageError(f"The command {' '.join(argv[:1])!r} is unknown; it is one of {', '.join(COMMANDS)}.")
    kind, run = COMMANDS[name]
    argv, default = argv[len(name.split()) :], None
    if "--config" in argv:
        at = argv.index("--config")
        if at + 1 == len(argv):
            raise UsageError("--config wants a file: --config FILE.yaml.")
        default = _with_defaults(kind, Path(argv[at + 1]))
        del argv[at : at + 2]
    import tyro

    description = f"{run.__doc__} --config FILE.yaml gives defaults for every flag."
    flat = (tyro.conf.OmitArgPrefixes,)
    return run, tyro.cli(kind, args=argv, default=default, prog=f"unetlift {name}", description=description, config=flat)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command; exits with 0 done, 1 some items failed, 2 wrong usage, 3 wrong data set, 130 interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(_help())
        sys.exit(0 if argv else 2)
    try:
        run, config = _parse(argv)
        sys.exit(run(config))
    except UnetliftError as error:
        print(f"unetlift: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("unetlift: interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
