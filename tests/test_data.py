"""A folder of pairs is listed, checked, and turned into crops that depend on nothing but seed, epoch and index."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_split
from PIL import Image
from torch.utils.data import DataLoader

from unetlift import checkpoint, data, transforms
from unetlift.errors import DataSetError


def _crops(cells: Path, workers: int, epochs: int) -> list[torch.Tensor]:
    pairs = data.list_pairs(cells, "train")
    crops = data.CropDataset(pairs, data.describe(cells, pairs), 3, 32, seed=7, preset="strong")
    sampler = data.EpochSampler(len(crops), seed=7)
    loader = DataLoader(crops, 4, sampler=sampler, num_workers=workers)
    seen = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        seen += [image for images, _ in loader for image in images]
    return seen


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")  # more than small machines like: the point
def test_every_crop_of_every_epoch_is_distinct_and_workers_change_nothing(cells: Path) -> None:
    alone = _crops(cells, workers=0, epochs=3)
    assert len({crop.numpy().tobytes() for crop in alone}) == len(alone) == 36
    for a, b in zip(alone, _crops(cells, workers=4, epochs=3), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("channels", [1, 2, 4, 12])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("preset", transforms.PRESETS)
def test_augmentation_takes_any_depth_and_channel_count(preset: str, channels: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    high = 1 if dtype is np.float32 else np.iinfo(dtype).max
    pixels = (rng.uniform(0, high, (20, 40, channels))).astype(dtype)
    labels = rng.integers(0, 5, (20, 40))
    crop, mask = transforms.augment(transforms.training_transform(32, preset), pixels, labels, seed=3)
    assert crop.shape == (32, 32, channels) and crop.dtype == np.float32 and mask.shape == (32, 32)
    assert crop.min() >= 0 and crop.max() <= 1 and set(np.unique(mask)) <= set(range(5))


def test_picture_and_mask_move_together() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (48, 48))
    transform = transforms.training_transform(32, "microscopy")
    for seed in range(8):
        crop, mask = transforms.augment(transform, (labels * 255).astype(np.uint8)[..., None], labels, seed)
        bright = crop[..., 0] > (crop.min() + crop.max()) / 2
        assert (bright == (mask == 1)).all()


def test_without_a_val_folder_a_share_of_train_is_taken_by_name(tmp_path: Path) -> None:
    write_split(tmp_path / "train", 40, 0, (8, 8))
    train, val = data.list_pairs(tmp_path, "train"), data.list_pairs(tmp_path, "val")
    assert len(train) + len(val) == 40 and not set(train) & set(val)
    assert 1 <= len(val) <= 15
    (tmp_path / "train" / "images" / "cell00.png").rename(tmp_path / "train" / "images" / "new.png")
    (tmp_path / "train" / "masks" / "cell00.png").rename(tmp_path / "train" / "masks" / "new.png")
    kept = {pair.image.name for pair in data.list_pairs(tmp_path, "val")} - {"new.png"}
    assert kept == {pair.image.name for pair in val} - {"cell00.png"}


def test_0_and_255_are_two_classes(tmp_path: Path) -> None:
    write_split(tmp_path / "train", 2, 0, (8, 8))
    mask = tmp_path / "train" / "masks" / "cell00.png"
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(mask)
    assert data.read_labels(mask, checkpoint.numbered(2)).tolist() == [[0, 1]]


def test_dataset_yaml_names_classes(cells: Path) -> None:
    (cells / "dataset.yaml").write_text("classes: [ground, cell]\ncolours: [[0, 0, 0], [1, 2, 3]]\nignore_index: 9\n")
    info = data.describe(cells, data.list_pairs(cells, "train"))
    assert info.class_names == ("ground", "cell") and info.colours[1] == (1, 2, 3) and info.ignore_index == 9


def _missing_mask(cells: Path) -> None:
    (cells / "train" / "masks" / "cell03.png").unlink()


def _other_size(cells: Path) -> None:
    Image.new("L", (5, 5)).save(cells / "train" / "masks" / "cell03.png")


def _strange_label(cells: Path) -> None:
    (cells / "dataset.yaml").write_text("classes: [ground, cell]\n")
    Image.fromarray(np.full((48, 56), 7, np.uint8)).save(cells / "train" / "masks" / "cell03.png")


def _unreadable(cells: Path) -> None:
    (cells / "train" / "images" / "cell03.png").write_bytes(b"no picture")


def _same_mask(cells: Path) -> None:
    Image.new("L", (5, 5)).save(cells / "train" / "images" / "cell03.jpg")


def _empty(cells: Path) -> None:
    for picture in (cells / "train" / "images").iterdir():
        picture.unlink()


def _wrong_yaml(cells: Path) -> None:
    (cells / "dataset.yaml").write_text("names: [a, b]\n")


FAULTS = {
    _missing_mask: r"cell03\.png has no mask; put it at .*masks.cell03\.png",
    _other_size: r"masks.cell03\.png is 5 x 5, but its picture cell03\.png is 56 x 48",
    _strange_label: r"masks.cell03\.png has the label 7, but there are 2 classes \(0 to 1\)",
    _unreadable: r"images.cell03\.png cannot be read as a picture",
    _same_mask: r"share the mask",
    _empty: r"images has no pictures",
    _wrong_yaml: r"dataset\.yaml wants a list 'classes'",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_fault_is_one_sentence_that_names_the_file(cells: Path, fault) -> None:
    fault(cells)
    with pytest.raises(DataSetError, match=FAULTS[fault]) as caught:
        pairs = data.list_pairs(cells, "train")
        data.check(pairs, data.describe(cells, pairs), 3)
    assert "\n" not in str(caught.value)


def test_a_missing_split_is_named(cells: Path) -> None:
    (cells / "test").rename(cells / "elsewhere")
    with pytest.raises(DataSetError, match="has no split 'test'"):
        data.list_pairs(cells, "test")
