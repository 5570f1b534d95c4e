"""Writes short animations without loss, as every browser shows them: WebP, or PNG."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unetlift.errors import PictureError, UsageError, one_of
from unetlift.images.damage import DAMAGED

ANIMATIONS = {"webp": {"format": "WEBP", "lossless": True, "quality": 50, "method": 4}, "png": {"format": "PNG"}}
"""What Pillow is told for each kind. More effort would make a WebP at most 4 % smaller, and take up to forty times as long."""
LONGEST = 65_535
"""Milliseconds of a frame, the most that PNG stores."""


def write_animation(
    target: Path | BytesIO, frames: Sequence[NDArray[np.uint8]], milliseconds: int, kind: Literal["webp", "png"] = "webp"
) -> None:
    """Writes an animation that begins anew for ever; every pixel of every frame is kept.

    Frames that equal the one before them are stored as one that is shown for longer.

    Args:
        target: a file, whatever its name, or memory.
        frames: (H, W, 3) 8 bit, all of one size.
        milliseconds: for which each is shown, 1 to 65535.
        kind: `webp`, which is smaller, or `png`.

    Raises:
        PictureError: there is no frame, one has another size or depth, or the format does not hold them.
        UsageError: the kind is unknown, or the time is none.
    """
    one_of("Kind of animation", kind, ANIMATIONS)
    if not 1 <= milliseconds <= LONGEST:
        raise UsageError(f"A frame was to be shown for {milliseconds} ms; an animation's last from 1 to {LONGEST} ms.")
    _check(frames)
    first, *others = (Image.fromarray(np.ascontiguousarray(frame)) for frame in frames)
    stored = BytesIO()  # whole, before a file is touched
    try:
        first.save(stored, save_all=True, append_images=others, duration=milliseconds, loop=0, **ANIMATIONS[kind])
    except DAMAGED as error:
        size = f"{len(frames)} frames of {first.width} x {first.height}"
        raise PictureError(f"{kind} does not hold an animation of {size} ({error}); take fewer or smaller ones.") from error
    if isinstance(target, BytesIO):
        target.write(stored.getbuffer())
        return
    with target.open("wb") as file:
        try:
            file.write(stored.getbuffer())
        except BaseException:
            target.unlink()
            raise


def _check(frames: Sequence[NDArray[np.uint8]]) -> None:
    if not len(frames):
        raise PictureError("An animation was given no frames; it takes one or more.")
    size = frames[0].shape[:2]
    for number, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.shape != (*size, 3) or 0 in size:
            wanted = f"all are {(*size, 3)} of uint8, with sizes from 1 on"
            raise PictureError(f"Frame {number + 1} of an animation is {frame.shape} of {frame.dtype}; {wanted}.")
