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
from functools import partial
from pathlib import Path
from statistics import fmean, median

import numpy as np
import torch
from anchor import DATA, MARGIN, MAX_SHIFT, PICTURES, ROOT, pictures
from moving_anchors import ANCHORS, STILL, STRIDE, Frames, Weights
from moving_rules import RULES, ruled
from moving_ways import BORDERS, FINALISTS, OWN, SHIPPED, TRIED, Way

from unetlift import images, stability
from unetlift.anchor import Anchoring
from unetlift.evaluate import evaluate
from unetlift.predict import Predictor, answer, load_predictor
from unetlift.shifts import Shift, star
from unetlift.types import Map

RESULTS, RAW = ROOT / "benchmarks" / "moving.json", ROOT / "runs" / "moving"
SIX = [Shift(0, 1), Shift(2, 2), Shift(3, 0), Shift(5, 5), Shift(0, 7), Shift(8, 8)]
SHIFTS = {"borders": SIX, "scout": SIX, "full": star(MAX_SHIFT)}


def folder(name: str) -> Path | None:
    """Of a shipped network, or of a gallery's that is trained; None while it is not."""
    if name in SHIPPED:
        return ROOT / "checkpoints" / name
    run = ROOT / "runs" / "gallery" / "nuclei" / name / "0"
    return run / "best" if (run / "finished").exists() else None


def network(name: str, way: Way) -> tuple[Predictor, Callable[[Map], tuple[Map, list]]]:
    """A predictor, and what asks it: (1, C, H, W) to probabilities and the levels' phases."""
    predictor = load_predictor(folder(name), "cpu", "float32")
    model = predictor.model
    if way.rule is None:
        model = model.on_fixed_grid()
    elif way.rule != OWN:
        model = ruled(model, RULES[way.rule])
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
