"""Runs `measuring` in a process of its own and hears what it says; ends it when nobody waits any more, or its time is over."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from time import monotonic
from typing import IO, Any

from unetlift.errors import UsageError

START = [sys.executable, "-m", "unetlift.guest.measuring"]
THREADS = "2"
LONGEST_LINE = 2**16
TICK = 0.2


def heard(room: Path, seconds: float, left: Event) -> Iterator[dict[str, Any] | None]:
    """What the process says of the job in a folder, and None whenever it has said nothing for a moment.

    Args:
        room: with `job.json`, `picture.npy` and the model.
        seconds: after which it is ended.
        left: ends it too.

    Raises:
        UsageError: what it could not do, in its own words; or its time is over, or it has broken down.
    """
    environment = os.environ | {"OMP_NUM_THREADS": THREADS, "MKL_NUM_THREADS": THREADS}
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*START, str(room)], **streams, env=environment, start_new_session=True)  # noqa: S603
    lines = Queue[bytes | None](maxsize=64)
    reader = Thread(target=_read, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        yield from _until_over(lines, monotonic() + seconds, seconds, left)
    finally:
        _end(process)
        while reader.is_alive():  # it may be waiting for room in the queue
            _next(lines)
        process.stdout.close()
        process.wait()


def _end(process: subprocess.Popen) -> None:
    """Ends it with all that it has started, where the system knows groups of processes."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):  # all of them are done
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _read(stdout: IO[bytes], lines: "Queue[bytes | None]") -> None:
    while line := stdout.readline(LONGEST_LINE):
        lines.put(line)
    lines.put(None)


def _next(lines: "Queue[bytes | None]") -> bytes | None:
    """A line, nothing at its end, and an empty line where there is none yet."""
    try:
        return lines.get(timeout=TICK)
    except Empty:
        return b""


def _until_over(lines: "Queue[bytes | None]", end: float, seconds: float, left: Event) -> Iterator[dict[str, Any] | None]:
    over = False
    while not left.is_set():
        if monotonic() > end:
            raise UsageError(f"The model was given {seconds:.0f} seconds, which are over; take smaller shifts, or 'unetlift stability'.")
        line = _next(lines)
        if line is None:
            break
        told = _parse(line) if line else None
        if told is not None and "error" in told:
            raise UsageError(str(told["error"]))
        over = over or (told is not None and "worst" in told)
        yield told
    if not over and not left.is_set():
        raise UsageError("The model broke its process: it wanted too much memory or time, or made its runtime fail.")


def _parse(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError as error:
        raise UsageError("The model made its process say what nobody understands.") from error
    if not isinstance(told, dict):
        raise UsageError("The model made its process say what nobody understands.")
    return told
