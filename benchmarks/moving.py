"""The moving window: anchorings, phase rules, consistency and cycle spinning against each other under crop, at equal quality.

    python benchmarks/moving.py borders     # 6 shifts of 40 pictures of the validation split: what to put around a picture
    python benchmarks/moving.py scout       # 6 shifts of 40 pictures, every row; goes on where it was interrupted
    python benchmarks/moving.py full        # all 24 shifts for the rows that are in FINALISTS
    python benchmarks/moving.py accuracy    # mIoU of the finalists on the test split
    python benchmarks/moving.py tables      # benchmarks/moving.md

Every picture's figures go into runs/moving as soon as they are there, every row's into benchmarks/moving.json.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median

import numpy as np
import torch
from anchor import DATA, MARGIN, MAX_SHIFT, PICTURES, ROOT, pictures
from moving_anchors import ANCHORS, STILL, STRIDE, Around, Frames, Weights
from moving_rules import RULES, ruled

from unetlift import images, stability
from unetlift.anchor import Anchoring
from unetlift.evaluate import evaluate
from unetlift.predict import Predictor, answer, load_predictor
from unetlift.shifts import Shift, star
from unetlift.types import Map

RESULTS, RAW = ROOT / "benchmarks" / "moving.json", ROOT / "runs" / "moving"
SIX = [Shift(0, 1), Shift(2, 2), Shift(3, 0), Shift(5, 5), Shift(0, 7), Shift(8, 8)]
SHIFTS = {"borders": SIX, "scout": SIX, "full": star(MAX_SHIFT)}
SHIPPED = ("blur-3+bilinear", "max+nearest", "lift+lift", "lift+lift@adaptive")
TRAINED = (
    "blur-3+bilinear-consistency",
    "blur-3+bilinear-consistency-3",
    "max+nearest-consistency",
    "blur-3+bilinear@adaptive",
    "max+nearest@adaptive",
    "blur-3+bilinear@learned",
)
"""Of benchmarks/gallery.py: measured when they are trained."""


@dataclass(frozen=True)
class Way:
    """How a network is asked.

    Attributes:
        anchor: a name in `ANCHORS`.
        around: what is put around a picture.
        rule: a name in `RULES`, for networks under adaptive phases; otherwise the network is on its even grid.
    """

    anchor: str = "none"
    around: Around = Around()
    rule: str | None = None

    @property
    def title(self) -> str:
        """For people, and by which it is stored."""
        wide = f", {self.around.wide} px of {self.around.border}" if self.around.wide else ""
        border = f", {self.around.border}" if not self.around.wide and self.around.border != "reflect" else ""
        return f"{self.anchor}{border}{wide}" + (f", phases by {self.rule}" if self.rule else "")


REPLICATE, WIDE = Around("replicate"), Around("replicate", 32)
PLAIN = ("blur-3+bilinear", "lift+lift", "max+nearest")
FIRST = [Way("none", WIDE), Way("landmark", WIDE), Way("vote", WIDE), Way("known motion", WIDE), Way("blend of 3", WIDE)]
THEN = [Way(anchor, REPLICATE) for anchor in ("landmark", "vote", "blend of 2", "blend of 3", "known motion", "middle", "track")]
AROUND = (Around("replicate", 16), Around("replicate", 48), Around("reflect", 32), Around("median", 32))
WIDTHS = [Way("landmark", around) for around in AROUND]
SPINS = [Way("spin by 8"), Way("landmark, spin by 8", WIDE)]
LIKELY = ("high-passed, tapered", "tapered", "largest norm")
TRIED = [
    *(("lift+lift@adaptive", Way(rule=rule)) for rule in dict.fromkeys((*LIKELY, *RULES))),
    *((name, way) for name in (*PLAIN, *TRAINED[:3]) for way in (Way(), *FIRST)),
    *((name, Way(rule=rule)) for rule in LIKELY for name in ("blur-3+bilinear", *TRAINED[3:5])),
    *((name, way) for way in (*THEN, *WIDTHS, *SPINS) for name in PLAIN),
    *((name, way) for name in TRAINED[:3] for way in THEN[2:4]),
]
"""In the order in which they are measured."""
FINALISTS = [
    *(("blur-3+bilinear", way) for way in (Way(), FIRST[1], THEN[0], Way("track", WIDE), FIRST[0])),
    *(("lift+lift", way) for way in (FIRST[1], Way(), THEN[0])),
    *(("lift+lift@adaptive", Way(rule=rule)) for rule in (LIKELY[2], LIKELY[0])),
    *(("max+nearest", way) for way in (Way(), FIRST[1], THEN[0])),
    ("blur-3+bilinear", FIRST[4]),
    ("lift+lift", Way("track", WIDE)),
    *((name, way) for way in (Way(), FIRST[1]) for name in TRAINED[:3]),
    ("max+nearest", SPINS[0]),
]
BOTH = ("blur-3+bilinear", "lift+lift")
BORDERS = [(name, Way("landmark", around)) for around in (Around(), REPLICATE, WIDE, *AROUND) for name in BOTH]
BORDERS += [(name, way) for way in (Way(), FIRST[0]) for name in BOTH]
BORDERS += [("blur-3+bilinear", Way(anchor, WIDE)) for anchor in ("vote", "track", "blend of 3", "known motion")]
"""What is put around a picture is chosen on pictures that it is not judged by."""


def folder(name: str) -> Path | None:
    """Of a shipped network, or of a gallery's that is trained; None while it is not."""
    if name in SHIPPED:
        return ROOT / "checkpoints" / name
    run = ROOT / "runs" / "gallery" / "nuclei" / name / "0"
    return run / "best" if (run / "finished").exists() else None


def network(name: str, way: Way) -> tuple[Predictor, Callable[[Map], tuple[Map, list]]]:
    """A predictor, and what asks it: (1, C, H, W) to probabilities and the levels' phases."""
    predictor = load_predictor(folder(name), "cpu", "float32")
    model = ruled(predictor.model, RULES[way.rule]) if way.rule else predictor.model.on_fixed_grid()
    model.eval()

    def ask(x: Map) -> tuple[Map, list]:
        with torch.inference_mode():
            logits, traces = model.with_traces(x.contiguous(memory_format=torch.channels_last))
        return answer(predictor.info, x, logits), [trace.phase[0].tolist() for trace in traces if trace.phase is not None]

    return predictor, ask


def answers(ask: Callable, way: Way, frames: Frames) -> Iterator[tuple[Shift, Map, Weights, list[tuple[int, int]]]]:
    """Of every frame: the answer, the grids with their weights, and where each level's own grid lies."""
    for shift, weights in ANCHORS[way.anchor](frames).items():
        total, phases = 0.0, []
        for grid, weight in weights.items():
            found, phases = way.around(ask, frames[shift], grid)
            total = total + weight * found
        levels, at = [], (0, 0)
        for level, phase in enumerate(phases):
            at = (at[0] + phase[0] * 2**level, at[1] + phase[1] * 2**level)
            levels.append(at)
        yield shift, total, weights, levels


def moved_share(still: Weights, moved: Weights, shift: Shift) -> float:
    """What share of the weights lies on other grids of the scene: 0, or 1 for a flip of a single grid."""
    back = {((y - shift.dy) % STRIDE, (x - shift.dx) % STRIDE): weight for (y, x), weight in moved.items()}
    return sum(abs(back.get(grid, 0) - still.get(grid, 0)) for grid in {*back, *still}) / 2


def flips(still: list, moved: list, shift: Shift) -> list[bool]:
    """For each level whether its grid, or one above it, lies elsewhere in the scene."""
    pairs = enumerate(zip(still, moved, strict=True), 1)
    return [any((b - a - by) % 2**level for a, b, by in zip(one, other, shift, strict=True)) for level, (one, other) in pairs]


def one_picture(predictor: Predictor, ask: Callable, way: Way, path: Path, shifts: list[Shift]) -> list[dict]:
    """The figures of each shift of a picture."""
    x = predictor.prepare(images.read_picture(path))
    frames = {shift: stability.moved_frame(x, shift, "crop", MAX_SHIFT, STRIDE) for shift in (STILL, *shifts)}
    (_, still, at, levels), *others = answers(ask, way, frames)
    found = []
    for shift, moved, to, there in others:
        comparison = stability.compare(still, moved, shift, "crop", MARGIN)
        figures = {"psnr": round(comparison.psnr(), 3), "agreement": round(comparison.agreement(), 6), "calls": len(to)}
        found.append(figures | {"moved": round(moved_share(at, to, shift), 4), "levels": flips(levels, there, shift)})
    return found


def row(kind: str, name: str, way: Way) -> dict:
    """One network asked in one way; the pictures that an earlier run has measured are not measured again."""
    RAW.mkdir(parents=True, exist_ok=True)
    file = RAW / f"{kind} {name} {way.title}.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    seen = {line["picture"] for line in lines}
    predictor, ask = network(name, way)
    for path in pictures(PICTURES["crop"], "val" if kind == "borders" else "test"):
        if path.name not in seen:
            lines.append({"picture": path.name, "pairs": one_picture(predictor, ask, way, path, SHIFTS[kind])})
            with file.open("a") as out:
                out.write(json.dumps(lines[-1]) + "\n")
    return summary([pair for line in lines for pair in line["pairs"]])


def summary(pairs: list[dict]) -> dict:
    """The figures of a row."""
    psnr = [pair["psnr"] for pair in pairs]
    return {
        "mean": fmean(psnr),
        "median": median(psnr),
        "p5": float(np.percentile(psnr, 5)),
        "worst": min(psnr),
        "agreement": fmean(pair["agreement"] for pair in pairs),
        "flips": fmean(pair["moved"] > 0.5 for pair in pairs),
        "levels": np.mean([pair["levels"] for pair in pairs], 0).tolist(),
        "passes": fmean(pair["calls"] for pair in pairs),
        "pairs": len(pairs),
    }


def store(section: str, key: str, values: dict) -> None:
    """Puts a row into the results."""
    everything = stored()
    everything.setdefault(section, {})[key] = values
    RESULTS.write_text(json.dumps(everything, indent=1) + "\n")
    print(section, key, {name: np.round(value, 4).tolist() for name, value in values.items()}, flush=True)


def stored() -> dict:
    """What earlier runs have put there; delete the file and runs/moving to measure anew."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def measure(kind: str, rows: list[tuple[str, Way]]) -> None:
    """Every row whose network is there and whose figures are not."""
    for name, way in rows:
        key = f"{name} | {way.title}"
        if folder(name) and key not in stored().get(kind, {}):
            store(kind, key, row(kind, name, way))


class Asked:
    """Stands where `evaluate` looks for an anchored predictor."""

    def __init__(self, ask: Callable, way: Way):
        self.ask, self.way = ask, way

    def answer(self, x: Map) -> tuple[Map, list[Anchoring]]:
        """The answer to (1, C, H, W) of any size, by the frame alone: a still picture has no motion."""
        height, width = (-size % STRIDE for size in x.shape[2:])
        whole = torch.nn.functional.pad(x, (0, width, 0, height), "replicate") if self.way.rule else x
        ((_, found, _, _),) = answers(self.ask, self.way, {STILL: whole})
        return found[..., : x.shape[2], : x.shape[3]], [Anchoring(None, None)]


def accuracy() -> None:
    """mIoU of the finalists."""
    for name, way in FINALISTS:
        key = f"{name} | {way.title}"
        if folder(name) and key not in stored().get("accuracy", {}):
            predictor, ask = network(name, way)
            twin = copy(predictor)
            twin.anchored = lambda *_, ask=ask, way=way: Asked(ask, way)
            store("accuracy", key, {"miou": evaluate(twin, DATA, "test").scores["miou"]})


def tables() -> None:
    """Fills benchmarks/moving.md."""
    from moving_tables import write

    write()


if __name__ == "__main__":
    jobs = {kind: partial(measure, kind, rows) for kind, rows in (("borders", BORDERS), ("scout", TRIED), ("full", FINALISTS))}
    jobs |= {"accuracy": accuracy, "tables": tables}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=jobs)
    jobs[parser.parse_args().job]()
