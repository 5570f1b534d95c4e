"""Pascal VOC 2012, 2913 photographs in 21 classes (Flickr's terms), as a folder of pairs; torchvision downloads it.

Train is VOC's train and test its val, on which results are customarily reported, for the labels of VOC's test are not
public; val is cut from train when training.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from common import DataSet, Item, Pixels, run
from torchvision_sets import opened, photograph

from unetlift import images

CLASSES = {
    "background": (0, 0, 0),
    "aeroplane": (128, 0, 0),
    "bicycle": (0, 128, 0),
    "bird": (128, 128, 0),
    "boat": (0, 0, 128),
    "bottle": (128, 0, 128),
    "bus": (0, 128, 128),
    "car": (128, 128, 128),
    "cat": (64, 0, 0),
    "chair": (192, 0, 0),
    "cow": (64, 128, 0),
    "dining table": (192, 128, 0),
    "dog": (64, 0, 128),
    "horse": (192, 0, 128),
    "motorbike": (64, 128, 128),
    "person": (192, 128, 128),
    "potted plant": (0, 64, 0),
    "sheep": (128, 64, 0),
    "sofa": (0, 192, 0),
    "train": (128, 192, 0),
    "tv monitor": (0, 64, 128),
}
SPLITS = {"train": "train", "val": "test"}


def find(source: Path) -> Iterator[Item]:
    """The pairs of a root with VOCdevkit/VOC2012/JPEGImages, SegmentationClass and ImageSets/Segmentation."""
    from torchvision.datasets import VOCSegmentation  # it brings PyTorch along

    for official, split in SPLITS.items():
        voc = opened(partial(VOCSegmentation, source, "2012", official))
        for picture, mask in zip(map(Path, voc.images), map(Path, voc.masks), strict=True):
            yield Item(split, picture.stem, photograph(picture), partial(_classes, mask))


def _classes(mask: Path) -> Pixels:
    return images.read_mask(mask).astype(np.uint8)


def fetch(folder: Path) -> Path:
    """The one archive, checked by torchvision."""
    from torchvision.datasets import VOCSegmentation

    folder.mkdir()
    opened(partial(VOCSegmentation, folder, "2012", download=True))
    return folder


MEANING = {"classes": list(CLASSES), "colours": [list(c) for c in CLASSES.values()], "ignore_index": 255}
DATA = DataSet("segment", "photographs under Flickr's terms of use (research use)", fetch, find, meaning=MEANING)

if __name__ == "__main__":
    run(__doc__, DATA)
