"""Classes: their names from dataset.yaml, their numbers from masks."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from unetlift import checkpoint, images
from unetlift.data.folder import Pair
from unetlift.errors import DataSetError, UsageError
from unetlift.info import ModelInfo

YAML_KEYS = ("classes", "colours", "ignore_index")


def describe(folder: Path, pairs: list[Pair]) -> ModelInfo:
    """Classes and colours from dataset.yaml, or from the labels found in `pairs` where there is none."""
    return from_yaml(folder) or from_labels({pair.target: count_labels(images.read_mask(pair.target))[0].tolist() for pair in pairs})


def from_yaml(folder: Path) -> ModelInfo | None:
    """Classes and colours from dataset.yaml, or None where there is none.

    Raises:
        DataSetError: the file is not as it must be.
    """
    path = folder / "dataset.yaml"
    if not path.is_file():
        return None
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataSetError(f"{path} is no YAML ({' '.join(str(error).split())[:120]}).") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("classes"), list) or not set(raw) <= set(YAML_KEYS):
        raise DataSetError(f"{path} wants a list 'classes' and may have 'colours' and 'ignore_index', nothing else.")
    names = tuple(str(name) for name in raw["classes"])
    if len(names) < 2 or len(set(names)) < len(names):
        raise DataSetError(f"{path} has the classes {', '.join(names) or '(none)'}; it wants two or more of different names.")
    ignore = raw.get("ignore_index")
    if ignore is not None and (type(ignore) is not int or not 0 <= ignore <= 65535):
        raise DataSetError(f"{path} has the ignore_index {ignore!r}; it is a label, a whole number from 0 to 65535.")
    colours = raw.get("colours") or checkpoint.numbered(len(names)).colours
    try:
        return ModelInfo(names, tuple(tuple(c) for c in colours), ignore_index=ignore)
    except (UsageError, TypeError) as error:
        why = str(error) if isinstance(error, UsageError) else "colours is no list of lists."
        raise DataSetError(f"{path} gives colours that are none: {why}") from error


def from_labels(found: Mapping[Path, Iterable[int]]) -> ModelInfo:
    """Classes known by their numbers alone: as many as the labels of the masks reach; one of 0 and 255 alone has two.

    Raises:
        DataSetError: the labels are too many to be classes, naming a mask.
    """
    highest, path = max((max(labels, default=0) if not set(labels) <= {0, 255} else 1, path) for path, labels in found.items())
    if highest > 254:
        raise DataSetError(f"{path} has the label {highest}; {_suspicion(set(found[path]), 255)}.")
    return checkpoint.numbered(max(2, highest + 1))


def count_labels(mask: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """The labels of a mask in rising order, and of how many pixels each is."""
    counts = np.bincount(mask.ravel())
    labels = np.flatnonzero(counts)
    return labels.astype(np.uint16), counts[labels]


def read_labels(path: Path, info: ModelInfo) -> NDArray[np.int32]:
    """A mask's classes; see `as_classes`."""
    return as_classes(images.read_mask(path), info, path)


def as_classes(mask: NDArray[np.uint16], info: ModelInfo, path: Path) -> NDArray[np.int32]:
    """A mask's values as classes; 0/255 is read as 0/1 where there are two classes.

    Raises:
        DataSetError: a label is no class, naming file and label.
    """
    labels = mask.astype(np.int32)
    classes = len(info.class_names)
    found = set(count_labels(mask)[0].tolist())
    if classes == 2 and found <= {0, 255} and info.ignore_index != 255:
        return labels // 255
    strange = sorted(v for v in found if v >= classes and v != info.ignore_index)
    if strange:
        what = f"{path} has the label {strange[0]}, but there are {classes} classes (0 to {classes - 1})"
        raise DataSetError(f"{what}; {_suspicion(found, classes)}.")
    return labels


def _suspicion(found: set[int], classes: int) -> str:
    """What labels that are no classes may be instead, and what to do."""
    highest = max(found)
    if found <= {0, 255}:
        return "it looks like a 0/255 mask, so write the number of a class for 255"
    if highest > 255 or (len(found) > 2 * classes and highest < len(found) + 2):
        return f"labels up to {highest} look like the numbers of objects, so write the number of its class for each"
    return "mend the mask, or name the classes and ignore_index in dataset.yaml"
