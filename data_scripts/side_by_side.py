"""Any data set of pix2pix's form, one file for both sides (A left, B right), as a folder of pictures and targets."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from common import DataError, DataSet, Item, Pixels, arguments, build

from unetlift import images

DIRECTIONS = {"AtoB": (0, 1), "BtoA": (1, 0)}
"""Which half is the picture, and which the target."""


def find(source: Path, direction: str = "AtoB") -> Iterator[Item]:
    """The pairs of train/, val/ and test/, halved."""
    picture, target = DIRECTIONS[direction]
    for split in ("train", "val", "test"):
        for path in images.picture_files(source / split):
            name = path.relative_to(source / split).with_suffix("").as_posix()
            yield Item(split, name, partial(_half, path, picture), partial(_half, path, target))


def _half(path: Path, side: int) -> Pixels:
    pixels = images.read_picture(path)
    width = pixels.shape[1]
    if width % 2:
        raise DataError(f"{path} is {width} pixels wide; two pictures side by side have an even width.")
    if pixels.dtype != "uint8":
        raise DataError(f"{path} holds {pixels.dtype} values; save it as 8 bit.")
    return images.with_channels(pixels[:, width // 2 * side :][:, : width // 2], 3, path)


def fetch(folder: Path) -> Path:
    """There is nothing to fetch."""
    raise DataError("side-by-side files have no home of their own; give the folder with train/, val/, test/ with --from.")


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--direction", choices=DIRECTIONS, default="AtoB", help="from which half to which")
    options = parser.parse_args()
    find_so = partial(find, direction=options.direction)
    build(DataSet("translate", "that of the data set", fetch, find_so), options.source, options.to)
