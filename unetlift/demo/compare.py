"""The computing behind the first tab: what every network says of a picture, and of the same picture moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Event
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from unetlift import inputs, stability
from unetlift.anchor import Anchoring
from unetlift.demo.networks import Network, find
from unetlift.shifts import Fraction, Shift
from unetlift.types import Map

__all__ = ["MARGIN", "REACH", "Bench", "Network", "Result", "Scene", "Turns", "find", "is_whole", "move"]

REACH = 16
"""The largest shift of the sliders, and so the border that `crop` keeps for its window to move in."""
MARGIN = 16
EIGHTH = 8
"""Shifts are whole multiples of so many parts of a pixel."""

Move = Shift | Fraction
Asked = tuple[str, bool]
"""A network's name, and whether its grid is anchored."""


def move(dy: float, dx: float) -> Move:
    """The nearest shift by eighths of a pixel; whole ones move windows and resample nothing."""
    down, right = round(dy * EIGHTH) / EIGHTH, round(dx * EIGHTH) / EIGHTH
    return Shift(int(down), int(right)) if down.is_integer() and right.is_integer() else Fraction(down, right)


def is_whole(shift: Move) -> bool:
    """Whether nothing is resampled."""
    return isinstance(shift, Shift)


class Turns:
    """Of a visitor's long computations: who begins one ends the one of its kind before.

    Gradio's own `cancels` comes too late: its page sends it after the next event's answer, and so ends the one that should stay.
    """

    def __init__(self) -> None:
        self._running: dict[str, Event] = {}

    def begin(self, kind: str) -> Event:
        """Is set once the visitor wants something else."""
        self.end(kind)
        self._running[kind] = ended = Event()
        return ended

    def end(self, *kinds: str) -> None:
        """Ends these, by default all."""
        for kind in kinds or tuple(self._running):
            if kind in self._running:
                self._running.pop(kind).set()


@dataclass(frozen=True)
class Still:
    """A network's answer before anything moves, and what its grid was tied to."""

    answer: Map
    anchoring: Anchoring


@dataclass(frozen=True)
class Scene:
    """A picture under a mode, with the chosen networks' answers before anything moves.

    Attributes:
        pixels: (H, W, C) floats.
        mode: `crop` or `roll`.
        networks: side by side.
        anchor: `none`, `landmark` or `both`.
        stills: by network and anchoring; of a picture looked at before, more than are shown.
        turns: of its visitor.
    """

    pixels: NDArray[np.float32]
    mode: str
    networks: tuple[Network, ...]
    anchor: str
    stills: Mapping[Asked, Still]
    turns: Turns = field(default_factory=Turns)

    @property
    def anchored(self) -> bool:
        """Whether the networks' grids are tied to the picture."""
        return self.anchor != "none"

    @property
    def asked(self) -> tuple[tuple[Network, bool], ...]:
        """All that is shown: each network with what was chosen, with `both` next without its anchor."""
        ways = {"none": (False,), "landmark": (True,), "both": (True, False)}[self.anchor]
        return tuple((network, anchored) for network in self.networks for anchored in ways)


@dataclass(frozen=True)
class Result:
    """One variant's answers to a picture and to the moved picture.

    Attributes:
        network: who answers.
        psnr: shift PSNR in dB, at most `stability.CEILING`.
        agreement: share of pixels whose most probable class stays; None where answers are pictures.
        still: (H, W) labels, or a picture (H, W, D).
        moved_back: the same for the moved picture, moved back.
        difference: (H, W), the largest change of any class's probability or colour, 0 to 1.
        valid: (H, W), where both answers show the same scene away from the frame.
        anchoring: what the grid was tied to in the moved picture.
        seconds: that the moved picture took.
        without: with `both`, the shift PSNR of the same network without its anchor.
    """

    network: Network
    psnr: float
    agreement: float | None
    still: NDArray
    moved_back: NDArray
    difference: NDArray[np.float32]
    valid: NDArray[np.bool_]
    anchoring: Anchoring
    seconds: float
    without: float | None = None


@dataclass(frozen=True)
class Moved:
    """Two answers beside each other, and what the second one took."""

    comparison: stability.Comparison
    anchoring: Anchoring
    seconds: float


@dataclass(frozen=True)
class Bench:
    """Networks of one task side by side; it remembers nothing between calls, so one serves every visitor."""

    networks: tuple[Network, ...]

    @property
    def multiple(self) -> int:
        """Frames are cut to multiples of the largest stride, so that exactness can show."""
        return max(network.config.stride for network in self.networks)

    def begin(
        self,
        pixels: NDArray[np.float32],
        mode: str,
        anchor: str = "none",
        networks: Sequence[Network] | None = None,
        before: Scene | None = None,
    ) -> Scene:
        """Asks the networks (by default all) about the picture as it stands; not again about the one that was looked at before."""
        turns = before.turns if before else Turns()
        turns.end()
        same = before is not None and before.pixels is pixels and before.mode == mode
        scene = Scene(pixels, mode, tuple(self.networks if networks is None else networks), anchor, {}, turns)
        stills = dict(before.stills) if same else {}
        for network, anchored in scene.asked:
            if (network.name, anchored) not in stills:
                x = network.predictor.prepare(pixels)
                answer, (anchoring,) = network.asked(mode, anchored).answer(stability.still_frame(x, mode, REACH, self.multiple))
                stills[network.name, anchored] = Still(answer, anchoring)
        return replace(scene, stills=stills)

    def frames(self, scene: Scene, shift: Move) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the networks see, as (H, W, C) floats of 0..1: before and after the move."""
        x = inputs.to_tensor(scene.pixels, 0, 1)[None]
        still = stability.still_frame(x, scene.mode, REACH, self.multiple)
        moved = stability.moved_frame(x, shift, scene.mode, REACH, self.multiple)
        return still[0].permute(1, 2, 0).numpy(), moved[0].permute(1, 2, 0).numpy()

    def compared(self, scene: Scene, network: Network, anchored: bool, shift: Move) -> Moved:
        """Asks one network about the moved picture."""
        frame = stability.moved_frame(network.predictor.prepare(scene.pixels), shift, scene.mode, REACH, self.multiple)
        begun = perf_counter()
        answer, (anchoring,) = network.asked(scene.mode, anchored).answer(frame)
        seconds = perf_counter() - begun
        still = scene.stills[network.name, anchored].answer
        return Moved(stability.compare(still, answer, shift, scene.mode, MARGIN), anchoring, seconds)

    def move(self, scene: Scene, shift: Move) -> tuple[Result, ...]:
        """Asks every network of a scene about the moved picture and compares."""
        results = [_result(network, self.compared(scene, network, anchored, shift)) for network, anchored in scene.asked]
        if scene.anchor != "both":
            return tuple(results)
        return tuple(replace(result, without=other.psnr) for result, other in zip(results[::2], results[1::2], strict=True))

    def warm(self, side: int) -> None:
        """Asks every network once: the first answer of each takes the longest."""
        for network in self.networks:
            network.predictor(torch.zeros(1, network.predictor.channels, side, side))


def _result(network: Network, moved: Moved) -> Result:
    comparison = moved.comparison
    labels = network.predictor.info.answers == "labels"
    change = (comparison.still - comparison.moved_back).abs().amax(1)[0]
    shown = [answer[0].argmax(0) if labels else answer[0].permute(1, 2, 0) for answer in (comparison.still, comparison.moved_back)]
    return Result(
        network,
        comparison.psnr(),
        comparison.agreement() if labels else None,
        *(answer.cpu().numpy() for answer in shown),
        change.cpu().numpy(),
        comparison.valid.cpu().numpy(),
        moved.anchoring,
        moved.seconds,
    )
