"""Draws stability reports: terminal tables, Markdown, JSON, CSV, the plot of PSNR against shift, and the page."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from textwrap import shorten

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich import box
from rich.markup import escape
from rich.table import Table

from unetlift.checkpoint import write_together
from unetlift.report.stability_files import FOREIGN, as_json, write_csv
from unetlift.report.stability_page import html
from unetlift.report.subject import LOW, About, Case, Subject, conditions, decibels, titles

__all__ = ["PLOT", "About", "Case", "Subject", "as_json", "conditions", "decibels", "markdown", "plot", "tables", "write"]

PLOT = "stability.png"

LEGEND = 48
HEADS = ("variant", "padding", "anchor", "mean dB", "interval", "5th", "worst dB", "label agreement")
PRICES = ("variant", "anchor", "network calls", "seconds", "times")
TIMES = "An answer's median seconds in this run, and how many times as long it takes as without anchor and spin."
SURE = " Interval: of the mean over all such pictures, 95 in 100 times."
FIFTH = f" 5th: {LOW} of 100 comparisons are worse."

LONGEST = 20
"""Letters of a word that stay together on a narrow terminal."""


def tables(subjects: list[Subject]) -> list[Table]:
    """Mean and worst shift PSNR and label agreement: a table a mode, a row a network, its anchor in its title."""
    drawn = []
    for mode in subjects[0].reports:
        cells = [subject.row(mode) for subject in subjects]
        rows = [[title, row[1], *row[3:]] for title, row in zip(titles(subjects), cells, strict=True)]
        heads = ("network", HEADS[1], *HEADS[3:])
        drawn.append(_table(f"Shift stability under {mode}", _told(subjects[0], mode), heads, 2, rows))
    if _priced(subjects):
        drawn.append(_table("Price of an answer", TIMES, PRICES, 2, [subject.price(subjects) for subject in subjects]))
    return drawn


def _told(subject: Subject, mode: str) -> str:
    return conditions(subject.reports[mode]) + (SURE if subject.intervals[mode] else "") + FIFTH


def _table(title: str, caption: str, heads: tuple[str, ...], words: int, rows: list[list[str]]) -> Table:
    """After so many columns of words come figures, which are never broken; words are, at spaces, where a terminal is narrow."""
    table = Table(title=title, caption=caption, caption_justify="left", box=box.SIMPLE_HEAVY, collapse_padding=True, pad_edge=False)
    for number, (head, *cells) in enumerate(zip(heads, *rows, strict=True)):
        if number < words:
            longest = max(len(word) for cell in cells for word in cell.split())
            table.add_column(head, min_width=min(longest, LONGEST), overflow="fold")
        else:
            table.add_column(head.replace(" ", "\n"), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _priced(subjects: list[Subject]) -> bool:
    """Whether any was asked otherwise than plainly, which is to be paid for."""
    return any(subject.spin > 1 or subject.anchor != "none" for subject in subjects)


def markdown(subjects: list[Subject]) -> str:
    """The same tables as Markdown."""
    parts = []
    for mode in subjects[0].reports:
        parts.append(f"**{mode}**: {_told(subjects[0], mode)}\n\n{_lines(HEADS, 3, [subject.row(mode) for subject in subjects])}\n")
    if _priced(subjects):
        parts.append(f"**price**: {TIMES}\n\n{_lines(PRICES, 2, [subject.price(subjects) for subject in subjects])}\n")
    return "\n".join(parts)


def _lines(heads: tuple[str, ...], words: int, rows: list[list[str]]) -> str:
    """A table of Markdown; after so many columns of words come figures."""
    rule = ["---"] * words + ["---:"] * (len(heads) - words)
    cells = [[" ".join(cell.replace("|", "\\|").replace("<", "&lt;").split()) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rule, *cells])


def plot(subjects: list[Subject]) -> Figure:
    """Mean shift PSNR against the shift's distance, a panel a mode, a line a network."""
    modes = list(subjects[0].reports)
    figure = Figure(figsize=(5.2 * len(modes) + 2.2, 4.2), layout="constrained")
    for axes, mode in zip(figure.subplots(1, len(modes), squeeze=False)[0], modes, strict=True):
        for number, (subject, title, marker) in enumerate(zip(subjects, titles(subjects), "osD^vPX*" * len(subjects), strict=False), 1):
            curve = subject.reports[mode].by_shift()
            label = shorten(f"{number} {title}", LEGEND, placeholder=" …")  # a longer one would leave no room for the lines
            axes.plot(list(curve), list(curve.values()), marker=marker, label=label[:LEGEND].replace("$", r"\$"))
        axes.set_xlabel("shift in pixels")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("shift PSNR in dB")
        axes.set_title(mode)
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    return figure


def write(subjects: list[Subject], out: Path, cases: Sequence[Case] = (), about: About | None = None) -> None:
    """Writes the report into `out`: all files, or none.

    Args:
        subjects: what was measured, under the same modes; the others are compared with the first.
        out: a folder; stability.json, .csv, .md, .png and .html are written there.
        cases: comparisons to look at, the worst first.
        about: the circumstances.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_together(
        {
            out / "stability.json": lambda part: part.write_text(as_json(subjects, about), encoding="utf-8"),
            out / "stability.csv": partial(write_csv, subjects=subjects, about=about),
            out / "stability.md": lambda part: part.write_text(markdown(subjects), encoding="utf-8", errors=FOREIGN),
            out / PLOT: lambda part: plot(subjects).savefig(part, format="png", dpi=120),
            out / "stability.html": lambda part: part.write_text(html(subjects, cases, about), encoding="utf-8", errors=FOREIGN),
        }
    )
