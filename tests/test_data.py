"""A folder of pairs is listed and turned into samples that depend on nothing but seed, epoch and index."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from conftest import write_split
from PIL import Image
from torch.utils.data import DataLoader

from unetlift import checkpoint, data, images, transforms
from unetlift.errors import DataSetError, UsageError
from unetlift.info import DegradeConfig, ModelInfo

PLACED = 32


def _kind(cells: Path, limit: int = 2**24) -> data.Kind:
    info = data.describe(cells, data.list_pairs(cells, "train"))
    return data.KINDS["segment"](info, 3, 2, data.Cache(limit))


def _crops(cells: Path, preset: str = "strong", balanced: bool = False, size: int = PLACED) -> data.Crops:
    return data.Crops(data.list_pairs(cells, "train"), _kind(cells), data.Crop(size, preset, balanced), seed=7)


def _epochs(crops: data.Crops, workers: int, epochs: int) -> list[torch.Tensor]:
    steps = data.Steps(len(crops), 4, seed=7)
    loader = DataLoader(crops, batch_sampler=steps, num_workers=workers)
    seen = []
    for epoch in range(epochs):
        steps.set_epoch(epoch)
        seen += [image for pictures, _, _ in loader for image in pictures]
    return seen


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")  # more than small machines like: the point
@pytest.mark.parametrize("balanced", [False, True])
def test_every_crop_of_every_epoch_is_distinct_and_workers_change_nothing(cells: Path, balanced: bool) -> None:
    crops = _crops(cells, balanced=balanced)
    alone = _epochs(crops, workers=0, epochs=3)
    assert len({crop.numpy().tobytes() for crop in alone}) == len(alone) == 36
    for a, b in zip(alone, _epochs(crops, workers=4, epochs=3), strict=True):
        assert torch.equal(a, b)


def _augment(preset: str, pixels: np.ndarray, target: np.ndarray | None, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    transform = transforms.training_transform(PLACED, preset)
    crop, placed = transforms.place(transform, pixels, target, seed)
    assert crop.dtype == pixels.dtype
    return transforms.light(transform, images.to_float(crop), seed), placed


@pytest.mark.parametrize("channels", [1, 2, 4, 12])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("preset", transforms.PRESETS)
def test_augmentation_takes_any_depth_and_channel_count(preset: str, channels: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    high = 1 if dtype is np.float32 else np.iinfo(dtype).max
    pixels = rng.uniform(0, high, (20, 40, channels)).astype(dtype)  # less high than the crop, and wider
    labels = rng.integers(0, 5, (20, 40))
    pixels.setflags(write=False)  # as the cache hands them out
    for seed in range(4):
        crop, mask = _augment(preset, pixels, labels, seed)
        assert crop.shape == (PLACED, PLACED, channels) and crop.dtype == np.float32 and mask.shape == (PLACED, PLACED)
        assert crop.min() >= 0 and crop.max() <= 1 and set(np.unique(mask)) <= set(range(5))
        other = rng.uniform(0, 1, (20, 40, 3)).astype(np.float32)
        assert _augment(preset, pixels, other, seed)[1].shape == (PLACED, PLACED, 3)
        assert _augment(preset, pixels, None, seed)[1] is None


@pytest.mark.parametrize("preset", transforms.PRESETS)
def test_floats_below_0_never_become_nan(preset: str) -> None:
    pixels = np.linspace(-0.2, 1.2, PLACED * PLACED, dtype=np.float32).reshape(PLACED, PLACED, 1)
    assert all(np.isfinite(_augment(preset, pixels, None, seed)[0]).all() for seed in range(12))


def test_without_augmentation_floats_stay_as_they_are() -> None:
    pixels = np.linspace(-0.2, 1.2, PLACED * PLACED, dtype=np.float32).reshape(PLACED, PLACED, 1)
    np.testing.assert_array_equal(_augment("none", pixels, None, 3)[0], pixels)


@pytest.mark.parametrize("preset", transforms.PRESETS)
def test_picture_and_target_move_together(preset: str) -> None:
    labels = np.kron(np.random.default_rng(0).integers(0, 2, (6, 6)), np.ones((8, 8), int))
    picture = (labels * 255).astype(np.uint8)[..., None]
    for seed in range(8):
        transform = transforms.training_transform(PLACED, preset)
        crop, mask = transforms.place(transform, picture, labels, seed)
        assert ((crop[..., 0] > 127) == (mask == 1)).mean() > 0.97  # along edges a turned picture has greys between
        same, target = transforms.place(transform, picture, picture.astype(np.float32), seed)
        np.testing.assert_allclose(same, target, atol=1)
        np.testing.assert_array_equal(same, crop)


def test_how_a_crop_looks_does_not_hang_on_where_it_was_cut() -> None:
    rows, columns = np.mgrid[:64, :96].astype(np.float32) / 96
    where, flat = np.stack([rows, columns], -1), np.linspace(0.3, 0.7, PLACED**2, dtype=np.float32).reshape(PLACED, PLACED, 1)
    transform = transforms.training_transform(PLACED, "light")
    seen = []
    for index in range(600):
        seed = transforms.sample_seed(0, 0, index)
        place = transforms.place(transform, where, None, seed)[0]
        look = transforms.light(transform, flat, seed)
        turned = place[0, 0, 1] > place[0, -1, 1]
        seen.append([place[..., 0].min(), place[..., 1].min(), turned, look.mean(), look.std(), (look == flat).all()])
    related = np.corrcoef(np.array(seen, float).T)[:3, 3:]
    assert abs(related).max() < 4 / np.sqrt(600)  # four standard errors


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(UsageError, match=r"augment 'wild' is unknown; it is one of none, light"):
        transforms.training_transform(8, "wild")


@pytest.mark.parametrize("size", [(40, 60), (20, 60), (40, 10), (9, 9)])
def test_a_balanced_window_shows_each_class_as_often(size: tuple[int, int]) -> None:
    labels = np.zeros(size, np.int32)
    labels[-3:, -2:], labels[0, :4] = 1, 9  # 6 pixels of a class, and some that count for nothing
    pixels, asked = np.stack([labels, labels], -1).astype(np.uint8), Counter()
    for seed in range(200):
        window, classes = transforms.focus(pixels, labels, 16, 9, seed)
        assert classes.shape == window.shape[:2] == tuple(min(side, 16) for side in size)
        np.testing.assert_array_equal(window[..., 0], classes)  # cut alike
        asked["rare"] += bool((classes == 1).any())
    assert asked["rare"] > 80  # at least about half; any window would have it in a few of a hundred on the large ones
    assert (transforms.focus(pixels, labels, 16, 9, 5)[1] == transforms.focus(pixels, labels, 16, 9, 5)[1]).all()


def test_a_balanced_window_of_a_mask_that_is_ignored_throughout() -> None:
    labels = np.full((20, 20), 9, np.int32)
    assert transforms.focus(np.zeros((20, 20, 1), np.uint8), labels, 8, 9, 0)[1].shape == (8, 8)


@pytest.mark.parametrize("size", [16, 48, 56, 100])
@pytest.mark.parametrize("balanced", [False, True])
def test_crops_smaller_and_larger_than_the_picture(cells: Path, size: int, balanced: bool) -> None:
    image, labels, index = _crops(cells, "aerial", balanced, size)[0, 5]
    assert image.shape == (3, size, size) and labels.shape == (size, size) and labels.dtype == torch.int64 and index == 5
    assert set(labels.unique().tolist()) <= {0, 1} and image.dtype == torch.float32


def test_a_crop_without_augmentation_is_a_window_of_the_picture(cells: Path) -> None:
    crops = _crops(cells, "none", size=16)
    image, labels, index = crops[2, 3]
    with Image.open(crops.pairs[index].image) as picture, Image.open(crops.pairs[index].target) as mask:
        pixels, classes = np.asarray(picture, np.float32), np.asarray(mask)
    seen = np.rint((image[0].numpy() * 0.25 + 0.5) * 255)
    windows = [(y, x) for y in range(33) for x in range(41) if (pixels[y : y + 16, x : x + 16] == seen).all()]
    ((y, x),) = windows
    assert (classes[y : y + 16, x : x + 16] == labels.numpy()).all() and torch.equal(image[0], image[1])


def test_wholes_are_the_pictures_and_no_more_random_the_second_time(cells: Path) -> None:
    pairs = data.list_pairs(cells, "val")
    image, labels, index = data.Wholes(pairs, _kind(cells))[1]
    with Image.open(pairs[1].image) as picture, Image.open(pairs[1].target) as mask:
        np.testing.assert_allclose(image[2].numpy() * 0.25 + 0.5, np.asarray(picture) / 255, atol=1e-6)
        np.testing.assert_array_equal(labels.numpy(), np.asarray(mask))
    assert index == 1 and len(data.Wholes(pairs, _kind(cells))) == 3
    info = ModelInfo((), (), task="restore", degrade=DegradeConfig(noise=25))
    restored = data.Wholes(pairs, data.KINDS["restore"](info, 1, 1, data.Cache(0)))
    assert torch.equal(restored[0][0], restored[0][0])


def test_a_set_to_translate_and_one_to_restore(cells: Path) -> None:
    for split in ("train", "val", "test"):
        (cells / split / "masks").rename(cells / split / "targets")
    pairs = data.list_pairs(cells, "train", task="translate")
    translated = data.KINDS["translate"](ModelInfo((), (), task="translate"), 3, 1, data.Cache(0))
    image, target, _ = data.Crops(pairs, translated, data.Crop(24, "strong"), 0)[0, 0]
    assert image.shape == (3, 24, 24) and target.shape == (1, 24, 24) and target.dtype == torch.float32
    clean = data.list_pairs(cells, "train", task="restore")
    assert [pair.target for pair in clean] == [None] * 12
    info = ModelInfo((), (), task="restore", degrade=DegradeConfig(noise=25))
    kind = data.KINDS["restore"](info, 1, 1, data.Cache(0))
    for size in (24, 100):
        image, target, _ = data.Crops(clean, kind, data.Crop(size, "microscopy", balanced=True), 0)[1, 2]
        noise = (image - target) * 0.25 * 255
        assert image.shape == target.shape == (1, size, size) and noise.std() == pytest.approx(25, rel=0.1)


def _all(steps: data.Steps, epoch: int) -> list[list[tuple[int, int]]]:
    steps.set_epoch(epoch)
    return list(steps)


def test_every_epoch_has_its_own_order_and_each_picture_once() -> None:
    steps = data.Steps(23, 4, seed=1)
    first, second = _all(steps, 0), _all(steps, 1)
    assert len(steps) == len(first) == 5 and all(len(batch) == 4 for batch in first)
    assert len({key for batch in first + second for key in batch}) == 40
    assert [i for batch in first for _, i in batch] != [i for batch in second for _, i in batch]
    assert first == _all(data.Steps(23, 4, seed=1), 0) != _all(data.Steps(23, 4, seed=2), 0)


@pytest.mark.parametrize("first", [0, 1, 4, 5])
def test_going_on_within_an_epoch_yields_exactly_the_remainder(first: int) -> None:
    steps, whole = data.Steps(23, 4, seed=1), _all(data.Steps(23, 4, seed=1), 3)
    steps.go_on(3, first)
    assert _all(steps, 3) == whole[first:]
    assert _all(steps, 4) == _all(data.Steps(23, 4, seed=1), 4)  # the next one is whole again


def test_two_processes_take_the_batches_of_one_with_twice_as_many() -> None:
    ranks = [_all(data.Steps(23, 2, 1, rank, 2), 2) for rank in (0, 1)]
    united = [a + b for a, b in zip(*ranks, strict=True)]
    assert united == _all(data.Steps(23, 4, 1), 2)


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_a_share_has_no_picture_twice(world: int) -> None:
    shares = [data.Share(7, rank, world) for rank in range(world)]
    assert sorted(index for share in shares for index in share) == list(range(7))
    assert sum(map(len, shares)) == 7


def test_a_cache_answers_as_the_files_and_stays_within_its_memory(cells: Path) -> None:
    paths = sorted((cells / "train" / "images").iterdir())
    one = images.read_picture(paths[0]).nbytes
    for limit in (0, one - 1, 3 * one, 99 * one):
        cache = data.Cache(limit)
        for path in [*paths, *reversed(paths), *paths]:
            np.testing.assert_array_equal(cache.picture(path), images.read_picture(path))
            mask = path.parent.parent / "masks" / path.name
            np.testing.assert_array_equal(cache.mask(mask), images.read_mask(mask))
            assert cache.used <= limit
    with pytest.raises(ValueError, match="read-only"):
        cache.picture(paths[0])[0] = 1


def test_a_cache_goes_by_content(cells: Path) -> None:
    first, second, *_ = sorted((cells / "train" / "images").iterdir())
    cache = data.Cache(2**20)
    before = cache.picture(first)
    assert cache.picture(first) is before
    (copy := first.with_name("copy.png")).write_bytes(first.read_bytes())
    assert cache.picture(copy) is before and cache.used == before.nbytes
    first.write_bytes(second.read_bytes())
    np.testing.assert_array_equal(cache.picture(first), images.read_picture(second))
    np.testing.assert_array_equal(cache.mask(first), images.read_mask(second))  # as a mask it is another thing
    assert cache.mask(first).dtype == np.uint16 and cache.used == 2 * before.nbytes + 2 * before.nbytes


def test_what_was_not_asked_for_the_longest_goes_first(cells: Path) -> None:
    a, b, c, *_ = sorted((cells / "train" / "images").iterdir())
    cache = data.Cache(2 * images.read_picture(a).nbytes)
    kept, gone = cache.picture(a), cache.picture(b)
    assert cache.picture(a) is kept
    cache.picture(c)
    assert cache.picture(a) is kept and cache.picture(b) is not gone


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


def test_without_dataset_yaml_there_are_as_many_classes_as_labels(cells: Path) -> None:
    pairs = data.list_pairs(cells, "train")
    assert data.describe(cells, pairs).class_names == ("0", "1")
    Image.fromarray(np.full((48, 56), 3, np.uint8)).save(pairs[0].target)
    assert data.describe(cells, pairs).class_names == ("0", "1", "2", "3")


def _missing_mask(cells: Path) -> None:
    (cells / "train" / "masks" / "cell03.png").unlink()


def _other_size(cells: Path) -> None:
    Image.new("L", (5, 5)).save(cells / "train" / "masks" / "cell03.png")


def _strange_label(cells: Path) -> None:
    (cells / "dataset.yaml").write_text("classes: [ground, cell]\n")
    Image.fromarray(np.full((48, 56), 7, np.uint8)).save(cells / "train" / "masks" / "cell03.png")


def _unreadable(cells: Path) -> None:
    (cells / "train" / "images" / "cell03.png").write_bytes(b"no picture")


def _too_many_channels(cells: Path) -> None:
    (cells / "train" / "images" / "cell03.png").unlink()
    layout = {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(cells / "train" / "images" / "cell03.tif", np.zeros((48, 56, 5), np.uint8), **layout)


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
    _too_many_channels: r"images.cell03\.tif has 5 channels; the network wants 3",
    _same_mask: r"share the mask",
    _empty: r"images has no pictures",
    _wrong_yaml: r"dataset\.yaml wants a list 'classes'",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_fault_is_one_sentence_that_names_the_file(cells: Path, fault) -> None:
    fault(cells)
    with pytest.raises(DataSetError, match=FAULTS[fault]) as caught:
        kind = _kind(cells)
        for pair in data.list_pairs(cells, "train"):
            kind.read(pair)
    assert "\n" not in str(caught.value)


def test_the_place_for_a_missing_mask_keeps_dots_in_names(cells: Path) -> None:
    (cells / "train" / "images" / "cell03.png").rename(cells / "train" / "images" / "cell.v2.03.tif")
    with pytest.raises(DataSetError, match=r"has no mask; put it at .*masks.cell\.v2\.03\.png\.$"):
        data.list_pairs(cells, "train")


def test_a_missing_split_is_named(cells: Path) -> None:
    (cells / "test").rename(cells / "elsewhere")
    with pytest.raises(DataSetError, match="has no split 'test'"):
        data.list_pairs(cells, "test")
