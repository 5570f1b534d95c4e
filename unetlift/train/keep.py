"""What of a training is on the disk: model folders, and a checkpoint from which it goes on."""

import signal
import time
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any, final

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from unetlift import checkpoint, runs
from unetlift.errors import Stopped, TrainingError
from unetlift.train.module import Training


@final
class WholeOrNot(TorchCheckpointIO):
    """Writes a checkpoint beside the one that is there, and then puts it in its place."""

    def save_checkpoint(self, checkpoint_: dict[str, Any], path: str, storage_options: Any = None) -> None:
        stored = BytesIO()  # PyTorch's own writer does not say that a disk is full
        torch.save(checkpoint_, stored)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_atomically(Path(path), lambda part: part.write_bytes(stored.getbuffer()))


@final
class ModelFolders(Callback):
    """Keeps RUN/last and RUN/best as model folders."""

    def __init__(self, run: Path):
        self.run, self.best = run, -float("inf")

    def on_validation_end(self, trainer: L.Trainer, training: Training) -> None:
        name = training.task.best
        score = float(trainer.callback_metrics[f"val_{name}"])
        epoch = trainer.current_epoch + 1
        if not isfinite(score):
            what = f"The validation's {training.task.worth} after epoch {epoch} is {score}"
            raise TrainingError(f"{what}; {self.run / 'best'} stays what it was.")
        better, self.best = score > self.best, max(score, self.best)
        if trainer.is_global_zero:
            card = runs.card(training.config, training.model.config.variant, epoch, training.task.worth, score)
            for folder in ("last", *(["best"] if better else [])):
                checkpoint.save(training.judged, self.run / folder, training.info, card)

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.best = state["best"]


@final
class GoOn(Checkpoint):
    """Keeps RUN/resume/last.ckpt: after each epoch, every so many minutes, and when the training is told to stop.

    SIGINT and SIGTERM stop it after the step or validation that is under way; a second one stops it at once.
    """

    def __init__(self, path: Path, minutes: float):
        self.path, self.minutes, self.saved = path, minutes, time.monotonic()
        self.told: int | None = None
        self.before: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, training: Training) -> None:
        self.saved = time.monotonic()
        for number in (signal.SIGINT, signal.SIGTERM):
            self.before[number] = signal.signal(number, self._hear)

    def _hear(self, number: int, frame: Any) -> None:
        if self.told is not None:
            self._restore()
            raise Stopped("stopped at once; --resume goes on from what was saved last.", 128 + number)
        self.told = number

    def on_train_batch_end(self, trainer: L.Trainer, training: Training, outputs: Any, batch: Any, batch_index: int) -> None:
        if batch_index + 1 < trainer.num_training_batches:  # after the last one comes the validation, then the epoch's checkpoint
            late = time.monotonic() - self.saved >= 60 * self.minutes
            self._save_if(late, trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, training: Training) -> None:
        self._save_if(True, trainer)

    def _save_if(self, due: bool, trainer: L.Trainer) -> None:
        told = trainer.strategy.reduce_boolean_decision(self.told is not None, all=False)
        if not told and not trainer.strategy.reduce_boolean_decision(due, all=False):
            return
        trainer.save_checkpoint(self.path)
        self.saved = time.monotonic()
        if told:
            number = self.told or signal.SIGTERM
            raise Stopped(f"interrupted in epoch {trainer.current_epoch + 1}; --resume goes on from here.", 128 + number)

    def teardown(self, trainer: L.Trainer, training: Training, stage: str) -> None:
        self._restore()

    def _restore(self) -> None:
        while self.before:
            signal.signal(*self.before.popitem())
