"""Oxford-IIIT Pet, 7349 cats and dogs with trimaps (CC BY-SA 4.0), as a folder of pairs; torchvision downloads it.

Train is the set's trainval and test its test; val is cut from train when training.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from common import DataError, DataSet, Item, Pixels, run
from torchvision_sets import opened, photograph

from unetlift import images

CLASSES = {"background": (0, 0, 0), "pet": (240, 228, 66), "border": (0, 114, 178)}
CLASS_OF_TRIMAP = np.array([0, 1, 0, 2], np.uint8)  # trimaps say 1 pet, 2 background, 3 border
SPLITS = {"trainval": "train", "test": "test"}


def find(source: Path) -> Iterator[Item]:
    """The pairs of a root with oxford-iiit-pet/images and oxford-iiit-pet/annotations."""
    from torchvision.datasets import OxfordIIITPet  # it brings PyTorch along

    for official, split in SPLITS.items():
        pets = opened(partial(OxfordIIITPet, source, official, "segmentation"))
        for picture, trimap in zip(pets._images, pets._segs, strict=True):  # torchvision names the files nowhere else
            yield Item(split, picture.stem, photograph(picture), partial(_classes, trimap))


def _classes(path: Path) -> Pixels:
    trimap = images.read_mask(path)
    if strange := sorted(set(np.unique(trimap).tolist()) - {1, 2, 3}):
        raise DataError(f"{path} has the label {strange[0]}; a trimap's are 1 to 3.")
    return CLASS_OF_TRIMAP[trimap]


def fetch(folder: Path) -> Path:
    """Both archives, checked by torchvision."""
    from torchvision.datasets import OxfordIIITPet

    opened(partial(OxfordIIITPet, folder, download=True))
    return folder


MEANING = {"classes": list(CLASSES), "colours": [list(c) for c in CLASSES.values()]}
DATA = DataSet("segment", "CC BY-SA 4.0", fetch, find, meaning=MEANING)

if __name__ == "__main__":
    run(__doc__, DATA)
