"""What has become of every picture, a line each, on the disk as soon as it is known; by it a run goes on."""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from io import StringIO
from pathlib import Path
from threading import Lock

from unetlift.checkpoint import write_atomically

BEGUN, DONE, FAILED = "begun", "done", "failed"


@dataclass(frozen=True)
class Record:
    """One line: what became of a picture.

    Attributes:
        file: its path relative to the input folder, with forward slashes.
        status: `begun` (its answers are about to be put in place), `done` or `failed`.
        input_sha256: of its bytes; None where they could not be read.
        model: hash of the network.
        settings: hash of all else that the answers depend on.
        outputs: sizes in bytes of its answers, by their paths relative to the output folder.
        seconds: that it took, from its first byte to its last answer.
        error: why it failed, in a sentence.
        notes: what else there is to say: how it was anchored, what was left out.
        finished: when, in UTC.
    """

    file: str
    status: str
    input_sha256: str | None
    model: str
    settings: str
    outputs: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None
    notes: tuple[str, ...] = ()
    finished: str = ""


@dataclass(frozen=True)
class Key:
    """What decides whether an answer is still the right one."""

    input_sha256: str
    model: str
    settings: str


class Manifest:
    """The records of an output folder; those of every shard are read, one file is written to.

    Args:
        folder: the output folder.
        name: of the file to append to.
    """

    def __init__(self, folder: Path, name: str = "manifest.jsonl"):
        self.folder, self.path = folder, folder / name
        self._lock = Lock()
        self._latest: dict[str, Record] = {}
        self._own: dict[str, set[str]] = {}
        for record in sorted(read_all(folder), key=lambda record: record.finished):
            self._remember(record)

    def _remember(self, record: Record) -> None:
        self._own.setdefault(record.file, set()).update(record.outputs)
        if record.status != BEGUN:
            self._latest[record.file] = record

    def is_done(self, file: str, key: Key) -> bool:
        """Whether the answers to this content by this network, with these settings, are all there."""
        with self._lock:
            record = self._latest.get(file)
        if record is None or record.status != DONE or Key(str(record.input_sha256), record.model, record.settings) != key:
            return False
        return all(_has_size(self.folder / name, size) for name, size in record.outputs.items())

    def has_other(self, file: str) -> bool:
        """Whether there are answers to it, by whatever network."""
        with self._lock:
            record = self._latest.get(file)
        return record is not None and record.status == DONE

    def owns(self, file: str, output: str) -> bool:
        """Whether an answer at this place was made from this very picture."""
        with self._lock:
            return output in self._own.get(file, ())

    def append(self, record: Record) -> None:
        """Adds a line in one write; a line that an earlier run could not finish is left alone on its own."""
        line = json.dumps(asdict(record)).encode() + b"\n"
        with self._lock:
            self._remember(record)
            with self.path.open("ab+") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line)

    def latest(self) -> list[Record]:
        """What became of each picture last, sorted by path."""
        with self._lock:
            return [self._latest[name] for name in sorted(self._latest)]


def read_all(folder: Path) -> Iterator[Record]:
    """The records of all manifests of a folder; lines that were cut off, or are not ours, are passed over."""
    known = {f.name for f in fields(Record)}
    for path in sorted(folder.glob("manifest*.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if isinstance(values, dict) and set(values) == known:
                yield Record(**values | {"notes": tuple(values["notes"])})


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def summary(records: Iterable[Record]) -> str:
    """The records as CSV, a row a picture."""
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", "status", "seconds", "outputs", "error", "notes", "input_sha256", "model", "settings", "finished"])
    for r in records:
        outputs, notes = ";".join(r.outputs), " ".join(r.notes)
        rows.writerow([r.file, r.status, f"{r.seconds:.3f}", outputs, r.error, notes, r.input_sha256, r.model, r.settings, r.finished])
    return text.getvalue()


def write_summary(path: Path, records: Iterable[Record]) -> None:
    """Writes that file, whole or not at all; names that are no text are written with escapes."""
    data = summary(records).encode("utf-8", "backslashreplace")
    write_atomically(path, lambda part: part.write_bytes(data))


def merge(folder: Path) -> list[Record]:
    """Makes one manifest.jsonl and one summary.csv of all manifests of a folder, which stay; returns each picture's last record."""
    records = sorted(read_all(folder), key=lambda record: record.finished)
    lines = dict.fromkeys(json.dumps(asdict(record)) + "\n" for record in records)
    write_atomically(folder / "manifest.jsonl", lambda part: part.write_text("".join(lines), encoding="ascii"))
    latest = Manifest(folder).latest()
    write_summary(folder / "summary.csv", latest)
    return latest


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
