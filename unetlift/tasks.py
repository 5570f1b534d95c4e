"""What is learned: for each task the loss, the scores, and which of them says what is best."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

from torch import Tensor
from torchmetrics import Metric

from unetlift.info import TARGET_MEAN, TARGET_STD, ModelInfo
from unetlift.losses import picture_loss, segmentation_loss
from unetlift.metrics import PictureScores, SegmentationScores
from unetlift.predict import answer, class_logits


class Task(ABC):
    """A loss by name and the scores that go with it.

    Attributes:
        best: the score that says which network is best; more is better.
        worth: its name for people.
    """

    best: str
    worth: str

    def __init__(self, info: ModelInfo):
        self.info = info

    @abstractmethod
    def loss(self, x: Tensor, output: Tensor, target: Tensor) -> Tensor:
        """The loss of a network's output for `x`."""

    @abstractmethod
    def comparable(self, x: Tensor, output: Tensor) -> Tensor:
        """What has to hold still when the window moves: probabilities, or pictures as they are normalised."""

    @staticmethod
    @abstractmethod
    def scores_for(info: ModelInfo) -> Metric:
        """Scores with nothing in them."""

    @abstractmethod
    def count(self, scores: Metric, x: Tensor, output: Tensor, target: Tensor) -> None:
        """Adds an output to the scores."""


@final
class Segment(Task):
    """Every pixel has a class."""

    best, worth = "miou", "mIoU"

    def __init__(self, info: ModelInfo, names: str, weights: Sequence[float] | None):
        super().__init__(info)
        self.criterion = segmentation_loss(names, info.ignore_index, weights)

    def loss(self, x: Tensor, output: Tensor, target: Tensor) -> Tensor:
        return self.criterion(class_logits(output.float()), target)

    def comparable(self, x: Tensor, output: Tensor) -> Tensor:
        return class_logits(output.float()).softmax(1)

    @staticmethod
    def scores_for(info: ModelInfo) -> SegmentationScores:
        return SegmentationScores(info.class_names, info.ignore_index)

    def count(self, scores: Metric, x: Tensor, output: Tensor, target: Tensor) -> None:
        scores.update(class_logits(output).argmax(1), target)


@final
class Draw(Task):
    """Every pixel has a colour: pictures translated or restored."""

    best, worth = "psnr", "PSNR"

    def __init__(self, info: ModelInfo, names: str, weights: Sequence[float] | None):
        super().__init__(info)
        self.criterion = picture_loss(names)

    def loss(self, x: Tensor, output: Tensor, target: Tensor) -> Tensor:
        return self.criterion(self.comparable(x, output), target)

    def comparable(self, x: Tensor, output: Tensor) -> Tensor:
        return (answer(self.info, x, output) - TARGET_MEAN) / TARGET_STD

    @staticmethod
    def scores_for(info: ModelInfo) -> PictureScores:
        return PictureScores()

    def count(self, scores: Metric, x: Tensor, output: Tensor, target: Tensor) -> None:
        scores.update(answer(self.info, x, output), target_values(target))


TASKS: dict[str, type[Segment | Draw]] = {"segment": Segment, "translate": Draw, "restore": Draw}
"""By the names of `unetlift.info.TASKS`."""


def target_values(target: Tensor) -> Tensor:
    """A picture that was to be answered, from its normalised form, nominally 0..1."""
    return target * TARGET_STD + TARGET_MEAN
