"""Where the bands of an answer go, top to bottom: files that hold a whole picture, files written as it comes, tables."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from queue import Full, Queue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetlift import images
from unetlift.images import Carried
from unetlift.objects import Objects, csv_text

Band = NDArray[Any]
"""(rows, W, K) of what one kind of answer consists of."""


class Sink(ABC):
    """Takes the bands of one picture in order; its file is there once it is finished."""

    @abstractmethod
    def add(self, band: Band) -> None:
        """Takes the next rows."""

    @abstractmethod
    def finish(self) -> None:
        """Completes the file."""

    def abandon(self) -> None:
        """Lets go of what it holds; its file is not wanted any more."""
        return


class Whole(Sink):
    """Keeps all bands and writes them at once."""

    def __init__(self, write: Callable[[Band], None]):
        self.write, self.bands = write, list[Band]()

    def add(self, band: Band) -> None:
        self.bands.append(band)

    def finish(self) -> None:
        self.write(self.bands[0] if len(self.bands) == 1 else np.concatenate(self.bands))


class Streamed(Sink):
    """Hands the bands to a writer that asks for them, in a thread of its own; two at most wait."""

    def __init__(self, write: Callable[[Iterator[Band]], None]):
        self._queue: Queue[Band | BaseException | None] = Queue(maxsize=2)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._written = self._thread.submit(write, self._bands())

    def _bands(self) -> Iterator[Band]:
        while (band := self._queue.get()) is not None:
            if isinstance(band, BaseException):
                raise band
            yield band

    def add(self, band: Band) -> None:
        self._put(band)

    def finish(self) -> None:
        self._put(None)
        self._thread.shutdown()
        self._written.result()

    def abandon(self) -> None:
        while not self._written.done():
            try:
                self._queue.put(_Abandoned(), timeout=0.1)
                break
            except Full:
                continue
        self._thread.shutdown()

    def _put(self, item: Band | None) -> None:
        while True:
            if self._written.done():  # with an error, or it would still be waiting
                self._written.result()
            try:
                return self._queue.put(item, timeout=0.1)
            except Full:
                continue


class _Abandoned(Exception):
    """Ends a writer whose file is not wanted any more."""


class Table(Sink):
    """The objects of a label picture, as CSV."""

    def __init__(self, path: Path, objects: Objects):
        self.path, self.objects = path, objects

    def add(self, band: Band) -> None:
        self.objects.add(band[..., 0])

    def finish(self) -> None:
        self.path.write_text(csv_text(self.objects.table()), encoding="utf-8", newline="\n")


class Frames(Sink):
    """One frame of a video: its bands make a picture, which goes to the video's writer."""

    def __init__(self, writer: Any, time: Fraction | None):
        self.writer, self.time, self.bands = writer, time, list[Band]()

    def add(self, band: Band) -> None:
        self.bands.append(band)

    def finish(self) -> None:
        self.writer.write(np.concatenate(self.bands), self.time)


def label_png(path: Path, colours: Sequence[Sequence[int]]) -> Sink:
    """Class indices as a palette PNG."""
    return Whole(lambda labels: images.write_mask(path, labels[..., 0], colours))


def picture_png(path: Path) -> Sink:
    """Pixels of 8 bit, or 16 bit grey, as PNG; others as TIFF, whatever the path's ending."""
    return Whole(lambda pixels: images.write_any(path, pixels))


def npz(path: Path) -> Sink:
    """Probabilities (classes, H, W) as `probabilities` in a compressed NumPy file."""

    def write(values: Band) -> None:
        with path.open("wb") as file:  # given a path, NumPy would add an ending
            np.savez_compressed(file, probabilities=np.ascontiguousarray(values.transpose(2, 0, 1)))

    return Whole(write)


def as_json(path: Path, describe: Callable[[NDArray[Any]], dict[str, Any]]) -> Sink:
    """What is to be said of a label picture, as JSON."""
    return Whole(lambda labels: path.write_text(json.dumps(describe(labels[..., 0])) + "\n", encoding="ascii"))


def tiff(path: Path, size: tuple[int, int, int], dtype: Any, carried: Carried, **how: Any) -> Sink:
    """Bands of a picture of (height, width, channels) as a tiled TIFF with what the input carried."""
    return Streamed(lambda bands: images.write_tiff(path, bands, *size, dtype, carried, **how))

