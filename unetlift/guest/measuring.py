"""Measures a stranger's model in a process of its own, with little memory and time, which can be ended at any moment.

Its only argument is a visitor's folder with `job.json`, `picture.npy` and the model's files; it says a line of JSON for the model,
one for each shift, one for the worst, whose answers lie in `worst.npz` then, and one for what went wrong.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unetlift.errors import UnetliftError, UsageError

MEMORY = 3 * 2**30
"""Bytes beyond which nothing more is given to the process."""
THREADS = 2
MOST_UNPACKED = 2**29
SIDE = 256
"""Of what is measured, where the model takes any size."""
FIGURES = ("psnr", "agreement", "max_error", "decision")
"""Those that take no time worth mentioning beside the model's own."""
SOONER = 5
"""Seconds of processor time that are left beyond the time that is waited for."""


def limit(seconds: int) -> None:
    """Caps memory, processor time and written files, where the system can."""
    try:
        import resource
    except ImportError:  # Windows; the process is ended from outside all the same
        return
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (THREADS * seconds + SOONER, THREADS * seconds + 2 * SOONER))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_UNPACKED, MOST_UNPACKED))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def say(**what: Any) -> None:
    """A line for whoever waits; figures that are no numbers are not JSON."""
    print(json.dumps(what, allow_nan=False), flush=True)


def find_model(room: Path) -> Path:
    """The uploaded ONNX file, or the model folder, unpacked if need be.

    Raises:
        ModelFolderError: the archive is not one of a model folder.
    """
    if (room / "model.onnx").is_file():
        return room / "model.onnx"
    folder = room / "model"
    if (room / "model.zip").is_file():
        from unetlift.guest.unzip import unzip

        folder.mkdir()
        unzip(room / "model.zip", folder, MOST_UNPACKED)
        (room / "model.zip").unlink()
    return folder


def measure(room: Path) -> Iterator[dict[str, Any]]:
    """What there is to say, as it is known.

    Raises:
        UnetliftError: the model cannot be opened, or does not take the picture.
    """
    model = find_model(room)  # first: it may be all that there is to say, and what follows takes seconds to import
    import torch

    from unetlift import stability
    from unetlift.foreign import open_upload
    from unetlift.shifts import square

    torch.set_num_threads(THREADS)
    job = json.loads((room / "job.json").read_text(encoding="utf-8"))
    picture = np.load(room / "picture.npy", allow_pickle=False)
    opened = read_as(open_upload(model), job)
    # What is near comes first, if time runs out. Parts of a pixel are the usual ones.
    shifts = None if job["mode"] == "subpixel" else sorted(square(job["max_shift"]), key=lambda shift: max(map(abs, shift)))
    kept = {"size": opened.size, "figures": FIGURES}
    conditions = stability.Conditions(job["mode"], job["max_shift"], shifts, opened.multiple, job["margin"], **kept)
    picture = fitted(picture, opened.size, 0 if job["mode"] == "roll" else 2 * job["max_shift"])
    x = opened.prepare(picture, "the picture")
    conditions.check(x)
    yield {"name": opened.name, "fingerprint": opened.fingerprint, "padding": opened.padding, "count": len(conditions.every)}
    worst = None
    for record, comparison, kind in stability.compared(opened.function, x, conditions, opened.answers):
        yield {"record": [record.dy, record.dx, dict(record.figures)], "kind": kind}
        if worst is None or record.psnr < worst[0]:
            worst = record.psnr, record, comparison, kind
    if worst is not None:
        _, record, comparison, kind = worst
        _save(room / "worst.npz", picture, conditions, comparison, kind)
        yield {"worst": [record.dy, record.dx], "colours": [list(c) for c in opened.colours]}


def fitted(picture: np.ndarray, size: tuple[int, int] | None, border: int) -> np.ndarray:
    """The middle of a picture, or as much as a model of one size wants, for which a smaller picture is mirrored at its edges."""
    wanted = (SIDE, SIDE) if size is None else (size[0] + border, size[1] + border)
    if size is not None:
        lacking = [(max(0, want - have) // 2, -(-max(0, want - have) // 2)) for want, have in zip(wanted, picture.shape[:2], strict=True)]
        picture = np.pad(picture, [*lacking, (0, 0)], "symmetric")
    top, left = (max(0, have - want) // 2 for want, have in zip(wanted, picture.shape[:2], strict=True))
    return np.ascontiguousarray(picture[top : top + wanted[0], left : left + wanted[1]])


def read_as(opened: Any, job: dict[str, Any]) -> Any:
    """An ONNX model with what its file does not say; a model folder says itself how it is to be read."""
    from unetlift.foreign import Prepare

    if opened.module is not None:
        return opened
    mean, std = (tuple(value) if isinstance(value, list) else value for value in (job["mean"], job["std"]))
    answers = job["answers"] or opened.answers
    function = replace(opened.function, answers=answers)
    return replace(opened, function=function, prepare=Prepare(opened.prepare.channels, mean, std), answers=answers)


def _save(path: Path, picture: np.ndarray, conditions: Any, comparison: Any, kind: str) -> None:
    """Two answers, and where they differ by how much, as arrays."""
    from unetlift import inputs
    from unetlift.stability.answers import labels_of

    frame = conditions.frame(inputs.to_tensor(picture, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    pair = (comparison.still, comparison.moved_back)
    answers = [v[0].permute(1, 2, 0).float() if kind == "pictures" else labels_of(v, kind)[0] for v in pair]
    change = (comparison.still - comparison.moved_back).abs().amax(1)[0].float()
    if kind == "labels":
        change = change.sign()
    arrays = {"still": answers[0], "moved_back": answers[1], "change": change, "valid": comparison.valid}
    np.savez(path, frame=frame, **{name: array.cpu().numpy() for name, array in arrays.items()})


def main(room: Path) -> None:
    """Says everything, and what goes wrong in one sentence that names no place on this machine."""
    try:
        limit(json.loads((room / "job.json").read_text(encoding="utf-8"))["seconds"])
        for told in measure(room):
            say(**told)
    except UnetliftError as error:
        say(error=str(error).replace(f"{room}/", "").replace(str(room), "the upload"))
    except MemoryError:
        say(error="The model wants more memory than it is given here; measure it with 'unetlift stability'.")
    except Exception as error:  # nobody has a list of what runtimes raise over a stranger's file
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        say(error=str(UsageError(f"The model cannot be measured: its runtime failed with {type(error).__name__}.")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
