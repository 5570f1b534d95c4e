"""Reading and writing keeps depth, orientation and labels."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from unetlift import images
from unetlift.errors import PictureError

GRADIENT = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_depth_is_kept(tmp_path: Path, suffix: str, dtype: type) -> None:
    pixels = (GRADIENT.astype(dtype) * (1000 if dtype is np.uint16 else 1))
    path = tmp_path / f"a.{suffix}"
    tifffile.imwrite(path, pixels) if suffix == "tif" else Image.fromarray(pixels).save(path)
    read = images.read_picture(path)
    assert read.dtype == dtype and read.shape == (3, 4, 1)
    np.testing.assert_array_equal(read[..., 0], pixels)


def test_float_tiff_stays_float(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRADIENT.astype(np.float32) / 7)
    np.testing.assert_array_equal(images.read_picture(tmp_path / "a.tif")[..., 0], GRADIENT.astype(np.float32) / 7)


def test_colour_is_rgb_and_alpha_is_dropped(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 3), (255, 128, 0, 7)).save(tmp_path / "a.png")
    read = images.read_picture(tmp_path / "a.png")
    assert read.shape == (3, 4, 3)
    assert (read == [255, 128, 0]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_pillow_does(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (6, 10, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    image.save(path, exif=exif)
    with Image.open(path) as saved:
        upright = np.asarray(ImageOps.exif_transpose(saved))
    np.testing.assert_array_equal(images.read_picture(path), upright)
    assert images.size(path) == upright.shape[:2]


def test_palette_masks_keep_their_indices(tmp_path: Path) -> None:
    labels = GRADIENT % 3
    images.write_mask(tmp_path / "m.png", labels, [(255, 0, 0), (0, 255, 0), (0, 0, 255)])
    np.testing.assert_array_equal(images.read_mask(tmp_path / "m.png"), labels)
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "P"
        assert image.convert("RGB").getpixel((2, 0)) == (0, 0, 255)


def test_16_bit_labels_survive(tmp_path: Path) -> None:
    labels = GRADIENT.astype(np.uint16) * 5000
    Image.fromarray(labels).save(tmp_path / "m.png")
    np.testing.assert_array_equal(images.read_mask(tmp_path / "m.png"), labels)


def test_a_coloured_mask_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "m.png")
    with pytest.raises(PictureError, match=r"m\.png has 3 channels; a mask holds one label a pixel"):
        images.read_mask(tmp_path / "m.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PictureError, match=f"{name} cannot be read as a picture"):
        images.read_picture(tmp_path / name)


def test_a_cut_off_picture_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    with pytest.raises(PictureError, match=r"cut\.png"):
        images.read_picture(tmp_path / "cut.png")


def test_too_many_pixels_are_refused_from_the_header(tmp_path: Path) -> None:
    Image.new("1", (4000, 4000)).save(tmp_path / "bomb.png")
    with pytest.raises(PictureError, match=r"has 4000 x 4000 pixels; at most 1000000 are read"):
        images.read_picture(tmp_path / "bomb.png", max_pixels=1_000_000)


def test_grey_serves_a_colour_network_but_not_the_reverse() -> None:
    grey = GRADIENT[..., None]
    assert (images.with_channels(grey, 3, "x") == grey).all()
    with pytest.raises(PictureError, match="x has 3 channels; the network wants 1"):
        images.with_channels(np.repeat(grey, 3, 2), 1, "x")


def test_overlay_tints_only_what_has_a_class() -> None:
    pixels = np.full((1, 2, 3), 100, np.uint8)
    tinted = images.overlay(pixels, np.array([[0, 1]]), [(0, 0, 0), (200, 0, 0)])
    assert tinted.tolist() == [[[100, 100, 100], [150, 50, 50]]]


def test_of_many_pages_the_first_is_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([GRADIENT, GRADIENT + 1]), photometric="minisblack")
    np.testing.assert_array_equal(images.read_picture(tmp_path / "a.tif")[..., 0], GRADIENT)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_whatever_is_wrong_with_a_files_bytes_is_one_kind_of_error(tmp_path: Path, name: str) -> None:
    rng, path = np.random.default_rng(0), tmp_path / name
    pixels = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
    tifffile.imwrite(path, pixels, compression="zlib") if name.endswith("tif") else Image.fromarray(pixels).save(path)
    whole, refused = path.read_bytes(), 0
    for number in range(120):
        data = bytearray(whole[: rng.integers(len(whole))] if number % 2 else whole)
        for place in rng.integers(len(data), size=3) if number % 2 == 0 else ():
            data[place] = rng.integers(256)
        path.write_bytes(data)
        for read in (images.read_picture, *([images.read_mask] if name == "a.png" else [])):  # masks are PNG files
            try:
                read(path)
            except PictureError as error:
                refused += name in str(error)
    assert refused > 30


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 12])
def test_pictures_of_any_bands_come_back_as_they_were(channels: int, dtype: type, tmp_path: Path) -> None:
    high = 1 if dtype is np.float32 else np.iinfo(dtype).max
    pixels = np.random.default_rng(0).uniform(0, high, (20, 31, channels)).astype(dtype)
    path = tmp_path / ("picture.png" if images.fits_png(pixels) else "picture.tif")
    images.write_any(path, pixels)
    again = images.read_picture(path)
    assert again.dtype == dtype and np.array_equal(again, pixels) and images.size(path) == (20, 31)


@pytest.mark.parametrize("extra", [1, 2], ids=["associated", "unassociated"])
def test_a_fourth_band_is_alpha_only_where_the_file_says_so(extra: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 4)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "alpha.tif", pixels, photometric="rgb", extrasamples=[extra])
    assert np.array_equal(images.read_picture(tmp_path / "alpha.tif"), pixels[..., :3])


def test_bands_stored_one_after_the_other_are_bands(tmp_path: Path) -> None:
    bands = np.random.default_rng(0).integers(0, 65536, (5, 20, 31)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "bands.tif", bands, photometric="minisblack", planarconfig="separate")
    assert np.array_equal(images.read_picture(tmp_path / "bands.tif"), np.moveaxis(bands, 0, -1))
    assert images.size(tmp_path / "bands.tif") == (20, 31)
