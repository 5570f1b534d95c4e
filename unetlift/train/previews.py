"""Pictures of a training while it runs: the same few of the validation after each epoch."""

from pathlib import Path
from typing import Any, final

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from unetlift import images
from unetlift.checkpoint import write_atomically
from unetlift.predict import answer
from unetlift.report import tiles
from unetlift.train.module import Training


@final
class Previews(Callback):
    """Draws RUN/previews/epoch-0007.png: a row a picture, with input, prediction, target and error.

    Of several processes the first one draws those pictures that it validates.

    Args:
        folder: gets the pictures; made when there is something to draw.
        count: the first so many pictures of the validation; 0 draws nothing.
    """

    def __init__(self, folder: Path, count: int):
        self.folder, self.count = folder, count
        self.rows: list[tiles.Pixels] = []

    def on_validation_epoch_start(self, trainer: L.Trainer, training: Training) -> None:
        self.rows = []

    def on_validation_batch_end(
        self, trainer: L.Trainer, training: Training, outputs: dict[str, Tensor], batch: Any, batch_index: int, loader: int = 0
    ) -> None:
        chosen = outputs["index"].cpu() < self.count
        if not trainer.is_global_zero or not chosen.any():
            return
        x, output, target = (outputs[name][chosen.to(outputs[name].device)] for name in ("x", "output", "target"))
        for case in zip(x, answer(training.info, x, output), target, strict=True):
            self.rows.append(tiles.beside(tiles.draw(training.info, *case)))

    def on_validation_epoch_end(self, trainer: L.Trainer, training: Training) -> None:
        if not self.rows:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        grid = tiles.below(self.rows)
        path = self.folder / f"epoch-{trainer.current_epoch + 1:04}.png"
        write_atomically(path, lambda part: images.write_picture(part, grid))
        self.rows = []
