"""Discs, rings, triangles, squares and crosses on textured ground, some touching, with smooth edges and exact classes."""

import numpy as np
from common import Pixels
from numpy.typing import NDArray
from synthetic_texture import finish, texture

CLASSES = {
    "background": (0, 0, 0),
    "disc": (230, 159, 0),
    "ring": (86, 180, 233),
    "triangle": (0, 158, 115),
    "square": (240, 228, 66),
    "cross": (204, 121, 167),
}

Field = NDArray[np.float64]


def disc(y: Field, x: Field, radius: float) -> Field:
    """Signed distance to the edge, in pixels, negative inside, as of all that follow."""
    return np.hypot(y, x) - radius


def ring(y: Field, x: Field, radius: float) -> Field:
    """A band about a circle, two fifths of the radius wide."""
    return np.abs(np.hypot(y, x) - 0.8 * radius) - 0.2 * radius


def polygon(y: Field, x: Field, radius: float, corners: int) -> Field:
    """A regular polygon in the circle of that radius (exact but for the surroundings of corners)."""
    angles = 2 * np.pi * np.arange(corners) / corners
    return np.max([np.cos(a) * x + np.sin(a) * y for a in angles], axis=0) - radius * np.cos(np.pi / corners)


def cross(y: Field, x: Field, radius: float) -> Field:
    """Two bars in the circle of that radius."""
    long, wide = 0.96 * radius, 0.28 * radius
    bars = [np.maximum(np.abs(a) - long, np.abs(b) - wide) for a, b in ((y, x), (x, y))]
    return np.minimum(*bars)


SHAPES = {
    "disc": disc,
    "ring": ring,
    "triangle": lambda y, x, radius: polygon(y, x, radius, 3),
    "square": lambda y, x, radius: polygon(y, x, radius, 4),
    "cross": cross,
}


def draw(rng: np.random.Generator, size: int) -> tuple[Pixels, Pixels]:
    """A picture (size, size, 3) and its classes: that of the topmost shape over each pixel's centre.

    A shape's colour says nothing of its class. Its edge is as wide as a pixel: its share of a pixel falls from one to
    zero where the distance of the pixel's centre goes from -1/2 to 1/2.
    """
    rows, columns = np.mgrid[:size, :size] + 0.5
    ground = rng.uniform(0.15, 0.85, (2, 1, 1, 3))
    weight = texture(rng, size)[..., None]
    picture, labels = ground[0] * weight + ground[1] * (1 - weight), np.zeros((size, size), np.uint8)
    for kind, centre, radius in _places(rng, size):
        angle, (y, x) = rng.uniform(0, 2 * np.pi), (rows - centre[0], columns - centre[1])
        along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        distance = SHAPES[kind](across, along, radius)
        share = np.clip(0.5 - distance, 0, 1)[..., None]
        surface = rng.uniform(0.1, 0.9, 3) + rng.uniform(0, 0.3) * (texture(rng, size)[..., None] - 0.5)
        picture = picture * (1 - share) + surface * share
        labels[distance < 0] = list(CLASSES).index(kind)
    light = 1 + rng.uniform(-0.25, 0.25) * (rows / size - 0.5) + rng.uniform(-0.25, 0.25) * (columns / size - 0.5)
    return finish(rng, picture * light[..., None]), labels


def _places(rng: np.random.Generator, size: int) -> list[tuple[str, NDArray[np.float64], float]]:
    """Kind, centre and radius of each shape; two fifths of them touch one that is there already."""
    places: list[tuple[str, NDArray[np.float64], float]] = []
    for _ in range(rng.integers(5, 13)):
        kind, radius = rng.choice(list(SHAPES)), size * rng.uniform(0.06, 0.16)
        centre = rng.uniform(0, size, 2)
        if places and rng.random() < 0.4:
            _, other, others_radius = places[rng.integers(len(places))]
            angle = rng.uniform(0, 2 * np.pi)
            centre = other + (radius + others_radius) * np.array([np.sin(angle), np.cos(angle)])
        places.append((str(kind), centre, radius))
    return places
