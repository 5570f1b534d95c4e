"""Pictures that a program draws, with labels exact to the pixel: shapes, or facades with their label maps (no rights reserved).

The same seed gives the same files; no two pictures are the same.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import final

import numpy as np
import synthetic_facades
import synthetic_shapes
from common import DataSet, Item, Pixels, build

SHARES = {"test": 0.15, "val": 0.15}
"""Of all pictures; each split has one at least, and train has the others."""


@final
@dataclass(frozen=True)
class Kind:
    """What is drawn: (rng, size) to a picture (H, W, 3) and its classes (H, W)."""

    draw: Callable[[np.random.Generator, int], tuple[Pixels, Pixels]]
    classes: dict[str, tuple[int, int, int]]
    layouts: tuple[str, ...]


KINDS = {
    "shapes": Kind(synthetic_shapes.draw, synthetic_shapes.CLASSES, ("segment",)),
    "facades": Kind(synthetic_facades.draw, synthetic_facades.CLASSES, ("translate", "segment")),
}


def find(name: str, layout: str, count: int, size: int, seed: int, _: Path) -> Iterator[Item]:
    """The pictures, of which each will be drawn from a generator of its own."""
    held = {split: max(1, round(count * share)) for split, share in SHARES.items()}
    splits = [split for split, n in held.items() for _ in range(n)]
    colours = np.array(list(KINDS[name].classes.values()), np.uint8)
    for number in range(count):
        picture = partial(_part, name, size, seed, number, 0)
        labels = partial(_part, name, size, seed, number, 1)
        sides = (picture, labels) if layout == "segment" else (partial(_shown, labels, colours), picture)
        yield Item(splits[number] if number < len(splits) else "train", f"{number:05}", *sides)


@lru_cache(maxsize=1)  # both parts of one picture are asked for in turn
def _drawn(name: str, size: int, seed: int, number: int) -> tuple[Pixels, Pixels]:
    return KINDS[name].draw(np.random.default_rng([seed, number]), size)


def _part(name: str, size: int, seed: int, number: int, part: int) -> Pixels:
    return _drawn(name, size, seed, number)[part]


def _shown(labels: Callable[[], Pixels], colours: Pixels) -> Pixels:
    return colours[labels()]


def main() -> None:
    """Draws what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True, help="what to draw")
    parser.add_argument("--layout", choices=("translate", "segment"), help="facades: label map to picture, or picture to classes")
    parser.add_argument("--to", type=Path, required=True, help="the folder to make")
    parser.add_argument("--count", type=int, default=64, help="pictures in all, 3 or more")
    parser.add_argument("--size", type=int, default=128, help="their side in pixels, 32 or more")
    parser.add_argument("--seed", type=int, default=0, help="0 or more")
    options = parser.parse_args()
    kind = KINDS[options.kind]
    layout = options.layout or kind.layouts[0]
    if layout not in kind.layouts:
        parser.error(f"--layout {layout} is not for {options.kind}, which has {' and '.join(kind.layouts)}.")
    for name, least in (("count", 3), ("size", 32), ("seed", 0)):
        if (value := getattr(options, name)) < least:
            parser.error(f"--{name} is {value}; it is {least} or more.")
    meaning = {"classes": list(kind.classes), "colours": [list(colour) for colour in kind.classes.values()]}
    drawn = partial(find, options.kind, layout, options.count, options.size, options.seed)
    nothing = lambda folder: folder  # noqa: E731  there is nothing to fetch
    build(DataSet(layout, "CC0 1.0", nothing, drawn, meaning=meaning if layout == "segment" else None), None, options.to)


if __name__ == "__main__":
    main()
