"""Runs ONNX models in onnxruntime: here, or as a script in a process of its own, within a given memory."""

import faulthandler
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnxruntime

NUMBERS = "float16", "float32", "float64", "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"
LINE = 2**16
GRACE = 5.0
"""Seconds after which the process ends itself, should nobody be left to end it."""

Arrays = list[np.ndarray]


def start(model: bytes | Path, threads: int, settings: dict[str, str], left_out: Sequence[str] = ()) -> onnxruntime.InferenceSession:
    """A session on the CPU that says nothing of its own accord and knows no operators but onnxruntime's.

    Args:
        model: the file, or what it holds.
        threads: to compute with.
        settings: more entries of onnxruntime's configuration.
        left_out: names of optimisations that are not done.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it has to say is raised
    options.intra_op_num_threads = threads
    for name, value in {"session.intra_op.allow_spinning": "0", "session.load_model_format": "ONNX", **settings}.items():
        options.add_session_config_entry(name, value)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(left_out))


def described(session: onnxruntime.InferenceSession) -> list[list]:
    """Name, shape and type of each input; a length that is not fixed is a name or None."""
    return [[one.name, list(one.shape), one.type] for one in session.get_inputs()]


def run(session: onnxruntime.InferenceSession, name: str, array: np.ndarray) -> Arrays:
    """The outputs that are arrays of numbers."""
    outputs = session.run(None, {name: array})
    return [y for y in outputs if isinstance(y, np.ndarray) and y.dtype.name in NUMBERS]


def send(stream: BinaryIO, words: dict[str, Any], arrays: Arrays) -> None:
    """Writes one message: a line of JSON, then the arrays' bytes."""
    kinds = [[array.dtype.name, list(array.shape)] for array in arrays]
    stream.write(json.dumps(words | {"arrays": kinds}).encode() + b"\n")
    for array in arrays:
        stream.write(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    stream.flush()


def receive(stream: BinaryIO, limit: int) -> tuple[dict[str, Any], Arrays] | None:
    """Reads one message; None where no more come.

    Args:
        stream: to read from.
        limit: bytes that the arrays may have.

    Raises:
        ValueError: it is no such message, or too long.
    """
    line = stream.readline(LINE)
    if not line:
        return None
    words = json.loads(line)
    arrays = []
    for kind, shape in words.pop("arrays"):
        if kind not in NUMBERS or not all(isinstance(length, int) and length >= 0 for length in shape):
            raise ValueError(f"{kind} {shape} is no array")
        dtype, count = np.dtype(kind), int(np.prod(shape, dtype=object))
        limit -= count * dtype.itemsize
        if limit < 0:
            raise ValueError(f"{shape} is too large")
        data = stream.read(count * dtype.itemsize)
        arrays.append(np.frombuffer(data, dtype).reshape(shape))
    return words, arrays


def _serve(asked: BinaryIO, told: BinaryIO) -> None:
    """Gets the limits and the model, tells its inputs, then answers pictures until no more come."""
    limits, (model,) = receive(asked, sys.maxsize)
    give_up = partial(faulthandler.dump_traceback_later, limits["seconds"] + GRACE, exit=True)
    give_up()
    try:
        _limit(limits["memory"])
        settings = {"session.use_env_allocators": "1"}
        # Nothing is computed while it loads, where it could not be told from hanging.
        session = start(model.tobytes(), limits["threads"], settings, ["ConstantFolding"])
        del model
        inputs = described(session)
        send(told, {"inputs": inputs}, [])
    except Exception as error:  # onnxruntime's errors have no common base
        send(told, {"error": str(error)[:2000]}, [])
        return
    while (message := _next(asked)) is not None:
        give_up()
        try:
            answers, words = run(session, inputs[0][0], message[1][0]), {}
        except Exception as error:  # the same
            answers, words = [], {"error": str(error)[:2000]}
        send(told, words, answers)


def _next(asked: BinaryIO) -> tuple[dict[str, Any], Arrays] | None:
    faulthandler.cancel_dump_traceback_later()
    return receive(asked, sys.maxsize)


def _limit(memory: int) -> None:
    """Caps onnxruntime's memory and, where the system can, the whole process's."""
    kind = onnxruntime.OrtMemoryInfo("Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT)
    onnxruntime.create_and_register_allocator(kind, onnxruntime.OrtArenaCfg({"max_mem": memory}))
    if sys.platform == "linux":
        import resource

        ours = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()  # what the libraries have reserved
        resource.setrlimit(resource.RLIMIT_AS, (ours + 2 * memory, ours + 2 * memory))


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
