"""Draws stability reports: terminal tables, Markdown, JSON, and the plot of PSNR against shift."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.table import Table

from unetlift.checkpoint import write_atomically
from unetlift.stability import CEILING, StabilityReport

HEADS = ("variant", "padding", "anchor", "mean dB", "worst dB", "label agreement")


@dataclass(frozen=True)
class Subject:
    """A measured network: its variant, where it came from, its padding, its reports by mode, and its anchor."""

    name: str
    folder: str
    padding_mode: str
    reports: dict[str, StabilityReport]
    anchor: str = "none"

    @property
    def title(self) -> str:
        """The variant, with its anchor where it has one."""
        return self.name if self.anchor == "none" else f"{self.name}, {self.anchor}"

    def row(self, mode: str) -> list[str]:
        """The cells under `HEADS`."""
        report = self.reports[mode]
        return [self.name, self.padding_mode, self.anchor, decibels(report.mean), decibels(report.worst), f"{100 * report.agreement:.2f} %"]


def decibels(value: float) -> str:
    """A PSNR for people: what float32 cannot tell apart is said to be so."""
    return f">= {CEILING:.0f}" if value >= CEILING else f"{value:.1f}"


def conditions(report: StabilityReport) -> str:
    """What makes the figures of a report comparable."""
    count = len({r.image for r in report.records})
    how = {
        "roll": "the picture moves circularly; a network without circular padding is judged mostly by the seam",
        "crop": f"a window moves over the picture; {report.margin} pixels of margin left out",
        "subpixel": f"the picture is resampled; {report.margin} pixels of margin left out",
    }[report.mode]
    distance = "1/8 to 7/8 of a pixel" if report.mode == "subpixel" else f"1 to {report.max_shift} pixels"
    return f"{how}. Shifts of {distance}, {count} pictures, R = {report.range:g}."


def tables(subjects: list[Subject]) -> list[Table]:
    """Mean and worst shift PSNR and label agreement: a table a mode, a row a network."""
    drawn = []
    for mode, report in subjects[0].reports.items():
        table = Table(title=f"Shift stability under {mode}", caption=conditions(report), caption_justify="left")
        for head in HEADS:
            table.add_column(head, justify="left" if head in HEADS[:3] else "right", no_wrap=head != HEADS[-1])
        for subject in subjects:
            table.add_row(*subject.row(mode))
        drawn.append(table)
    return drawn


def markdown(subjects: list[Subject]) -> str:
    """The same tables as Markdown."""
    parts = []
    for mode, report in subjects[0].reports.items():
        rows = [list(HEADS), ["---"] * 3 + ["---:"] * 3, *(subject.row(mode) for subject in subjects)]
        lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        parts.append(f"**{mode}**: {conditions(report)}\n\n{lines}\n")
    return "\n".join(parts)


def as_json(subjects: list[Subject]) -> str:
    """Everything, down to each comparison; a PSNR of `CEILING` means that float32 sees no difference."""
    out = []
    for subject in subjects:
        reports = {
            mode: {"mean": report.mean, "worst": report.worst, "agreement": report.agreement, "by_shift": report.by_shift()}
            | asdict(report)
            for mode, report in subject.reports.items()
        }
        about = {"name": subject.name, "folder": subject.folder, "padding_mode": subject.padding_mode, "anchor": subject.anchor}
        out.append(about | {"reports": reports})
    return json.dumps({"psnr_ceiling": CEILING, "subjects": out}, indent=1, allow_nan=False) + "\n"


def plot(subjects: list[Subject]) -> Figure:
    """Mean shift PSNR against the shift's distance, a panel a mode, a line a network."""
    modes = list(subjects[0].reports)
    figure = Figure(figsize=(5.2 * len(modes) + 2.2, 4.2), layout="constrained")
    for axes, mode in zip(figure.subplots(1, len(modes), squeeze=False)[0], modes, strict=True):
        for subject, marker in zip(subjects, "osD^vPX*" * len(subjects), strict=False):
            curve = subject.reports[mode].by_shift()
            axes.plot(list(curve), list(curve.values()), marker=marker, label=subject.title)
        axes.set_xlabel("shift in pixels")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("shift PSNR in dB")
        axes.set_title(mode)
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    return figure


def write(subjects: list[Subject], out: Path) -> None:
    """Writes stability.json, stability.md and stability.png into `out`, each whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "stability.json", lambda part: part.write_text(as_json(subjects)))
    write_atomically(out / "stability.md", lambda part: part.write_text(markdown(subjects)))
    write_atomically(out / "stability.png", lambda part: plot(subjects).savefig(part, format="png", dpi=120))
