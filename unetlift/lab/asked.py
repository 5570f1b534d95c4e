"""A model, asked in one way: plainly, with its grid tied to the scene, or by the mean over shifts of its grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from unetlift.anchor import Anchored
from unetlift.commands import StabilityConfig
from unetlift.errors import UsageError
from unetlift.foreign import Opened, Reading, open_model
from unetlift.foreign.folders import is_smp, settings_of
from unetlift.predict import Views
from unetlift.types import Map


@dataclass(frozen=True)
class Asked:
    """A model, and how it is asked.

    Attributes:
        model: anybody's.
        anchor: what its grid is tied to.
        placing: what that puts around a picture; under roll pictures are rolled into place.
        spin: over how many shifts along each axis its answers are the mean.
    """

    model: Opened
    anchor: str = "none"
    placing: str = "surround"
    spin: int = 1

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.model.name} {self.tie if self.spin == 1 else f'spin {self.spin}'}"

    @property
    def tie(self) -> str:
        """The anchor, and its placing where that is not the usual one."""
        return self.anchor if self.anchor == "none" or self.placing == "surround" else f"{self.anchor}, {self.placing}"

    def function(self, mode: str) -> Callable[[Map], Tensor]:
        """One that has seen no picture yet: what follows a sequence remembers it."""
        placing = "circular" if mode == "roll" else self.placing
        if self.anchor == "none":
            ask = self.model.function
        elif self.model.predictor is not None:
            ask = self.model.predictor.anchored(self.anchor, placing)
        else:
            ask = Anchored(self.model.function, self.model.multiple, self.anchor, placing)
        return partial(Views(spin=self.spin, placing="circular" if mode == "roll" else "reflect"), ask) if self.spin > 1 else ask


def open_all(config: StabilityConfig) -> list[Asked]:
    """Every model, in every way that it is to be asked.

    Raises:
        UsageError: a model cannot be opened or asked so, or two have frames of different sizes.
    """
    answers = None if config.answers == "auto" else config.answers
    told = Reading(config.mean or None, config.std or None, answers, config.channels or None, config.stride)
    asked = []
    for source in config.model:
        reading = Reading() if _says_itself(Path(source)) else told
        model = open_model(source, trust=config.trust, device=config.device, reading=reading)
        for anchor, spin in config.ways:
            if anchor != "none" and model.multiple == 1:
                raise UsageError(f"{source} has no known stride, which an anchor needs; give it: --stride 32.")
            asked.append(Asked(model, anchor, config.placing, spin))
    sizes = {one.model.size for one in asked} - {None}
    if len(sizes) > 1:
        said = " and ".join(f"{width} x {height}" for height, width in sorted(sizes))
        raise UsageError(f"The models take frames of {said} alone; measure them one after the other.")
    return asked


def frame_size(asked: Sequence[Asked], config: StabilityConfig) -> tuple[int, int] | None:
    """Height and width of all frames, where a model or the user has fixed them.

    Raises:
        UsageError: both have, and differently.
    """
    fixed = next((one.model.size for one in asked if one.model.size is not None), None)
    wanted = (config.size, config.size) if config.size else None
    if fixed and wanted and fixed != wanted:
        raise UsageError(f"--size is {config.size}, but a model takes frames of {fixed[1]} x {fixed[0]} alone; leave --size out.")
    return fixed or wanted


def _says_itself(source: Path) -> bool:
    """Whether it is a folder of ours, which tells all that a foreign model has to be told."""
    return source.is_dir() and not is_smp(source, settings_of(source))
