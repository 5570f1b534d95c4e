"""What a split holds, in figures: sizes, channels, depths, brightness, and how common its classes are."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from unetlift import images
from unetlift.info import ModelInfo


@dataclass(frozen=True)
class Statistics:
    """Of the pictures of one split that can be read.

    Attributes:
        pictures: how many.
        smallest: (height, width) of the one with the fewest pixels.
        largest: of the one with the most.
        channels: how many pictures have so many channels.
        depths: how many pictures are uint8, uint16 or float32.
        mean: of each channel, on the scale of 0..1.
        std: likewise.
        class_pixels: of each class, without what is ignored.
        class_pictures: in how many pictures each class occurs.
        ignored: share of the labelled pixels that count for nothing.
    """

    pictures: int
    smallest: tuple[int, int]
    largest: tuple[int, int]
    channels: Mapping[int, int]
    depths: Mapping[str, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_pixels: tuple[int, ...] = ()
    class_pictures: tuple[int, ...] = ()
    ignored: float = 0.0

    @property
    def class_shares(self) -> tuple[float, ...]:
        """Of the pixels that have a class."""
        return tuple(count / max(1, sum(self.class_pixels)) for count in self.class_pixels)


@final
class Tally:
    """Adds up the pictures of a split, one at a time."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []
        self.channels: Counter[int] = Counter()
        self.depths: Counter[str] = Counter()
        self.moments: dict[int, NDArray[np.float64]] = {}
        self.pixels, self.occurrences = Counter(), Counter()  # by class
        self.ignored = 0

    def add(self, picture: images.Picture) -> None:
        """Counts an (H, W, C) picture."""
        height, width, channels = picture.shape
        self.sizes.append((height, width))
        self.channels[channels] += 1
        self.depths[picture.dtype.name] += 1
        flat = images.to_float(picture).reshape(-1, channels)
        powers = [np.einsum(",".join(["pc"] * k) + "->c", *[flat] * k, dtype=np.float64) for k in (1, 2)]  # quicker than sum
        sums = np.stack([np.full(channels, len(flat)), *powers])
        self.moments[channels] = self.moments.get(channels, 0) + sums

    def add_labels(self, classes: NDArray[np.int32], counts: NDArray[np.int64], ignore: int | None) -> None:
        """Counts a mask that has so many pixels of these classes."""
        for label, count in zip(classes.tolist(), counts.tolist(), strict=True):
            if label == ignore:
                self.ignored += count
            else:
                self.pixels[label] += count
                self.occurrences[label] += 1

    def result(self, classes: int, channels: int | None) -> Statistics:
        """The figures, for so many classes, with mean and std for a network of so many channels."""
        mean, std = self._brightness(channels)
        return Statistics(
            len(self.sizes),
            min(self.sizes, key=np.prod, default=(0, 0)),
            max(self.sizes, key=np.prod, default=(0, 0)),
            dict(sorted(self.channels.items())),
            dict(sorted(self.depths.items())),
            mean,
            std,
            tuple(self.pixels[k] for k in range(classes)),
            tuple(self.occurrences[k] for k in range(classes)),
            self.ignored / max(1, self.ignored + self.pixels.total()),
        )

    def _brightness(self, channels: int | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Grey ones count as having their channel as often as the others have channels."""
        wanted = channels or max(self.moments, default=1)
        fitting = [np.broadcast_to(sums, (3, wanted)) for have, sums in self.moments.items() if have in (1, wanted)]
        count, total, squares = sum(fitting, np.zeros((3, wanted)))
        mean = total / np.maximum(1, count)
        std = np.sqrt(np.maximum(0, squares / np.maximum(1, count) - mean**2))
        return tuple(mean.tolist()), tuple(std.tolist())


def tables(statistics: Mapping[str, Statistics], info: ModelInfo | None) -> Iterator[Table]:
    """The figures for the terminal: of the splits, and of the classes where there are any."""
    splits = Table(title="Pictures", title_justify="left")
    for head in ("split", "pictures", "smallest", "largest", "channels", "depth", "mean", "std"):
        splits.add_column(head, justify="left" if head in ("split", "depth") else "right")
    for name, found in statistics.items():
        sizes = [f"{width} x {height}" for height, width in (found.smallest, found.largest)]
        brightness = ["\n".join(f"{v:.3f}" for v in values) for values in (found.mean, found.std)]
        splits.add_row(name, str(found.pictures), *sizes, _counted(found.channels), _counted(found.depths), *brightness)
    yield splits
    if info is None:
        return
    classes = Table(title="Share of pixels, and number of pictures with the class", title_justify="left")
    for head in ("class", *(part for name in statistics for part in (name, "pictures"))):
        classes.add_column(head, justify="left" if head == "class" else "right")
    for number, name in enumerate(info.class_names):
        cells = [(f"{100 * s.class_shares[number]:.2f} %", str(s.class_pictures[number])) for s in statistics.values()]
        classes.add_row(name, *(text for cell in cells for text in cell))
    classes.add_row("ignored", *(text for s in statistics.values() for text in (f"{100 * s.ignored:.2f} %", "")))
    yield classes


def _counted(found: Mapping[int, int] | Mapping[str, int]) -> str:
    """What there is, each with its number where it is not the only one."""
    return "\n".join(str(value) if len(found) == 1 else f"{value} ({count})" for value, count in found.items())
