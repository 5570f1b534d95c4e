"""Accuracy of a network on a split of a data set."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torchmetrics.classification import MulticlassConfusionMatrix

from unetlift import data
from unetlift.errors import UsageError
from unetlift.predict import Predictor


@dataclass(frozen=True)
class Accuracy:
    """Intersection over union of every class (None where neither mask nor prediction has it), over all pixels of a split.

    Attributes:
        split: train, val or test.
        pictures: how many.
        iou: by class name, 0 to 1.
        pixel_accuracy: share of pixels whose class is right.
    """

    split: str
    pictures: int
    iou: dict[str, float | None]
    pixel_accuracy: float

    @property
    def miou(self) -> float:
        """The mean over the classes that occur."""
        present = [value for value in self.iou.values() if value is not None]
        return sum(present) / len(present)


def evaluate(predictor: Predictor, folder: Path, split: str, anchor: str = "none", done: Callable[[], None] = lambda: None) -> Accuracy:
    """Predicts a split's pictures whole and counts.

    Raises:
        DataSetError: the split cannot be used, naming the file.
        UsageError: the data set's classes are not the network's.
    """
    pairs = data.list_pairs(folder, split)
    info = data.describe(folder, pairs)
    if len(info.class_names) != len(predictor.info.class_names):
        theirs, ours = ", ".join(info.class_names), ", ".join(predictor.info.class_names)
        raise UsageError(f"{folder} has the classes {theirs}, but the network knows {ours}; evaluate it on data of its own classes.")
    confusion = MulticlassConfusionMatrix(len(info.class_names), ignore_index=info.ignore_index)
    ask = predictor.anchored(anchor)
    for pair in pairs:
        picture, labels = data.load_pair(pair, info, predictor.channels)
        predicted = torch.from_numpy(predictor.predict(picture, pair.image, ask).labels)
        confusion.update(predicted[None], torch.from_numpy(labels).long()[None])
        done()
    counts = confusion.compute().double()
    inside, union = counts.diag(), counts.sum(0) + counts.sum(1) - counts.diag()
    iou = {name: (i / u).item() if u else None for name, i, u in zip(info.class_names, inside, union, strict=True)}
    return Accuracy(split, len(pairs), iou, (inside.sum() / counts.sum()).item())
