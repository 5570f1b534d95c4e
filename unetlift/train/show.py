"""What people see of a training while it runs: a progress bar or a line an epoch, and a table of figures."""

import csv
import time
from io import StringIO
from pathlib import Path
from typing import Any, final

import lightning as L
from lightning.pytorch.callbacks import Callback, RichProgressBar

from unetlift.checkpoint import write_atomically
from unetlift.train.module import Training


@final
class Bar(RichProgressBar):
    """Lightning's bar with its steps, time gone and time left, and with loss, score and pictures a second beside it."""

    def __init__(self) -> None:
        super().__init__(leave=False)
        self.began, self.first = time.monotonic(), 0

    def on_train_epoch_start(self, trainer: L.Trainer, training: Training) -> None:
        super().on_train_epoch_start(trainer, training)
        self.began, self.first = time.monotonic(), trainer.global_step

    def get_metrics(self, trainer: L.Trainer, training: Training) -> dict[str, Any]:
        steps = trainer.global_step - self.first
        speed = steps * training.config.batch_size * trainer.world_size / max(1e-9, time.monotonic() - self.began)
        mean = training.means["loss"]
        loss = {"loss": f"{mean.compute().item():.4f}"} if mean.update_count else {}
        return loss | super().get_metrics(trainer, training) | {"images/s": f"{speed:.1f}"}


@final
class Lines(Callback):
    """RUN/metrics.csv with one row an epoch, and where there is no bar a line an epoch."""

    def __init__(self, path: Path, aloud: bool):
        self.path, self.aloud, self.began, self.seconds = path, aloud, time.monotonic(), 0.0
        self.rows: list[dict[str, float]] = []
        self.best = -float("inf")

    def on_train_start(self, trainer: L.Trainer, training: Training) -> None:
        self.began = time.monotonic()

    def on_train_epoch_start(self, trainer: L.Trainer, training: Training) -> None:
        self.began = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, training: Training) -> None:
        figures = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        epoch, seconds = trainer.current_epoch + 1, self.seconds + time.monotonic() - self.began
        self.began, self.seconds = time.monotonic(), 0.0
        score = figures[f"val_{training.task.best}"]
        self.best = max(self.best, score)
        rate = training.optimizers().param_groups[0]["lr"]
        self.rows.append({"epoch": epoch, "step": trainer.global_step, "seconds": round(seconds, 1), "learning_rate": rate} | figures)
        if not trainer.is_global_zero:
            return
        write_atomically(self.path, lambda part: part.write_text(_table(self.rows)))
        if self.aloud:
            said = f"loss {figures['train_loss']:.4f}, val {training.task.worth} {score:.4f}, best {self.best:.4f}, {seconds:.1f} s"
            print(f"epoch {epoch}/{trainer.max_epochs}: {said}", flush=True)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "best": self.best, "seconds": self.seconds + time.monotonic() - self.began}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.best, self.seconds = state["rows"], state["best"], state["seconds"]


def _table(rows: list[dict[str, float]]) -> str:
    text = StringIO()
    writer = csv.DictWriter(text, list({name: None for row in rows for name in row}), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
