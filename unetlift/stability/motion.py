"""How steadily a function answers along a real clip: its answers are compared along the motion that the frames themselves show."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, final

import torch

from unetlift.anchor.track import SAME_SCENE, Motion
from unetlift.errors import UsageError, check_map, one_of
from unetlift.shifts import LOBES
from unetlift.stability.answers import KINDS, Function, Kind, as_values, ask, find_kind
from unetlift.stability.figures import ALL, figures_of
from unetlift.stability.frames import Comparison, trim
from unetlift.stability.measure import Conditions
from unetlift.stability.records import Record, StabilityReport
from unetlift.stability.registration import along_motion, find_motion
from unetlift.types import Map


class _Seen(NamedTuple):
    """What is kept of the last frame.

    Attributes:
        frame: (1, C, H, W), cut.
        values: the answer to it.
    """

    frame: Map
    values: Map


@final
class Follower:
    """Compares a function's answer to each frame of a clip with its answer to the one before, moved as the content moved.

    It keeps one frame and one answer, so a clip may go on for ever; each clip wants its own.

    Args:
        function: (1, C, H, W) to its answer; it is asked once a frame, in order.
        conditions: of the measurement: its figures, margin, range and multiple count.
        kind: of the answers; by default what the first one looks like.
        classes: their names; by default they are numbered.
        looks: from a prepared frame to its pixels of 0..1; by default they are the same.

    Attributes:
        frame: number of the last frame, from 0; -1 before the first.
        cuts: the frames that show no scene, or another than the frame before, or are of another size.
        kind: of the answers, once there is one.
        comparison: of the last record: the answer to its frame, and the one before, moved to where its content is now.

    Raises:
        UsageError: the kind is unknown.
    """

    def __init__(
        self,
        function: Function,
        conditions: Conditions = Conditions(),
        kind: Kind | None = None,
        classes: Sequence[str] = (),
        looks: Callable[[Map], Map] | None = None,
    ):
        if kind is not None:
            one_of("answers", kind, KINDS)
        self.function, self.conditions, self.kind, self.classes, self.looks = function, conditions, kind, classes, looks or (lambda x: x)
        self.frame, self.cuts = -1, []
        self.comparison: Comparison | None = None
        self._last: _Seen | None = None

    @torch.inference_mode()
    def __call__(self, x: Map) -> Record | None:
        """The record of the next frame, (1, C, H, W); none of the first one, and none after a cut.

        Raises:
            UsageError: the frame or the answer has not the shape it should have, or the margin leaves nothing of what both show.
        """
        check_map("The video", x, 2)
        if len(x) != 1:
            raise UsageError(f"The video was given {len(x)} frames at once; it takes one after the other, as (1, C, H, W).")
        self.frame += 1
        seen, last = self._answer(trim(x, self.conditions.multiple)), self._last
        self._last = seen
        if last is None:
            return None
        motion = find_motion(last.frame, seen.frame) if last.frame.shape == seen.frame.shape else Motion(0.0, 0.0, 0.0)
        if motion.correlation < SAME_SCENE:
            self.cuts.append(self.frame)
            return None
        return self._compared(last, seen, motion)

    @property
    def resampling(self) -> str:
        """How answers, and frames beside them, are moved by parts of a pixel."""
        return "nearest" if self.kind == "labels" else "lanczos"

    @property
    def margin(self) -> int:
        """Pixels left out along the frame: those that were asked for, and those that the resampling reaches over."""
        return self.conditions.margin + (0 if self.kind == "labels" else LOBES)

    def _answer(self, frame: Map) -> _Seen:
        output = ask(self.function, frame)
        self.kind = self.kind or find_kind(output, self.conditions.output_range)
        values = as_values(output, self.kind)
        return _Seen(frame, values)

    def _compared(self, last: _Seen, seen: _Seen, motion: Motion) -> Record:
        scene = self._along(self.looks(last.frame), self.looks(seen.frame), motion)
        if seen.values.shape[2:] == (1, 1):  # an answer to the whole picture does not move
            pair = Comparison(seen.values, last.values, torch.ones(1, 1, dtype=torch.bool, device=seen.values.device))
        else:
            pair = self._along(last.values, seen.values, motion)
        self.comparison = pair
        figures = figures_of(pair, self.kind, self.conditions.figures, None, self.conditions.output_range, self.classes)
        figures |= {"flicker": self._flicker(pair), "scene": scene.psnr(), "correlation": motion.correlation}
        return Record(self.frame, motion.dy, motion.dx, figures)

    def _along(self, before: Map, after: Map, motion: Motion) -> Comparison:
        return along_motion(before, after, motion, self.margin, self.resampling)

    def _flicker(self, pair: Comparison) -> float:
        difference = (pair.still - pair.moved_back)[..., pair.valid].double()
        if self.kind == "labels":
            return (difference != 0).double().mean().item()
        return difference.abs().mean().item() / self.conditions.output_range


def along(
    function: Function,
    frames: Iterable[Map],
    conditions: Conditions = Conditions(),
    kind: Kind | None = None,
    classes: Sequence[str] = (),
    looks: Callable[[Map], Map] | None = None,
) -> Iterator[Record]:
    """A record for each frame that goes on with the scene before it, as the frames come; see `measure_video` and `Follower`."""
    yield from filter(None, map(Follower(function, conditions, kind, classes, looks), frames))


def measure_video(
    function: Function,
    frames: Iterable[Map],
    *,
    margin: int = 16,
    output_range: float = 1.0,
    answers: Kind | None = None,
    figures: Sequence[str] = ALL,
    multiple: int = 1,
    classes: Sequence[str] = (),
    looks: Callable[[Map], Map] | None = None,
) -> StabilityReport:
    """Compares a function's answers to the frames of a clip along the motion between them, in constant memory.

    The answer to each frame is compared with the answer to the frame before, moved as far as the content moved: by the motion
    along which both whole frames are most alike. Beside `psnr` each record has `scene`: the PSNR of the frames themselves along
    that motion on the same pixels, which noise, depth, whatever moves by itself and the resampling have cost already;
    `flicker`: the mean |difference| of the answers as a share of R, of labels the share that changed; and `correlation`: how
    sure it is that both frames show one scene. Where that is below `unetlift.anchor.track.SAME_SCENE`, there is no record.

    Args:
        function: (1, C, H, W) to class probabilities (1, K, H, W), labels (1, H, W), a picture (1, C, H, W), logits, or one
            answer (1, K) for the whole picture; it is asked once a frame, in order.
        frames: (1, C, H, W), prepared as the function takes them.
        margin: pixels left out along the frame, where the network sees its own padding. The resampling's reach, 4 more, is left
            out too, but for labels: these move by whole pixels, to the nearest, and then so do the frames beside them.
        output_range: R of the PSNR; 1 for probabilities and pictures in 0..1.
        answers: what the function answers with; by default by the look of the first one.
        figures: which of `unetlift.stability.FIGURES` to take; `psnr` is always among them.
        multiple: frames are cut to multiples of it (a network's stride).
        classes: names of the classes; by default they are numbered.
        looks: from a prepared frame to its pixels of 0..1, for `scene`; by default they are the same.

    Returns:
        Records by frame, from 0; `max_shift` is the largest motion, rounded up, `margin` all that was left out along the frame,
        and `names` are as many as there were frames: those without a record, but for the first, are cuts.

    Raises:
        UsageError: a name is unknown, a number out of range, a frame or an answer has a wrong shape, or no two frames show one scene.
    """
    wanted = tuple(dict.fromkeys(("psnr", *figures)))
    conditions = Conditions(multiple=multiple, margin=margin, output_range=output_range, figures=wanted)
    follower = Follower(function, conditions, answers, classes, looks)
    records = tuple(filter(None, map(follower, frames)))
    count = follower.frame + 1
    if not records:
        raise UsageError(f"No two neighbours of {count} frames show one scene; give a clip of at least 2, with detail, from 64 pixels on.")
    names = tuple(f"frame {number + 1}" for number in range(count))
    largest = math.ceil(max(record.distance for record in records))
    return StabilityReport("video", largest, output_range, follower.margin, records, follower.kind, names, follower.resampling)
