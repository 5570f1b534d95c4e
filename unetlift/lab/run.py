"""Measures models side by side, picture after picture in constant memory, and goes on where it was stopped."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import lcm
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unetlift import __version__, images
from unetlift.commands import StabilityConfig
from unetlift.errors import PictureError, UsageError
from unetlift.inputs import to_tensor
from unetlift.lab.asked import Asked, frame_size, open_all
from unetlift.lab.inside import layers_of
from unetlift.lab.journal import Entry, Journal
from unetlift.lab.pictures import Subject, check, find
from unetlift.lab.versions import about
from unetlift.predict.steady import Timed
from unetlift.report import Case, draw_case, write
from unetlift.report import Subject as Measured
from unetlift.shifts import Fraction, Shift, scattered, square
from unetlift.stability import Conditions, Kind, StabilityReport, compared, find_kind
from unetlift.types import Map

Item = TypeVar("Item")
RECORDS = "records"


@dataclass(frozen=True)
class Show:
    """Who is told how a measurement goes on.

    Attributes:
        watch: hands items on, and shows how many are done; given what is being done in words.
        say: called with a sentence for each picture that cannot be measured.
    """

    watch: Callable[[Sequence[Item], str], Iterable[Item]]
    say: Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """What was measured, and what could not be: a sentence a picture."""

    measured: list[Measured]
    failures: dict[str, str]


def run(config: StabilityConfig, show: Show, command: Sequence[str] = ()) -> Result:
    """Measures every model in every way under every mode, and writes the report; see `StabilityConfig`.

    Raises:
        UsageError: a model, the pictures or the settings do not suit.
        DataSetError: a picture has no truth.
    """
    asked = open_all(config)
    if config.mode == "video":
        from unetlift.lab.clips import measure_clips

        measured, cases = measure_clips(config, asked, show)
        failures: dict[str, str] = {}
    else:
        measured, cases, failures = _pictures(config, asked, show)
    line = shlex.join(["unetlift", *command]) if command else ""
    write(measured, Path(config.out), cases, about(line, config.seed))
    return Result(measured, failures)


def _pictures(config: StabilityConfig, asked: list[Asked], show: Show) -> tuple[list[Measured], list[Case], dict[str, str]]:
    bench = Bench(config, {mode: conditions_of(config, mode, asked) for mode in config.modes}, show, {})
    subjects = []
    for subject, error in check(find(config), list(bench.conditions.values())):
        if error is None:
            subjects.append(subject)
        else:
            bench.fail(subject, error)
    measured, cases = [], []
    for one in asked:
        reports, seconds = {}, []
        for mode in config.modes:
            reports[mode], taken = bench.report(one, mode, subjects)
            seconds += taken
        layers = layers_of(one, bench.conditions[config.modes[-1]], subjects) if config.layers else None
        kind = next(iter(reports.values())).kind
        model = one.model
        subject = Measured(
            model.name, model.source, model.padding, reports, one.tie, one.spin, median(seconds), kind != "pictures",
            model.fingerprint, layers,
        )  # fmt: skip
        measured.append(subject)
        cases += [case for mode, report in reports.items() for case in bench.cases(one, subject.title, mode, report, subjects)]
    return measured, cases, bench.failures


def conditions_of(config: StabilityConfig, mode: str, asked: Sequence[Asked]) -> Conditions:
    """The conditions of a mode, alike for all models: frames suit every stride."""
    multiple = lcm(*(one.model.multiple for one in asked))
    size = frame_size(asked, config)
    return Conditions(mode, config.max_shift, _shifts(config, mode), multiple, config.margin, config.range, size, config.resampling)


def _shifts(config: StabilityConfig, mode: str) -> Sequence[Shift | Fraction] | None:
    """Those asked for; None is the mode's own star."""
    if config.shifts == "star":
        return None
    reach = 7 if mode == "subpixel" else config.max_shift  # eighths
    chosen = square(reach) if config.shifts == "square" else scattered(reach, config.count, config.seed)
    return [Fraction(dy / 8, dx / 8) for dy, dx in chosen] if mode == "subpixel" else chosen


@dataclass(frozen=True)
class Bench:
    """Where pictures are measured.

    Attributes:
        config: what was asked for.
        conditions: by mode.
        show: who is told.
        failures: a sentence for each picture that could not be measured, by name.
    """

    config: StabilityConfig
    conditions: dict[str, Conditions]
    show: Show
    failures: dict[str, str]

    def fail(self, subject: Subject, error: PictureError) -> None:
        """A picture that cannot be read does not end the measurement of the others."""
        if subject.name not in self.failures:
            self.failures[subject.name] = str(error)
            self.show.say(str(error))

    def report(self, one: Asked, mode: str, subjects: Sequence[Subject]) -> tuple[StabilityReport, list[float]]:
        """Of one function under one mode, and the median seconds of an answer, picture by picture.

        Raises:
            UsageError: no picture could be read.
        """
        journal = Journal(Path(self.config.out) / RECORDS, self._key(one, mode))
        records, seconds, names = [], [], [subject.name for subject in subjects]
        kind: Kind | None = one.model.answers
        for number, subject in enumerate(self.show.watch(subjects, f"{one.words} {mode}")):
            if subject.name in self.failures:
                continue
            try:
                if subject.hash not in journal.entries:
                    journal.append(self._measure(one, mode, subject, kind))
            except PictureError as error:
                self.fail(subject, error)
                continue
            entry = journal.entries[subject.hash]
            kind = entry.kind
            records += [replace(record, image=number) for record in entry.records]
            seconds.append(entry.seconds)
        if not records:
            raise UsageError(f"None of the {len(subjects) or len(self.failures)} pictures of {self.config.input} can be read.")
        return self.conditions[mode].report(records, kind, names), seconds

    def _measure(self, one: Asked, mode: str, subject: Subject, kind: Kind | None) -> Entry:
        ask = Timed(one.function(mode))
        found = list(self._compared(ask, one, mode, subject, kind, self.conditions[mode]))
        return Entry(subject.hash, found[0][1], ask.seconds, tuple(record for record, _ in found))

    def _compared(self, ask: Callable, one: Asked, mode: str, subject: Subject, kind: Kind | None, conditions: Conditions) -> Iterator:
        x = self.prepare(one, subject)
        if subject.truth is not None and kind is None:
            kind = find_kind(ask(conditions.frame(x)), self.config.range)
        truth = subject.wanted(kind) if subject.truth is not None else None
        for record, _, known in compared(ask, x, conditions, kind, truth, one.model.class_names):
            yield record, known

    def prepare(self, one: Asked, subject: Subject) -> Map:
        """A picture as a model takes it."""
        return one.model.prepare(images.read_picture(subject.path), subject.path)

    def cases(self, one: Asked, title: str, mode: str, report: StabilityReport, subjects: Sequence[Subject]) -> Iterator[Case]:
        """The worst comparisons, made again to be drawn."""
        for record in report.worst_records(self.config.cases):
            subject = subjects[record.image]
            move = next(shift for shift in self.conditions[mode].every if (shift.dy, shift.dx) == (record.dy, record.dx))
            conditions = replace(self.conditions[mode], shifts=(move,), figures=("psnr",))
            x = self.prepare(one, subject)
            _, comparison, kind = next(compared(one.function(mode), x, conditions, report.kind))
            picture = _pixels(images.read_picture(subject.path), conditions)
            yield draw_case(title, mode, subject.name, record, picture, comparison, kind, one.model.colours, self.config.range)

    def _key(self, one: Asked, mode: str) -> dict[str, Any]:
        """All that the figures depend on, but for the pictures."""
        config = self.config
        read = [config.answers, config.mean, config.std, config.channels, config.device]
        how = {"model": one.model.fingerprint, "name": one.model.name, "anchor": [one.anchor, one.placing], "spin": one.spin, "read": read}
        return how | asdict(self.conditions[mode]) | {"truth": config.truth is not None, "version": __version__}


def _pixels(picture: images.Picture, conditions: Conditions) -> NDArray[np.float32]:
    """(H, W, C) of 0..1, cut as the function saw it."""
    x = to_tensor(images.to_float(picture), 0.0, 1.0)[None]
    return conditions.frame(x)[0].permute(1, 2, 0).numpy()
