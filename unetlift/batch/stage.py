"""Answers are written aside and put in place together, once all of a picture's are there; nobody else's file gives way."""

import errno
import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from unetlift.errors import PictureError, UsageError

PARTS = ".parts"


class Staging:
    """The folder inside an output folder where one run writes; what a killed run left in it is removed.

    Args:
        output: the output folder; made if it is missing.
        name: of the run: no two of one name may write to one output folder at a time.

    Raises:
        UsageError: another one does.
    """

    def __init__(self, output: Path, name: str):
        self.output, self.folder = output, output / PARTS / name
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder.with_name(name + ".lock"), blocking=False)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise UsageError(f"Another run is writing to {output}; wait for it, or give another --output.") from error
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self._numbers = count()

    def __enter__(self) -> "Staging":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()

    def of_one(self) -> "Staged":
        """A place for the answers of one picture."""
        folder = self.folder / str(next(self._numbers))
        folder.mkdir()
        return Staged(self.output, folder)


class Staged:
    """The answers of one picture, aside; use it as a context manager.

    Args:
        output: where they are to go.
        folder: where they are.
    """

    def __init__(self, output: Path, folder: Path):
        self.output, self.folder = output, folder
        self.parts: dict[str, Path] = {}
        self._numbers = count()  # an answer that is begun anew gets another

    def __enter__(self) -> "Staged":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def __call__(self, answer: Path) -> Path:
        """Where the answer of a relative path is to be written; its ending is kept, which writers look at."""
        self.parts[answer.as_posix()] = part = self.folder / f"{next(self._numbers)}{answer.suffix}"
        return part

    def sizes(self) -> dict[str, int]:
        """The answers' sizes in bytes."""
        return {name: part.stat().st_size for name, part in self.parts.items()}

    def check(self, owned: Callable[[str], bool]) -> None:
        """Looks whether all answers can be put in place before the first one is.

        Args:
            owned: whether what stands in an answer's place was made from the same picture.

        Raises:
            PictureError: something else stands there, or the name is too long.
        """
        for name in self.parts:
            target = self.output / name
            try:
                target.lstat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                raise PictureError(f"{target} is too long a name for this disk; shorten the picture's own.") from error
            if not owned(name) or target.is_dir():
                raise PictureError(f"{target} is there and was not made from this picture; move it away.")

    def place(self) -> None:
        """Puts all answers in place, each whole."""
        for part in self.parts.values():
            with part.open("rb+") as file:
                os.fsync(file.fileno())
        for name, part in self.parts.items():
            target = self.output / name
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                part.replace(target)
            except (NotADirectoryError, FileExistsError) as error:
                raise PictureError(f"{target} cannot be put in place: another picture's answer has the name of its folder.") from error
