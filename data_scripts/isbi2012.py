"""Neuronal membranes of ISBI 2012: 30 electron micrographs, 512 x 512 (no licence stated: academic use), as a folder of pairs.

The slices are 50 nm apart and neighbours are much alike, so the split, which is ours, cuts the stack into three blocks:
slices 0 to 21 train, 22 to 25 validate, 26 to 29 test. The challenge's own test stack has no public labels.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import tifffile
from common import DataError, DataSet, Item, Pixels, download, run

COMMIT = "238a567ae843f7c03e5cc5d3f233cd3f93f0da17"
HOME = f"https://raw.githubusercontent.com/alexklibisz/isbi-2012/{COMMIT}/data"
BLOBS = {
    "train-volume.tif": "358e48bed4f747c20da43251eb7138727d98cec3",
    "train-labels.tif": "74ab9858c0be80842c94c41c6fb980aab49e9558",
}
"""The files' names in git, by SHA-1 of their bytes: three public repositories hold these very files."""
SPLITS = {"train": range(22), "val": range(22, 26), "test": range(26, 30)}
SHAPE = (30, 512, 512)


def find(source: Path) -> Iterator[Item]:
    """The slices of a copy with train-volume.tif and train-labels.tif, whose white is cell and whose black is membrane."""
    for name, blob in BLOBS.items():
        data = (source / name).read_bytes()
        if hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() != blob:
            raise DataError(f"{source / name} is not the published file (git blob {blob}); get a fresh copy.")
    volume, labels = (_stack(source / name) for name in BLOBS)
    for split, numbers in SPLITS.items():
        for number in numbers:
            yield Item(split, f"slice{number:02}", partial(volume.__getitem__, number), partial(_membrane, labels[number]))


def _stack(path: Path) -> Pixels:
    try:
        stack = tifffile.imread(path)
    except (ValueError, RuntimeError) as error:  # tifffile's own errors are among them
        raise DataError(f"{path} cannot be read as TIFF ({type(error).__name__}); get a fresh copy.") from error
    if stack.shape != SHAPE or stack.dtype != np.uint8:
        raise DataError(f"{path} holds {stack.dtype} of {stack.shape}; the published stack is uint8 of {SHAPE}.")
    return stack


def _membrane(labels: Pixels) -> Pixels:
    return (labels == 0).astype(np.uint8)


def fetch(folder: Path) -> Path:
    """The two stacks, each a file of its own."""
    for name in BLOBS:
        download(f"{HOME}/{name}", folder)
    return folder


MEANING = {"classes": ["cell", "membrane"], "colours": [[0, 0, 0], [240, 228, 66]]}
DATA = DataSet("segment", "none stated (academic use; cite Cardona et al., PLoS Biology 2010)", fetch, find, meaning=MEANING)

if __name__ == "__main__":
    run(__doc__, DATA)
