"""A folder that pictures arrive in: each is taken once it has stopped growing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from time import monotonic

from unetlift.batch.work import Item

POLL = 0.5
"""Seconds between two looks at the folder."""
SETTLED = 2.0
"""Seconds for which a file has to stay as it is: one that is being copied grows."""

Stamp = tuple[int, int]


def arrivals(source: Path, listed: Callable[[Path], tuple[Path, list[Path]]], stop: Event, settled: float = SETTLED) -> Iterator[Item]:
    """The pictures of a folder, each when it is there and whenever it has changed; ends when told to.

    Args:
        source: the folder.
        listed: lists it; see `unetlift.batch.names.list_inputs`.
        stop: once set, nothing comes any more.
        settled: seconds for which size and time of a file have to stay.
    """
    seen: dict[Path, tuple[Stamp, float]] = {}
    taken: dict[Path, Stamp] = {}
    while not stop.is_set():
        folder, paths = listed(source)
        for path in paths:
            stamp, since = _stamp(path), monotonic()
            if stamp is None or taken.get(path) == stamp:
                continue
            if path in seen and seen[path][0] == stamp:
                since = seen[path][1]
            seen[path] = stamp, since
            if monotonic() - since >= settled:
                taken[path] = stamp
                del seen[path]
                yield Item(path, path.relative_to(folder))
                if stop.is_set():
                    return
        stop.wait(POLL)


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:  # it has gone again
        return None
    return found.st_size, found.st_mtime_ns
