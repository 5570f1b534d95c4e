"""Errors whose one sentence is meant for the user: the wrong value and the right ones."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class UnetliftError(Exception):
    """Base of every error that the command line shows without a traceback; `exit_code` is the process's answer."""

    exit_code = 2


class UsageError(UnetliftError):
    """A name, number or combination that unetlift does not know."""


class DataSetError(UnetliftError):
    """A folder of pairs that cannot be trained on or measured as it stands."""

    exit_code = 3


class PictureError(UnetliftError):
    """A file that cannot be read as a picture or mask, or written as one."""

    exit_code = 3


class ModelFolderError(UnetliftError):
    """A model folder with a missing, damaged or foreign file."""


class TrainingError(UnetliftError):
    """A training that cannot go on; what it had reached is kept."""

    exit_code = 1


class RunError(UnetliftError):
    """A run over a folder that cannot go on; what it had answered is kept."""

    exit_code = 1


class Stopped(UnetliftError):
    """A training or a run that was told to stop, and has kept what it had reached."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


def nearest(value: str, known: Iterable[str]) -> str:
    """What somebody who wrote `value` may have meant, as the end of a sentence; empty where nothing is near."""
    near = get_close_matches(value, list(known), n=1)
    return f"; near it is {near[0]}" if near else ""


def one_of(what: str, value: object, known: Iterable[object]) -> None:
    """Raises UsageError unless `value` is one of the `known` names of a `what`."""
    names = tuple(known)
    if value not in names:
        raise UsageError(f"{what} {value!r} is unknown; it is one of {', '.join(map(str, names))}.")


def check_map(what: str, x: Any, axes: int, channels: int | None = None) -> None:
    """Raises UsageError unless `x` is a floating-point tensor (N, C, *size) of so many axes, of `channels` channels if given."""
    shape, wanted = tuple(x.shape), f"(N, {channels or 'C'}, {', '.join('DHW'[-axes:])})"
    if len(shape) != axes + 2 or (channels and shape[1] != channels) or 0 in shape[1:]:
        raise UsageError(f"{what} was given a tensor of shape {shape}; it takes {wanted} with sizes from 1 on.")
    if not x.is_floating_point():
        raise UsageError(f"{what} was given {x.dtype}; it takes floating-point numbers, for example x.float().")
