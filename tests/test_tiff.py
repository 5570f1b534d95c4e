"""TIFF files of every layout: windows equal slices of the whole, georeference is carried, memory is that of the window."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image
from rasterio.transform import Affine

from unetlift import images
from unetlift.errors import PictureError
from unetlift.images import Carried

RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 83, 71
COLOUR = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
SMOOTH = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)).astype(np.uint8)


PLACE = {"crs": "EPSG:32633", "transform": Affine(10, 0, 5e5, 0, -10, 5e6)}


def pages(path: Path) -> list[np.ndarray]:
    """Every page, read whole."""
    with images.open_pages(path) as opened:
        read = [page.read() for page in opened]
        assert opened.count == len(read)
    return read


def check_windows(path: Path, wanted: np.ndarray) -> None:
    """Random windows, the borders among them, against the whole as others read it."""
    rng = np.random.default_rng(1)
    with images.open_pages(path) as opened:
        (page,) = opened
        assert page.windowed and (page.height, page.width, page.channels, page.dtype) == (*wanted.shape, wanted.dtype)
        assert np.array_equal(page.read(), wanted)
        for _ in range(25):
            top, left = rng.integers(page.height), rng.integers(page.width)
            height, width = rng.integers(1, page.height - top + 1), rng.integers(1, page.width - left + 1)
            assert np.array_equal(page.read(top, left, height, width), wanted[top : top + height, left : left + width])


LAYOUTS = {
    "one strip": {},
    "strips": {"rowsperstrip": 7},
    "tiles": {"tile": (16, 32)},
    "big": {"bigtiff": True},
    "big endian": {"byteorder": ">"},
    "deflate strips": {"compression": "zlib", "rowsperstrip": 5, "predictor": True},
    "deflate tiles": {"compression": "zlib", "tile": (32, 16), "predictor": True},
    "lzw, big endian": {"compression": "lzw", "tile": (16, 16), "predictor": True, "byteorder": ">"},
    "zstd": {"compression": "zstd", "rowsperstrip": 9},
    "lzma": {"compression": "lzma", "tile": (16, 16)},
    "packbits": {"compression": "packbits", "rowsperstrip": 9},
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_equal_slices(layout: str, channels: int, dtype: type, tmp_path: Path) -> None:
    how = dict(LAYOUTS[layout])
    if dtype in (np.float64, np.float16) and "predictor" in how:
        how.pop("predictor")
    stored = RNG.integers(0, 60000 if dtype != np.uint8 else 256, (HEIGHT, WIDTH, channels)).astype(dtype)
    for planar in ("contig", "separate") if channels > 1 and layout != "big" else ("contig",):
        pixels = (stored if planar == "contig" else np.moveaxis(stored, -1, 0)) if channels > 1 else stored[..., 0]
        config = {"planarconfig": planar} if channels > 1 else {}
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb" if channels == 3 else "minisblack", **config, **how)
        check_windows(tmp_path / "a.tif", stored if dtype in (np.uint8, np.uint16) else stored.astype(np.float32))


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "webp", "png"])
@pytest.mark.parametrize("tile", [(32, 48), None])
def test_compressions_for_pictures(compression: str, tile: tuple[int, int] | None, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([SMOOTH] * 3), photometric="rgb", compression=compression, tile=tile)
    check_windows(tmp_path / "a.tif", tifffile.imread(tmp_path / "a.tif"))


@pytest.mark.parametrize("how", [{}, {"tiled": True, "blockxsize": 32, "blockysize": 48}, {"interleave": "band", "compress": "deflate"}])
def test_gdals_layouts(how: dict, tmp_path: Path) -> None:
    bands = RNG.integers(0, 65536, (4, HEIGHT, WIDTH)).astype(np.uint16)
    profile = {"driver": "GTiff", "width": WIDTH, "height": HEIGHT, "count": 4, "dtype": "uint16", **PLACE}
    with rasterio.open(tmp_path / "a.tif", "w", **profile, **how) as file:
        file.write(bands)
    check_windows(tmp_path / "a.tif", np.moveaxis(bands, 0, -1))


def test_jpeg_in_ycbcr_is_rgb(tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(COLOUR[:8, :12]).resize((96, 64), Image.Resampling.BICUBIC))
    profile = {"driver": "GTiff", "width": 96, "height": 64, "count": 3, "dtype": "uint8", **PLACE}
    how = {"compress": "jpeg", "photometric": "ycbcr", "tiled": True, "blockxsize": 32, "blockysize": 32}
    with rasterio.open(tmp_path / "a.tif", "w", **profile, **how) as file:
        file.write(np.moveaxis(smooth, -1, 0))
    with rasterio.open(tmp_path / "a.tif") as file:
        reference = np.moveaxis(file.read(), 0, -1)
    (read,) = pages(tmp_path / "a.tif")
    assert np.abs(read.astype(int) - reference).mean() < 4 and np.abs(read.astype(int) - smooth).mean() < 12  # colour is spread differently


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGBA", "YCbCr", "I;16", "F"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_pillows_modes(mode: str, compression: str | None, tmp_path: Path) -> None:
    image = Image.fromarray(COLOUR).convert("L" if mode in ("I;16", "F") else "RGB").convert(mode)
    image.save(tmp_path / "a.tif", compression=compression)
    (read,) = pages(tmp_path / "a.tif")
    if mode in ("1", "L", "I;16", "F"):
        wanted = np.asarray(image)[..., None] * (255 if mode == "1" else 1)
    else:
        wanted = np.asarray(image.convert("RGB"))
    assert read.shape == wanted.shape and np.abs(read.astype(float) - wanted).max() <= (1 if mode in ("CMYK", "YCbCr") else 0)


@pytest.mark.parametrize("stored", [SMOOTH, SMOOTH.astype(np.uint16) * 200, SMOOTH > 70], ids=["8", "16", "1"])
def test_white_that_is_zero_is_turned_round(stored: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    wanted = (~stored).astype(np.uint8) * 255 if stored.dtype == bool else np.iinfo(stored.dtype).max - stored
    check_windows(tmp_path / "a.tif", wanted[..., None])


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits_are_spread_over_eight(bits: int, tmp_path: Path) -> None:
    stored = (SMOOTH % 2**bits)[:, :64]
    tifffile.imwrite(tmp_path / "a.tif", stored, bitspersample=bits, photometric="minisblack")
    (read,) = pages(tmp_path / "a.tif")
    assert np.array_equal(read[..., 0], stored * (255 // (2**bits - 1)))


def test_alpha_is_dropped_wherever_it_stands_and_only_where_it_is_said(tmp_path: Path) -> None:
    five = RNG.integers(0, 256, (HEIGHT, WIDTH, 5), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", five, photometric="rgb", extrasamples=[2, 0])
    tifffile.imwrite(tmp_path / "b.tif", five, photometric="rgb", extrasamples=[0, 0])
    with images.open_pages(tmp_path / "a.tif") as opened:
        assert opened.notes == ("its transparency is left out",) and np.array_equal(next(iter(opened)).read(), five[..., [0, 1, 2, 4]])
    with images.open_pages(tmp_path / "b.tif") as opened:
        assert opened.notes == () and np.array_equal(next(iter(opened)).read(), five)


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.complex64])
def test_other_values_are_refused(dtype: type, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", SMOOTH.astype(dtype))
    with pytest.raises(PictureError, match=rf"a\.tif holds {np.dtype(dtype)} values; save it as 8 or 16 bit, or as float"):
        pages(tmp_path / "a.tif")


def test_two_hundred_channels_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 9, 200), np.uint8), photometric="minisblack", planarconfig="contig")
    with pytest.raises(PictureError, match="up to 128 channels"):
        pages(tmp_path / "a.tif")


def test_pages_differ_as_they_like_and_reduced_ones_are_none(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(COLOUR, photometric="rgb", subifds=2, tile=(16, 16))
        file.write(COLOUR[::2, ::2], photometric="rgb", subfiletype=1)
        file.write(COLOUR[::4, ::4], photometric="rgb", subfiletype=1)
        file.write(COLOUR[::8, ::8], photometric="rgb", subfiletype=1)  # a thumbnail in the chain
        file.write(SMOOTH.astype(np.uint16), photometric="minisblack")
        file.write(SMOOTH > 9, photometric="minisblack", subfiletype=4)  # a mask
    first, second = pages(tmp_path / "a.tif")
    assert np.array_equal(first, COLOUR) and np.array_equal(second[..., 0], SMOOTH) and second.dtype == np.uint16


def test_a_cloud_optimised_geotiff_is_one_page(tmp_path: Path) -> None:
    profile = {"driver": "COG", "width": 700, "height": 600, "count": 1, "dtype": "uint8", "blocksize": 256}
    pixels = RNG.integers(0, 256, (1, 600, 700), dtype=np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "a.tif", "w", **profile) as file:
            file.write(pixels)
            file.write_mask(pixels[0] > 5)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.pages) > 1
    (read,) = pages(tmp_path / "a.tif")
    assert np.array_equal(read[..., 0], pixels[0])


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_channels_of_a_stack_are_bands_and_the_rest_are_pages(kind: str, tmp_path: Path) -> None:
    stack = RNG.integers(0, 65536, (2, 3, 4, 20, 30)).astype(np.uint16)  # time, depth, channels
    tifffile.imwrite(tmp_path / "a.tif", stack, metadata={"axes": "TZCYX"}, **{kind: True})
    read = pages(tmp_path / "a.tif")
    assert np.array_equal(np.stack(read), np.moveaxis(stack.reshape(6, 4, 20, 30), 1, -1))
    assert np.array_equal(images.read_picture(tmp_path / "a.tif"), read[0])


def test_an_imagej_stack_of_one_description_is_all_read(tmp_path: Path) -> None:
    stack = RNG.integers(0, 256, (7, 20, 30), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZYX"}, truncate=True)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.pages) == 1
    assert np.array_equal(np.stack(pages(tmp_path / "a.tif"))[..., 0], stack)
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[:-700])
    with pytest.raises(PictureError, match="cut off"):
        pages(tmp_path / "a.tif")


def test_other_files_are_never_opened(tmp_path: Path) -> None:
    """An OME-TIFF may name the file where its other planes are."""
    for name in ("a.ome.tif", "b.ome.tif"):
        tifffile.imwrite(tmp_path / name, SMOOTH, ome=True)
    with tifffile.TiffFile(tmp_path / "a.ome.tif", mode="r+") as file:
        said = file.pages[0].description.replace('SizeC="1"', 'SizeC="2"')
        other = '<TiffData FirstC="1"><UUID FileName="b.ome.tif">x</UUID></TiffData>'
        file.pages[0].tags[270].overwrite(said.replace("<TiffData", f"{other}<TiffData"))
    (read,) = pages(tmp_path / "a.ome.tif")
    assert np.array_equal(read[..., 0], SMOOTH)


def test_a_damaged_page_is_named_when_it_is_reached(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for _ in range(3):
            file.write(COLOUR, photometric="rgb", compression="zlib", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        place = file.pages[1].dataoffsets[0]
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[place : place + 20] = bytes(20)
    (tmp_path / "a.tif").write_bytes(data)
    with images.open_pages(tmp_path / "a.tif") as opened:
        first, second, third = opened
        assert np.array_equal(first.read(), COLOUR) and np.array_equal(third.read(), COLOUR)
        with pytest.raises(PictureError, match=r"a\.tif, page 2, cannot be read"):
            second.read()


def test_a_chain_that_leads_outside_or_round_is_noticed(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([COLOUR] * 3), photometric="rgb", metadata=None, compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        offsets = [page.offset for page in file.pages]
        places = [page.offset + 2 + 12 * len(page.tags) for page in file.pages]
    data = (tmp_path / "a.tif").read_bytes()
    for place, target, good in ((places[1], len(data) + 5, 2), (places[2], offsets[1], 3), (places[2], offsets[2], 3)):
        (tmp_path / "a.tif").write_bytes(data[:place] + target.to_bytes(4, "little") + data[place + 4 :])
        seen = 0
        with pytest.raises(PictureError, match=rf"a\.tif, page {good + 1}, cannot"), images.open_pages(tmp_path / "a.tif") as opened:
            for page in opened:
                seen += np.array_equal(page.read(), COLOUR)
        assert seen == good


def test_a_lying_header_is_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="rgb", compression="zlib", tile=(16, 16))
    for codes in ((322, 323), (256, 257), (256, 257, 322, 323)):
        tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="rgb", compression="zlib", tile=(16, 16))
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
            for code in codes:
                file.pages[0].tags[code].overwrite(65520)
        with pytest.raises(PictureError, match=r"a\.tif"), images.open_pages(tmp_path / "a.tif") as opened:
            next(iter(opened)).read(0, 0, 16, 16)


def test_one_large_strip_is_refused_and_small_ones_are_read_by_windows(tmp_path: Path) -> None:
    pixels = np.zeros((600, 700), np.uint8)
    pixels[500:, 600:] = 9
    tifffile.imwrite(tmp_path / "one.tif", pixels, compression="zlib", rowsperstrip=600)
    wanted = "stored in pieces of 700 x 600 pixels; at most 99999 are decoded at once, save it in tiles"
    with pytest.raises(PictureError, match=wanted), images.open_pages(tmp_path / "one.tif", max_pixels=99999) as opened:
        next(iter(opened))
    for how in ({}, {"compression": "zlib", "rowsperstrip": 10}, {"tile": (64, 64)}):
        tifffile.imwrite(tmp_path / "many.tif", pixels, **how)
        with images.open_pages(tmp_path / "many.tif", max_pixels=99999) as opened:
            (page,) = opened
            assert page.read(490, 590, 110, 110).sum() == 9 * 100 * 100
            with pytest.raises(PictureError, match="has 700 x 600 pixels; at most 99999"):
                page.read()


def carried_of(path: Path) -> Carried:
    with images.open_pages(path) as opened:
        return next(iter(opened)).carried


@pytest.mark.parametrize("transform", [Affine(10, 0, 5e5, 0, -10, 5e6), Affine(0.3, 0.1, 7, 0.2, -0.4, 9)], ids=["north up", "rotated"])
@pytest.mark.parametrize("point", [False, True], ids=["area", "point"])
@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
def test_the_place_is_read_as_rasterio_reads_it_and_carried(transform: Affine, point: bool, order: str, tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "width": WIDTH, "height": HEIGHT, "count": 1, "dtype": "float32", "nodata": -9999.5}
    with rasterio.open(tmp_path / "a.tif", "w", **profile, crs="EPSG:25832", transform=transform, ENDIANNESS=order) as file:
        file.write(RNG.normal(size=(1, HEIGHT, WIDTH)).astype(np.float32))
        file.update_tags(AREA_OR_POINT="Point" if point else "Area", flight="7")
        file.update_tags(1, STATISTICS_MAXIMUM="3")
    carried = carried_of(tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as file:
        assert carried.crs == file.crs.to_epsg() == 25832 and carried.nodata == -9999.5
        assert np.allclose(carried.transform, tuple(file.transform)[:6], rtol=1e-12) and file.tags(1)
    images.write_tiff(tmp_path / "b.tif", [SMOOTH], HEIGHT, WIDTH, 1, np.uint8, carried, nodata=255)
    with rasterio.open(tmp_path / "a.tif") as old, rasterio.open(tmp_path / "b.tif") as new:
        assert new.crs == old.crs and new.transform == old.transform and new.nodata == 255
        assert new.tags()["AREA_OR_POINT"] == old.tags()["AREA_OR_POINT"] and new.tags()["flight"] == "7"
        assert new.tags(1) == {}  # the statistics were the other band's
        assert np.array_equal(new.read(1), SMOOTH)
    again = carried_of(tmp_path / "b.tif")
    kept = {code for code, *_ in carried.tags} - {42112}
    assert {34264 if transform.b else 33550, 34735} <= kept
    assert [tag for tag in again.tags if tag[0] in kept] == [tag for tag in carried.tags if tag[0] in kept]


def test_ground_control_points_are_carried(tmp_path: Path) -> None:
    corners = ((0, 0), (0, 70), (80, 0), (80, 70))
    points = [rasterio.control.GroundControlPoint(row, col, x=5 + col / 9, y=50 - row / 7) for row, col in corners]
    profile = {"driver": "GTiff", "width": WIDTH, "height": HEIGHT, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", **profile, gcps=points, crs="EPSG:4326") as file:
        file.write(SMOOTH[None])
    carried = carried_of(tmp_path / "a.tif")
    assert carried.transform is None and carried.crs == 4326
    images.write_tiff(tmp_path / "b.tif", [SMOOTH], HEIGHT, WIDTH, 1, np.uint8, carried)
    with rasterio.open(tmp_path / "b.tif") as file:
        found, crs = file.gcps
        assert crs.to_epsg() == 4326 and [(p.row, p.col, p.x, p.y) for p in found] == [(p.row, p.col, p.x, p.y) for p in points]


def test_resolution_is_carried(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.tif", dpi=(300, 150))
    images.write_tiff(tmp_path / "b.tif", [COLOUR], HEIGHT, WIDTH, 3, np.uint8, carried_of(tmp_path / "a.tif"))
    with Image.open(tmp_path / "b.tif") as image:
        assert image.info["dpi"] == (300, 150)
    assert carried_of(tmp_path / "b.tif") == carried_of(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 150])
def test_what_is_written_by_bands_is_read_by_others(channels: int, dtype: type, tmp_path: Path) -> None:
    height, width = (530, 300) if channels < 9 else (70, 30)
    pixels = RNG.integers(0, 256, (height, width, channels)).astype(dtype)
    bands = np.split(pixels, [1, 7, 30, height // 2])
    for name in ("a.tif", "b.tif"):
        images.write_tiff(tmp_path / name, bands if name == "a.tif" else iter([pixels]), height, width, channels, dtype)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif").reshape(pixels.shape), pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "a.tif") as file:
            assert np.array_equal(np.moveaxis(file.read(), 0, -1), pixels) and file.profile["tiled"] and file.nodata is None
    if channels in (1, 3) and dtype == np.uint8:
        with Image.open(tmp_path / "a.tif") as image:
            assert np.array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_a_mask_has_its_colours(tmp_path: Path) -> None:
    labels, colours = SMOOTH % 3, [(0, 0, 0), (255, 128, 0), (1, 2, 3)]
    images.write_tiff(tmp_path / "a.tif", [labels], HEIGHT, WIDTH, 1, np.uint8, nodata=2, colours=colours)
    with Image.open(tmp_path / "a.tif") as image:
        assert image.mode == "P" and np.array_equal(np.asarray(image), labels)
        assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(colours)[labels])
    assert np.array_equal(images.read_picture(tmp_path / "a.tif"), np.asarray(colours)[labels])
    assert np.array_equal(images.read_mask(tmp_path / "a.tif"), labels)


@pytest.mark.parametrize("rows", [[100, 99], [100, 101], [], [256, 1]])
def test_the_number_of_rows_is_checked_and_nothing_is_left(rows: list[int], tmp_path: Path) -> None:
    height = 256 if 256 in rows else 200
    with pytest.raises(PictureError, match=rf"a\.tif was given .* {height} rows"):
        images.write_tiff(tmp_path / "a.tif", (np.zeros((n, 20, 1), np.uint8) for n in rows), height, 20, 1, np.uint8)
    assert list(tmp_path.iterdir()) == []


def test_large_files_have_offsets_of_64_bit(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def bands() -> object:
        yield np.zeros((256, 70000), np.uint8)
        header.append((tmp_path / "a.tif").read_bytes()[:4])
        raise Enough

    for height, magic in ((70000, b"II+\0"), (5000, b"II*\0")):
        header: list[bytes] = []
        with pytest.raises(Enough):
            images.write_tiff(tmp_path / "a.tif", bands(), height, 70000, 1, np.uint8)
        assert header == [magic] and not (tmp_path / "a.tif").exists()


BIG = """
import resource, sys
from pathlib import Path
import numpy as np
from unetlift import images
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
side, path, before = 20000, Path(sys.argv[1]), peak()
columns = np.arange(side, dtype=np.uint32)[None] // 5
band = lambda top, rows: ((np.arange(top, top + rows, dtype=np.uint32)[:, None] // 7 + columns) % 251).astype(np.uint8)
images.write_tiff(path, (band(top, 200) for top in range(0, side, 200)), side, side, 1, np.uint8)
with images.open_pages(path) as opened:
    (page,) = opened
    for top in range(0, side, 2000):
        wanted = band(top, 2000)
        for left in range(0, side, 2000):
            assert np.array_equal(page.read(top, left, 2000, 2000)[..., 0], wanted[:, left : left + 2000])
print(peak() - before)
"""


@pytest.mark.slow
def test_a_picture_of_400_megapixels_takes_a_quarter_of_its_size(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", BIG, tmp_path / "a.tif"], capture_output=True, text=True, check=True)
    assert done.stderr == "" and int(done.stdout) < 300
