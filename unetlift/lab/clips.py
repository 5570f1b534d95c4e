"""Measures models on clips: their answers along the motion of the scene, frame by frame."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import lcm
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from unetlift import images
from unetlift.commands import StabilityConfig
from unetlift.errors import UsageError
from unetlift.inputs import to_tensor
from unetlift.lab.asked import Asked, frame_size
from unetlift.lab.pictures import without_report
from unetlift.predict.steady import Timed
from unetlift.report import Case, draw_case
from unetlift.report import Subject as Measured
from unetlift.stability import Conditions, Kind, Record, StabilityReport, trim
from unetlift.stability.motion import Follower, measure_video
from unetlift.types import Map

if TYPE_CHECKING:
    from unetlift.lab.run import Show


@dataclass(frozen=True)
class Clip:
    """Frames in order: of one video or animation, or pictures of a folder.

    Attributes:
        name: for people.
        files: the video alone, or the pictures.
    """

    name: str
    files: tuple[Path, ...]

    def __iter__(self) -> Iterator[images.Picture]:
        """Every frame, one at a time.

        Raises:
            PictureError: one cannot be read.
        """
        with ExitStack() as stack:
            if len(self.files) > 1:
                yield from map(images.read_picture, self.files)
                return
            for page in stack.enter_context(images.open_pages(self.files[0])):
                yield page.read()


def find(config: StabilityConfig) -> list[Clip]:
    """A clip; or each of a folder of clips; or the one that a folder's pictures make, in the order of their names.

    Raises:
        UsageError: there is none.
    """
    source = Path(config.input)
    if source.is_file():
        return [Clip(source.name, (source,))]
    if not source.is_dir():
        raise UsageError(f"{source} does not exist; --input wants a clip, a folder of clips, or the folder of a clip's frames.")
    found = without_report(images.input_files(source), config)
    videos = [path for path in found if path.suffix.lower() in images.VIDEO_SUFFIXES]
    if videos:
        return [Clip(path.relative_to(source).as_posix(), (path,)) for path in videos]
    if len(found) < 2:
        endings = ", ".join(images.VIDEO_SUFFIXES)
        raise UsageError(f"{source} has {len(found)} pictures; the frames of a clip are 2 or more, and videos end in {endings}.")
    return [Clip(source.name, tuple(found))]


def measure_clips(config: StabilityConfig, asked: Sequence[Asked], show: "Show") -> tuple[list[Measured], list[Case]]:
    """Every model in every way on every clip, which is a mode of its own in the report where there are several.

    Raises:
        PictureError: a frame cannot be read.
        UsageError: no two frames of a clip show one scene, or they are too small.
    """
    clips = find(config)
    multiple, size = lcm(*(one.model.multiple for one in asked)), frame_size(asked, config)
    measured, cases = [], []
    for one in asked:
        reports, seconds = {}, []
        for clip in show.watch(clips, f"{one.words} video"):
            watched = _Watched(one, clip, Conditions(multiple=multiple, margin=config.margin, output_range=config.range, size=size))
            mode = "video" if len(clips) == 1 else f"video {clip.name}"
            reports[mode], taken = watched.report()
            seconds.append(taken)
            title = Measured(one.model.name, one.model.source, one.model.padding, reports, one.tie).title
            cases += [watched.case(record, title, mode, reports[mode].kind) for record in reports[mode].worst_records(config.cases)]
        model, labels = one.model, reports[mode].kind != "pictures"
        about = (model.name, model.source, model.padding, reports, one.tie, one.spin, median(seconds), labels, model.fingerprint)
        measured.append(Measured(*about))
    return measured, cases


@dataclass(frozen=True)
class _Watched:
    """A clip, seen by one function."""

    one: Asked
    clip: Clip
    conditions: Conditions

    def report(self) -> tuple[StabilityReport, float]:
        """Along the whole clip, and the median seconds of an answer."""
        ask, model = Timed(self.one.function("video")), self.one.model
        wanted = {"margin": self.conditions.margin, "output_range": self.conditions.output_range, "multiple": self.conditions.multiple}
        about = {"answers": model.answers, "classes": model.class_names, "looks": self._looks()}
        return measure_video(ask, map(self._prepared, self.clip), **wanted, **about), ask.seconds

    def case(self, record: Record, title: str, mode: str, kind: Kind) -> Case:
        """A frame beside the one before, asked again to be drawn."""
        follower = Follower(self.one.function("video"), self.conditions, kind)
        for number, picture in enumerate(self.clip):
            if number >= record.image - 1:
                follower(self._prepared(picture))
            if number == record.image:
                break
        shown = trim(self.conditions.fit(to_tensor(images.to_float(picture), 0.0, 1.0)[None]), self.conditions.multiple)
        pixels, name = shown[0].permute(1, 2, 0).numpy(), f"{self.clip.name}, frame {record.image + 1}"
        return draw_case(title, mode, name, record, pixels, follower.comparison, kind, self.one.model.colours, self.conditions.output_range)

    def _prepared(self, picture: images.Picture) -> Map:
        return self.conditions.fit(self.one.model.prepare(picture, self.clip.name))

    def _looks(self) -> Callable[[Map], Map]:
        """From what the function takes to 0..1: where black and white go tells both ends."""
        channels = next(iter(self.clip)).shape[2]
        ends = (np.full((1, 1, channels), value, np.uint8) for value in (0, 255))
        black, white = (self.one.model.prepare(end, self.clip.name) for end in ends)
        return lambda x: (x - black) / (white - black)
