"""Draws what changed from epoch to epoch, in the colours of the page it stands on."""

from xml.etree.ElementTree import Element

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unetlift.report.outcome import Outcome, figure, word
from unetlift.report.svg import FIRST, INK, SECOND, STYLE, inline

PANEL = 3.6
"""Inches, of which the page has 72 to 100 pixels."""

FEW = 25
"""Epochs of which each gets a dot."""


def curves(outcome: Outcome) -> Element:
    """An `svg` of the losses, the score and the learning rate after each epoch; which of them is best is a dotted line."""
    lines = {
        "loss of the task": {"training": "train_task", "validation": "val_loss"},
        f"validation {word(outcome.score)}": {"validation": f"val_{outcome.score}"},
        "learning rate": {"training": "learning_rate"},
    }
    there = {title: names for title, names in lines.items() if all(name in outcome.epochs[0] for name in names.values())}
    width = PANEL * len(there)
    with matplotlib.rc_context(STYLE):
        drawing = Figure(figsize=(width, 2.7), layout="constrained")
        for axes, (title, names) in zip(drawing.subplots(1, len(there), squeeze=False)[0], there.items(), strict=True):
            _panel(axes, outcome, title, names)
        svg = inline(drawing, _words(outcome))
    svg.set("style", f"min-width: {72 * width:.0f}px; max-width: {100 * width:.0f}px")
    return svg


def _panel(axes: Axes, outcome: Outcome, title: str, names: dict[str, str]) -> None:
    epochs = [row["epoch"] for row in outcome.epochs]
    for label, name in names.items():
        colour, dashes = (FIRST, "--") if label == "training" else (SECOND, "-")
        dots = {"marker": "o", "markersize": 3} if len(epochs) <= FEW else {}
        axes.plot(epochs, [row[name] for row in outcome.epochs], color=colour, linestyle=dashes, linewidth=1.6, label=label, **dots)
    axes.axvline(outcome.best_epoch, color=INK, linestyle=":", linewidth=1)
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(names) > 1:
        axes.legend(frameon=False)


def _words(outcome: Outcome) -> str:
    first, last = outcome.epochs[0], outcome.epochs[-1]
    best = figure(outcome.score, max(row[f"val_{outcome.score}"] for row in outcome.epochs))
    return (
        f"Curves over {len(outcome.epochs)} epochs: the training loss went from {first['train_task']:.4f} to {last['train_task']:.4f}, the "
        f"validation loss from {first['val_loss']:.4f} to {last['val_loss']:.4f}; the best validation {word(outcome.score)}, {best}, came "
        f"after epoch {outcome.best_epoch}."
    )
