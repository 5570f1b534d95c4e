"""What follows a training: the best network is measured, and a page, a table of figures and a model card say how it is."""

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path

import torch

from unetlift import checkpoint, data
from unetlift.checkpoint import write_atomically
from unetlift.errors import UnetliftError, UsageError
from unetlift.evaluate import evaluate
from unetlift.metrics import SegmentationScores
from unetlift.predict import Predictor, load_predictor
from unetlift.recipe import TrainConfig
from unetlift.report import tiles
from unetlift.report.card import card
from unetlift.report.outcome import Case, Outcome, Scores
from unetlift.report.training import html
from unetlift.stability import QUICK, StabilityReport, measure

CASES, STABILITY_PICTURES, MAX_SHIFT = 4, 8, 4


def finish(config: TrainConfig, run: Path) -> None:
    """Measures RUN/best and writes RUN/report.html, RUN/scores.json and RUN/best/README.md, each whole or not at all.

    What cannot be measured, for instance a test split with a mask missing, is a sentence in them.

    Raises:
        ModelFolderError: RUN/best is not whole.
        DataSetError: the data set has changed since the training began.
    """
    outcome = _measure(config, run, load_predictor(run / "best", config.machine.device, "float32"))
    contents = {run / "scores.json": _figures(outcome), run / "best" / checkpoint.CARD: card(outcome), run / "report.html": html(outcome)}
    for path, text in contents.items():
        # a file's name need not be one that UTF-8 has
        write_atomically(path, lambda part, text=text: part.write_text(text, encoding="utf-8", errors="replace"))


def _measure(config: TrainConfig, run: Path, best: Predictor) -> Outcome:
    pairs = {split: data.list_pairs(Path(config.data), split, config.val_fraction, config.task) for split in ("train", "val")}
    scores, confusion, unscored = _scores(config, best)
    pictures = {split: len(found) for split, found in pairs.items()}
    if "test" in scores:
        pictures["test"] = scores["test"].pictures
    kind = data.KINDS[config.task](best.info, best.channels, best.model.config.classes, data.Cache(0))
    wholes = data.Wholes(pairs["val"], kind)
    worst, good = _cases(config, best, wholes, scores["val"].each) if "val" in scores else ([], [])
    stability, unmeasured = _stability(best, wholes)
    notes = unscored + unmeasured
    epochs = _epochs(run / "metrics.csv")
    return Outcome(config, best.model.config, best.info, epochs, pictures, scores, confusion, worst, good, stability, notes)


def _epochs(path: Path) -> list[dict[str, float]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def _scores(config: TrainConfig, best: Predictor) -> tuple[dict[str, Scores], list[list[int]], list[str]]:
    """Scores by split, the validation's confusion, and why a split has none."""
    folder, scores, notes = Path(config.data), {}, []
    counts = SegmentationScores(best.info.class_names, best.info.ignore_index)
    count = lambda pair, x, prediction, target: counts.update(torch.from_numpy(prediction.labels)[None], target)  # noqa: E731
    whom = {"val": count if config.task == "segment" else _nothing}
    if (folder / "test").is_dir():
        whom["test"] = _nothing
    for split, done in whom.items():
        try:
            found = evaluate(best, folder, split, done=done, val_fraction=config.val_fraction)
        except UnetliftError as error:
            notes.append(f"The split {split} has no scores: {error}")
        else:
            scores[split] = Scores(found.pictures, found.means, found.iou, found.each)
    return scores, counts.confusion.tolist() if "val" in scores else [], notes


def _nothing(*_: object) -> None:
    pass


def _cases(config: TrainConfig, best: Predictor, wholes: data.Wholes, each: dict[str, float | None]) -> tuple[list[Case], list[Case]]:
    """The worst and the best pictures, none in both."""
    places = {pair.image.relative_to(config.data).as_posix(): place for place, pair in enumerate(wholes.pairs)}
    ranked = sorted((name for name, score in each.items() if score is not None), key=lambda name: each[name])
    worst = ranked[: min(CASES, (len(ranked) + 1) // 2)]
    good = ranked[len(worst) :][::-1][:CASES]

    def case(name: str) -> Case:
        x, target, place = wholes[places[name]]
        values = torch.from_numpy(best.answer(x[None], wholes.pairs[place].image).values)
        return Case(name, each[name], tiles.draw(best.info, x, values, target))

    return [case(name) for name in worst], [case(name) for name in good]


def _stability(best: Predictor, wholes: data.Wholes) -> tuple[dict[str, StabilityReport], list[str]]:
    """Reports by mode on pictures spread evenly over the validation, and what was left out."""
    count = min(STABILITY_PICTURES, len(wholes))
    chosen = [place * len(wholes) // count for place in range(count)]
    network, kind = best.model.config, "probabilities" if best.info.answers == "labels" else "pictures"
    reports, notes = {}, []
    for mode in ("crop", *(["roll"] if network.padding_mode == "circular" else [])):
        found, records, small = None, [], []
        for number, place in enumerate(chosen):
            x = wholes[place][0][None].to(best.device)
            try:
                found = measure(best, [x], mode, MAX_SHIFT, multiple=network.stride, answers=kind, figures=QUICK)
            except UsageError as error:
                small.append(str(error))
            else:
                records += [replace(record, image=number) for record in found.records]
        if small:
            notes.append(f"Shift stability ({mode}) leaves out {len(small)} of {count} pictures. {small[0]}")
        if found is not None:
            reports[mode] = replace(found, records=tuple(records))
    return reports, notes


def _figures(outcome: Outcome) -> str:
    stability = {
        mode: {"mean": report.mean, "worst": report.worst, "agreement": report.agreement, "by_shift": report.by_shift()}
        | {
            "max_shift": report.max_shift,
            "range": report.range,
            "margin": report.margin,
            "pictures": len({r.image for r in report.records}),
        }
        for mode, report in outcome.stability.items()
    }
    about = {"variant": outcome.network.variant, "task": outcome.config.task, "epoch": outcome.best_epoch, "pictures": outcome.pictures}
    splits = {split: asdict(scores) for split, scores in outcome.scores.items()}
    measured = {"scores": splits, "confusion": outcome.confusion, "stability": stability, "notes": outcome.notes}
    return json.dumps(about | measured, indent=1, allow_nan=False) + "\n"
