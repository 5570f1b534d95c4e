"""The command line: one dataclass a command, heavy imports inside the commands that need them."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unetlift import flags
from unetlift.commands import (
    AppConfig,
    CheckConfig,
    ConvertConfig,
    EvaluateConfig,
    SheetConfig,
    StabilityConfig,
)
from unetlift.errors import DataSetError, UnetliftError, UsageError
from unetlift.inference import PredictConfig
from unetlift.recipe import TrainConfig

SOME_FAILED, INTERRUPTED = 1, 130


def train(config: TrainConfig) -> int:
    """Train a U-Net to segment, translate or restore pictures."""
    from unetlift import train as training

    if config.dry_run:
        tried = training.dry_run(config)
        print(f"{tried.parameters:,} parameters, first loss {tried.loss:.4f}, {tried.memory / 2**30:.2f} GiB of memory")
        step = f"{tried.steps} steps of {tried.step_seconds:.2f} s, validation {tried.validation_seconds:.0f} s"
        print(f"an epoch takes about {tried.epoch_seconds:.0f} s ({step}); reading a step takes {tried.read_seconds:.2f} s")
        return 0
    run = training.train(config)
    if run is not None:
        print(f"{run / 'best'} holds the best network by validation, {run / 'last'} the last.")
    return 0


def convert(config: ConvertConfig) -> int:
    """Convert a trained network of segmentation-models-pytorch: other pools, its own weights."""
    from unetlift.convert import convert_folder

    network = convert_folder(config.from_, config.to, config.pools, config.mean, config.std)
    print(f"{config.to} holds the network as {network.config.variant}; unetlift train --from {config.to} goes on with it.")
    return 0


def predict(config: PredictConfig) -> int:
    """Predict a folder of pictures of any format and size: masks and what is drawn of them, or the pictures they become."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # before PyTorch comes: large pages save a tenth of the time on Linux
    from unetlift import batch
    from unetlift.batch.show import shown

    if config.merge:
        result = batch.merge_shards(Path(config.output))
    else:
        with shown() as show:
            result = batch.run(config, show)
    before = f", {result.skipped} of them before" if result.skipped else ""
    done = result.done + result.skipped
    print(f"{config.output}: {done} of {done + result.failed} pictures predicted{before}.")
    return SOME_FAILED if result.failed else 0


def evaluate(config: EvaluateConfig) -> int:
    """Score a network on a split: overlap of every class, or likeness of pictures."""
    import json
    from dataclasses import asdict

    from unetlift import evaluate as evaluation
    from unetlift.checkpoint import write_atomically
    from unetlift.predict import load_predictor

    predictor = load_predictor(config.model, config.device, config.precision)
    result = evaluation.evaluate(predictor, Path(config.data), config.split, config.anchor, config.placing)
    for name, iou in result.iou.items():
        print(f"{name:<16} IoU {'absent' if iou is None else f'{iou:.4f}'}")
    for name, value in result.means.items():
        print(f"{name:<24} {'unknown' if value is None else f'{value:.4f}'}")
    print(f"{result.pictures} pictures of {result.split}")
    if config.json:
        text = json.dumps(asdict(result) | {"iou": result.iou, **result.means}, indent=2) + "\n"
        write_atomically(Path(config.json), lambda part: part.write_text(text))
    return 0


def stability(config: StabilityConfig) -> int:
    """Measure how little models' outputs change when the picture moves: any model's, on pictures or on video."""
    from rich.console import Console
    from rich.progress import track

    from unetlift import lab, report

    watch = lambda items, words: track(items, words, console=_stderr(), transient=True, disable=not sys.stderr.isatty())  # noqa: E731
    say = lambda sentence: print(f"unetlift: {sentence}", file=sys.stderr)  # noqa: E731
    result = lab.run(config, lab.Show(watch, say), sys.argv[1:])
    for table in report.tables(result.measured):
        Console().print(table)
    print(f"{config.out}{os.sep}stability.html is the report.")
    low = [sentence for subject in result.measured for sentence in _below(config.fail_under, subject)]
    for sentence in low:
        print(f"unetlift: {sentence}", file=sys.stderr)
    return SOME_FAILED if low or result.failures else 0


def _below(least: float | None, subject: Any) -> list[str]:
    """A sentence for each mode under which a model's mean is too low."""
    reports = subject.reports.items() if least is not None else ()
    return [f"{subject.title}: {r.mean:.2f} dB under {mode}, below {least:g}." for mode, r in reports if r.mean < least]


def check(config: CheckConfig) -> int:
    """Check a data set: all that is wrong with it, and what it holds."""
    from rich.console import Console
    from rich.progress import Progress

    from unetlift.data.check import inspect
    from unetlift.data.statistics import tables

    with Progress(console=_stderr(), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("reading", total=None)
        watch = lambda finished, total: bar.update(task, completed=finished, total=total)  # noqa: E731
        findings = inspect(Path(config.data), config.task, config.channels, config.val_fraction, watch)
    for kind, sentences in (("warning", findings.warnings), ("error", findings.errors)):
        for sentence in sentences:
            print(f"unetlift: {kind}: {sentence}", file=sys.stderr)
    for table in tables(findings.statistics, findings.info) if any(split.pictures for split in findings.statistics.values()) else ():
        Console().print(table)
    print(f"{config.data}: {len(findings.errors)} errors, {len(findings.warnings)} warnings.")
    return DataSetError.exit_code if findings.errors else 0


def sheet(config: SheetConfig) -> int:
    """Draw what a network would be trained on: crops of a data set after augmentation, with their targets."""
    from unetlift.data import sheet as drawing

    count = drawing.write(config)
    print(f"{config.out} shows {count} training samples: what the network gets, and what it is to answer.")
    return 0


@dataclass(frozen=True)
class Nothing:
    """A command without flags."""


def models(config: Nothing) -> int:
    """List what a network can be made of: each downsampler with its upsamplers, phases, convolutions, activations, encoders."""
    from unetlift.convs import ACTIVATIONS, CONVS, PADDING_MODES
    from unetlift.pools import DOWNS, PHASES, ups_for

    for down in DOWNS:
        print(f"{down:<12} + {', '.join(ups_for(down))}")
    for flag, names in (("phase", PHASES), ("conv", CONVS), ("activation", ACTIVATIONS), ("padding-mode", PADDING_MODES)):
        print(f"--{flag:<14} {', '.join(names)}")
    print(f"--{'encoder':<14} plain, any name of segmentation-models-pytorch, or tu- and any name of timm (docs/encoders.md)")
    return 0


def app(config: AppConfig) -> int:
    """Open the app in which a picture moves and each network answers."""
    from unetlift import demo

    demo.launch(Path(config.checkpoints), config.host, config.port, Path(config.passwords) if config.passwords else None)
    return 0


COMMANDS: dict[str, tuple[type, Callable[[Any], int]]] = {
    "train": (TrainConfig, train),
    "convert": (ConvertConfig, convert),
    "predict": (PredictConfig, predict),
    "evaluate": (EvaluateConfig, evaluate),
    "stability": (StabilityConfig, stability),
    "data check": (CheckConfig, check),
    "data sheet": (SheetConfig, sheet),
    "models": (Nothing, models),
    "app": (AppConfig, app),
}


def _stderr() -> Any:
    from rich.console import Console

    return Console(stderr=True)


def _help() -> str:
    lines = [f"  {name:<12} {command.__doc__.splitlines()[0]}" for name, (_, command) in COMMANDS.items()]
    return "\n".join(["usage: unetlift COMMAND [--help] [flags]", "", "U-Nets that hold still when the picture moves.", "", *lines])


def _parse(argv: list[str]) -> tuple[Callable[[Any], int], Any]:
    name = next((name for name in COMMANDS if argv[: len(name.split())] == name.split()), None)
    if name is None:
        raise UsageError(f"The command {' '.join(argv[:1])!r} is unknown; it is one of {', '.join(COMMANDS)}.")
    kind, run = COMMANDS[name]
    description = f"{run.__doc__} --config FILE.yaml gives defaults for every flag."
    rest = argv[len(name.split()) :]
    if name.startswith("data ") and rest and not rest[0].startswith("-"):
        rest = ["--data", *rest]  # `unetlift data check DIR`
    return run, flags.parse(kind, rest, f"unetlift {name}", description)


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
    except OSError as error:  # a full disk, a folder without permission: the user's to mend
        print(f"unetlift: {error.filename or 'a file'} cannot be read or written: {error.strerror or error}.", file=sys.stderr)
        sys.exit(SOME_FAILED)
    except KeyboardInterrupt:
        print("unetlift: interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
