"""What there is to say of a training when it is done: figures and pictures, however they are shown."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unetlift import runs
from unetlift.checkpoint import NetworkKind
from unetlift.info import ModelInfo
from unetlift.recipe import TrainConfig
from unetlift.report.tiles import Pixels
from unetlift.stability import StabilityReport
from unetlift.tasks import TASKS

WORDS = {
    "miou": "mIoU",
    "dice": "Dice",
    "pixel_accuracy": "pixel accuracy",
    "boundary_iou": "boundary IoU",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "mae": "mean absolute error",
    "total_variation_target": "total variation of the targets",
}
"""Scores as people know them; others are called what they are."""

LEFT_OUT = "out", "resume", "dry_run", "task", "classes"
"""Settings that say nothing here: the task is said elsewhere, and how many classes there are the data set decides."""


@dataclass(frozen=True)
class Scores:
    """Of a split: how many pictures, scores over all of them, by class, and of each picture; None for what is not known."""

    pictures: int
    means: dict[str, float | None]
    iou: dict[str, float | None]
    each: dict[str, float | None]


@dataclass(frozen=True)
class Case:
    """A picture: its name, its score, and what `tiles.draw` made of it."""

    name: str
    score: float | None
    pictures: dict[str, Pixels]


@dataclass(frozen=True)
class Outcome:
    """A training's.

    Attributes:
        config: what was asked for.
        network: what was trained.
        info: what its inputs and outputs mean.
        epochs: the rows of metrics.csv.
        pictures: how many, by split.
        scores: of the best network, by split.
        confusion: pixels of the validation by class (rows) and answer (columns); empty where there are no classes.
        worst: the validation's, the worst first.
        best: the validation's, the best first.
        stability: of the best network, by mode.
        notes: sentences on what could not be measured.
    """

    config: TrainConfig
    network: NetworkKind
    info: ModelInfo
    epochs: list[dict[str, float]]
    pictures: dict[str, int]
    scores: dict[str, Scores]
    confusion: list[list[int]]
    worst: list[Case]
    best: list[Case]
    stability: dict[str, StabilityReport]
    notes: list[str]

    @property
    def score(self) -> str:
        """The name of the score that says what is best."""
        return TASKS[self.config.task].best

    @property
    def best_epoch(self) -> int:
        """The first that no other was better than: that of the network which is kept."""
        return int(max(self.epochs, key=lambda row: (row[f"val_{self.score}"], -row["epoch"]))["epoch"])

    @property
    def data(self) -> str:
        """The data set's name."""
        return Path(self.config.data).name

    @property
    def purpose(self) -> str:
        """What the network is for, as an infinitive."""
        undone = f" that suffered from {', '.join(self.info.degrade.names)}" if self.info.degrade.names else ""
        segmented = f"tell {len(self.info.class_names)} classes of pixels apart"
        return {"segment": segmented, "translate": "turn pictures into others", "restore": f"restore pictures{undone}"}[self.info.task]

    @property
    def settings(self) -> list[tuple[str, str, str]]:
        """Name, value and usual value of each setting, those that are not usual first; files and folders by their last name."""
        given, usual = (
            runs.settings(config) | {"loss": config.losses, "encoder_rate": config.encoder_share}
            for config in (self.config, TrainConfig("", "", self.config.task))
        )
        for key in ("data", "from", "encoder_weights"):
            given[key] = given[key] and Path(given[key]).name
        rows = [(key, _say(value), _say(usual[key])) for key, value in given.items() if key not in LEFT_OUT]
        return sorted(rows, key=lambda row: row[1] == row[2])


def figure(name: str, value: float | None) -> str:
    """A score for people."""
    return "unknown" if value is None else f"{value:.2f} dB" if name == "psnr" else f"{value:.4f}"


def word(name: str) -> str:
    """A score's name for people."""
    return WORDS.get(name, name.replace("_", " "))


def _say(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_say, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return {True: "yes", False: "no", None: "none"}[value] if isinstance(value, bool | None) else str(value)
