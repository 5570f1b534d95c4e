"""One picture from its file to its answers; whatever is wrong with it stays its own affair."""

import gc
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from unetlift import images
from unetlift.anchor import Anchored
from unetlift.batch.answers import Clips, Files, Places, Wanted, write_page
from unetlift.batch.asking import Asking
from unetlift.batch.manifest import BEGUN, DONE, FAILED, Key, Manifest, Record, file_hash
from unetlift.batch.names import answer_name, frame_name
from unetlift.batch.stage import Staged, Staging
from unetlift.errors import PictureError, RunError, Stopped, UnetliftError, UsageError
from unetlift.images import Page
from unetlift.predict import Predictor, Tiling
from unetlift.runtime import is_out_of_memory

SMALLEST_TILE = 256


@dataclass(frozen=True)
class Item:
    """A picture to be answered: where it is, and its path relative to the input folder."""

    path: Path
    relative: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a picture: its record, and whether it was made now or had been done before."""

    record: Record
    skipped: bool = False


class Worker:
    """Everything that a picture needs to be answered; one serves any number of threads.

    Args:
        predictor: the network.
        asking: runs it.
        tiling: how pictures that are too large are cut up.
        wanted: what is written of each picture.
        anchored: makes the predictor's `anchored` for one sequence; with `track` and `track-subpixel` that is the pages of one
            file, or pictures one after the other.
        output: the output folder.
        staging: where answers are put together.
        manifest: gets a record of each picture.
        model: hash of the network.
        settings: hash of all else that the answers depend on.
    """

    def __init__(
        self,
        predictor: Predictor,
        asking: Asking,
        tiling: Tiling,
        wanted: Wanted,
        anchored: Callable[[], Anchored],
        staging: Staging,
        manifest: Manifest,
        model: str,
        settings: str,
    ):
        self.predictor, self.asking, self.tiling, self.wanted, self.anchored = predictor, asking, tiling, wanted, anchored
        self.staging, self.manifest, self.model, self.settings = staging, manifest, model, settings
        self.sequence = anchored()

    @property
    def in_order(self) -> bool:
        """Whether pictures are to be answered one after the other."""
        return self.sequence.mode.startswith("track")

    def __call__(self, item: Item) -> Outcome:
        """Answers a picture, unless it has been.

        Raises:
            RunError: the answers cannot be written.
            Stopped: the run was told to stop.
        """
        begun, digest = perf_counter(), None
        try:
            digest, stamp = _contents(item.path)
            outcome = self._attempt(item, digest, stamp)
        except (Stopped, RunError):
            raise
        except OSError as error:  # of reading they are told as PictureErrors
            raise RunError(f"{error.filename or self.staging.output} cannot be written: {error.strerror or error}.") from error
        except Exception as error:  # nobody has a list of what libraries raise over a file, and the others are to go on
            outcome = Outcome(self._record(item, FAILED, digest, error=_sentence(item.path, error)))
        if not outcome.skipped:
            outcome = Outcome(replace(outcome.record, seconds=round(perf_counter() - begun, 3), finished=_now()))
            self.manifest.append(outcome.record)
        return outcome

    def _attempt(self, item: Item, digest: str, stamp: tuple[int, int]) -> Outcome:
        name = item.relative.as_posix()
        if self.manifest.is_done(name, Key(digest, self.model, self.settings)):
            if self.in_order:
                self._follow(item)
            return Outcome(self._record(item, DONE, digest), skipped=True)
        with self.staging.of_one() as staged:
            notes = self._answer(item, staged)
            if _stamp(item.path) != stamp:
                raise PictureError(f"{item.path} was changed while it was read; it is left for the next run.")
            staged.check(partial(self.manifest.owns, name))
            begun = self._record(item, BEGUN, digest, outputs=staged.sizes(), finished=_now())
            self.manifest.append(begun)
            staged.place()
            return Outcome(replace(begun, status=DONE, notes=notes))

    def _record(self, item: Item, status: str, digest: str | None, **more: Any) -> Record:
        return Record(item.relative.as_posix(), status, digest, self.model, self.settings, **more)

    def _answer(self, item: Item, staged: Staged) -> tuple[str, ...]:
        """Writes the answers to all pages of a file aside; returns what else there is to say."""
        with images.open_pages(item.path) as opened, ExitStack() as stack:
            said = [*opened.notes]
            ask = self.sequence if opened.kind == "picture" else self.anchored()
            clips = None
            if opened.kind == "video":
                clips = stack.enter_context(Clips(self.wanted, partial(answer_name, item.relative), staged, opened.rate))
                said += ["only masks and overlays are written of a video"] if self.wanted.describes else []
            for number, page in enumerate(opened):
                if opened.kind == "picture":
                    where, name = str(item.path), partial(answer_name, item.relative)
                else:
                    where, name = f"{item.path}, page {number}", partial(frame_name, item.relative, number)
                places = clips or Files(self.wanted, name, staged)
                heard = self._answer_page(page, ask, where, places)
                said += heard if opened.kind == "picture" else [f"page {number}: {note}" for note in heard]
        return tuple(dict.fromkeys(said))

    def _answer_page(self, page: Page, ask: Anchored, name: str, places: Places) -> list[str]:
        tiling, side, said = self.tiling, max(page.height, page.width), list[str]()
        while True:
            try:
                planned = self.predictor.plan(page, tiling, ask, name)
                side = planned.side
                write_page(page, planned, self.asking.submit, self.wanted, places)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or side <= SMALLEST_TILE:
                    raise
                side = max(SMALLEST_TILE, side // 2)
                tiling = replace(tiling, tile=side)
                said = [f"memory did not suffice for more than tiles of {side} pixels"]
            except UsageError as error:
                if not said:
                    raise
                raise PictureError(f"{name} does not fit into memory in the smallest tiles that the network's field allows.") from error
            else:
                return [*([f"anchor: {planned.anchoring.note}"] if planned.anchoring.note else []), *planned.notes, *said]
            planned = None
            gc.collect()  # the error and the tensors that it met hold each other, which would fill the memory for good

    def _follow(self, item: Item) -> None:
        """Lets the anchor of a sequence see a picture that is done already."""
        with images.open_pages(item.path) as opened:
            if opened.kind == "picture":
                for page in opened:
                    self.predictor.plan(page, self.tiling, self.sequence, item.path)


def _contents(path: Path) -> tuple[str, tuple[int, int]]:
    try:
        return file_hash(path), _stamp(path)
    except OSError as error:
        raise PictureError(f"{path} cannot be read ({error.strerror or error}).") from error


def _stamp(path: Path) -> tuple[int, int]:
    """By which a change of the file is told."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _sentence(path: Path, error: Exception) -> str:
    if isinstance(error, UnetliftError):
        return str(error)
    what = "memory does not suffice" if is_out_of_memory(error) else f"{type(error).__name__}: {' '.join(str(error).split())}"
    return f"{path} could not be answered ({what})."


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")
