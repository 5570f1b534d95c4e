"""Pictures on their way to the networks: uploads, pictures in a text, the middle of large ones, examples that fit a task."""

from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from unetlift import images
from unetlift.degrade import degrade
from unetlift.demo.compare import Network
from unetlift.errors import PictureError

SIDE = 256
"""Larger pictures are cut to their middle: five networks have to answer while somebody drags a slider."""
SMALLEST = 96
"""Below it the window, the margin and the largest shift leave too little to compare."""
MAX_PIXELS = 2**25
"""Of an upload: 33 megapixels decode to 100 MB; what is beyond is refused by its header."""
MAX_TEXT = 8 * 2**20
"""Letters of a picture that comes as base64: 6 MB."""

Examples = Mapping[str, Callable[[], images.Picture]]


def read_upload(path: Path) -> images.Picture:
    """Reads an uploaded file and removes it: what stays in the server's cache could be read by its other users.

    Raises:
        PictureError: with the file's name, but not its place on the server.
    """
    try:
        return images.read_picture(path, MAX_PIXELS)
    except PictureError as error:
        raise PictureError(str(error).replace(str(path), path.name)) from error
    finally:
        path.unlink(missing_ok=True)


def from_text(text: str, name: str = "The picture") -> images.Picture:
    """A picture file as base64, with or without `data:image/png;base64,` before it; it never lies where it could be asked for.

    Raises:
        PictureError: it is too long, no base64, or no picture.
    """
    if len(text) > MAX_TEXT:
        raise PictureError(f"{name} came as {len(text)} letters of base64; at most {MAX_TEXT} are taken.")
    try:
        data = b64decode(text.rpartition(",")[2], validate=True)
    except (Error, ValueError) as error:
        raise PictureError(f"{name} is neither an example's name nor a picture file as base64.") from error
    with TemporaryDirectory(prefix="unetlift-") as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return read_upload(path)


def middle(picture: images.Picture) -> NDArray[np.float32]:
    """The middle of a picture, at most `SIDE` pixels high and wide, as floats.

    Raises:
        PictureError: it is smaller than `SMALLEST`, or holds values that are no numbers.
    """
    height, width = picture.shape[:2]
    if min(height, width) < SMALLEST:
        raise PictureError(f"The picture has {width} x {height} pixels; take one of at least {SMALLEST} x {SMALLEST}.")
    top, left = max(0, height - SIDE) // 2, max(0, width - SIDE) // 2
    pixels = images.to_float(picture[top : top + SIDE, left : left + SIDE])
    if not np.isfinite(pixels).all():
        raise PictureError("The picture holds values that are not finite numbers; replace them.")
    return pixels


def seen_by(network: Network, picture: images.Picture) -> NDArray[np.float32]:
    """The middle of a picture as the networks of a task are given it: to those that restore, degraded as they were taught.

    Raises:
        PictureError: it is too small, or its channels are not the network's.
    """
    pixels = images.with_channels(middle(picture), network.predictor.channels, "The picture")
    info = network.predictor.info
    return degrade(pixels, info.degrade, seed=0) if info.task == "restore" and info.degrade.names else pixels


def fitting(examples: Examples, network: Network) -> Examples:
    """The examples that the networks of a task can be shown: those of the network's own where it has any."""
    examples = {path.stem: partial(images.read_picture, path) for path in network.examples} or examples
    wanted = network.predictor.channels
    return {name: read for name, read in examples.items() if (have := read().shape[2]) == wanted or (have, wanted) == (1, 3)}
