"""Draws the gallery's tables from benchmarks/gallery.json: the README's, and those of docs/findings.md."""

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from gallery_claims import CLAIMS, Comparison, Runs
from gallery_runs import PEERS, TASKS, VARIANTS, Run

from unetlift.report import decibels

PAGES = "README.md", "docs/findings.md"
MARK = re.compile(r"(<!-- table:gallery-([\w-]+) -->\n).*?(<!-- end -->)", re.S)
NAMES = (*VARIANTS, *PEERS)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def rows_of(runs: Runs, task: str) -> dict[str, list[dict]]:
    """By variant, in the list's order, the rows of all its seeds."""
    found = {name: [runs[key] for seed in range(3) if (key := Run(task, name, seed).name) in runs] for name in NAMES}
    return {name: rows for name, rows in found.items() if rows}


def score(row: dict, task: str, test: str, anchor: str = "none") -> float:
    """The quality on a test split."""
    return row["quality"][f"{test}, {anchor}"][TASKS[task].score]


def pair(row: dict, key: str) -> str:
    """Mean and worst shift PSNR."""
    return " / ".join(decibels(row["stability"][key][figure]) for figure in ("mean", "worst"))


def task_table(runs: Runs, task: str) -> str:
    """Every variant of one task with seed 0, as it is and anchored."""
    tests, spec = list(TASKS[task].tests), TASKS[task]
    segments = spec.score == "miou"
    name = "mIoU" if segments else "PSNR"
    head = ["variant", *(f"{test} {name}" for test in tests), f"{name} with a landmark", "roll mean / worst dB", "crop mean / worst dB"]
    head += ["crop, 5th percentile", "crop with a landmark", "sub-pixel mean / worst dB"]
    head += ["crop label agreement %"] if segments else ["total variation x 100"]
    body = []
    for variant, (row, *_) in rows_of(runs, task).items():
        crop = row["stability"]["crop, none"]
        cells = [f"{score(row, task, test):.{spec.decimals}f}" for test in tests]
        cells += [f"{score(row, task, tests[0], 'landmark'):.{spec.decimals}f}"]
        cells += [pair(row, "roll, none"), pair(row, "crop, none"), decibels(crop["p5"])]
        cells += [pair(row, "crop, landmark"), pair(row, "subpixel, none")]
        cells += [f"{100 * crop['agreement']:.2f}" if segments else f"{100 * crop['total_variation']:.2f}"]
        body.append([f"`{variant}`", *cells])
    return table(head, body)


CENTRAL = ("denoise", "sr4", "facades", "nuclei", "streets")


def central_table(runs: Runs) -> str:
    """One line a variant: quality and crop shift PSNR of every task that it was trained for."""
    tasks = [task for task in CENTRAL if rows_of(runs, task)]
    head = ["variant", *(f"{TASKS[task].title}: {'mIoU' if TASKS[task].score == 'miou' else 'dB'} | crop dB" for task in tasks)]
    head = [cell for title in head for cell in title.split(" | ")]
    by_task = {task: rows_of(runs, task) for task in tasks}
    body = []
    for variant in NAMES:
        if not any(variant in rows for rows in by_task.values()):
            continue
        cells = [f"`{variant}`"]
        for task in tasks:
            rows, test = by_task[task].get(variant, []), next(iter(TASKS[task].tests))
            quality = f"{fmean(score(row, task, test) for row in rows):.{TASKS[task].decimals}f}" if rows else ""
            cells += [quality, decibels(fmean(row["stability"]["crop, none"]["mean"] for row in rows)) if rows else ""]
        body.append(cells)
    return table(head, body)


def seeds_table(runs: Runs) -> str:
    """The spread of the variants with three seeds."""
    head = ["task, variant", "quality, seed 0, 1, 2", "spread", "crop mean dB, seed 0, 1, 2", "spread"]
    body = []
    for task, spec in TASKS.items():
        for variant, rows in rows_of(runs, task).items():
            if len(rows) < 3 or task == "start":
                continue
            quality = [score(row, task, next(iter(spec.tests))) for row in rows]
            crop = [row["stability"]["crop, none"]["mean"] for row in rows]
            cells = [", ".join(f"{value:.{spec.decimals}f}" for value in quality), f"{max(quality) - min(quality):.{spec.decimals}f}"]
            cells += [", ".join(map(decibels, crop)), f"{max(crop) - min(crop):.1f}"]
            body.append([f"{spec.title}, `{variant}`", *cells])
    return table(head, body)


def claims_table(runs: Runs) -> str:
    """Each claim with its verdict."""
    return table(["claim", "verdict", "comparisons"], [[c.text, c.verdict(runs), str(len(c.shown(runs)))] for c in CLAIMS])


def evidence_table(runs: Runs) -> str:
    """Each comparison of each claim: the mean difference, and its 95 % interval over the test pictures."""
    body = []
    for claim in CLAIMS:
        for comparison in claim.shown(runs):
            body.append([claim.text, *_evidence(comparison, runs)])
    return table(["claim", "task", "difference", "mean", "95 % interval", "seeds", "says"], body)


def _evidence(comparison: Comparison, runs: Runs) -> list[str]:
    mean, low, high = comparison.difference(runs)
    digits = {"quality": TASKS[comparison.task].decimals, "variation": 5}.get(comparison.figure, 1)
    what = f"{comparison.figure}: `{comparison.one}` less `{comparison.other}`".replace(" | landmark", ", landmark")
    said = {True: "for", False: "against", None: "open"}[comparison.holds(runs)]
    interval = f"{low:+.{digits}f} to {high:+.{digits}f}"
    return [comparison.task, what, f"{mean:+.{digits}f}", interval, str(len(comparison.seeds(runs))), said]


def all_tables(runs: Runs) -> dict[str, str]:
    """By the name of their marker."""
    tables = {task: task_table(runs, task) for task in TASKS if task != "start" and rows_of(runs, task)}
    return tables | {
        "central": central_table(runs),
        "seeds": seeds_table(runs),
        "claims": claims_table(runs),
        "evidence": evidence_table(runs),
    }


def filled(text: str, tables: dict[str, str]) -> str:
    """A page with its tables as they are now."""
    return MARK.sub(lambda mark: mark[1] + tables.get(mark[2], "Not measured yet.\n") + mark[3], text)


def write(runs: Runs, root: Path) -> None:
    """Fills the pages' tables, and prints them."""
    tables = all_tables(runs)
    for name in PAGES:
        path = root / name
        path.write_text(filled(path.read_text(), tables))
    for name, text in tables.items():
        print(f"## {name}\n\n{text}")
