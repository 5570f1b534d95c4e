"""Facades, label maps and rectified photographs (research use), as pictures and targets, or as photographs and masks.

paris is the Paris Art-Deco set (79 facades), cmp the base set of CMP (378), pix2pix all 606 of CMP at 256 x 256 in its own
split. For the first two the split is ours, by number: every fifth facade is test, and the first of every ten is val.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import final

import numpy as np
import side_by_side
from common import DataError, DataSet, Item, Pixels, arguments, build, download_archive

from unetlift import images

PARIS_COMMIT = "5543bd96b05f59e32aad5b72621e5ebd4739a307"
PIX2PIX_HOME = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/facades.tar.gz"


def paris_files(source: Path) -> Iterator[tuple[int, Path, Path]]:
    """Number, photograph and labels of a copy with photos/facade_N.* (or images/) and labels/facade_N.png (or .txt)."""
    for photo in images.picture_files(source / ("photos" if (source / "photos").is_dir() else "images")):
        labels = source / "labels" / f"{photo.stem}.png"
        yield _number(photo, "facade_"), photo, labels if labels.is_file() else labels.with_suffix(".txt")


def cmp_files(source: Path) -> Iterator[tuple[int, Path, Path]]:
    """The same of a copy with cmp_bNNNN.jpg and cmp_bNNNN.png side by side."""
    for photo in sorted(source.glob("cmp_b*.jpg")):
        yield _number(photo, "cmp_b"), photo, photo.with_suffix(".png")


def _number(photo: Path, before: str) -> int:
    if not photo.stem.removeprefix(before).isdecimal():
        raise DataError(f"{photo} is not named {before} and a number; get a fresh copy.")
    return int(photo.stem.removeprefix(before))


def paris_labels(path: Path) -> Pixels:
    """Classes 0 to 6, and 7 where there is none: -1 in the text files of the public home."""
    if path.suffix == ".png":
        return images.read_mask(path).astype(np.uint8)
    try:
        labels = np.loadtxt(path, dtype=np.int16)
    except ValueError as error:
        raise DataError(f"{path} is no table of whole numbers; get a fresh copy.") from error
    return np.where(labels < 0, 7, labels).astype(np.uint8)


def cmp_labels(path: Path) -> Pixels:
    """Classes 0 to 11, and 255 where there is none: 1 to 12 and 0 in the files."""
    labels = images.read_mask(path).astype(np.int32)
    if labels.max() > len(CMP.classes):
        raise DataError(f"{path} has the label {labels.max()}; CMP's are 0 to {len(CMP.classes)}.")
    return np.where(labels == 0, 255, labels - 1).astype(np.uint8)


@final
@dataclass(frozen=True)
class Origin:
    """Where facades come from: archive, files, classes, and the checksum of what each layout makes of the labels."""

    home: str
    inside: str
    licence: str
    files: Callable[[Path], Iterator[tuple[int, Path, Path]]]
    labels: Callable[[Path], Pixels]
    classes: dict[str, tuple[int, int, int]]
    ignore: int
    sha256: Mapping[str, str] = field(default_factory=dict)


PARIS = Origin(
    home=f"https://github.com/raghudeep/ParisArtDecoFacadesDataset/archive/{PARIS_COMMIT}.zip",
    inside=f"ParisArtDecoFacadesDataset-{PARIS_COMMIT}",
    licence="none stated (research use; cite Gadde, Marlet, Paragios, IJCV 2016)",
    files=paris_files,
    labels=paris_labels,
    classes={
        "door": (255, 128, 0),
        "shop": (0, 255, 0),
        "balcony": (128, 0, 255),
        "window": (255, 0, 0),
        "wall": (255, 255, 0),
        "sky": (128, 255, 255),
        "roof": (0, 0, 255),
    },
    ignore=7,
    sha256={
        "segment": "6a661c06332f79640f9e0ee35a6bd437c8cc029ef760ed7141e2b392a5b28f14",
        "translate": "46f9f990a2340277c24c6bb1f7ca940f56b1021c83966d27f94fe03f486c551a",
    },
)
CMP = Origin(
    home="https://cmp.felk.cvut.cz/~tylecr1/facade/CMP_facade_DB_base.zip",
    inside="base",
    licence="none stated (research use; cite Tylecek and Sara, GCPR 2013)",
    files=cmp_files,
    labels=cmp_labels,
    classes={  # in the colours that pix2pix shows them in
        "background": (0, 0, 170),
        "facade": (0, 0, 255),
        "window": (0, 85, 255),
        "door": (0, 170, 255),
        "cornice": (0, 255, 255),
        "sill": (85, 255, 170),
        "balcony": (170, 255, 85),
        "blind": (255, 255, 0),
        "deco": (255, 170, 0),
        "molding": (255, 85, 0),
        "pillar": (255, 0, 0),
        "shop": (170, 0, 0),
    },
    ignore=255,
)
ORIGINS = {"paris": PARIS, "cmp": CMP}


def find(origin: Origin, layout: str, direction: str, source: Path) -> Iterator[Item]:
    """The facades of a local copy; labels without a class are black in a label map."""
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(origin.classes)] = list(origin.classes.values())
    for number, photo, path in origin.files(source):
        split = "test" if number % 5 == 0 else "val" if number % 10 == 1 else "train"
        labels = partial(origin.labels, path)
        if layout == "segment":
            yield Item(split, photo.stem, photo, labels)
        else:
            sides = (photo, partial(_shown, labels, colours))
            yield Item(split, photo.stem, *(sides[side] for side in side_by_side.DIRECTIONS[direction]))


def _shown(labels: Callable[[], Pixels], colours: Pixels) -> Pixels:
    return colours[labels()]


def data_set(origin: Origin, layout: str, direction: str) -> DataSet:
    """How an origin's facades become a layout."""
    labels = "masks" if layout == "segment" else "images" if direction == "BtoA" else "targets"
    colours = [list(colour) for colour in origin.classes.values()]
    return DataSet(
        layout,
        origin.licence,
        lambda folder: download_archive(origin.home, folder) / origin.inside,
        partial(find, origin, layout, direction),
        {labels: origin.sha256[layout]} if origin.sha256 else {},
        {"classes": list(origin.classes), "colours": colours, "ignore_index": origin.ignore} if layout == "segment" else None,
    )


def pix2pix(direction: str) -> DataSet:
    """The side-by-side files of pix2pix, in its own split."""
    fetch = lambda folder: download_archive(PIX2PIX_HOME, folder) / "facades"  # noqa: E731
    return DataSet("translate", CMP.licence, fetch, partial(side_by_side.find, direction=direction))


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--source", dest="origin", choices=(*ORIGINS, "pix2pix"), required=True, help="which facades")
    parser.add_argument("--layout", choices=("translate", "segment"), default="translate", help="a target picture or a mask")
    parser.add_argument("--direction", choices=side_by_side.DIRECTIONS, help="A is the photograph, B the label map (BtoA)")
    options = parser.parse_args()
    if options.layout == "segment" and (options.direction or options.origin == "pix2pix"):
        parser.error("--layout segment goes from photographs to classes, of paris or cmp, and takes no --direction.")
    direction = options.direction or "BtoA"
    data = pix2pix(direction) if options.origin == "pix2pix" else data_set(ORIGINS[options.origin], options.layout, direction)
    build(data, options.source, options.to)
