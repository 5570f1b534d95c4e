"""The contact sheet shows the very samples that a training would have."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from unetlift import cli, data
from unetlift.data.sheet import GAP, IGNORED, contact_sheet
from unetlift.info import DegradeConfig, ModelInfo

SIDE, CAPTION, LEGEND = 128, 14, 14
INFO = ModelInfo(("ground", "cell"), ((0, 0, 0), (200, 100, 0)), mean=(0.2, 0.3, 0.4), std=(0.1, 0.2, 0.3))


def _crops(cells: Path, info: ModelInfo = INFO, size: int = SIDE, preset: str = "strong", channels: int = 3) -> data.Crops:
    pairs = data.list_pairs(cells, "train", task=info.task)
    kind = data.KINDS[info.task](info, channels, channels, data.Cache(0))
    return data.Crops(pairs, kind, data.Crop(size, preset), seed=4)


def _tiles(sheet: np.ndarray, columns: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A sample's input and target, cut out of a sheet of tiles of 128 pixels."""
    top, left = (number // columns) * (CAPTION + SIDE + GAP) + CAPTION, (number % columns) * 2 * (SIDE + GAP)
    image, target = (sheet[top : top + SIDE, x : x + SIDE].astype(float) for x in (left, left + SIDE + GAP))
    return image, target


def test_tiles_are_the_samples_with_the_normalisation_undone(cells: Path) -> None:
    crops = _crops(cells)
    sheet = contact_sheet(crops, count=4, epoch=2)
    assert sheet.shape == (2 * (CAPTION + SIDE + GAP) + 2 * LEGEND, 2 * 2 * (SIDE + GAP), 3) and sheet.dtype == np.uint8
    for number, index in enumerate((0, 3, 6, 9)):  # evenly over 12
        image, labels, _ = crops[2, index]
        pixels = (image.permute(1, 2, 0).numpy() * INFO.std + INFO.mean).clip(0, 1) * 255
        shown, target = _tiles(sheet, 2, number)
        np.testing.assert_allclose(shown, pixels, atol=0.51)
        tinted = np.where(labels.numpy()[..., None] == 1, (shown + INFO.colours[1]) / 2, shown)
        np.testing.assert_allclose(target, tinted, atol=0.51)


def test_another_epoch_or_seed_is_another_sheet_and_the_same_is_the_same(cells: Path) -> None:
    sheets = [contact_sheet(_crops(cells), 2, epoch) for epoch in (0, 0, 1)]
    assert (sheets[0] == sheets[1]).all() and (sheets[0] != sheets[2]).any()


def test_small_crops_are_enlarged_to_whole_pixels(cells: Path) -> None:
    crops = _crops(cells, size=32)
    image, _ = _tiles(contact_sheet(crops, 1), 1, 0)
    blocks = image.reshape(32, 4, 32, 4, 3)
    assert (blocks == blocks[:, :1, :, :1]).all() and image.std() > 0


def test_there_are_no_more_samples_than_pictures(cells: Path) -> None:
    crops = _crops(cells, size=16)
    assert contact_sheet(crops, 99).shape == contact_sheet(crops, 12).shape


def test_ignored_pixels_are_magenta(cells: Path) -> None:
    info = ModelInfo(INFO.class_names, INFO.colours, ignore_index=9)
    for path in (cells / "train" / "masks").iterdir():
        Image.fromarray(np.full((48, 56), 9, np.uint8)).save(path)
    image, target = _tiles(contact_sheet(_crops(cells, info, preset="none"), 1), 1, 0)
    np.testing.assert_allclose(target, (image + IGNORED) / 2, atol=0.51)


def test_restoring_shows_the_degraded_beside_the_clean(cells: Path) -> None:
    info = ModelInfo((), (), task="restore", degrade=DegradeConfig(noise=20))
    crops = _crops(cells, info, preset="none", channels=1)
    sheet = contact_sheet(crops, 1)
    assert sheet.shape == (CAPTION + SIDE + GAP, 2 * (SIDE + GAP), 3)  # no classes, no legend
    image, target = _tiles(sheet, 1, 0)
    np.testing.assert_allclose(target[..., 0], (crops[0, 0][1][0].numpy() * 0.25 + 0.5) * 255, atol=0.51)
    assert (image - target).std() == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_number_of_channels_can_be_shown(cells: Path, channels: int) -> None:
    rng = np.random.default_rng(0)
    folder = cells / "train" / "images"
    for path in sorted(folder.iterdir()):
        layout = {"photometric": "minisblack", "planarconfig": "contig"} if channels > 1 else {}
        tifffile.imwrite(path.with_suffix(".tif"), rng.integers(0, 99, (48, 56, channels), dtype=np.uint8).squeeze(), **layout)
        path.unlink()
    info = ModelInfo(INFO.class_names, INFO.colours)
    image, _ = _tiles(contact_sheet(_crops(cells, info, preset="none", channels=channels), 1), 1, 0)
    assert (image[..., 0] == image[..., 1]).all() == (channels < 3)


def _run(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


@pytest.mark.parametrize("flags", [[], ["--balanced", "--augment=aerial"], ["--task=restore", "--noise", "25", "--grey"], ["--crop=200"]])
def test_the_command_writes_one_png(cells: Path, tmp_path: Path, flags: list[str], capsys) -> None:
    out = tmp_path / "new" / "sheet.png"
    code, said, err = _run(capsys, "data", "sheet", "--data", cells, "--out", out, "--count", 3, *flags)
    assert code == 0 and "3 training samples" in said, err
    with Image.open(out) as image:
        assert image.mode == "RGB" and image.width > 500
    assert [path.name for path in out.parent.iterdir()] == ["sheet.png"]


def test_the_command_draws_what_its_settings_say(cells: Path, tmp_path: Path, capsys) -> None:
    flags = ["--count=4", "--epoch=2", "--seed=4", "--crop=128", "--augment=strong"]
    assert _run(capsys, "data", "sheet", cells, "--out", tmp_path / "a.png", *flags)[0] == 0
    info = data.describe(cells, data.list_pairs(cells, "train"))
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), contact_sheet(_crops(cells, info), 4, 2))


def test_a_set_to_translate_into_grey(cells: Path, tmp_path: Path, capsys) -> None:
    for split in ("train", "val", "test"):
        (cells / split / "masks").rename(cells / split / "targets")
    assert _run(capsys, "data", "sheet", cells, "--out", tmp_path / "a.png", "--task=translate", "--count=2")[0] == 0


def test_nothing_is_overwritten_and_nothing_half_made(cells: Path, tmp_path: Path, capsys) -> None:
    taken = tmp_path / "taken.png"
    taken.write_bytes(b"mine")
    code, _, err = _run(capsys, "data", "sheet", "--data", cells, "--out", taken)
    assert code == 2 and "taken.png exists already; give another --out." in err and taken.read_bytes() == b"mine"


FAULTS = {
    "another format": (["--out={tmp}/a.jpg"], 2, "it is a PNG file, for example"),
    "an unknown preset": (["--out={tmp}/a.png", "--augment=wild"], 2, "'wild' is unknown; it is one of none, light"),
    "nothing to restore": (["--out={tmp}/a.png", "--task=restore"], 2, "Nothing is done to the pictures"),
    "no targets": (["--out={tmp}/a.png", "--task=translate"], 3, "has no target; put it at"),
    "channels": (["--out={tmp}/a.png", "--channels=4"], 3, "has 1 channels; the network wants 4"),
    "none": (["--out={tmp}/a.png", "--count=0"], 2, "count is 0"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_sentence_and_leave_nothing(cells: Path, tmp_path: Path, fault: str, capsys) -> None:
    flags, expected, sentence = FAULTS[fault]
    code, _, err = _run(capsys, "data", "sheet", cells, *(flag.format(tmp=tmp_path) for flag in flags))
    assert code == expected and sentence in err and err.count("\n") == 1 and err.startswith("unetlift: ")
    assert [path.name for path in tmp_path.iterdir()] == ["cells"]
