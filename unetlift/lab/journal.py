"""What has been measured, a line a picture, on the disk as soon as it is known: a measurement that was stopped goes on."""

import hashlib
import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unetlift.stability import Kind, Record


class Packed(Mapping[str, float]):
    """Figures whose names many records share: a folder of a thousand pictures has tens of thousands of these."""

    __slots__ = ("_names", "_values")

    def __init__(self, names: tuple[str, ...], values: Sequence[float]):
        self._names, self._values = names, array("d", values)

    def __getitem__(self, name: str) -> float:
        try:
            return self._values[self._names.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True)
class Entry:
    """One picture, by one function, under one mode.

    Attributes:
        picture: hash of its bytes, and of its truth's.
        kind: of the answers.
        seconds: that an answer took, the median.
        records: its comparisons, as picture 0; of a clip every frame's.
    """

    picture: str
    kind: Kind
    seconds: float
    records: tuple[Record, ...]


class Journal:
    """The entries of one function under one set of conditions; a line that was cut off, or is not ours, is passed over.

    Args:
        folder: of all journals of a report.
        conditions: all that the figures depend on, but for the pictures; its hash is the file's name.
    """

    def __init__(self, folder: Path, conditions: Mapping[str, Any]):
        text = json.dumps(conditions, sort_keys=True, default=str)
        self.path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.jsonl"
        self.entries: dict[str, Entry] = {}
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}
        if self.path.exists():
            with self.path.open("rb") as file:
                for line in file:
                    self._keep(line)

    def _keep(self, line: bytes) -> None:
        try:
            values = json.loads(line)
            records = tuple(Record(int(image), dy, dx, self._packed(figures)) for image, dy, dx, figures in values["records"])
            self.entries[values["picture"]] = Entry(values["picture"], values["kind"], values["seconds"], records)
        except (ValueError, KeyError, TypeError, AttributeError):
            return

    def _packed(self, figures: Mapping[str, float]) -> Packed:
        names = tuple(figures)
        return Packed(self._names.setdefault(names, names), tuple(figures.values()))

    def append(self, entry: Entry) -> None:
        """Adds a line in one write."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        records = [[r.image, r.dy, r.dx, dict(r.figures)] for r in entry.records]
        line = json.dumps({"picture": entry.picture, "kind": entry.kind, "seconds": entry.seconds, "records": records}, allow_nan=False)
        torn = self.path.exists() and not _ends_line(self.path)
        whole = (b"\n" if torn else b"") + line.encode() + b"\n"
        with self.path.open("ab", buffering=len(whole) + 1) as file:  # otherwise long lines go in parts, between those of another run
            file.write(whole)
        self._keep(line.encode())


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        return file.read(1) in (b"\n", b"")


def hash_of(paths: Sequence[Path]) -> str:
    """Of the bytes of some files, in their order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
