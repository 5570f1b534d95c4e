"""How often the landmark flips to another grid: detectors and rules, under moving windows, noise, light and JPEG.

    python data_scripts/dsb2018.py --to data/dsb2018; python data_scripts/camvid.py --to data/camvid
    python benchmarks/anchor_flips.py shifts BSDS500_FOLDER     # the folder with train, val and test
    python benchmarks/anchor_flips.py walks  BSDS500_FOLDER     # sequences with track

A flip: the winner in the moved window lies on another grid of 16 pixels than the winner in the still one. Two windows
A and B over one picture, moved along a row, a column and both diagonals. If content is uniform, another point wins
with probability 1 - |A and B| / |A or B|, whatever the detector: `bound`. Writes into benchmarks/anchor.json.
"""

import sys
from collections.abc import Callable
from io import BytesIO
from math import comb
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from anchor import DATA, STRIDE, store, walk
from numpy.typing import NDArray
from PIL import Image

from unetlift import images
from unetlift.anchor import Tracker, landmark
from unetlift.anchor.landmark import REACH, _extrema, _smaller_curvature, _smooth, grey
from unetlift.shifts import Shift

Grey = NDArray[np.float32]
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
SHIFTS: dict[str, int | float] = {"8": 8, "32": 32, "128": 128, "1/10": 0.1, "1/5": 0.2}


class Scores(NamedTuple):
    """Strength of every pixel, and how many pixels along the frame cannot be judged."""

    map: NDArray[np.float64]
    support: int


def ours(x: Grey) -> Scores:
    """`unetlift.anchor.landmark`."""
    smooth = _smooth(grey(x[None]), "inside")
    places = _extrema(smooth, "inside")
    strength = np.zeros(x.size)
    strength[places] = _smaller_curvature(smooth, places)
    return Scores(strength.reshape(x.shape), REACH)


def difference_of_gaussians(sigma: float, ratio: float) -> Callable[[Grey], Scores]:
    """Absolute difference of two Gaussians."""

    def score(x: Grey) -> Scores:
        return Scores(np.abs(cv2.GaussianBlur(x, (0, 0), sigma) - cv2.GaussianBlur(x, (0, 0), ratio * sigma)), int(3 * ratio * sigma) + 1)

    return score


def harris(derivative: float, window: float) -> Callable[[Grey], Scores]:
    """Harris and Stephens' corner strength."""

    def score(x: Grey) -> Scores:
        smooth = cv2.GaussianBlur(x, (0, 0), derivative)
        gx, gy = (cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
        xx, xy, yy = (cv2.GaussianBlur(product, (0, 0), window) for product in (gx * gx, gx * gy, gy * gy))
        return Scores(xx * yy - xy * xy - 0.05 * (xx + yy) ** 2, int(3 * (derivative + window)) + 2)

    return score


def hessian(radius: int) -> Callable[[Grey], Scores]:
    """Determinant of the Hessian after binomial smoothing."""

    def score(x: Grey) -> Scores:
        binomial = np.array([comb(2 * radius, k) for k in range(2 * radius + 1)], np.float32) / 4**radius
        smooth = cv2.sepFilter2D(x, cv2.CV_32F, binomial, binomial)
        xx, yy, xy = (cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3) for order in ((2, 0), (0, 2), (1, 1)))
        return Scores(xx * yy - xy * xy, radius + 2)

    return score


def scales(x: Grey) -> Scores:
    """The strongest difference of Gaussians over three scales."""
    parts = [difference_of_gaussians(sigma, 1.6)(x) for sigma in (1.0, 1.4, 2.0)]
    return Scores(np.max([part.map for part in parts], axis=0), parts[-1].support)


def strongest(scores: Scores) -> tuple[int, int]:
    """The point of largest strength."""
    inner = scores.map[scores.support : -scores.support, scores.support : -scores.support]
    y, x = np.unravel_index(inner.argmax(), inner.shape)
    return int(y) + scores.support, int(x) + scores.support


def central(scores: Scores) -> tuple[int, int]:
    """The strongest, weighed less towards the border: points that will stay in view."""
    weights = [np.exp(-np.linspace(-1, 1, size) ** 2) for size in scores.map.shape]
    return strongest(scores._replace(map=scores.map * np.outer(*weights)))


def votes(scores: Scores, count: int = 8) -> tuple[int, int]:
    """The grid with most strength among the strongest points."""
    width, tally = scores.map.shape[1], np.zeros((STRIDE, STRIDE))
    inner = np.full(scores.map.shape, -np.inf)
    inside = slice(scores.support, -scores.support)
    inner[inside, inside] = scores.map[inside, inside]
    peaks = np.where(inner >= cv2.dilate(inner, np.ones((5, 5), np.uint8)), inner, -np.inf).ravel()
    for place in np.argpartition(-peaks, count)[:count]:
        if peaks[place] > 0:
            tally[place // width % STRIDE, place % width % STRIDE] += peaks[place]
    y, x = np.unravel_index(tally.argmax(), tally.shape)
    return int(y), int(x)


METHODS: dict[str, tuple[Callable[[Grey], Scores], Callable[[Scores], tuple[int, int]]]] = {
    "extrema, smaller curvature (ours)": (ours, strongest),
    "ours, weighed to the centre": (ours, central),
    "ours, votes of the top 8": (ours, votes),
    "difference of Gaussians 1.0, 1.6": (difference_of_gaussians(1.0, 1.6), strongest),
    "difference of Gaussians 1.5, 3": (difference_of_gaussians(1.5, 2.0), strongest),
    "difference of Gaussians 3, 6": (difference_of_gaussians(3.0, 2.0), strongest),
    "the same over three scales": (scales, strongest),
    "Harris 1, 1.5": (harris(1.0, 1.5), strongest),
    "Harris 1.5, 2": (harris(1.5, 2.0), strongest),
    "determinant of the Hessian 1.0": (hessian(2), strongest),
    "determinant of the Hessian 1.7": (hessian(6), strongest),
}


def jpeg(x: Grey, quality: int) -> Grey:
    """Saved and read again."""
    data = BytesIO()
    Image.fromarray(np.uint8(np.clip(x, 0, 1) * 255 + 0.5)).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(data)).astype(np.float32) / 255


CHANGES: dict[str, Callable[[Grey, int], Grey]] = {
    "noise 0.05": lambda x, seed: x + np.random.default_rng(seed).normal(0, 0.05, x.shape).astype(np.float32),
    "0.8 times as bright": lambda x, _: np.round(x * 0.8 * 255) / 255,
    "gamma 0.8": lambda x, _: x**0.8,
    "JPEG 90": lambda x, _: jpeg(x, 90),
    "JPEG 50": lambda x, _: jpeg(x, 50),
}


def sets(bsds500: Path) -> dict[str, list[Grey]]:
    """Grey pictures of 0..1."""
    folders = {"CamVid test": Path("data/camvid/test/images"), "BSDS500": bsds500, "dsb2018 test": DATA / "test" / "images"}
    return {
        name: [images.to_float(images.read_picture(path))[..., :3].mean(2) for path in images.picture_files(folder)]
        for name, folder in folders.items()
    }


def windows(shape: tuple[int, int], distance: float) -> list[tuple[tuple[int, int], tuple[int, int], tuple[int, int]]]:
    """Pairs of windows as large as the picture lets them be: two corners and a size. Below 1 a distance is a share of the side."""
    found = []
    for direction in DIRECTIONS:
        sides = [int(size / (1 + distance)) if distance < 1 and by else size for size, by in zip(shape, direction, strict=True)]
        shift = [by * (round(distance * side) if distance < 1 else int(distance)) for side, by in zip(sides, direction, strict=True)]
        sides = [min(side, size - abs(by)) for side, size, by in zip(sides, shape, shift, strict=True)]
        if min(sides) >= 64:
            first = tuple(max(0, -by) for by in shift)
            found.append((first, tuple(at + by for at, by in zip(first, shift, strict=True)), tuple(sides)))
    return found


def bound(first: tuple[int, int], second: tuple[int, int], size: tuple[int, int]) -> float:
    """1 - |A and B| / |A or B|."""
    both = (size[0] - abs(first[0] - second[0])) * (size[1] - abs(first[1] - second[1]))
    return 1 - both / (2 * size[0] * size[1] - both)


def shift_flips(maps: list[Scores], rule: Callable[[Scores], tuple[int, int]]) -> dict[str, dict[str, float]]:
    """Share of pairs whose winners lie on different grids, beside the bound, by distance."""
    out = {}
    for title, distance in SHIFTS.items():
        flips, bounds = [], []
        for scores in maps:
            for *corners, size in windows(scores.map.shape, distance):
                grids = []
                for y, x in corners:
                    seen = rule(scores._replace(map=scores.map[y : y + size[0], x : x + size[1]]))
                    grids.append(((seen[0] + y) % STRIDE, (seen[1] + x) % STRIDE))
                flips.append(grids[0] != grids[1])
                bounds.append(bound(*corners, size))
        out[title] = {"flips": float(np.mean(flips)), "bound": float(np.mean(bounds)), "pairs": len(flips)}
    return out


def shifts(bsds500: Path) -> None:
    """The table of detectors and rules."""
    everything, rows = sets(bsds500), {}
    for method, (detector, rule) in METHODS.items():
        for name, pictures in everything.items():
            maps = [detector(picture) for picture in pictures]
            row = {"shifts": shift_flips(maps, rule), "changes": {}}
            still = [rule(scores) for scores in maps]
            for change, apply in CHANGES.items():
                changed = [rule(detector(apply(picture, seed))) for seed, picture in enumerate(pictures)]
                moved = [tuple(np.subtract(a, b) % STRIDE) != (0, 0) for a, b in zip(still, changed, strict=True)]
                row["changes"][change] = float(np.mean(moved))
            rows[f"{method} | {name}"] = row
            print(method, name, {k: round(v["flips"], 3) for k, v in row["shifts"].items()}, row["changes"], flush=True)
    rolls = sum(_roll_flips(picture) for pictures in everything.values() for picture in pictures)
    store("flips", {"rows": rows, "pictures": {name: len(p) for name, p in everything.items()}, "flips under 3 rolls each": rolls})


def _roll_flips(picture: Grey) -> int:
    at = landmark(picture[None], "wrap")
    flips = 0
    for shift in (Shift(1, 0), Shift(-5, 77), Shift(131, 40)):
        to = landmark(np.roll(picture, shift, (0, 1))[None], "wrap")
        there = ((at.y + shift.dy) % picture.shape[0], (at.x + shift.dx) % picture.shape[1])
        flips += there != (to.y, to.x)
    return flips


def walks(bsds500: Path) -> None:
    """Sequences in which a window wanders by up to 8 whole pixels a frame, with noise: flips a frame, tracked and not."""
    chosen = {"BSDS500": images.picture_files(bsds500)[::10], "dsb2018 test": images.picture_files(DATA / "test" / "images")[::2]}
    rows = {}
    for name, paths in chosen.items():
        counts = {"track": 0, "landmark": 0, "frames": 0, "cuts": 0}
        for path in paths:
            tracker, last = Tracker(), {}
            for frame, at in walk(path, True):
                for way, point in (("track", tracker(frame)), ("landmark", landmark(frame))):
                    grid = ((point.y - at.dy) % STRIDE, (point.x - at.dx) % STRIDE)
                    counts[way] += last.get(way, grid) != grid
                    last[way] = grid
                counts["frames"] += 1
            counts["cuts"] += sum(event.reason == "cut" for event in tracker.events)
        rows[name] = counts
        print(name, counts, flush=True)
        store("walks", rows)


if __name__ == "__main__":
    {"shifts": shifts, "walks": walks}[sys.argv[1]](Path(sys.argv[2]))
