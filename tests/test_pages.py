"""Any file of pictures opens as pages: by its content, upright, in its own depth, and damage names the page."""

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageDraw, ImageOps, ImageSequence

from unetlift import images
from unetlift.errors import PictureError, UsageError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (24, 37, 3), dtype=np.uint8)


def read_all(path: Path, **how: int) -> list[np.ndarray]:
    """Every page of a file, read whole."""
    with images.open_pages(path, **how) as opened:
        pages = [page.read() for page in opened]
        assert opened.count == len(pages) and opened.kind == ("picture" if len(pages) == 1 else "pages")
    return pages


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_pillow_reads_the_same(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(COLOUR).save(path, lossless=True)
    (page,) = read_all(path)
    assert np.array_equal(page, COLOUR) and np.array_equal(images.read_picture(path), COLOUR) and images.size(path) == (24, 37)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_is_grey_or_rgb(mode: str, tmp_path: Path) -> None:
    smooth = Image.fromarray(COLOUR).resize((160, 120), Image.Resampling.BICUBIC).convert(mode)
    smooth.save(tmp_path / "a.jpg", quality=95)
    (page,) = read_all(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as reference:
        wanted = np.asarray(reference.convert("L" if mode == "L" else "RGB"))
    assert np.abs(page.squeeze().astype(int) - wanted).max() <= (1 if mode == "CMYK" else 0)  # rounding of inks


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_png_stays_16_bit(channels: int, tmp_path: Path) -> None:
    pixels = RNG.integers(0, 65536, (9, 11, channels)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())
    (page,) = read_all(tmp_path / "a.png")
    assert page.dtype == np.uint16 and np.array_equal(page, pixels)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pages_are_upright(suffix: str, orientation: int, tmp_path: Path) -> None:
    path, exif = tmp_path / f"a.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    if suffix == "tif":
        tifffile.imwrite(path, COLOUR, photometric="rgb", tile=(16, 16), extratags=[(274, 3, 1, orientation, True)])
    else:
        Image.fromarray(COLOUR).save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    with Image.open(path) as saved:
        upright = np.asarray(ImageOps.exif_transpose(saved))
    with images.open_pages(path) as opened:
        (page,) = opened
        assert np.array_equal(page.read(), upright) and (page.height, page.width) == upright.shape[:2] == images.size(path)
        for top, left, height, width in ((0, 0, 5, 3), (7, 2, 11, 20), (page.height - 4, page.width - 9, 4, 9)):
            assert np.array_equal(page.read(top, left, height, width), upright[top : top + height, left : left + width])


def test_a_window_must_lie_inside() -> None:
    page = images.ArrayPage(COLOUR)
    assert page.read(2, 3).shape == (22, 34, 3)
    for window in ((-1, 0, 3, 3), (0, 0, 25, 3), (0, 30, 3, 8), (0, 0, 0, 3), (24, 0)):
        with pytest.raises(UsageError, match="does not lie inside a picture of 37 x 24"):
            page.read(*window)


def test_arrays_are_pages_in_one_of_three_depths() -> None:
    assert images.ArrayPage(COLOUR[..., 0] > 9).read().max() == 255
    assert images.ArrayPage(COLOUR.astype(float)).dtype == np.float32
    with pytest.raises(PictureError, match="The array holds int32 values"):
        images.ArrayPage(COLOUR.astype(np.int32))
    with pytest.raises(PictureError, match="up to 128 channels"):
        images.ArrayPage(np.zeros((3, 4, 129), np.uint8))


def animation(mode: str) -> list[Image.Image]:
    """A ball that moves over a plain ground, with a hole in it."""
    frames = []
    for step in range(4):
        frame = Image.new(mode, (40, 30), (0, 0, 0, 0) if mode == "RGBA" else (10, 60, 10))
        ImageDraw.Draw(frame).ellipse((step * 7, 5, step * 7 + 12, 17), fill=(250, 30 * step, 0) + (255,) * (mode == "RGBA"))
        frames.append(frame)
    return frames


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
@pytest.mark.parametrize("disposal", [0, 1, 2])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_animations_are_read_by_frame(suffix: str, disposal: int, mode: str, tmp_path: Path) -> None:
    path, (first, *rest) = tmp_path / f"a.{suffix}", animation(mode)
    how = {"gif": {"disposal": disposal}, "png": {"disposal": disposal}, "webp": {"lossless": True}}[suffix]
    first.save(path, save_all=True, append_images=rest, duration=[40, 60, 40, 40], **how)
    with Image.open(path) as saved:
        wanted = [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(saved)]
    with images.open_pages(path) as opened:
        pages = list(opened)
        assert opened.kind == "pages" and opened.count == 4 and opened.rate is None
        assert [page.time for page in pages] == [0, Fraction(1, 25), Fraction(1, 10), Fraction(7, 50)]
        assert opened.notes == (("its transparency is left out",) if mode == "RGBA" else ())
    for page, frame in zip(pages, wanted, strict=True):
        assert np.array_equal(page.read(), frame[..., :3])
    assert np.array_equal(images.read_picture(path), wanted[0][..., :3])


def test_pages_can_be_gone_through_again(tmp_path: Path) -> None:
    first, *rest = animation("RGB")
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest)
    tifffile.imwrite(tmp_path / "a.tif", np.stack([COLOUR, 255 - COLOUR]), photometric="rgb")
    for name in ("a.gif", "a.tif"):
        with images.open_pages(tmp_path / name) as opened:
            once, again = ([page.read() for page in opened] for _ in range(2))
        assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))


def test_grey_gifs_are_rgb_in_every_frame(tmp_path: Path) -> None:
    first, *rest = (frame.convert("L") for frame in animation("RGB"))
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest)
    first.save(tmp_path / "one.gif")
    assert {page.shape for page in read_all(tmp_path / "a.gif") + read_all(tmp_path / "one.gif")} == {(30, 40, 3)}


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_transparency_is_left_out_and_said_so(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(np.dstack([COLOUR, COLOUR[..., :1]])).convert(mode) if mode != "P" else Image.fromarray(COLOUR).quantize(8)
    image.save(tmp_path / "a.png", **({"transparency": 3} if mode == "P" else {}))
    with images.open_pages(tmp_path / "a.png") as opened:
        assert opened.notes == ("its transparency is left out",)
        wanted = np.asarray(image.convert("RGBA"))[..., : 1 if mode == "LA" else 3]
        assert np.array_equal(next(iter(opened)).read(), wanted)
    Image.fromarray(COLOUR).save(tmp_path / "b.png")
    with images.open_pages(tmp_path / "b.png") as opened:
        assert opened.notes == ()


def test_content_tells_the_format_and_not_the_name(tmp_path: Path) -> None:
    for name, kind in (("jpeg.png", "JPEG"), ("png.tif", "PNG"), ("tiff.jpg", "TIFF"), ("GIF.WEBP", "GIF")):
        Image.fromarray(COLOUR).save(tmp_path / name, format=kind)
        with Image.open(tmp_path / name) as saved:
            assert np.array_equal(images.read_picture(tmp_path / name), np.asarray(saved.convert("RGB")))
    for name in ("text.png", "text.tif", "text.mp4"):
        (tmp_path / name).write_text("These are words.")
        wanted = rf"{name} cannot be read as a picture \(it is no PNG, JPEG"
        with pytest.raises(PictureError, match=wanted), images.open_pages(tmp_path / name):
            pass


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "folder.png").mkdir()
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(PictureError, match=path.name), images.open_pages(path):
            pass
        with pytest.raises(PictureError, match=path.name):
            images.read_picture(path)


def test_a_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    Image.new("1", (16000, 17000)).save(tmp_path / "bomb.png")
    with pytest.raises(PictureError, match="has 16000 x 17000 pixels"), images.open_pages(tmp_path / "bomb.png"):
        pass
    with images.open_pages(tmp_path / "bomb.png", max_pixels=2**29) as opened:
        assert opened.count == 1  # from here on it is wanted


def test_a_lying_png_asks_for_no_memory(tmp_path: Path) -> None:
    import resource

    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[33:37] = b"\x7f\xff\xff\xf0"  # the length of its first part behind the header
    (tmp_path / "a.png").write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PictureError, match=r"a\.png cannot be read as a picture \(it is cut off\)"):
        images.read_picture(tmp_path / "a.png")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif", "tif"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_what_was_cut_off_is_an_error(suffix: str, share: float, tmp_path: Path) -> None:
    noise = Image.fromarray(RNG.integers(0, 256, (200, 200, 3), dtype=np.uint8))
    noise.save(tmp_path / f"a.{suffix}")
    cut(tmp_path / f"a.{suffix}", share)
    with pytest.raises(PictureError, match=rf"a\.{suffix}"):
        read_all(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_a_damaged_frame_is_named_when_it_is_reached(suffix: str, tmp_path: Path) -> None:
    first, *rest = (Image.fromarray(RNG.integers(0, 256, (60, 60, 3), dtype=np.uint8)) for _ in range(4))
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=rest)
    cut(tmp_path / f"a.{suffix}", 0.6)
    seen = 0
    with pytest.raises(PictureError, match=rf"a\.{suffix}, frame 3, cannot be read"), images.open_pages(tmp_path / f"a.{suffix}") as opened:
        for _ in opened:
            seen += 1
    assert seen == 2


def make(name: str) -> Callable[[], bytes]:
    """A file's bytes, by its name."""

    def write() -> bytes:
        buffer = io.BytesIO()
        stack = np.stack([COLOUR, 255 - COLOUR])
        if name.endswith("tif"):
            tiles = {"compression": name.split(".")[0], "tile": (16, 16)} if not name.startswith("plain") else {}
            tifffile.imwrite(buffer, stack, photometric="rgb", **tiles)
        else:
            Image.fromarray(stack[0]).save(buffer, name[1:], save_all=True, append_images=[Image.fromarray(stack[1])])
        return buffer.getvalue()

    return write


@pytest.mark.parametrize("name", [".gif", ".png", ".webp", "plain.tif", "zlib.tif", "jpeg.tif", "lzw.tif", "zstd.tif", "jpeg2000.tif"])
def test_damage_is_one_kind_of_error_and_never_much_memory(name: str, tmp_path: Path) -> None:
    whole, rng, refused = make(name)(), np.random.default_rng(1), 0
    path = tmp_path / f"a{name}"
    for number in range(60):
        data = bytearray(whole[: rng.integers(len(whole))] if number % 3 == 0 else whole)
        for place in rng.integers(min(len(data), 300) if number % 3 == 1 else len(data), size=4) if number % 3 else ():
            data[place] = rng.choice([0, 1, 127, 255])
        path.write_bytes(data)
        try:
            with images.open_pages(path) as opened:
                for page in opened:
                    height, width = min(page.height, 999), min(page.width, 999)
                    assert page.read(0, 0, height, width).shape == (height, width, page.channels)
        except PictureError as error:
            refused += path.name in str(error)
    assert refused > 15


def test_input_files_are_pictures_and_videos_of_any_name(tmp_path: Path) -> None:
    import os

    names = ["a.png", "B.JPG", "new\nline.gif", "\N{SNOWMAN}\U0001f600.tif", "x" * 246 + ".png", os.fsdecode(b"\xff\xfe.webp")]
    names.append("sub/film.MP4")
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    for name in names:
        (tmp_path / name).write_bytes(b"")
    for passed_over in (".hidden.png", "notes.txt", "sub/.a.mkv"):
        (tmp_path / passed_over).write_bytes(b"")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.png").write_bytes(b"")
    (tmp_path / "sub" / "deep" / "round").symlink_to(tmp_path)
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "broken.png").symlink_to("nowhere")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "link.png").symlink_to("a.png")
    assert images.input_files(tmp_path) == sorted(tmp_path / name for name in [*names, "link.png"])
    assert images.picture_files(tmp_path) == sorted(tmp_path / name for name in [*names[:-1], "link.png"])


def test_the_room_stays_light() -> None:
    import subprocess
    import sys

    heavy = "{'av', 'rasterio', 'torch', 'imagecodecs._jpeg8', 'matplotlib'}"
    code = f"import sys, unetlift.images; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
