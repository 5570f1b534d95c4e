"""A data set's faults are all found in one reading, each in a sentence that names the file; its figures are those of its pixels."""

import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import write_split
from PIL import Image

from unetlift import cli, images
from unetlift.data.check import Findings, class_weights, inspect, require_sound
from unetlift.errors import DataSetError
from unetlift.losses import segmentation_loss

SIZE = 48, 56


def _picture(cells: Path, number: int = 3, split: str = "train") -> Path:
    return cells / split / "images" / f"cell{number:02}.png"


def _mask(cells: Path, number: int = 3, split: str = "train") -> Path:
    return cells / split / "masks" / f"cell{number:02}.png"


def _labels(values: list[int], dtype: type = np.uint8) -> Image.Image:
    return Image.fromarray(np.resize(np.array(values, dtype), SIZE))


def _floats(cells: Path, number: int, low: float, high: float) -> None:
    pixels = np.full(SIZE, low, np.float32)
    pixels[5, 7] = high
    _picture(cells, number).unlink()
    tifffile.imwrite(_picture(cells, number).with_suffix(".tif"), pixels)


def _name_classes(cells: Path, *names: str, more: str = "") -> None:
    (cells / "dataset.yaml").write_text(f"classes: [{', '.join(names)}]\n{more}")


def _missing_mask(cells: Path) -> None:
    _mask(cells).unlink()


def _unreadable_picture(cells: Path) -> None:
    _picture(cells, 4).write_bytes(b"no picture")


def _cut_off_mask(cells: Path) -> None:
    _mask(cells, 5).write_bytes(_mask(cells, 5).read_bytes()[:70])


def _other_size(cells: Path) -> None:
    Image.new("L", (5, 9)).save(_mask(cells, 6))


def _turned_by_exif(cells: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(_picture(cells, 7)) as image:
        image.save(_picture(cells, 7).with_suffix(".jpg"), exif=exif)
    _picture(cells, 7).unlink()


def _coloured_mask(cells: Path) -> None:
    Image.new("RGB", SIZE[::-1], (255, 0, 0)).save(_mask(cells, 8))


def _same_picture_in_two_splits(cells: Path) -> None:
    with Image.open(_picture(cells, 9)) as image:  # the same pixels in another format
        image.save(_picture(cells, 1, "test").with_suffix(".bmp"))
    _picture(cells, 1, "test").unlink()


def _not_a_number(cells: Path) -> None:
    _floats(cells, 10, 0, float("nan"))


def _infinite(cells: Path) -> None:
    _floats(cells, 10, 0, float("inf"))


def _strange_label(cells: Path) -> None:
    _name_classes(cells, "ground", "cell")
    _labels([0, 1, 7]).save(_mask(cells, 11))


def _two_pictures_of_one_name(cells: Path) -> None:
    Image.new("L", SIZE[::-1]).save(_picture(cells).with_suffix(".jpg"))


def _five_channels(cells: Path) -> None:
    _picture(cells, 2).unlink()
    layout = {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(_picture(cells, 2).with_suffix(".tif"), np.zeros((*SIZE, 5), np.uint8), **layout)


def _binary_among_three_classes(cells: Path) -> None:
    _name_classes(cells, "ground", "cell", "wall")
    _labels([0, 255]).save(_mask(cells))


def _instances(cells: Path) -> None:
    _labels([0, 7, 1200], np.uint16).save(_mask(cells))


def _few_instances(cells: Path) -> None:
    _name_classes(cells, "ground", "cell")
    _labels([0, 1, 2, 3, 4, 5, 6]).save(_mask(cells))


def _no_train(cells: Path) -> None:
    (cells / "train").rename(cells / "training")


def _no_folder(cells: Path) -> None:
    cells.rename(cells.with_name("elsewhere"))


def _empty_val(cells: Path) -> None:
    for path in (cells / "val" / "images").iterdir():
        path.unlink()


def _nothing_to_learn(cells: Path) -> None:
    _name_classes(cells, "ground", "cell", more="ignore_index: 9\n")
    for number in range(12):
        _labels([9]).save(_mask(cells, number))


ERRORS: dict[Callable[[Path], None], str] = {
    _missing_mask: r"train.images.cell03\.png has no mask; put it at .*train.masks.cell03\.png\.$",
    _unreadable_picture: r"images.cell04\.png cannot be read as a picture \(.*\); replace or remove it\.$",
    _cut_off_mask: r"masks.cell05\.png cannot be read as a picture",
    _other_size: r"masks.cell06\.png is 5 x 9, but its picture cell06\.png is 56 x 48; make them equal\.$",
    _turned_by_exif: r"masks.cell07\.png is 56 x 48, but its picture cell07\.jpg is 48 x 56; turn it as the picture's EXIF",
    _coloured_mask: r"masks.cell08\.png has 3 channels; a mask holds one label a pixel \(grey or palette PNG\)\.$",
    _same_picture_in_two_splits: r"test.images.cell01\.bmp of test is the same picture as .*train.images.cell09\.png of train; remove one",
    _not_a_number: r"images.cell10\.tif has pixels that are NaN or infinite; replace them by numbers\.$",
    _infinite: r"images.cell10\.tif has pixels that are NaN or infinite",
    _strange_label: r"masks.cell11\.png has the label 7, but there are 2 classes \(0 to 1\); mend the mask, or name the classes",
    _two_pictures_of_one_name: r"cell03\.png and .*cell03\.jpg share the mask .*; give them different names\.$",
    _five_channels: r"The pictures' channels differ: .*cell00\.png has 1 and .*cell02\.tif has 5; no network takes both, so make",
    _binary_among_three_classes: r"masks.cell03\.png has the label 255, but there are 3 classes \(0 to 2\); it looks like a 0/255 mask",
    _instances: r"masks.cell03\.png has the label 1200; labels up to 1200 look like the numbers of objects, so write",
    _few_instances: r"masks.cell03\.png has the label 2, but there are 2 classes \(0 to 1\); labels up to 6 look like the numbers of",
    _no_train: r"cells has no split 'train'; it wants .*train.images and .*train.masks\.$",
    _no_folder: r"cells is no folder",
    _empty_val: r"val.images has no pictures",
    _nothing_to_learn: r"No pixel of .*train has a class that counts; label some\.$",
}


@pytest.mark.parametrize("fault", ERRORS, ids=lambda fault: fault.__name__.strip("_"))
def test_an_error_names_the_file_and_what_to_do(cells: Path, fault: Callable[[Path], None]) -> None:
    fault(cells)
    (error,) = inspect(cells, "segment").errors
    assert re.search(ERRORS[fault], error) and "\n" not in error and error.endswith("."), error


def test_a_sound_set_has_nothing_to_say(cells: Path) -> None:
    findings = inspect(cells, "segment", channels=3)
    assert findings.errors == findings.warnings == ()
    assert {split: found.pictures for split, found in findings.statistics.items()} == {"train": 12, "val": 3, "test": 3}


def test_ten_faults_at_once_are_all_reported(cells: Path) -> None:
    faults = [*[*ERRORS][:8], _strange_label, _five_channels]
    for fault in faults:
        fault(cells)
    before = {path: path.read_bytes() for path in cells.rglob("*") if path.is_file()}
    findings = inspect(cells, "segment")
    assert len(findings.errors) == 10
    for fault in faults:
        assert any(re.search(ERRORS[fault], error) for error in findings.errors), fault.__name__
    assert before == {path: path.read_bytes() for path in cells.rglob("*") if path.is_file()}
    assert findings.statistics["train"].pictures == 9  # without the unreadable one, the one without a mask, and the one that is no number


YAML = {
    "names: [a, b]\n": "wants a list 'classes'",
    "classes: [a, b\n": "is no YAML",
    "classes: [a]\n": r"has the classes a; it wants two or more of different names",
    "classes: [a, a]\n": r"has the classes a, a; it wants two or more",
    "classes: [a, b]\nignore_index: none\n": r"has the ignore_index 'none'; it is a label, a whole number from 0 to 65535",
    "classes: [a, b]\ncolours: [[0, 0, 0]]\n": r"gives colours that are none: 1 colours are given for 2 classes",
    "classes: [a, b]\ncolours: 7\n": r"gives colours that are none: colours is no list of lists",
    "classes: [a, b]\ncolours: [[0, 0, 0], [0, 0, 300]]\n": r"The colour \(0, 0, 300\) is not three whole numbers",
}


@pytest.mark.parametrize("text", YAML)
def test_a_fault_in_dataset_yaml_is_an_error_and_the_rest_is_read(cells: Path, text: str) -> None:
    (cells / "dataset.yaml").write_text(text)
    _missing_mask(cells)
    missing, fault = inspect(cells, "segment").errors
    assert "has no mask" in missing and re.search(rf"dataset\.yaml .*{YAML[text]}", fault), fault


def _orphan(cells: Path) -> None:
    _labels([0, 1]).save(cells / "train" / "masks" / "cell99.png")


def _mask_of_another_format(cells: Path) -> None:
    _labels([0, 1]).save(cells / "train" / "masks" / "cell00.tif")


def _twins(cells: Path) -> None:
    _picture(cells, 5).write_bytes(_picture(cells, 4).read_bytes())


def _tiny(cells: Path) -> None:
    Image.new("L", (56, 7)).save(_picture(cells, 4))
    Image.new("L", (56, 7)).save(_mask(cells, 4))


def _far_floats(cells: Path) -> None:
    for number in range(12):
        _floats(cells, number, 0, 200 + number)
    for split in ("val", "test"):
        for number in range(3):
            pixels = np.random.default_rng(number + 9 * len(split)).random(SIZE, np.float32)
            tifffile.imwrite(_picture(cells, number, split).with_suffix(".tif"), pixels)
            _picture(cells, number, split).unlink()


def _mixed_channels(cells: Path) -> None:
    with Image.open(_picture(cells, 2)) as image:
        image.convert("RGB").save(_picture(cells, 2))


def _mixed_depths(cells: Path) -> None:
    Image.fromarray(np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(SIZE)).save(_picture(cells, 2))


def _absent_class(cells: Path) -> None:
    _name_classes(cells, "ground", "cell", "wall", "door")
    _labels([3]).save(_mask(cells, 0, "test"))


WARNINGS: dict[Callable[[Path], None], str] = {
    _orphan: r"masks.cell99\.png has no picture in .*train.images; add it, or remove this one\.$",
    _mask_of_another_format: r"masks.cell00\.tif is not read, since masks are PNG files",
    _twins: r"cell05\.png is the same picture as .*cell04\.png; it counts twice",
    _tiny: r"cell04\.png is 56 x 7; smaller than 8 pixels",
    _far_floats: r"cell00\.tif holds floats from 0 to 200, which count as 0\.\.1; scale them",
    _mixed_channels: r"channels differ: .*cell00\.png has 1 and .*cell02\.png has 3; a network of 3 sees grey ones",
    _mixed_depths: r"The depths differ: .*cell00\.png is uint8 and .*cell02\.png is uint16; each is scaled",
    _absent_class: r"train has no pixel of wall, door; what never occurs is not learned\.$",
}


@pytest.mark.parametrize("fault", WARNINGS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_warning_is_no_error(cells: Path, fault: Callable[[Path], None]) -> None:
    fault(cells)
    findings = inspect(cells, "segment")
    assert findings.errors == () and len(findings.warnings) == (12 if fault is _far_floats else 1), findings
    assert re.search(WARNINGS[fault], findings.warnings[0]), findings.warnings


def test_masks_may_be_of_0_and_255_or_have_a_palette(cells: Path) -> None:
    with Image.open(_mask(cells, 0)) as mask:
        ones = np.asarray(mask)
    Image.fromarray(ones * 255).save(_mask(cells, 0))
    images.write_mask(_mask(cells, 1), np.eye(*SIZE, dtype=np.uint8), [(9, 9, 9), (255, 0, 0)])
    findings = inspect(cells, "segment")
    assert findings.errors == findings.warnings == ()


@pytest.mark.parametrize(("channels", "errors"), [(1, 1), (3, 0), (4, 18)])
def test_channels_that_a_network_does_not_take(cells: Path, channels: int, errors: int) -> None:
    _mixed_channels(cells)
    found = inspect(cells, "segment", channels).errors
    assert len(found) == errors and all(f"the network wants {channels}" in error for error in found)


def test_figures_are_those_of_all_pixels_together(cells: Path) -> None:
    _name_classes(cells, "ground", "cell", more="ignore_index: 9\n")
    _labels([9, 0, 1, 1]).save(_mask(cells, 0))
    Image.fromarray(np.random.default_rng(0).integers(0, 65536, (40, 30), dtype=np.uint16)).save(_picture(cells, 1))
    Image.fromarray(np.zeros((40, 30), np.uint8)).save(_mask(cells, 1))
    pixels, labels = [], []
    for path in sorted((cells / "train" / "images").iterdir()):
        with Image.open(path) as image, Image.open(cells / "train" / "masks" / path.name) as mask:
            array = np.asarray(image)
            pixels.append(array.ravel() / np.iinfo(array.dtype).max)
            labels.append(np.asarray(mask).ravel())
    everything, marked = np.concatenate(pixels), np.concatenate(labels)
    train = inspect(cells, "segment").statistics["train"]
    assert train.mean == pytest.approx([everything.mean()], abs=1e-6) and train.std == pytest.approx([everything.std()], abs=1e-6)
    assert train.class_pixels == ((marked == 0).sum(), (marked == 1).sum())
    assert train.class_pictures == (sum((m == 0).any() for m in labels), sum((m == 1).any() for m in labels))
    assert train.ignored == pytest.approx((marked == 9).mean())
    assert train.class_shares == pytest.approx([(marked == k).sum() / (marked != 9).sum() for k in (0, 1)])
    assert (train.smallest, train.largest) == ((40, 30), SIZE)
    assert train.channels == {1: 12} and train.depths == {"uint16": 1, "uint8": 11}


def test_mean_and_std_are_as_many_as_the_networks_channels(cells: Path) -> None:
    _mixed_channels(cells)
    grey, colour = (inspect(cells, "segment", channels).statistics["train"] for channels in (None, 3))
    assert grey.mean == colour.mean and len(colour.mean) == len(colour.std) == 3
    assert len(inspect(cells, "segment", 3).statistics["val"].mean) == 3  # where all are grey


def test_without_a_val_folder_it_is_the_trainings_share(tmp_path: Path) -> None:
    write_split(tmp_path / "train", 40, 0, (8, 8))
    statistics = inspect(tmp_path, "segment").statistics
    assert list(statistics) == ["train", "val"] and statistics["train"].pictures + statistics["val"].pictures == 40
    assert inspect(tmp_path, "segment", val_fraction=0.5).statistics["val"].pictures > statistics["val"].pictures > 0
    (error,) = inspect(tmp_path, "segment", val_fraction=1e-6).errors
    assert "too few pictures to cut a val split" in error


def _as_targets(cells: Path) -> None:
    for split in ("train", "val", "test"):
        (cells / split / "masks").rename(cells / split / "targets")


def test_a_set_to_translate(cells: Path) -> None:
    _as_targets(cells)
    findings = inspect(cells, "translate")
    assert findings.errors == findings.warnings == () and findings.info is None and findings.class_shares == ()
    targets = cells / "train" / "targets"
    (targets / "cell00.png").rename(targets / "other.png")
    Image.new("L", (4, 4)).save(targets / "cell01.png")
    (targets / "cell02.png").write_bytes(b"none")
    tifffile.imwrite(targets / "cell03.tif", np.full(SIZE, np.nan, np.float32))
    (targets / "cell03.png").unlink()
    findings = inspect(cells, "translate")
    said = ("has no target", "is 4 x 4", "cell02.png cannot be read", "cell03.tif has pixels that are NaN")
    assert len(findings.errors) == 4 and all(words in error for words, error in zip(said, findings.errors, strict=True))
    assert any("other.png has no picture" in warning for warning in findings.warnings)


def test_a_set_to_restore_needs_pictures_alone(cells: Path) -> None:
    assert inspect(cells, "restore", 3).errors == ()
    _same_picture_in_two_splits(cells)
    _unreadable_picture(cells)
    assert len(inspect(cells, "restore", 3).errors) == 2


def test_require_sound_counts_and_quotes_the_first(cells: Path) -> None:
    assert require_sound(cells, "segment", 3, 0.15) == inspect(cells, "segment", 3)
    _missing_mask(cells)
    with pytest.raises(DataSetError, match=r"cells has one fault: .*cell03\.png has no mask.*\(`unetlift data check --data .*` shows"):
        require_sound(cells, "segment", 3, 0.15)
    _unreadable_picture(cells)
    with pytest.raises(DataSetError, match=r"cells has 2 faults, the first of them: .*cell03\.png has no mask") as caught:
        require_sound(cells, "segment", 3, 0.15)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 3


def test_class_weights_by_hand() -> None:
    assert class_weights([0.64, 0.16, 0.04, 0.16]) == pytest.approx([4 / 9, 8 / 9, 16 / 9, 8 / 9])  # 1.25, 2.5, 5, 2.5 over their mean
    assert class_weights([0.25, 0.25, 0.25, 0.25]) == pytest.approx([1, 1, 1, 1])


def test_what_never_occurs_or_is_ignored_changes_no_weight_and_has_one_that_losses_take() -> None:
    assert class_weights([0.8, 0.0, 0.2]) == pytest.approx([2 / 3, 1, 4 / 3])
    assert class_weights([0.5, 0.4, 0.1], ignore=0) == pytest.approx([1, 2 / 3, 4 / 3])
    segmentation_loss("ce+dice+focal", None, class_weights([0.8, 0.0, 0.2]))
    with pytest.raises(DataSetError, match="has a class that counts"):
        class_weights([0.0, 0.0])


def test_progress_and_memory_are_of_one_picture_at_a_time(tmp_path: Path) -> None:
    write_split(tmp_path / "train", 24, 0, (400, 500))
    told: list[tuple[int, int]] = []
    inspect(tmp_path, "segment")  # imports are not counted
    tracemalloc.start()
    findings: Findings = inspect(tmp_path, "segment", done=lambda finished, total: told.append((finished, total)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told == [(k, 24) for k in range(1, 25)] and findings.errors == ()
    assert peak < 12 * 400 * 500  # all pictures and masks would be 48 of these


def _run(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


@pytest.mark.parametrize("flag", [["--data"], []])
def test_the_command_prints_figures_and_says_that_all_is_well(cells: Path, flag: list[str], capsys) -> None:
    _name_classes(cells, "ground", "cell")
    code, out, err = _run(capsys, "data", "check", *flag, cells)
    assert code == 0 and err == "" and "56 x 48" in out and "ground" in out and "0 errors, 0 warnings" in out


def test_the_command_names_every_fault_and_exits_with_3(cells: Path, capsys) -> None:
    _missing_mask(cells)
    _unreadable_picture(cells)
    _orphan(cells)
    code, out, err = _run(capsys, "data", "check", "--data", cells, "--channels", 3)
    assert code == 3 and err.count("unetlift: error: ") == 2 and err.count("unetlift: warning: ") == 1 and "2 errors, 1 warnings" in out


def test_wrong_settings_are_wrong_usage(cells: Path, capsys) -> None:
    for flags in (["--channels", 0], ["--val-fraction", 1], ["--task", "fly"]):
        assert _run(capsys, "data", "check", cells, *flags)[0] == 2
