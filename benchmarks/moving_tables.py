"""Draws benchmarks/moving.md from benchmarks/moving.json.

    python benchmarks/moving.py tables
"""

import re

from moving import RESULTS, stored
from moving_ways import BORDERS, FINALISTS, TRIED

from unetlift.report import decibels

BASE = "blur-3+bilinear | none"
PLAN = [f"{name} | {way.title}" for name, way in (*TRIED, *FINALISTS, *BORDERS)]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def crop_table(rows: dict[str, dict], accuracy: dict[str, dict]) -> str:
    """Every row that is measured, the steadiest at the 5th percentile first, beside plain blur."""
    head = ["network", "asked", "mean dB", "", "median", "5th percentile", "", "worst", "agreement %", "flips %", "passes", "test mIoU"]
    base, body = rows.get(BASE), []
    for key, row in sorted(rows.items(), key=lambda item: -item[1]["p5"]):
        name, way = key.split(" | ")
        gains = [f"{row[figure] - base[figure]:+.1f}" if base else "" for figure in ("mean", "p5")]
        mean, middle, p5, worst = (decibels(row[figure]) for figure in ("mean", "median", "p5", "worst"))
        score = f"{accuracy[key]['miou']:.4f}" if key in accuracy else ""
        free = way.startswith(("none", "spin")) or row["levels"]
        told = ["" if free else f"{100 * row['flips']:.1f}", f"{row['passes']:.2f}", score]
        body.append([f"`{name}`", way, mean, gains[0], middle, p5, gains[1], worst, f"{100 * row['agreement']:.3f}", *told])
    return _table(head, body)


def phases_table(rows: dict[str, dict]) -> str:
    """How often each level's grid, or one above it, moves on the scene."""
    head = ["network", "rule", "mean dB", "5th percentile", "first level %", "second", "third", "fourth"]
    body = []
    for key in sorted((key for key in rows if rows[key]["levels"]), key=PLAN.index):
        name, way = key.split(" | ")
        shares = [f"{100 * share:.1f}" for share in rows[key]["levels"]]
        body.append([f"`{name}`", way.partition("phases by ")[2], decibels(rows[key]["mean"]), decibels(rows[key]["p5"]), *shares])
    return _table(head, body)


def write() -> None:
    """Fills the marked tables."""
    results = stored()
    scout, accuracy = results.get("scout", {}), results.get("accuracy", {})
    tables = {
        "moving-full": crop_table(results.get("full", {}), accuracy),
        "moving-borders": crop_table(results.get("borders", {}), {}),
        "moving-scout": crop_table(scout, accuracy),
        "moving-phases": phases_table(scout),
    }
    path = RESULTS.with_suffix(".md")
    text = path.read_text()
    for name, table in tables.items():
        text = re.sub(rf"(<!-- table:{name} -->\n).*?(<!-- end -->)", lambda m, t=table: m[1] + t + m[2], text, flags=re.S)
    path.write_text(text)
    print(*tables.values(), sep="\n")
