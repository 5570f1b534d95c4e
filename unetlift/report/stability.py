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
PRICES = ("variant", "anchor", "network calls", "seconds", "times")
TIMES = "An answer's median seconds in this run, and how many times as long it takes as without anchor and spin."


@dataclass(frozen=True)
class Subject:
    """A measured network, asked in one way.

    Attributes:
        variant: of the network.
        folder: where it came from.
        padding_mode: of the network.
        reports: by mode.
        anchor: what its grid was tied to.
        spin: over how many shifts along each axis its answers are the mean.
        seconds: that an answer took.
        labels: whether it answers with classes; pictures have none that could agree.
    """

    variant: str
    folder: str
    padding_mode: str
    reports: dict[str, StabilityReport]
    anchor: str = "none"
    spin: int = 1
    seconds: float = 0.0
    labels: bool = True

    @property
    def name(self) -> str:
        """The variant, spun or not."""
        return self.variant if self.spin == 1 else f"{self.variant}, spin {self.spin}"

    @property
    def title(self) -> str:
        """The name, with its anchor where it has one."""
        return self.name if self.anchor == "none" else f"{self.name}, {self.anchor}"

    @property
    def calls(self) -> int:
        """How often the network is asked for one answer."""
        return self.spin**2

    def row(self, mode: str) -> list[str]:
        """The cells under `HEADS`."""
        report = self.reports[mode]
        agreement = f"{100 * report.agreement:.2f} %" if self.labels else "-"
        return [self.name, self.padding_mode, self.anchor, decibels(report.mean), decibels(report.worst), agreement]

    def times(self, subjects: list["Subject"]) -> float | None:
        """How many times as long an answer takes as the same network's without anchor and spin, if that was measured."""
        plain = [s.seconds for s in subjects if (s.folder, s.anchor, s.spin) == (self.folder, "none", 1)]
        return self.seconds / plain[0] if plain and plain[0] else None

    def price(self, subjects: list["Subject"]) -> list[str]:
        """The cells under `PRICES`."""
        times = self.times(subjects)
        return [self.name, self.anchor, f"{self.calls}", f"{self.seconds:.4f}", "-" if times is None else f"{times:.1f}"]


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
        rows = [subject.row(mode) for subject in subjects]
        drawn.append(_table(f"Shift stability under {mode}", conditions(report), HEADS, 3, rows))
    if _priced(subjects):
        drawn.append(_table("Price of an answer", TIMES, PRICES, 2, [subject.price(subjects) for subject in subjects]))
    return drawn


def _table(title: str, caption: str, heads: tuple[str, ...], words: int, rows: list[list[str]]) -> Table:
    """After so many columns of words come figures; a narrow terminal breaks lines between words alone."""
    table = Table(title=title, caption=caption, caption_justify="left")
    for number, cells in enumerate(zip(heads, *rows, strict=True)):
        widest = max(len(word) for cell in cells for word in cell.split())
        table.add_column(cells[0], justify="left" if number < words else "right", min_width=widest)
    for row in rows:
        table.add_row(*row)
    return table


def _priced(subjects: list[Subject]) -> bool:
    """Whether any was asked otherwise than plainly, which is to be paid for."""
    return any(subject.spin > 1 or subject.anchor != "none" for subject in subjects)


def markdown(subjects: list[Subject]) -> str:
    """The same tables as Markdown."""
    parts = []
    for mode, report in subjects[0].reports.items():
        parts.append(f"**{mode}**: {conditions(report)}\n\n{_lines(HEADS, 3, [subject.row(mode) for subject in subjects])}\n")
    if _priced(subjects):
        parts.append(f"**price**: {TIMES}\n\n{_lines(PRICES, 2, [subject.price(subjects) for subject in subjects])}\n")
    return "\n".join(parts)


def _lines(heads: tuple[str, ...], words: int, rows: list[list[str]]) -> str:
    """A table of Markdown; after so many columns of words come figures."""
    rule = ["---"] * words + ["---:"] * (len(heads) - words)
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rule, *rows])


def as_json(subjects: list[Subject]) -> str:
    """Everything, down to each comparison; a PSNR of `CEILING` means that float32 sees no difference."""
    out = []
    for subject in subjects:
        reports = {
            mode: asdict(report)
            | {
                "mean": report.mean,
                "worst": report.worst,
                "agreement": report.agreement if subject.labels else None,
                "by_shift": report.by_shift(),
            }
            for mode, report in subject.reports.items()
        }
        about = {"name": subject.name, "folder": subject.folder, "padding_mode": subject.padding_mode, "anchor": subject.anchor}
        price = {"spin": subject.spin, "calls": subject.calls, "seconds": subject.seconds, "times": subject.times(subjects)}
        out.append(about | price | {"reports": reports})
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
