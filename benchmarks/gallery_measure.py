"""What the gallery says of a trained network: quality on test splits, and stability under every kind of shift."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from gallery_runs import SPUN, TASKS, Run

from unetlift import data, stability
from unetlift.evaluate import evaluate
from unetlift.predict import Predictor, load_predictor
from unetlift.predict.views import Views
from unetlift.shifts import Fraction, Shift
from unetlift.transforms import sample_seed

PICTURES, SIDE, REACH, MULTIPLE, MARGIN = 8, 256, 8, 32, 16
WHOLE = tuple(Shift(*shift) for shift in ((1, 0), (0, 1), (2, 2), (3, 0), (0, 4), (5, 5), (6, 0), (0, 7), (8, 8)))
PARTS = tuple(Fraction(*shift) for shift in ((0.5, 0), (0, 0.5), (0.5, 0.5), (0.25, 0.75)))
MODES: dict[str, Sequence[Shift | Fraction]] = {"roll": WHOLE, "crop": WHOLE, "subpixel": PARTS}
FIGURES = ("psnr", "agreement", "total_variation")
PROTOCOL: dict[str, Any] = {
    "pictures": PICTURES,
    "side": SIDE,
    "multiple": MULTIPLE,
    "margin": MARGIN,
    "whole": [list(shift) for shift in WHOLE],
    "parts": [list(shift) for shift in PARTS],
    "precision": "float32",
    "figures": list(FIGURES),
}
"""By which all are measured; another protocol measures anew."""


def measure(run: Run) -> dict[str, Any]:
    """The figures of a finished run's best network."""
    predictor = load_predictor(run.best, "cpu", "float32")
    if run.task == "start":  # many, and asked for their quality alone
        return {"quality": {f"{test}, none": quality(predictor, Path(folder), "none") for test, folder in TASKS[run.task].tests.items()}}
    return figures_of(predictor.seen_through(Views(spin=2)) if run.variant == SPUN else predictor, run.task)


def figures_of(predictor: Predictor, task: str) -> dict[str, Any]:
    """The figures of a network, as it is and with its grid tied to a landmark."""
    tests = {name: Path(folder) for name, folder in TASKS[task].tests.items()}
    first = next(iter(tests))
    pictures = list(inputs(predictor, tests[first]))
    asked = [*((test, "none") for test in tests), (first, "landmark")]
    return {
        "quality": {f"{test}, {way}": quality(predictor, tests[test], way) for test, way in asked},
        "stability": {
            f"{mode}, {way}": steadiness(predictor.anchored(way), pictures, mode)
            for way in ("none", "landmark")
            for mode in MODES
            if (way, mode) != ("landmark", "roll")  # rolled into place it is exact, whatever the network: tests/test_anchor_networks.py
        },
    }


def quality(predictor: Predictor, folder: Path, anchor: str, placing: str = "reflect") -> dict[str, Any]:
    """The scores of a test split, and each picture's own."""
    found = evaluate(predictor, folder, "test", anchor, placing)
    each = [None if value is None else round(value, 5) for value in found.each.values()]
    return {"pictures": found.pictures, **{name: value for name, value in found.scores.items()}, "each": each}


def inputs(predictor: Predictor, folder: Path) -> Iterator[torch.Tensor]:
    """Test pictures as the network gets them, degraded where it is to restore, spread evenly over the split; of large ones the middle."""
    info = predictor.info
    kind = data.KINDS[info.task](info, predictor.channels, predictor.model.config.classes, data.Cache(0))
    pairs = data.list_pairs(folder, "test", task=info.task)
    for number in islice((k * len(pairs) // PICTURES for k in range(PICTURES)), len(pairs)):
        x = kind.whole(pairs[number], sample_seed(0, 0, number))[0][None]
        top, left = (max(0, (size - SIDE - 2 * REACH) // 2) for size in x.shape[2:])
        yield x[..., top : top + SIDE + 2 * REACH, left : left + SIDE + 2 * REACH]


def steadiness(function: stability.Function, pictures: Sequence[torch.Tensor], mode: str) -> dict[str, Any]:
    """Shift PSNR in dB, label agreement and total variation over pictures and shifts."""
    report = stability.measure(function, pictures, mode, REACH, shifts=MODES[mode], multiple=MULTIPLE, margin=MARGIN, figures=FIGURES)
    means = report.means
    return {
        "mean": report.mean,
        "p5": report.percentile(5),
        "worst": report.worst,
        "agreement": means.get("agreement"),
        "total_variation": means["total_variation"],
        "by_image": [round(value, 4) for value in report.by_image().values()],
        "variation_by_image": [round(value, 6) for value in report.by_image("total_variation").values()],
        "by_shift": {f"{distance:g}": round(value, 4) for distance, value in report.by_shift().items()},
    }
