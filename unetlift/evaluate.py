"""Accuracy of a network on a split of a data set."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics import Metric

from unetlift import data
from unetlift.errors import UsageError
from unetlift.info import ModelInfo
from unetlift.predict import Prediction, Predictor
from unetlift.tasks import TASKS, target_values
from unetlift.transforms import sample_seed


@dataclass(frozen=True)
class Accuracy:
    """The scores of a split.

    Attributes:
        split: train, val or test.
        pictures: how many.
        scores: by name, over all of them; None for a class that neither masks nor predictions have.
        each: by picture, the score that says what is best: mIoU, or PSNR in dB.
    """

    split: str
    pictures: int
    scores: dict[str, float | None]
    each: dict[str, float | None]

    @property
    def iou(self) -> dict[str, float | None]:
        """By class name, 0 to 1."""
        return {name.removeprefix("iou/"): value for name, value in self.scores.items() if name.startswith("iou/")}

    @property
    def means(self) -> dict[str, float | None]:
        """The scores that are of no class alone."""
        return {name: value for name, value in self.scores.items() if not name.startswith("iou/")}


def evaluate(
    predictor: Predictor,
    folder: Path,
    split: str,
    anchor: str = "none",
    placing: str = "surround",
    done: Callable[[data.Pair, Tensor, Prediction, Tensor], None] = lambda *_: None,
    val_fraction: float = 0.15,
) -> Accuracy:
    """Predicts a split's pictures whole and scores the answers; pictures to restore are degraded as the network was taught.

    Args:
        predictor: the network.
        folder: the data set's.
        split: train, val or test.
        anchor: what the sampling grid is tied to.
        placing: what an anchor puts around a picture.
        done: called after each picture with its pair, the input (1, C, H, W), the answer, and the target (1, ...).
        val_fraction: share of train that is val where that has no folder.

    Raises:
        DataSetError: the split cannot be used, naming the file.
        UsageError: the data set's classes are not the network's.
    """
    pairs = data.list_pairs(folder, split, val_fraction, predictor.info.task)
    info = _meaning(predictor, folder)
    kind = data.KINDS[info.task](info, predictor.channels, predictor.model.config.classes, data.Cache(0))
    task = TASKS[info.task]
    total, ask, each = task.scores_for(info), predictor.anchored(anchor, placing), {}
    for index, pair in enumerate(pairs):
        x, target = (tensor[None] for tensor in kind.whole(pair, sample_seed(0, 0, index)))
        prediction = predictor.answer(x, pair.image, ask)
        one = task.scores_for(info)
        for scores in (total, one):
            _count(scores, info, torch.from_numpy(prediction.values)[None], target)
        each[pair.image.relative_to(folder).as_posix()] = _known(one.compute()[task.best])
        done(pair, x, prediction, target)
    return Accuracy(split, len(pairs), {name: _known(value) for name, value in total.compute().items()}, each)


def _meaning(predictor: Predictor, folder: Path) -> ModelInfo:
    """What the split's masks mean: what dataset.yaml says, or else what the network knows."""
    info = data.from_yaml(folder) if predictor.info.task == "segment" else None
    if info is None:
        return predictor.info
    if len(info.class_names) != len(predictor.info.class_names):
        theirs, ours = ", ".join(info.class_names), ", ".join(predictor.info.class_names)
        raise UsageError(f"{folder} has the classes {theirs}, but the network knows {ours}; evaluate it on data of its own classes.")
    return replace(info, mean=predictor.info.mean, std=predictor.info.std)


def _count(scores: Metric, info: ModelInfo, values: Tensor, target: Tensor) -> None:
    if info.answers == "labels":
        scores.update(values.argmax(1), target)
    else:
        scores.update(values, target_values(target))


def _known(value: Tensor) -> float | None:
    return None if isnan(value) else value.item()
