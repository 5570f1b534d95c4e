"""What a visitor brings, out of Gradio's cache at once; what a visitor gets, where nobody else finds it."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from time import time
from typing import Any
from urllib.parse import quote

from gradio.utils import get_upload_folder

from unetlift.errors import UsageError

PARCELS = "parcels"
LASTING = 600
"""Seconds for which answers can be fetched."""


@dataclass(frozen=True)
class Upload:
    """A file of a visitor's in Gradio's cache.

    Attributes:
        path: where it lies; Gradio has made its name harmless.
        name: as the visitor calls it, for sentences only.
    """

    path: Path
    name: str

    @property
    def size(self) -> int:
        """In bytes."""
        return self.path.stat().st_size


@dataclass(frozen=True, eq=False)
class Turn:
    """One computation of one visitor, with a folder of its own that nobody else may read.

    Attributes:
        room: the folder.
        left: set once the visitor has cancelled it, begun another one, or gone.
    """

    room: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="unetlift-")))
    left: Event = field(default_factory=Event)
    _first: Lock = field(default_factory=Lock)

    def begin(self) -> bool:
        """Whether nobody has begun or ended it: of two quick clicks both find the second one's turn."""
        return self._first.acquire(blocking=False)

    def leave(self) -> None:
        """Ends it, or what is left of it; what runs removes the folder when it sees that, what has not begun never will."""
        self.left.set()
        if self._first.acquire(blocking=False):
            self.clear()

    def clear(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.room, ignore_errors=True)


def leave(turn: Turn | None) -> None:
    """Ends a visitor's last computation, if there was one."""
    if turn is not None:
        turn.leave()


@contextmanager
def uploads(given: Any, most: int) -> Iterator[list[Upload]]:
    """What a visitor uploaded; afterwards none of it is left in Gradio's cache, whose files every visitor could read.

    Args:
        given: a file or a list of files as Gradio tells them unprocessed; from a stranger it may be anything.
        most: how many files are taken.

    Raises:
        UsageError: there are none, too many, or something that is no upload.
    """
    given = [given] if isinstance(given, dict) else given
    if not isinstance(given, list) or not all(isinstance(each, dict) and isinstance(each.get("path"), str) for each in given):
        raise UsageError("That is no upload; choose a file.")
    cache = Path(get_upload_folder()).resolve()
    paths = [Path(each["path"]) for each in given]
    try:
        # A folder is never one: moved or removed, it could be other visitors' files.
        if any(path.is_symlink() or not path.is_file() or path.resolve().parent.parent != cache for path in paths):
            raise UsageError("The upload is not there any more; choose the file again.")
        if not 1 <= len(paths) <= most:
            raise UsageError(f"{len(paths)} files were chosen; take 1 to {most} at a time.")
        names = (each.get("orig_name") for each in given)
        yield [Upload(path, readable(name) if isinstance(name, str) else path.name) for path, name in zip(paths, names, strict=True)]
    finally:
        for path in paths:
            if path.resolve().parent.parent == cache and not path.is_dir():
                path.unlink(missing_ok=True)


def readable(name: str) -> str:
    """A file's name as it may stand in a sentence: without folders, control characters, or more than 60 letters."""
    name = "".join(c for c in name.replace("\\", "/").split("/")[-1] if c.isprintable())
    return name if len(name) <= 60 else f"{name[:40]}…{name[-16:]}"


@contextmanager
def addressed(name: str) -> Iterator[tuple[Path, str]]:
    """Where a file of answers is to be written, and its address for the page; on an error nothing is left.

    Gradio hands out its cache's files to whoever knows their paths, and this one has 256 random bits in it.
    """
    cache = Path(get_upload_folder()).absolute() / PARCELS
    folder = cache / secrets.token_urlsafe(32)
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder / name, f"gradio_api/file={quote(str(folder / name))}"
    except BaseException:
        shutil.rmtree(folder)
        raise


def remove_old(seconds: float = LASTING) -> None:
    """Removes the answers that were there to be fetched for so long."""
    cache = Path(get_upload_folder()) / PARCELS
    for folder in cache.iterdir() if cache.is_dir() else ():
        if time() - folder.stat().st_mtime > seconds:
            shutil.rmtree(folder, ignore_errors=True)

