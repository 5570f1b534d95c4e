"""What grid anchoring does to the shipped networks: crop, roll and sub-pixel shifts, accuracy, sequences, cost.

    python data_scripts/dsb2018.py --to data/dsb2018
    python benchmarks/anchor.py crop        # the window moves by 1 to 8 pixels; beside it, what known motion would give
    python benchmarks/anchor.py study       # phases, pools and modes under roll and sub-pixel shifts; accuracy
    python benchmarks/anchor.py video CLIP_OR_FOLDER ...   # flicker; and walks of a window over real pictures
    python benchmarks/anchor.py cost        # alone on the machine
    python benchmarks/anchor.py tables      # benchmarks/anchor.md, with the flips of benchmarks/anchor_flips.py

Each part writes its figures into benchmarks/anchor.json as soon as it has them.
"""

import json
import platform
import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import fmean, median
from time import perf_counter

import cv2
import numpy as np
import torch
from torch import Tensor

from unetlift import evaluate, images, stability
from unetlift.anchor import Anchored, Landmark, landmark
from unetlift.anchor.landmark import grey
from unetlift.anchor.track import measure_motion
from unetlift.predict import Predictor, load_predictor
from unetlift.shifts import Fraction, Shift, by_fraction, star, translate, window

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "anchor.json"
DATA = Path("data") / "dsb2018"
NAMES = ("max+nearest", "max+unpool", "blur-3+bilinear", "lift+lift", "lift+lift@adaptive")
STRIDE, MAX_SHIFT, MARGIN, NOISE, SEED = 16, 8, 16, 0.02, 0
PICTURES = {"crop": 40, "study": 12, "walks": 5}


def store(section: str, values: object) -> None:
    """Puts a section into the results, with the versions that made it."""
    everything = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    names = ("unetlift", "torch", "opencv-python-headless", "numpy")
    everything[section] = values
    everything["versions"] = {"python": platform.python_version()} | {name: version(name) for name in names}
    RESULTS.write_text(json.dumps(everything, indent=1) + "\n")


def stored(section: str) -> dict:
    """What an earlier run has put there; delete the file to measure anew."""
    return json.loads(RESULTS.read_text()).get(section, {}) if RESULTS.exists() else {}


def pictures(count: int, split: str = "test") -> list[Path]:
    """A split's pictures, spread evenly over the folder, as `unetlift stability --pictures` takes them."""
    found = images.picture_files(DATA / split / "images")
    return [found[k * len(found) // count] for k in range(count)]


def network(name: str) -> Predictor:
    """A shipped network in float32."""
    return load_predictor(ROOT / "checkpoints" / name, "cpu", "float32")


def summary(psnr: list[float], agreement: list[float], flips: list[bool]) -> dict[str, float]:
    """The figures of a row."""
    return {
        "mean": fmean(psnr),
        "median": median(psnr),
        "p5": float(np.percentile(psnr, 5)),
        "worst": min(psnr),
        "agreement": fmean(agreement),
        "flips": fmean(flips),
        "pairs": len(psnr),
    }


def residue(point: Landmark | None, moved_by: Shift) -> tuple[int, int] | None:
    """Where the grid lies in the scene."""
    return point and ((point.y - moved_by.dy) % STRIDE, (point.x - moved_by.dx) % STRIDE)


def crop_row(ask: Anchored, known: bool, predictor: Predictor) -> dict[str, float]:
    """One network anchored in one way, over the same pictures and shifts as the README's table.

    With `known`, the motion itself is given instead of a landmark: the most that any anchor can reach.
    """
    psnr, agreement, flips = [], [], []
    for path in pictures(PICTURES["crop"]):
        x = predictor.prepare(images.read_picture(path))
        frame = stability.still_frame(x, "crop", MAX_SHIFT, STRIDE)
        middle = Landmark(frame.shape[2] // 2, frame.shape[3] // 2, 1.0)
        still, (at,) = ask.answer(frame, anchor=middle if known else None)
        for shift in star(MAX_SHIFT):
            there = middle._replace(y=middle.y + shift.dy, x=middle.x + shift.dx)
            moved, (to,) = ask.answer(stability.moved_frame(x, shift, "crop", MAX_SHIFT, STRIDE), anchor=there if known else None)
            comparison = stability.compare(still, moved, shift, "crop", MARGIN)
            psnr.append(comparison.psnr())
            agreement.append(comparison.agreement())
            flips.append(residue(at.anchor, Shift(0, 0)) != residue(to.anchor, shift))
    return summary(psnr, agreement, flips)


WAYS: dict[str, Callable[[Predictor], Anchored]] = {
    "none": lambda predictor: predictor.anchored("none"),
    "landmark": lambda predictor: predictor.anchored("landmark"),
    "known motion": lambda predictor: predictor.anchored("landmark"),
    "landmark, phases left adaptive": lambda predictor: Anchored(predictor, STRIDE),
    "landmark, replicate": lambda predictor: predictor.anchored("landmark", "replicate"),
}


def crop() -> None:
    """Every shipped network under crop, in every way that concerns it; goes on where it was interrupted."""
    rows = stored("crop")
    for way, anchored in WAYS.items():
        for name in NAMES:
            key = f"{name} | {way}"
            if key in rows or ("adaptive" in way and "adaptive" not in name):
                continue
            predictor = network(name)
            rows[key] = crop_row(anchored(predictor), way == "known motion", predictor)
            print(key, {figure: round(value, 3) for figure, value in rows[key].items()}, flush=True)
            store("crop", rows)


def study() -> None:
    """Roll and sub-pixel shifts of every network in every mode, and accuracy on the whole test split; goes on likewise."""
    rows, scores = stored("study"), stored("accuracy")
    for name, anchor in product(NAMES, ("none", "landmark", "subpixel")):
        predictor = network(name)
        for mode in ("subpixel", "roll") if anchor != "subpixel" else ("subpixel",):
            if (key := f"{name} | {mode} | {anchor}") not in rows:
                ask = predictor.anchored(anchor, "circular" if mode == "roll" else "reflect")
                prepared = (predictor.prepare(images.read_picture(path)) for path in pictures(PICTURES["study"]))
                report = stability.measure(ask, prepared, mode, MAX_SHIFT, multiple=STRIDE, margin=MARGIN)
                rows[key] = summary([r.psnr for r in report.records], [r.agreement for r in report.records], [False])
                print(key, rows[key], flush=True)
                store("study", rows)
        if (key := f"{name} | {anchor}") not in scores:
            result = evaluate.evaluate(predictor, DATA, "test", anchor, "reflect")
            scores[key] = {"miou": result.scores["miou"], "pixel_accuracy": result.scores["pixel_accuracy"]}
            print(key, scores[key], flush=True)
            store("accuracy", scores)


def clip(path: Path) -> list[np.ndarray]:
    """The frames of a video file, or of a folder, as (C, H, W) floats of 0..1."""
    if path.is_dir():
        return [images.to_float(images.read_picture(file)).transpose(2, 0, 1) for file in images.picture_files(path)]
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1].transpose(2, 0, 1).astype(np.float32) / 255)
    return frames


def walk(path: Path, whole: bool, noise: float = NOISE, steps: int = 40) -> Iterable[tuple[np.ndarray, Shift]]:
    """A window that wanders over a picture by up to 8 pixels a frame, whole or not; and where its content lies."""
    rng = np.random.default_rng(SEED)
    scene = torch.from_numpy(images.to_float(images.read_picture(path)).transpose(2, 0, 1).copy())[None]
    border = 24
    y, x = 0.0, 0.0
    for _ in range(steps):
        dy, dx = round(y), round(x)
        moved = scene if whole else by_fraction(scene, Fraction(y - dy, x - dx), "reflect")
        frame = window(moved, Shift(dy, dx), border)[0].numpy()
        yield frame + rng.normal(0, noise, frame.shape).astype(np.float32), Shift(dy, dx)
        jump = rng.uniform(-8, 8, 2)
        y, x = (float(np.clip(at + (round(by) if whole else by), -border, border)) for at, by in zip((y, x), jump, strict=True))


def flicker(outputs: list[Tensor], frames: list[np.ndarray]) -> tuple[list[float], list[float]]:
    """Each answer beside the one before, moved back by the measured motion: PSNR in dB, and label agreement."""
    psnr, agreement, grey_frames = [], [], [grey(frame) for frame in frames]
    for before, after, one, other in zip(outputs, outputs[1:], grey_frames, grey_frames[1:], strict=False):
        motion = measure_motion(one, other)
        whole = Shift(round(motion.dy), round(motion.dx))
        back = by_fraction(after, Fraction(whole.dy - motion.dy, whole.dx - motion.dx), "reflect")
        back, _ = translate(back, Shift(-whole.dy, -whole.dx))
        valid, edge = torch.zeros(before.shape[2:], dtype=torch.bool), MARGIN + max(map(abs, whole))
        valid[edge:-edge, edge:-edge] = True
        comparison = stability.Comparison(before, back, valid)
        psnr.append(comparison.psnr())
        agreement.append(comparison.agreement())
    return psnr, agreement


def video(paths: list[str]) -> None:
    """Flicker of two networks on clips, and on walks over real pictures, in every mode."""
    sequences: dict[str, list[list[np.ndarray]]] = {Path(path).name: [clip(Path(path))] for path in paths}
    chosen = pictures(PICTURES["walks"])
    for noise in (0.0, NOISE):
        for whole in (True, False):
            title = f"walk, {'whole' if whole else 'parts of'} pixels, noise {noise:g}"
            sequences[title] = [[frame for frame, _ in walk(path, whole, noise)] for path in chosen]
    rows = {}
    for title, parts in sequences.items():
        inputs = [flicker([torch.from_numpy(f.copy())[None] for f in frames], frames) for frames in parts]
        rows[f"{title} | the pictures themselves"] = {"mean": fmean(v for p, _ in inputs for v in p)}
        for name in ("max+nearest", "blur-3+bilinear", "lift+lift"):
            predictor = network(name)
            for mode in ("none", "landmark", "track", "subpixel", "track-subpixel"):
                psnr, agreement, begun = [], [], 0
                for frames in parts:
                    ask = predictor.anchored(mode)
                    outputs = [ask(predictor.prepare(frame.transpose(1, 2, 0))) for frame in frames]
                    more = flicker(outputs, frames)
                    psnr += more[0]
                    agreement += more[1]
                    begun += sum(event.reason == "cut" for event in ask.events)
                rows[f"{title} | {name} | {mode}"] = {"mean": fmean(psnr), "worst": min(psnr), "agreement": fmean(agreement), "cuts": begun}
                print(title, name, mode, rows[f"{title} | {name} | {mode}"], flush=True)
                store("video", rows)


def cost() -> None:
    """Milliseconds at 512 x 512, interleaved, medians: the network as it is, anchored, and anchoring's own parts."""
    torch.manual_seed(SEED)
    path = max(pictures(PICTURES["crop"]), key=lambda p: np.prod(images.size(p)))
    tile = images.to_float(images.read_picture(path))
    tile = np.pad(tile, ((0, max(0, 512 - tile.shape[0])), (0, max(0, 512 - tile.shape[1])), (0, 0)), mode="reflect")[:512, :512]
    rows = {}
    for precision in ("float32", "bf16"):
        predictor = load_predictor(ROOT / "checkpoints" / "max+nearest", "cpu", precision)
        x = predictor.prepare(tile)
        jobs: dict[str, Callable[[], object]] = {"network": partial(predictor, x), "landmark": partial(landmark, x[0])}
        for mode in ("landmark", "track", "subpixel"):
            jobs[f"{mode}: all but the network"] = partial(Anchored(lambda y: y[:, :2], STRIDE, mode), x)
            jobs[f"{mode}: with the network"] = partial(Anchored(predictor, STRIDE, mode), x)
        jobs["network, 528 x 528"] = partial(predictor, torch.nn.functional.pad(x, (5, 11, 5, 11)))
        times: dict[str, list[float]] = {job: [] for job in jobs}
        for _ in range(31):
            for job, run in jobs.items():
                start = perf_counter()
                run()
                times[job].append(1e3 * (perf_counter() - start))
        rows[precision] = {job: median(values[1:]) for job, values in times.items()}
        print(precision, {job: round(value, 2) for job, value in rows[precision].items()}, flush=True)
    store("cost", rows)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "tables":
        from anchor_tables import write

        write()
    else:
        {"crop": crop, "study": study, "video": partial(video, arguments), "cost": cost}[command]()
