"""Draws the gallery's tables from benchmarks/gallery.json: the README's, and those of docs/findings.md."""

import re
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev

from gallery_claims import CLAIMS, Comparison, Difference, Runs, differences
from gallery_runs import CONVOLVED, LIST, PEERS, PENALTIES, SPUN, STARTS, TASKS, VARIANTS, Run

from unetlift.report import decibels

PAGES = "README.md", "docs/findings.md"
MARK = re.compile(r"(<!-- table:gallery-([\w-]+) -->\n).*?(<!-- end -->)", re.S)
NAMES = (*VARIANTS, SPUN, *PEERS)
CHOICES = tuple(name for name in NAMES if not re.search(", (circular|replicate|consistency|penalty)", name))
"""What one would choose between: not what others are held against."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def rows_of(runs: Runs, task: str, names: Sequence[str] = NAMES) -> dict[str, list[dict]]:
    """By variant, in the list's order, the rows of all its seeds."""
    found = {name: [runs[key] for seed in range(3) if (key := Run(task, name, seed).name) in runs] for name in names}
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


def central_table(runs: Runs, costs: dict[str, dict], names: Sequence[str] = NAMES) -> str:
    """One line a variant: quality and crop shift PSNR of every task that it was trained for, and its cost beside max+nearest."""
    tasks = [task for task in CENTRAL if rows_of(runs, task)]
    head = ["variant", *(f"{TASKS[task].title}: {'mIoU' if TASKS[task].score == 'miou' else 'dB'} | crop dB" for task in tasks)]
    head = [cell for title in head for cell in title.split(" | ")] + ["training step", "inference"]
    by_task = {task: rows_of(runs, task) for task in tasks}
    body = []
    for variant in names:
        if not any(variant in rows for rows in by_task.values()):
            continue
        cells = [f"`{variant}`"]
        for task in tasks:
            rows, test = by_task[task].get(variant, []), next(iter(TASKS[task].tests))
            quality = f"{fmean(score(row, task, test) for row in rows):.{TASKS[task].decimals}f}" if rows else ""
            quality += f" ({len(rows)} seeds)" if len(rows) > 1 else ""
            cells += [quality, decibels(fmean(row["stability"]["crop, none"]["mean"] for row in rows)) if rows else ""]
        cost, base = costs.get(variant, {}), costs.get("max+nearest", {})
        body.append([*cells, *(f"x {cost[key] / base[key]:.2f}" if key in cost else "" for key in ("train_ms", "infer_ms"))])
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


def claims_table(found: dict[Comparison, Difference]) -> str:
    """Each claim with its verdict."""
    return table(["claim", "verdict", "comparisons"], [[c.text, c.verdict(found), str(len(c.shown(found)))] for c in CLAIMS])


def evidence_table(found: dict[Comparison, Difference], runs: Runs) -> str:
    """Each comparison of each claim: the mean difference, and its 95 % interval over the test pictures."""
    rows = [(claim, comparison, says) for claim in CLAIMS for comparison, says in claim.shown(found)]
    body = []
    for claim, comparison, says in rows:
        digits = {"quality": TASKS[comparison.task].decimals, "variation": 5}.get(comparison.figure, 1)
        mean, low, high = (f"{value:+.{digits}f}" for value in found[comparison])
        what = f"{comparison.figure}: `{comparison.one}` less `{comparison.other}`".replace(" | landmark", ", landmark")
        said = {True: "for", False: "against", None: "open"}[says]
        body.append([claim.text, comparison.task, what, mean, f"{low} to {high}", str(len(comparison.seeds(runs))), said])
    return table(["claim", "task", "difference", "mean", "95 % interval", "seeds", "says"], body)


def starts_table(runs: Runs) -> str:
    """Where a lift starts, by weight of its regularisers, with and without skips."""
    found = {name: [score(row, "start", "dsb2018") for row in rows] for name, rows in rows_of(runs, "start", (*STARTS, *CONVOLVED)).items()}
    bases = dict.fromkeys(name.removesuffix(", no skips") for name in found)
    body = [[f"`{base}`", _spread(found.get(base, [])), _spread(found.get(f"{base}, no skips", []))] for base in bases]
    return table(["pools, start, weight", "with skips: mean (range, seeds)", "without skips"], body)


def margins_table(runs: Runs) -> str:
    """The same lifts by what they have in common."""
    lifts = {name: name.split(", ")[1:3] for name in STARTS if name.startswith("lift")}
    found = {name: [score(row, "start", "dsb2018") for row in rows] for name, rows in rows_of(runs, "start", tuple(lifts)).items()}

    def cell(kind: str, skipless: bool) -> str:
        scores = [score for name in found if kind in lifts[name] and name.endswith("no skips") == skipless for score in found[name]]
        return f"{fmean(scores):.4f} ± {stdev(scores) / sqrt(len(scores)):.4f} ({len(scores)})" if len(scores) > 1 else ""

    kinds = dict.fromkeys(kind for names in zip(*lifts.values(), strict=True) for kind in names)
    body = [[f"weight {kind}" if kind in PENALTIES else f"start `{kind}`", cell(kind, False), cell(kind, True)] for kind in kinds]
    return table(["all lifts of", "with skips: mean ± standard error (networks)", "without skips"], body)


def _spread(scores: list[float]) -> str:
    return f"{fmean(scores):.4f} ({min(scores):.4f} to {max(scores):.4f}, {len(scores)})" if scores else ""


def budgets_table() -> str:
    """What every variant of a task is given."""
    return table(["task", "flags"], [[spec.title, f"`{spec.budget}`"] for spec in TASKS.values()])


def cost_table(rows: dict[str, dict]) -> str:
    """Ratios to max+nearest."""
    keys = ("parameters", "multiplications", "train_ms", "train_mb", "infer_ms", "infer_mb")
    head = ["variant", "parameters", "multiply-adds", "training step", "its memory", "inference", "its memory"]
    base = rows["max+nearest"]
    body = [[f"`{name}`", *(f"{row[key] / base[key]:.2f}" if key in row else "" for key in keys)] for name, row in rows.items()]
    return table(head, body)


def all_tables(found: dict) -> dict[str, str]:
    """By the name of their marker."""
    runs = found["runs"]
    weighed = differences(CLAIMS, runs)
    tables = {task: task_table(runs, task) for task in TASKS if task != "start" and rows_of(runs, task)}
    return tables | {
        "central": central_table(runs, found.get("cost", {})),
        "choices": central_table(runs, found.get("cost", {}), CHOICES),
        "seeds": seeds_table(runs),
        "claims": claims_table(weighed),
        "evidence": evidence_table(weighed, runs),
        "starts": starts_table(runs),
        "margins": margins_table(runs),
        "budgets": budgets_table(),
        "progress": f"{len(runs)} of the {len(LIST)} runs of the list are in.\n",
    } | ({"cost": cost_table(found["cost"])} if "cost" in found else {})


def filled(text: str, tables: dict[str, str]) -> str:
    """A page with its tables as they are now."""
    return MARK.sub(lambda mark: mark[1] + tables.get(mark[2], "Not measured yet.\n") + mark[3], text)


def write(found: dict, root: Path) -> None:
    """Fills the pages' tables, and prints them."""
    tables = all_tables(found)
    for name in PAGES:
        path = root / name
        path.write_text(filled(path.read_text(), tables))
    for name, text in tables.items():
        print(f"## {name}\n\n{text}")
