"""ONNX models of strangers: each runs in a process of its own, which is ended when it takes too much memory or time."""

import subprocess
import sys
import weakref
from contextlib import suppress
from threading import Lock, Timer
from typing import Any

import numpy as np
import torch

from unetlift.errors import UsageError
from unetlift.foreign import worker

MEMORY = 3 * 2**28
"""Bytes that a stranger's model may take for what it computes."""

SECONDS = 30.0
"""That it may take to load, or for one answer."""

ANSWER = 2**28
"""Bytes of one answer."""

SCARCE = "Available memory of", "Failed to allocate memory", "bad_alloc", "bad allocation"
"""What onnxruntime says where memory does not suffice."""

GONE = OSError, ValueError, TypeError, LookupError, AttributeError, MemoryError
"""What comes of a process that has ended, or says what it should not."""


class Apart:
    """An ONNX model in a process of its own, from any thread; the process ends with the object.

    Args:
        name: of the model, for errors.
        model: what its file holds.
        memory: bytes that it may take for what it computes.
        seconds: that it may take to load, or for one answer.

    Raises:
        UsageError: its memory did not suffice, or it was ended.
        RuntimeError: onnxruntime cannot load it.
    """

    def __init__(self, name: str, model: bytes, memory: int = MEMORY, seconds: float = SECONDS):
        self.name, self.memory, self.seconds, self._asking = name, memory, seconds, Lock()
        command = [sys.executable, "-I", worker.__file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603
        weakref.finalize(self, _end, self._process)
        limits = {"memory": memory, "seconds": seconds, "threads": torch.get_num_threads()}
        self.inputs = self._exchange(limits, np.frombuffer(model, np.uint8))[0]["inputs"]

    def run(self, array: np.ndarray) -> worker.Arrays:
        """Its outputs for its one input.

        Raises:
            UsageError: its memory did not suffice, or it was ended.
            RuntimeError: it fails.
        """
        return self._exchange({}, array)[1]

    def _exchange(self, words: dict[str, Any], array: np.ndarray) -> tuple[dict[str, Any], worker.Arrays]:
        with self._asking:
            alarm = Timer(self.seconds, self._process.kill)
            alarm.start()
            try:
                worker.send(self._process.stdin, words, [array])
                message = worker.receive(self._process.stdout, ANSWER)
            except GONE:
                message = None
            finally:
                alarm.cancel()
            if message is None:
                _end(self._process)
                limits = f"{self.memory / 2**20:.0f} MB and {self.seconds:g} seconds"
                raise UsageError(f"{self.name} was ended: it crashed, or wanted more than {limits}; take a smaller model or picture.")
        if (said := message[0].get("error")) is None:
            return message
        if any(words in said for words in SCARCE):
            raise UsageError(f"{self.name} wants more than {self.memory / 2**20:.0f} MB of memory; take a smaller model or picture.")
        raise RuntimeError(said)


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):  # something was still to be said
            stream.close()
