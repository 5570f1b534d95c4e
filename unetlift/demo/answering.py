"""A visitor's pictures through one network of the page, and all that comes of it in one archive."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any
from unicodedata import normalize

from unetlift import images
from unetlift.batch.answers import Wanted
from unetlift.batch.asking import Asking
from unetlift.batch.manifest import Manifest, Record, write_summary
from unetlift.batch.pipeline import outcomes
from unetlift.batch.stage import Staging
from unetlift.batch.work import Item, Outcome, Worker
from unetlift.demo.networks import Network
from unetlift.errors import PictureError, Stopped
from unetlift.predict import Tiling

LARGEST_SIDE = 2**13
MOST_PIXELS = 2**24
"""Of one picture, and twice that of all."""
LONGEST_NAME = 48
SUMMARY = "summary.csv"
FOLDERS = ("masks", "overlays", "pictures")


class Timed(Asking):
    """Answers questions as long as its visitor waits, and not for ever.

    Args:
        left: set once nobody waits.
        seconds: for all questions.
    """

    def __init__(self, left: Event, seconds: float):
        super().__init__(1, lambda size: None)
        self._left, self._end, self._seconds = left, monotonic() + seconds, seconds

    def submit(self, function: Any, x: Any) -> Any:
        """Hands over a question.

        Raises:
            Stopped: nobody waits any more, or the time is over.
        """
        if self._left.is_set():
            self.stop(Stopped("Cancelled.", 1))
        elif monotonic() > self._end:
            self.stop(Stopped(f"The pictures were given {self._seconds:.0f} seconds, which are over; take fewer, or smaller ones.", 1))
        return super().submit(function, x)


@dataclass(frozen=True)
class Batch:
    """Pictures in a visitor's folder and where their answers go.

    Attributes:
        network: that answers.
        pictures: their folder.
        output: an empty one.
        overlay: also write the pictures tinted by class.
    """

    network: Network
    pictures: Path
    output: Path
    overlay: bool

    def answered(self, left: Event, seconds: float) -> Iterator[Outcome]:
        """What becomes of each picture, as it is known; at the end there is a summary.

        Raises:
            Stopped: nobody waits any more, or the time is over.
        """
        predictor = self.network.predictor
        wanted = Wanted(predictor.info, self.overlay and predictor.info.answers == "labels")
        with Staging(self.output, "manifest") as staging, Timed(left, seconds) as asking:
            manifest = Manifest(self.output)
            plain = partial(predictor.anchored, "none")
            worker = Worker(predictor, asking, Tiling(), wanted, plain, staging, manifest, self.network.name, "")
            items = [Item(path, path.relative_to(self.pictures)) for path in sorted(self.pictures.iterdir())]
            with closing(outcomes(takewhile(lambda _: not left.is_set(), items), worker, 1)) as heard:
                for outcome in heard:
                    yield replace(outcome, record=self.harmless(outcome.record))
        write_summary(self.output / SUMMARY, [self.harmless(record) for record in manifest.latest()])

    def harmless(self, record: Record) -> Record:
        """The record without this machine's folders in its sentences."""
        places = {f"{self.pictures}/": "", f"{self.output}/": ""}
        notes = tuple(_replaced(note, places) for note in record.notes)
        return replace(record, error=record.error and _replaced(record.error, places), notes=notes)

    def pack(self, archive: Path) -> int:
        """Puts the answers and the summary into a zip archive; returns its size in bytes."""
        with zipfile.ZipFile(archive, "x", zipfile.ZIP_STORED) as packed:  # pictures are compressed already
            for path in [self.output / SUMMARY, *(p for folder in FOLDERS for p in sorted((self.output / folder).rglob("*")))]:
                if path.is_file():
                    packed.write(path, path.relative_to(self.output).as_posix())
        return archive.stat().st_size


def _replaced(text: str, places: Mapping[str, str]) -> str:
    for place, word in places.items():
        text = text.replace(place, word)
    return text


def check(path: Path, name: str) -> int:
    """The pixels of a picture, by its header.

    Raises:
        PictureError: it is none, too large, or has several pages.
    """
    try:
        height, width = images.size(path, MOST_PIXELS)
        with images.open_pages(path, MOST_PIXELS) as opened:
            kind = opened.kind
    except PictureError as error:
        raise PictureError(str(error).replace(str(path), name)) from error
    if kind != "picture":
        raise PictureError(f"{name} has several pages or is a video; take single pictures, or 'unetlift predict'.")
    if max(height, width) > LARGEST_SIDE:
        raise PictureError(f"{name} has {width} x {height} pixels; sides of up to {LARGEST_SIDE} are taken.")
    return height * width


def safe_names(given: Sequence[str]) -> list[str]:
    """File names of letters, digits and the like, no two the same to any system, in whose place the visitor still knows his own."""
    taken, names = set[str](), []
    for name in given:
        suffix = Path(name).suffix.lower()
        letters = normalize("NFC", Path(name).stem if suffix else name)
        stem = "".join(c if c.isalnum() or c in " -_()" else "_" for c in letters).strip(" -_")[:LONGEST_NAME].strip() or "picture"
        number, candidate = 1, stem
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{stem}-{number}"
        taken.add(candidate.casefold())
        names.append(candidate + suffix)
    return names
