"""What a network's inputs and outputs mean, and what a restoring one undoes."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from unetlift.errors import UsageError, one_of

Task = Literal["segment", "translate", "restore"]
TASKS: tuple[Task, ...] = ("segment", "translate", "restore")

TARGET_MEAN, TARGET_STD = 0.5, 0.25
"""How pictures of 0..1 are normalised that a network answers with."""


def _numbers(value: Any) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


Span = float | tuple[float, float]
"""A number, or the ends of a range."""


@dataclass(frozen=True)
class DegradeConfig:
    """What is done to a clean picture, in this order; a network that restores learns to undo it.

    Attributes:
        grey: colour is taken away.
        blur: sigma of a Gaussian in pixels, or two for a range, from which each sample has its own.
        scale: scaled down by so much (1 to 4) and up again, bicubic.
        noise: sigma of Gaussian noise in 255ths, or two for a range.
        jpeg: stored as JPEG of this quality (1 to 100), or two for a range; 0 leaves it.
    """

    grey: bool = False
    blur: Span = 0.0
    scale: int = 1
    noise: Span = 0.0
    jpeg: Span = 0.0

    def __post_init__(self) -> None:
        for name, high in (("blur", 100), ("noise", 255), ("jpeg", 100)):
            value = getattr(self, name)
            if isinstance(value, list):  # from JSON
                object.__setattr__(self, name, value := tuple(value))
            span = value if isinstance(value, tuple) else (value, value)
            if len(span) != 2 or not all(_is_finite(v) and 0 <= v <= high for v in span) or span[0] > span[1]:
                raise UsageError(f"{name} is {value}; it is a number from 0 to {high}, or two, the smaller first.")
        one_of("scale", self.scale, (1, 2, 3, 4))

    @property
    def names(self) -> tuple[str, ...]:
        """What it does, in words."""
        spans = [(name, getattr(self, name)) for name in ("blur", "noise", "jpeg")]
        said = [f"{name} {' to '.join(f'{end:g}' for end in _numbers(value))}" for name, value in spans if value]
        return (*(["grey"] if self.grey else []), *([f"scale {self.scale}"] if self.scale > 1 else []), *said)


@dataclass(frozen=True)
class ModelInfo:
    """What a network's inputs and outputs mean.

    Attributes:
        class_names: one a class.
        colours: an (r, g, b) in 0 to 255 for each class.
        mean: subtracted from the picture scaled to 0..1: a number for every channel, or one a channel.
        std: what it is then divided by, likewise.
        ignore_index: the label that counts for nothing, or None.
        task: `segment`, whose outputs are logits of the classes; `translate` or `restore`, whose outputs are pictures.
        residual: the output is what is to be added to the input.
        degrade: what a restoring network was taught to undo.
    """

    class_names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    mean: float | tuple[float, ...] = 0.5
    std: float | tuple[float, ...] = 0.25
    ignore_index: int | None = None
    task: str = "segment"
    residual: bool = False
    degrade: DegradeConfig = DegradeConfig()

    def __post_init__(self) -> None:
        one_of("task", self.task, TASKS)
        if (given := len(self.colours)) != (wanted := len(self.class_names)):
            raise UsageError(f"{given} colours are given for {wanted} classes; give one each.")
        bad = [c for c in self.colours if len(c) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in c)]
        if bad:
            raise UsageError(f"The colour {bad[0]} is not three whole numbers from 0 to 255.")
        if not all(_is_finite(value) for value in _numbers(self.mean)):
            raise UsageError(f"mean is {self.mean}; it is a number, or one a channel.")
        if not all(_is_finite(value) and value > 0 for value in _numbers(self.std)):
            raise UsageError(f"std is {self.std}; it is a number above 0, or one a channel.")

    @property
    def answers(self) -> str:
        """What the outputs are: `labels` or `pictures`."""
        return "labels" if self.task == "segment" else "pictures"

    def check_channels(self, channels: int) -> None:
        """Raises UsageError unless the pictures can have so many channels."""
        for name, value in (("mean", self.mean), ("std", self.std)):
            if isinstance(value, tuple) and len(value) != channels:
                raise UsageError(f"{name} has {len(value)} numbers for {channels} channels; give one each, or one for all.")
