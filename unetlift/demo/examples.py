"""Example pictures that need no network: drawn nuclei, and what scikit-image carries in its wheel."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import skimage

from unetlift.images import Picture, read_picture

SHIPPED = {"stained tissue": "ihc.png", "coins": "coins.png", "deep sky": "hubble_deep_field.jpg"}


def nuclei(side: int = 256, count: int = 40, seed: int = 5) -> Picture:
    """Fluorescing nuclei as (side, side, 1) 8 bit: soft bright ellipses on a dark, noisy ground; the same for the same seed."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side].astype(np.float64)
    light, grain = 0.05 + 0.04 * columns / side, _grain(rng, rows, columns)
    for y, x in _places(rng, side, count):
        long, short = rng.uniform(8, 14), rng.uniform(6, 10)
        angle, brightness = rng.uniform(0, np.pi), rng.uniform(0.25, 0.75)
        along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
        across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
        distance = np.hypot(along / long, across / short)  # 1 on the outline
        inside = 1 / (1 + np.exp((distance - 1) * short / 0.9))  # an edge about four pixels wide, as a microscope draws it
        light = np.maximum(light, brightness * grain * inside)
    noisy = light + rng.normal(0, 0.01, light.shape) + rng.normal(0, 0.03, light.shape) * np.sqrt(light)
    return np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)[..., None]


def _grain(rng: np.random.Generator, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The unevenness of chromatin, around 1: waves of 8 to 30 pixels in every direction."""
    waves = np.zeros_like(rows)
    for _ in range(24):
        angle, length, phase = rng.uniform(0, np.pi), rng.uniform(8, 30), rng.uniform(0, 2 * np.pi)
        waves += np.cos(2 * np.pi * (np.cos(angle) * columns + np.sin(angle) * rows) / length + phase)
    return 1 + 0.05 * waves


def _places(rng: np.random.Generator, side: int, count: int) -> list[tuple[float, float]]:
    """Random centres that mostly keep apart: of 12 candidates the one farthest from all others."""
    places = [tuple(rng.uniform(0, side, 2))]
    while len(places) < count:
        candidates = rng.uniform(0, side, (12, 2))
        gaps = np.linalg.norm(candidates[:, None] - np.array(places)[None], axis=2).min(1)
        places.append(tuple(candidates[gaps.argmax()]))
    return places


def examples() -> dict[str, Callable[[], Picture]]:
    """Readers of the example pictures by the name that the page shows; those that this scikit-image does not carry are left out."""
    folder = Path(skimage.__file__).parent / "data"
    shipped = {name: folder / file for name, file in SHIPPED.items()}
    return {"nuclei": nuclei} | {name: partial(read_picture, path) for name, path in shipped.items() if path.is_file()}
