"""A stability report for programs: JSON down to each comparison, and CSV with a line for each."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from unetlift.report.subject import LOW, About, Subject, beside, picture_name, square
from unetlift.stability import CEILING

FOREIGN = "backslashreplace"
"""What is done with names of files that are not Unicode."""

COLUMNS = ("subject", "source", "way", "mode", "picture", "dy", "dx")
"""Of the CSV; one for each figure follows."""


def as_json(subjects: Sequence[Subject], about: About | None = None) -> str:
    """Everything, a line for each comparison; a PSNR of `CEILING` means that float32 sees no difference, null that nobody knows."""
    told = {"psnr_ceiling": CEILING, "low_percentile": LOW}
    if about is not None:
        told["about"] = {"command": about.command, "seed": about.seed, "versions": dict(about.versions), "date": about.date}
    inner = ",\n".join(_subject(subject, subjects, about) for subject in subjects)
    return _around(told, "subjects", f"[\n{inner}\n]") + "\n"


def _subject(subject: Subject, subjects: Sequence[Subject], about: About | None) -> str:
    names = {"name": subject.name, "folder": subject.folder, "fingerprint": subject.fingerprint, "padding_mode": subject.padding_mode}
    price = {"anchor": subject.anchor, "spin": subject.spin, "calls": subject.calls, "seconds": subject.seconds}
    told = names | price | {"times": subject.times(subjects)}
    if subject.layers is not None:
        layers = subject.layers
        told["layers"] = asdict(layers) | {"values": layers.values.tolist()}
    inner = ",\n".join(f"{_line(mode)}: {_report(subject, mode, subjects[0], about)}" for mode in subject.reports)
    return _around(told, "reports", f"{{\n{inner}\n}}")


def _report(subject: Subject, mode: str, first: Subject, about: About | None) -> str:
    report = subject.reports[mode]
    found = {"mode": report.mode, "max_shift": report.max_shift, "range": report.range, "margin": report.margin, "kind": report.kind}
    found |= {"resampling": report.resampling, "mean": report.mean, "interval": _plain(subject.intervals[mode])}
    found |= {"deviation": report.deviation, "low": report.percentile(LOW), "worst": report.worst}
    found |= {"agreement": report.agreement if subject.labels else None, "means": report.means, "by_shift": report.by_shift()}
    found["by_shift_interval"] = {distance: _plain(bounds) for distance, bounds in subject.bands[mode].items()}
    if subject is not first:
        found["beside_the_first"] = _plain(beside(report, first.reports[mode])[0])
    found["pictures"] = {image: picture_name(report, image, about) for image in report.by_image()}
    if (grid := square(report)) is not None:
        found["grid"] = asdict(grid) | {"values": grid.values.tolist()}
    lines = (_line({"image": r.image, "dy": r.dy, "dx": r.dx} | dict(r.figures)) for r in report.records)
    return _around(found, "records", "[\n" + ",\n".join(lines) + "\n]")


def _around(told: Mapping[str, Any], key: str, inner: str) -> str:
    """A JSON object of what is told, an entry a line, and of something that is JSON already."""
    lines = [*(f"{_line(name)}: {_line(value)}" for name, value in told.items()), f"{_line(key)}: {inner}"]
    return "{\n" + ",\n".join(lines) + "\n}"


def _line(value: Any) -> str:
    return json.dumps(_known(value), allow_nan=False)


def _plain(found: Any) -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def _known(value: Any) -> Any:
    """The same with None for numbers that are none: JSON has no other word for them."""
    if isinstance(value, Mapping):
        return {str(key): _known(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_known(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def write_csv(path: Path, subjects: Sequence[Subject], about: About | None = None) -> None:
    """A line for each comparison, in UTF-8; a figure that it has not is an empty field."""
    records = [record for subject in subjects for report in subject.reports.values() for record in report.records]
    figures = list(dict.fromkeys(name for record in records for name in record.figures))
    with path.open("w", newline="", encoding="utf-8", errors=FOREIGN) as file:
        lines = csv.writer(file)
        lines.writerow([*COLUMNS, *figures])
        for subject in subjects:
            for mode, report in subject.reports.items():
                who = [subject.variant, subject.folder, subject.way, mode]
                for record in report.records:
                    place = [picture_name(report, record.image, about), record.dy, record.dx]
                    lines.writerow([*who, *place, *(record.figures.get(name, "") for name in figures)])
