"""Facades drawn by rule: storeys of windows with balconies, roof, shops and door, as classes and as a lit, textured picture."""

from itertools import pairwise

import numpy as np
from common import Pixels
from numpy.typing import NDArray
from synthetic_texture import finish, smooth, texture

CLASSES = {
    "wall": (255, 255, 0),
    "window": (255, 0, 0),
    "door": (255, 128, 0),
    "balcony": (128, 0, 255),
    "roof": (0, 0, 255),
    "sky": (128, 255, 255),
    "shop": (0, 255, 0),
}
WALL, WINDOW, DOOR, BALCONY, ROOF, SKY, SHOP = range(len(CLASSES))

Box = tuple[int, int, int, int]
"""Top, bottom, left, right in pixels; bottom and right are the first beyond."""


def draw(rng: np.random.Generator, size: int) -> tuple[Pixels, Pixels]:
    """A picture (size, size, 3) and its classes."""
    parts = plan(rng, size)
    labels = np.zeros((size, size), np.uint8)
    for kind, (top, bottom, left, right) in parts:
        labels[top:bottom, left:right] = kind
    return render(rng, size, parts), labels


def plan(rng: np.random.Generator, size: int) -> list[tuple[int, Box]]:
    """The parts in the order of painting, sky and wall first."""
    eaves, street = int(size * rng.uniform(0.16, 0.26)), int(size * rng.uniform(0.76, 0.84))
    ridge = int(eaves * rng.uniform(0.3, 0.6))
    axes, storeys = int(rng.integers(3, 7)), int(rng.integers(2, 5))
    parts = [(SKY, (0, ridge, 0, size)), (ROOF, (ridge, eaves, 0, size)), (WALL, (eaves, size, 0, size))]
    lines, floors = np.linspace(0, size, axes + 1).astype(int), np.linspace(eaves, street, storeys + 1).astype(int)
    wide, high = rng.uniform(0.4, 0.62), rng.uniform(0.55, 0.72)
    dormers = rng.random() < 0.7
    for left, right in pairwise(lines):
        middle, half = (left + right) // 2, max(1, int((right - left) * wide / 2))
        if dormers and eaves - ridge > 6:
            parts.append((WINDOW, (ridge + (eaves - ridge) // 3, eaves - 1, middle - half // 2 - 1, middle + half // 2 + 1)))
        for top, bottom in pairwise(floors):
            sill = bottom - max(1, (bottom - top) // 8)
            parts.append((WINDOW, (sill - max(2, int((bottom - top) * high)), sill, middle - half, middle + half)))
    for top, bottom in pairwise(floors):
        parts += _balconies(rng, top, bottom, lines, wide)
    return parts + _ground_floor(rng, street, size, lines)


def _balconies(rng: np.random.Generator, top: int, bottom: int, lines: NDArray[np.int64], wide: float) -> list[tuple[int, Box]]:
    """None on a storey, one along it, or one before each window."""
    high = max(2, (bottom - top) // 4)
    style = rng.choice(["none", "one", "each"])
    if style == "one":
        return [(BALCONY, (bottom - high, bottom, lines[0] + 1, lines[-1] - 1))]
    if style == "none":
        return []
    halves = [max(2, int((right - left) * (wide + 0.15) / 2)) for left, right in pairwise(lines)]
    middles = (lines[:-1] + lines[1:]) // 2
    return [(BALCONY, (bottom - high, bottom, m - h, m + h)) for m, h in zip(middles, halves, strict=True)]


def _ground_floor(rng: np.random.Generator, street: int, size: int, lines: NDArray[np.int64]) -> list[tuple[int, Box]]:
    """A door on one axis, and shops on most of the others."""
    top, at = street + max(1, (size - street) // 6), int(rng.integers(len(lines) - 1))
    parts: list[tuple[int, Box]] = []
    for number, (left, right) in enumerate(pairwise(lines)):
        gap = max(1, (right - left) // (4 if number == at else 12))
        if number == at or rng.random() < 0.75:
            parts.append((DOOR if number == at else SHOP, (top, size, left + gap, right - gap)))
    return parts


def render(rng: np.random.Generator, size: int, parts: list[tuple[int, Box]]) -> Pixels:
    """Paints the parts: light from the upper left, courses of stone, panes and frames, railings, slates, signs."""
    rows, columns = np.mgrid[:size, :size] / size
    tint = rng.uniform(-0.05, 0.05, 3)
    stone = np.array([0.78, 0.70, 0.56]) + tint
    course = max(3, size // 28)
    courses = 0.06 * (np.arange(size) % course == 0)[:, None] * np.ones((1, size))
    clouds = texture(rng, size)
    surfaces = {
        SKY: np.array([0.45, 0.65, 0.92]) + 0.4 * (0.6 * rows + 0.5 * clouds)[..., None],
        WALL: stone + (0.2 * (texture(rng, size) - 0.5) - courses)[..., None],
        ROOF: np.array([0.32, 0.36, 0.44]) - tint + (0.12 * (np.arange(size) % 3 == 0)[:, None] * smooth(rng, size, 8))[..., None],
        WINDOW: np.array([0.20, 0.26, 0.33]) + 0.35 * (smooth(rng, size, 9) ** 2)[..., None],
        DOOR: np.array([0.36, 0.20, 0.10]) + 0.1 * smooth(rng, size, size // 4)[..., None],
        BALCONY: np.broadcast_to(stone * 0.85, (size, size, 3)),
        SHOP: np.array([0.25, 0.30, 0.30]) + 0.3 * smooth(rng, size, 12)[..., None],
    }
    picture = np.zeros((size, size, 3))
    for kind, (top, bottom, left, right) in parts:
        picture[top:bottom, left:right] = surfaces[kind][top:bottom, left:right]
        DETAILS[kind](picture, (top, bottom, left, right), rng)
    light = 1.08 - 0.16 * columns - 0.10 * rows
    return finish(rng, picture * light[..., None])


def _plain(picture: NDArray[np.float64], box: Box, rng: np.random.Generator) -> None:
    """Nothing more."""


def _roof(picture: NDArray[np.float64], box: Box, rng: np.random.Generator) -> None:
    picture[box[1] - 1, box[2] : box[3]] *= 0.6  # the gutter


def _window(picture: NDArray[np.float64], box: Box, rng: np.random.Generator) -> None:
    top, bottom, left, right = box
    white, middle, bar = 0.9, (left + right) // 2, top + (bottom - top) // 3
    picture[top:bottom, [left, right - 1, middle]] = white
    picture[[top, bar, bottom - 1], left:right] = white
    picture[top + 1 : top + 2, left + 1 : right - 1] *= 0.5  # the shadow of the lintel
    if bottom < len(picture):
        picture[bottom, left:right] *= 1.15  # the sill


def _door(picture: NDArray[np.float64], box: Box, rng: np.random.Generator) -> None:
    top, bottom, left, right = box
    picture[top:bottom, (left + right) // 2] *= 0.4
    picture[top, left:right] *= 0.4
    picture[top:bottom, left] *= 0.4


def _balcony(picture: NDArray[np.float64], box: Box, rng: np.random.Generator) -> None:
    top, bottom, left, right = box
    picture[top : bottom - 1, left:right:2] = 0.12  # the railing
    picture[top, left:right] = 0.08
    picture[bottom : bottom + 2, left + 1 : right + 1] *= 0.65  # its shadow on the wall


def _shop(picture: NDArray[np.float64], box: Box, rng: np.random.Generator) -> None:
    top, bottom, left, right = box
    sign = max(2, (bottom - top) // 4)
    picture[top : top + sign, left:right] = rng.uniform(0.1, 0.9, 3)
    picture[top + sign, left:right] *= 0.4
    picture[top + sign : bottom, [left, right - 1]] = 0.1


DETAILS = {SKY: _plain, WALL: _plain, ROOF: _roof, WINDOW: _window, DOOR: _door, BALCONY: _balcony, SHOP: _shop}
