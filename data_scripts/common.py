"""What the data scripts share: a local copy or a download becomes a folder in the project's layout, whole or not at all."""

import argparse
import csv
import hashlib
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from unetlift import images

Pixels = NDArray[np.uint8]
Source = Path | Callable[[], Pixels]
"""A file, to be copied as it is, or how to make the pixels: (H, W) or (H, W, 3) of a picture, (H, W) classes of a mask."""

BESIDE = {"segment": "masks", "translate": "targets", "restore": None}
"""The folder beside images/ in each layout."""

GREY = [(k, k, k) for k in range(256)]


@dataclass(frozen=True)
class Item:
    """One picture to place.

    Attributes:
        split: train, val or test, below a folder where a script makes several data sets (`set5/test`).
        name: of its files, without suffix.
        picture: what goes to images/.
        beside: its mask or target; None where the picture stands alone.
    """

    split: str
    name: str
    picture: Source
    beside: Source | None = None


@dataclass(frozen=True)
class DataSet:
    """How a data set is had and what it becomes.

    Attributes:
        layout: segment, translate or restore.
        licence: printed at the end.
        fetch: downloads into an empty folder, and returns where the local copy's form begins.
        find: lists the items of a local copy.
        sha256: by folder (images, masks, targets), of all that goes there in order of split and name, where it is known.
        meaning: dataset.yaml, for segment.
        notes: other text files by name, made from the local copy.
    """

    layout: str
    licence: str
    fetch: Callable[[Path], Path]
    find: Callable[[Path], Iterable[Item]]
    sha256: Mapping[str, str] = field(default_factory=dict)
    meaning: dict | None = None
    notes: Mapping[str, Callable[[Path], str]] = field(default_factory=dict)


class DataError(Exception):
    """One sentence for the user."""


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser that knows `--from` (as `source`) and `--to`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--from", dest="source", type=Path, help="a local copy; without it the public home is downloaded")
    parser.add_argument("--to", type=Path, required=True, help="the folder to make")
    return parser


def run(description: str, data: DataSet) -> None:
    """Builds what the command line says, for scripts without flags of their own."""
    options = arguments(description).parse_args()
    build(data, options.source, options.to)


def build(data: DataSet, source: Path | None, to: Path) -> None:
    """Converts a local copy, or a download where `source` is None, and puts the folder in place whole or not at all.

    Whatever is wrong ends the script with one sentence and exit code 1.
    """
    try:
        count = _build(data, source, to)
    except (DataError, OSError, images.PictureError) as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")
    print(f"{to}: " + ", ".join(f"{split} {count[split]}" for split in sorted(count, key=_by_use)))
    print(f"licence: {data.licence}")


def _by_use(split: str) -> tuple[str, int]:
    folder, _, last = split.rpartition("/")
    return folder, ("train", "val", "test").index(last)


def _build(data: DataSet, source: Path | None, to: Path) -> Counter:
    if to.exists():
        raise DataError(f"{to} exists already; remove it or give another --to.")
    if source is not None and not source.is_dir():
        raise DataError(f"{source} is no folder; give the one that holds the local copy with --from.")
    ground = next(folder for folder in to.absolute().parents if folder.is_dir())
    with tempfile.TemporaryDirectory(dir=ground, prefix=f".{to.name}.") as scratch:
        source = source or data.fetch(Path(scratch) / "download")
        made = Path(scratch) / "made"
        count = _place(sorted(data.find(source), key=lambda item: (item.split, item.name)), made, data)
        if data.meaning:
            (made / "dataset.yaml").write_text(yaml.safe_dump(data.meaning, sort_keys=False))
        for name, text in data.notes.items():
            (made / name).write_text(text(source), encoding="utf-8")
        to.parent.mkdir(parents=True, exist_ok=True)
        made.rename(to)
    return count


def _place(items: list[Item], target: Path, data: DataSet) -> Counter:
    if not items:
        raise DataError("the local copy has no pictures in it; give the folder that holds them with --from.")
    twice = [f"{split}/{name}" for (split, name), n in Counter((i.split, i.name) for i in items).items() if n > 1]
    if twice:
        raise DataError(f"the local copy has two pictures for {twice[0]}; remove one.")
    digests = {folder: hashlib.sha256() for folder in data.sha256}
    for item in items:
        beside = partial(_labels, item, data.meaning) if data.layout == "segment" else item.beside
        parts = {"images": item.picture} | ({folder: beside} if (folder := BESIDE[data.layout]) else {})
        placed = {folder: _put(part, target / item.split / folder / item.name) for folder, part in parts.items()}
        if len({images.size(path) for path, _ in placed.values()}) > 1:
            raise DataError(f"{item.split}/{item.name} has other sizes in {' and '.join(placed)}; get a fresh copy.")
        for folder, digest in digests.items():
            digest.update(f"{item.split}/{item.name} ".encode() + placed[folder][1])
    for folder, digest in digests.items():
        if (found := digest.hexdigest()) != data.sha256[folder]:
            raise DataError(f"the {folder} are not those of the published data set (sha256 {found}); get a fresh copy.")
    return Counter(item.split for item in items)


def _labels(item: Item, meaning: dict) -> Pixels:
    labels, classes = item.beside(), len(meaning["classes"])
    if strange := sorted(set(np.unique(labels).tolist()) - {*range(classes), meaning.get("ignore_index")}):
        raise DataError(f"{item.split}/{item.name} has the label {strange[0]}, but there are {classes} classes; get a fresh copy.")
    return labels


def _put(source: Source, stem: Path) -> tuple[Path, bytes]:
    """Copies or writes one file; returns it, and its bytes or its pixels' shape and bytes for the checksum."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, Path):
        path = stem.with_name(stem.name + source.suffix.lower())
        shutil.copyfile(source, path)
        return path, path.read_bytes()
    pixels, path = source(), stem.with_name(f"{stem.name}.png")
    if stem.parent.name == "masks":
        images.write_mask(path, pixels, GREY)
    else:
        images.write_picture(path, pixels)
    return path, f"{pixels.shape}".encode() + pixels.tobytes()


def table(path: Path, columns: set[str]) -> list[dict[str, str]]:
    """The rows of a CSV file.

    Raises:
        DataError: a column is missing.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if missing := sorted(columns - set(reader.fieldnames or ())):
            raise DataError(f"{path} has no column {missing[0]!r}; get a fresh copy.")
        return list(reader)


def download(address: str, folder: Path, sha256: str | None = None) -> Path:
    """Fetches a file and returns it.

    Raises:
        DataError: it cannot be fetched, or is another one.
    """
    import pooch  # only where there is no local copy

    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(address, known_hash=sha256, path=folder, fname=address.rpartition("/")[2]))
    except Exception as error:  # whatever the network did, the user needs one sentence
        raise DataError(f"{address} cannot be downloaded ({type(error).__name__}); fetch it by hand and give --from.") from error


def download_archive(address: str, folder: Path) -> Path:
    """The same for a zip or a tar, and returns the folder that it is unpacked in."""
    archive, unpacked = download(address, folder), folder / "unpacked"
    safely = {} if archive.suffix == ".zip" else {"filter": "data"}  # a tar may want to write elsewhere; a zip cannot
    try:
        shutil.unpack_archive(archive, unpacked, **safely)
    except (shutil.ReadError, ValueError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataError(f"{address} is no archive ({type(error).__name__}); fetch it by hand and give --from.") from error
    return unpacked
