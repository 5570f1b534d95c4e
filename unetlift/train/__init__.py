"""Training on Lightning: exactly resumable, on one device or many; the only room with Lightning."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from unetlift import data, runs
from unetlift.data.check import class_weights, require_sound
from unetlift.errors import DataSetError, PictureError, TrainingError, UsageError
from unetlift.recipe import TrainConfig
from unetlift.runtime import choose_device, choose_precision
from unetlift.train.batchnorm import share_batchnorm
from unetlift.train.begin import begin
from unetlift.train.finish import finish
from unetlift.train.keep import GoOn, ModelFolders, WholeOrNot
from unetlift.train.loaders import Loaders, make_kind
from unetlift.train.module import Training
from unetlift.train.previews import Previews
from unetlift.train.rates import find_rate
from unetlift.train.rehearse import Rehearsal, rehearse
from unetlift.train.show import Bar, Lines

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it announces hardware that is absent, and a shop

__all__ = ["dry_run", "train"]


def train(config: TrainConfig) -> Path | None:
    """Trains a network on a data set's folder.

    Args:
        config: the run; with `resume` it goes on where it has stopped, bit for bit as if it never had.

    Returns:
        The run's folder: best/ and last/ (model folders), metrics.csv, previews/, report.html, scores.json, config.yaml, resume/;
        None in all processes but the first.

    Raises:
        UsageError: a name or number is wrong, or `out` holds another run.
        DataSetError, PictureError: the data set cannot be used, naming the file.
        TrainingError: it cannot go on; what it had reached is kept.
        Stopped: it was told to, by SIGINT or SIGTERM, and has kept what it had reached.
    """
    first = rank_zero_only.rank == 0
    if first:  # the others are started when it has begun
        runs.check(config)
    training, loaders = prepare(config)
    if config.optimiser.learning_rate == "auto":
        rate = runs.kept_rate(config) if runs.resumes(config) else find_rate(config, training, loaders)
        training.config = config = replace(config, optimiser=replace(config.optimiser, learning_rate=rate))
        print(f"learning rate {rate:g}", flush=True)
    if config.machine.compile:
        training.forward_with_traces = torch.compile(training.model.with_traces)
    run = Path(config.out)
    trainer = make_trainer(config, run)
    if first:
        runs.make(config, training.model, training.info)
    resume_from = run / runs.RESUME if runs.resumes(config) and (run / runs.RESUME).exists() else None
    with _quiet(), _readers_errors(), closing(loaders):
        trainer.fit(training, datamodule=loaders, ckpt_path=resume_from, weights_only=True)
    if not first:
        return None
    if config.report:
        finish(config, run)
    return run


def prepare(config: TrainConfig) -> tuple[Training, Loaders]:
    """What is trained, and on what; nothing is written.

    Raises:
        UsageError: a name or number is wrong.
        DataSetError: the data set cannot be used: what is wrong with it, or with how many of its files.
    """
    choose_precision(config.machine.precision, choose_device(config.machine.device))
    folder, task = Path(config.data), config.task
    pairs = {split: data.list_pairs(folder, split, config.val_fraction, task) for split in ("train", "val")}
    wanted = config.batch_size * config.machine.processes
    if len(pairs["train"]) < wanted:
        raise DataSetError(f"{folder} has {len(pairs['train'])} training pictures, fewer than the {wanted} of a step.")
    model, info = begin(config, pairs["train"] + pairs["val"])
    channels, weights = (model.config.in_channels, model.config.classes), None
    weighed = task == "segment" and config.class_weights == "auto"
    if weighed or (rank_zero_only.rank == 0 and not runs.resumes(config)):  # it reads every file once
        findings = require_sound(folder, task, channels[1] if task == "restore" else channels[0], config.val_fraction)
        weights = class_weights(findings.class_shares) if weighed else None
    if config.machine.sync_batchnorm and choose_device(config.machine.device).type != "cuda":
        share_batchnorm(model)
    return Training(config, model, info, weights), Loaders(config, make_kind(config, info, *channels), pairs)


def dry_run(config: TrainConfig) -> Rehearsal:
    """Checks settings and data and tries a few steps; nothing is written."""
    runs.check(config)
    return rehearse(config, *prepare(config))


def make_trainer(config: TrainConfig, run: Path) -> L.Trainer:
    """Lightning's loop with our callbacks."""
    machine = config.machine
    device = choose_device(machine.device)
    narrow = choose_precision(machine.precision, device) is torch.bfloat16
    return L.Trainer(
        accelerator=device.type,
        devices=machine.devices,
        num_nodes=machine.nodes,
        strategy=machine.strategy,
        sync_batchnorm=machine.sync_batchnorm and device.type == "cuda",
        deterministic=machine.deterministic or None,
        max_epochs=config.epochs,
        precision="bf16-mixed" if narrow else "32-true",
        logger=[_logger(name, run) for name in config.logger],
        callbacks=_callbacks(config, run),
        plugins=[WholeOrNot()],
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        use_distributed_sampler=False,  # our samplers share out, with nothing twice
        num_sanity_val_steps=0,
    )


def _callbacks(config: TrainConfig, run: Path) -> list[Callback]:
    watched = sys.stderr.isatty()
    stop = {"segment": "val_miou"}.get(config.task, "val_psnr")
    early = [EarlyStopping(stop, mode="max", patience=config.patience, check_finite=False)] if config.patience else []
    shown = [Bar()] if watched else []
    kept = [ModelFolders(run), Lines(run / "metrics.csv", not watched), Previews(run / "previews", config.previews)]
    return [*kept, *early, *shown, GoOn(run / runs.RESUME, config.save_minutes)]


def _logger(name: str, run: Path) -> Logger:
    from lightning.pytorch import loggers

    makers = {
        "tensorboard": lambda: loggers.TensorBoardLogger(run, name="tensorboard", version=""),
        "wandb": lambda: loggers.WandbLogger(name=run.name, save_dir=run, project="unetlift"),
        "mlflow": lambda: loggers.MLFlowLogger("unetlift", run_name=run.name, save_dir=str(run / "mlflow")),
    }
    try:
        return makers[name]()
    except ModuleNotFoundError as error:
        raise UsageError(f"logger {name!r} needs a package that is not here; pip install 'unetlift[{name}]'.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        for known in (
            "Checkpoint directory .* exists and is not empty",  # of course, when resuming
            ".*LeafSpec.* is deprecated",  # Lightning 2.6 under PyTorch 2.14
            "Found .* in eval mode at the start of training",  # a frozen encoder, or the average, is
            "You're resuming from a checkpoint that ended before the epoch ended",  # and our sampler knows where
            "It is recommended to use `self.log",  # with sync_dist: our figures are sums over all processes already
            ".*does not have many workers",  # how many is the user's to say
        ):
            warnings.filterwarnings("ignore", known)
        yield


@contextmanager
def _readers_errors() -> Iterator[None]:
    """What goes wrong in a process that reads, as one sentence."""
    try:
        yield
    except (DataSetError, PictureError) as error:
        last = str(error).strip().splitlines()[-1]  # PyTorch hands on the reader's whole traceback
        raise type(error)(last.partition(f"{type(error).__name__}: ")[2] or last) from error
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        said = str(error).strip().splitlines()[0].rstrip(". ")
        raise TrainingError(f"A process that reads pictures died ({said}); --resume goes on from what was saved last.") from error
