"""What an anchor puts around a picture, on every task that networks are shipped for: quality and stability under crop.

    python benchmarks/placings.py            # benchmarks/placings.json and the table of docs/anchoring.md; resumable

Networks: checkpoints/. Data as benchmarks/gallery.py's, and its protocol: the whole test split, 8 pictures under 9 shifts.
"""

import json
import re
from pathlib import Path

from gallery_measure import inputs, quality, steadiness
from gallery_runs import TASKS
from gallery_tables import table

from unetlift.predict import load_predictor
from unetlift.report import decibels

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs" / "anchoring.md"
FOLDERS = {"nuclei": "", "photos": "denoise", "microscopy": "microscopy"}
VARIANTS = "max+nearest", "blur-3+bilinear", "lift+lift"
WAYS = [("none", "reflect"), *(("landmark", placing) for placing in ("reflect", "replicate", "surround"))]


def measured(task: str, variant: str, anchor: str, placing: str) -> dict[str, float]:
    """A network's score on the test split, and its shift PSNR."""
    predictor = load_predictor(ROOT / "checkpoints" / FOLDERS[task] / variant, "cpu", "float32")
    folder, score = Path(next(iter(TASKS[task].tests.values()))), TASKS[task].score
    steady = steadiness(predictor.anchored(anchor, placing), list(inputs(predictor, folder)), "crop")
    return {score: quality(predictor, folder, anchor, placing)[score]} | {name: steady[name] for name in ("mean", "p5", "worst")}


def measure() -> dict[str, dict[str, float]]:
    """By task, variant and way; what is stored is not measured again."""
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for task, variant, way in ((task, variant, way) for task in FOLDERS for variant in VARIANTS for way in WAYS):
        key = "/".join((task, variant, *way))
        if key not in found:
            found[key] = measured(task, variant, *way)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
            print(key, found[key], flush=True)
    return found


def drawn(found: dict[str, dict[str, float]]) -> str:
    """A line for each network, its grid at the corner and at a landmark under each placing."""
    head = ["task, network", *(f"{placing if anchor != 'none' else 'no anchor'}: score | crop mean / 5th" for anchor, placing in WAYS)]
    body = []
    for task, variant in ((task, variant) for task in FOLDERS for variant in VARIANTS):
        rows = [found["/".join((task, variant, *way))] for way in WAYS]
        spec = TASKS[task]
        cells = [f"{row[spec.score]:.{spec.decimals}f} | {decibels(row['mean'])} / {decibels(row['p5'])}" for row in rows]
        body.append([f"{spec.title}, `{variant}`", *" | ".join(cells).split(" | ")])
    return table([cell for title in head for cell in title.split(" | ")], body)


if __name__ == "__main__":
    drawing = drawn(measure())
    PAGE.write_text(re.sub(r"(<!-- table:placings -->\n).*?(<!-- end -->)", lambda m: m[1] + drawing + m[2], PAGE.read_text(), flags=re.S))
    print(drawing)
