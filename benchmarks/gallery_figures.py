"""Draws the README's figure (shift PSNR against the shift) and its animation (what changes when a window moves)."""

from pathlib import Path

import numpy as np
import torch
from gallery_claims import Runs
from gallery_runs import TASKS, Run
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from unetlift import images
from unetlift.anchor import Anchored
from unetlift.images.animation import write_animation
from unetlift.predict import load_predictor
from unetlift.shifts import Shift, translate, window

SHOWN = {  # in colours that people tell apart who see red and green alike (Okabe and Ito)
    "max+nearest": "#000000",
    "max+unpool": "#CC79A7",
    "blur-3+bilinear": "#E69F00",
    "lift+lift": "#009E73",
    "lift+lift@adaptive": "#56B4E9",
}
PANELS = {"max+nearest": "none", "max+unpool": "none", "blur-3+bilinear": "none", "max+nearest, landmark": "landmark"}
STEPS, BORDER, GAIN, MILLISECONDS = 17, 24, 8, 220
EXACT = 100.0
"""Decibels from which on a curve is drawn at the top: no picture shows the difference."""


def curves(runs: Runs, path: Path) -> None:
    """Crop shift PSNR against the shift, of each task that the variants were trained for, as they are and with a landmark."""
    tasks = "denoise", "nuclei"
    figure = Figure((5.2 * len(tasks), 4.0), layout="constrained", dpi=110)
    axes = figure.subplots(1, len(tasks), squeeze=False)[0]
    for task, place in zip(tasks, axes, strict=True):
        for name, colour in SHOWN.items():
            if (run := Run(task, name).name) not in runs:
                continue  # not measured yet
            row = runs[run]["stability"]
            for key, style in (("crop, none", "-"), ("crop, landmark", ":")):
                points = {float(distance): min(value, EXACT) for distance, value in row[key]["by_shift"].items()}
                label = {"label": name} if style == "-" else {}
                place.plot(points.keys(), points.values(), style, color=colour, marker="o", markersize=3, **label)
        place.set_title(TASKS[task].title)
        place.set_xlabel("the window moves by so many pixels")
        place.set_ylabel("shift PSNR in dB")
        place.grid(alpha=0.3)
    axes[0].plot([], [], ":", color="grey", label="with a landmark")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Software": None})


def animation(path: Path, picture: Path) -> None:
    """A window that moves over one test picture, pixel by pixel; below each network's answer, how far it lies from the first one."""
    asked = {}
    for title, anchor in PANELS.items():
        predictor = load_predictor(Path("checkpoints") / title.partition(",")[0], "cpu", "float32")
        asked[title] = predictor, predictor.anchored(anchor)
    pixels = images.read_picture(picture)
    first: dict[str, torch.Tensor] = {}
    frames = []
    for step in [*range(STEPS), *reversed(range(1, STEPS - 1))]:
        shift = Shift(step // 2, step)
        shown = [_panel(predictor.prepare(pixels), anchored, shift, first, title) for title, (predictor, anchored) in asked.items()]
        frames.append(_drawn(list(asked), shown, shift))
    write_animation(path, frames, MILLISECONDS)


def _panel(x: torch.Tensor, anchored: Anchored, shift: Shift, first: dict[str, torch.Tensor], title: str) -> np.ndarray:
    """The answer as the scene has it, above its change since the first frame, each 0..1."""
    answer = anchored(window(x, shift, BORDER))[:, 1:]
    back, _ = translate(answer, Shift(-shift.dy, -shift.dx))
    change = (back - first.setdefault(title, back)).abs()
    inner = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    shown = [part[inner][0, 0].numpy() for part in (back, (GAIN * change).clamp(max=1))]
    return np.concatenate([shown[0], np.ones_like(shown[0][:2]), shown[1]])


def _drawn(titles: list[str], panels: list[np.ndarray], shift: Shift) -> np.ndarray:
    figure = Figure((1.9 * len(panels), 4.2), layout="constrained", dpi=90)
    canvas = FigureCanvasAgg(figure)
    for title, panel, place in zip(titles, panels, figure.subplots(1, len(panels)), strict=True):
        place.imshow(panel, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        place.set_title(title, fontsize=9)
        place.set_xticks([])
        place.set_yticks([])
    figure.supxlabel(f"the window has moved by {shift.dy} rows and {shift.dx} columns; below: the change, times {GAIN}", fontsize=9)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
