"""What the data scripts share: a local copy or a download, then a folder of pairs."""

import argparse
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from unetlift import images


@dataclass(frozen=True)
class Item:
    """One pair to place: its split, its name, the picture's file, and how to read its classes."""

    split: str
    name: str
    picture: Path
    labels: Callable[[], NDArray[np.uint8]]


class DataError(Exception):
    """One sentence for the user."""


def run(
    description: str,
    home: str,
    find: Callable[[Path], Iterable[Item]],
    unpack: Callable[[Path], Path],
    labels_sha256: str,
    meaning: dict,
) -> None:
    """Parses `--from` and `--to`, converts, checks the labels' hash, and puts the folder in place whole or not at all.

    Args:
        description: of the script.
        home: the address of the data set's archive.
        find: lists the items of a local copy.
        unpack: brings an unpacked archive into the local copy's form.
        labels_sha256: of all labels in order of split and name, so that a download is known to be the right one.
        meaning: dataset.yaml.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--from", dest="source", type=Path, help="a local copy; without it the public home is downloaded")
    parser.add_argument("--to", type=Path, required=True, help="the folder of pairs to make")
    options = parser.parse_args()
    try:
        if options.to.exists():
            raise DataError(f"{options.to} exists already; remove it or give another --to.")
        options.to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=options.to.parent, prefix=f".{options.to.name}.") as scratch:
            source = options.source or unpack(_download(home, Path(scratch) / "download"))
            count = _place(sorted(find(source), key=lambda item: (item.split, item.name)), Path(scratch) / "pairs", labels_sha256)
            (Path(scratch) / "pairs" / "dataset.yaml").write_text(yaml.safe_dump(meaning, sort_keys=False))
            (Path(scratch) / "pairs").rename(options.to)
    except (DataError, OSError, images.PictureError) as error:
        sys.exit(f"{parser.prog}: {error}")
    print(f"{options.to}: " + ", ".join(f"{split} {n}" for split, n in count.items()))


def _download(home: str, folder: Path) -> Path:
    import pooch  # only where there is no local copy

    try:
        pooch.retrieve(home, known_hash=None, path=folder, processor=pooch.Unzip(extract_dir="unpacked"))
    except Exception as error:  # whatever the network did, the user needs one sentence
        raise DataError(f"{home} cannot be downloaded ({type(error).__name__}); fetch it by hand and give --from.") from error
    return folder / "unpacked"


def _place(items: list[Item], target: Path, labels_sha256: str) -> dict[str, int]:
    if not items:
        raise DataError("the local copy has no pairs in it; give the folder that holds the pictures with --from.")
    digest, count = hashlib.sha256(), dict.fromkeys(("train", "val", "test"), 0)
    for item in items:
        pictures, masks = target / item.split / "images", target / item.split / "masks"
        pictures.mkdir(parents=True, exist_ok=True)
        masks.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(item.picture, pictures / (item.name + item.picture.suffix))
        labels = item.labels()
        digest.update(f"{item.split}/{item.name} {labels.shape}".encode() + labels.tobytes())
        images.write_mask(masks / f"{item.name}.png", labels, [(k, k, k) for k in range(256)])
        count[item.split] += 1
    if digest.hexdigest() != labels_sha256:
        raise DataError(f"the labels are not those of the published data set (sha256 {digest.hexdigest()}); get a fresh copy.")
    return count
