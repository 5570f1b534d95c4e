"""Draws stability reports: terminal table, JSON, and the plot of PSNR against shift."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.figure import Figure
from rich.table import Table

from unetlift.checkpoint import write_atomically
from unetlift.stability import CEILING, StabilityReport

FIGURES = ("mean dB", "worst dB", "agree %")


@dataclass(frozen=True)
class Subject:
    """A measured network: its variant, where it came from, its padding, and its reports by mode."""

    name: str
    folder: str
    padding_mode: str
    reports: dict[str, StabilityReport]


def decibels(value: float) -> str:
    """A PSNR for people: what float32 cannot tell apart is said to be so."""
    return f">={CEILING:.0f}" if value >= CEILING else f"{value:.1f}"


def footnote(subjects: list[Subject]) -> str:
    """What makes the figures comparable."""
    lines = []
    for mode, report in subjects[0].reports.items():
        count = len({r.image for r in report.records})
        how = {"roll": "circular", "crop": f"a moving window, {report.margin} pixels of margin left out"}[mode]
        lines.append(f"{mode}: {how}; shifts up to {report.max_shift} pixels, {count} pictures, R = {report.range:g}.")
    if "roll" in subjects[0].reports:
        lines.append("Under roll, a network without circular padding is judged mostly by the seam that the roll makes.")
    return "\n".join(lines)


def _cells(subject: Subject) -> list[str]:
    cells = [subject.name, subject.padding_mode]
    for report in subject.reports.values():
        cells += [decibels(report.mean), decibels(report.worst), f"{100 * report.agreement:.2f}"]
    return cells


def table(subjects: list[Subject]) -> Table:
    """Mean and worst shift PSNR in dB and label agreement, a row a network."""
    drawn = Table(title="Shift stability", caption=footnote(subjects), caption_justify="left")
    drawn.add_column("variant", no_wrap=True)
    drawn.add_column("padding")
    for mode in subjects[0].reports:
        for figure in FIGURES:
            drawn.add_column(f"{mode}\n{figure}", justify="right", no_wrap=True)
    for subject in subjects:
        drawn.add_row(*_cells(subject))
    return drawn


def markdown(subjects: list[Subject]) -> str:
    """The same table as Markdown."""
    modes = list(subjects[0].reports)
    heads = ["variant", "padding", *(f"{mode} {figure}" for mode in modes for figure in FIGURES)]
    rows = [heads, ["---"] * 2 + ["---:"] * (len(heads) - 2)]
    for subject in subjects:
        rows.append(_cells(subject))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def as_json(subjects: list[Subject]) -> str:
    """Everything, down to each comparison; a PSNR of `CEILING` means that float32 sees no difference."""
    out = []
    for subject in subjects:
        reports = {
            mode: asdict(report) | {"mean": report.mean, "worst": report.worst, "agreement": report.agreement, "by_shift": report.by_shift()}
            for mode, report in subject.reports.items()
        }
        out.append({"name": subject.name, "folder": subject.folder, "padding_mode": subject.padding_mode, "reports": reports})
    return json.dumps({"psnr_ceiling": CEILING, "subjects": out}, indent=1, allow_nan=False) + "\n"


def plot(subjects: list[Subject]) -> Figure:
    """Mean shift PSNR against the shift's distance, a panel a mode, a line a network."""
    modes = list(subjects[0].reports)
    figure = Figure(figsize=(5.6 * len(modes), 4.2), layout="constrained")
    for axes, mode in zip(figure.subplots(1, len(modes), squeeze=False)[0], modes, strict=True):
        for subject, marker in zip(subjects, "osD^vPX*" * len(subjects), strict=False):
            curve = subject.reports[mode].by_shift()
            axes.plot(list(curve), list(curve.values()), marker=marker, label=subject.name)
        axes.set_xlabel("shift in pixels")
        axes.set_ylabel("shift PSNR in dB")
        axes.set_title(mode)
        axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def write(subjects: list[Subject], out: Path) -> None:
    """Writes stability.json, stability.md and stability.png into `out`, each whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "stability.json", lambda part: part.write_text(as_json(subjects)))
    write_atomically(out / "stability.md", lambda part: part.write_text(markdown(subjects) + "\n" + footnote(subjects) + "\n"))
    write_atomically(out / "stability.png", lambda part: plot(subjects).savefig(part, format="png", dpi=120))
