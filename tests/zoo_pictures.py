"""Odd files by what is in them, and what becomes of each when a network for RGB is run over it."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from zoo_formats import (
    GIF,
    GREY,
    JPEG,
    LONG,
    PIXELS,
    PNG,
    SHORT,
    WEBP,
    bmp,
    chunk,
    cut,
    encoded,
    exif,
    flipped,
    gif,
    imagej,
    interlaced,
    pages,
    picture,
    png,
    raw_tif,
    rows,
    tif,
    webp_canvas,
    with_segment,
    zeros,
)


@dataclass(frozen=True)
class Expected:
    """What becomes of a file.

    Attributes:
        done: it is answered; if not, its error is told; None where it is passed over, as it is no picture by its name or kind.
        sentence: a part of the error.
        why: it is so.
        pages: that are answered.
    """

    done: bool | None
    sentence: str | None
    why: str
    pages: int = 1


Content = bytes | Callable[[Path], object]
"""Of a file, or what makes it."""

Animal = tuple[str, Content, Expected]
"""A name below the folder, and what is there."""


def good(name: str, content: Content, why: str, pages: int = 1) -> Animal:
    return name, content, Expected(True, None, why, pages)


def bad(name: str, content: Content, sentence: str, why: str) -> Animal:
    return name, content, Expected(False, sentence, why)


def passed(name: str, content: Content, why: str) -> Animal:
    return name, content, Expected(None, None, why)


KINDS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF", "tif": "TIFF"}
UNREADABLE = "cannot be read as a picture"


def plain() -> Iterator[Animal]:
    """PNG, JPEG, WebP, BMP and GIF of every kind."""
    for suffix, kind in (*KINDS.items(), ("jpeg", "JPEG")):
        yield good(f"plain/picture.{suffix}", encoded(picture(), kind), "the same stem as its neighbours, whose answers it must not touch")
    yield good("plain/picture.jpg.png", PNG, "the name that the answer to picture.jpg has")
    yield good("plain/lossless.webp", encoded(picture(), "WEBP", lossless=True), "VP8L")
    yield good("plain/grey.png", encoded(picture("L"), "PNG"), "grey is repeated")
    yield good("plain/grey.jpg", encoded(picture("L"), "JPEG"), "grey is repeated")
    yield good("plain/grey16.png", encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG"), "16 bit")
    rgb16 = zlib.compress(rows(PIXELS.astype(">u2") * 257))
    yield good("plain/rgb16.png", png(36, 24, rgb16, depth=16), "16 bit in colour, which Pillow cuts to 8")
    yield good("plain/bits.png", encoded(picture("1"), "PNG"), "1 bit: black and white")
    yield good("plain/rgba.png", encoded(picture("RGBA"), "PNG"), "loses its alpha")
    yield good("plain/grey_alpha.png", encoded(picture("LA"), "PNG"), "grey is repeated once its alpha is lost")
    yield good("plain/palette.png", encoded(picture("P"), "PNG", transparency=3), "a palette with a transparent colour")
    yield good("plain/palette4.png", encoded(picture().quantize(11), "PNG", bits=4), "a palette of 4 bit")
    yield good("plain/interlaced.png", interlaced(), "Adam7")
    yield good("plain/rgba.webp", encoded(picture("RGBA"), "WEBP"), "loses its alpha")
    yield good("plain/palette.bmp", encoded(picture("P"), "BMP"), "a palette")
    yield good("plain/cmyk.jpg", encoded(picture("CMYK"), "JPEG"), "becomes RGB")
    yield good("plain/progressive.jpg", encoded(picture(), "JPEG", progressive=True), "progressive")
    for orientation in (2, 3, 6, 8, 9):
        held = encoded(picture(), "JPEG", exif=exif(orientation))
        yield good(f"plain/exif{orientation}.jpg", held, "seen upright; orientation 9 is none")
    yield good("plain/exif5.png", encoded(picture(), "PNG", exif=exif(5)), "PNG has EXIF, too")
    yield good("plain/exif_noise.jpg", with_segment(JPEG, 0xE1, b"Exif\0\0" + bytes(range(256)) * 8), "EXIF that is none is as none")
    yield good("plain/exif_cut.jpg", with_segment(JPEG, 0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\x01" + bytes(9)), "nor is EXIF that is cut off")
    frames = [picture(), picture().rotate(180), picture().transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    several = {"save_all": True, "append_images": frames[1:], "duration": 50}
    for suffix, kind in (("gif", "GIF"), ("png", "PNG"), ("webp", "WEBP")):
        yield good(f"plain/animated.{suffix}", encoded(frames[0], kind, **several), "every frame is a page", pages=3)


def tiffs() -> Iterator[Animal]:
    """TIFF as microscopes, scanners and satellites write it."""
    large = np.tile(PIXELS, (3, 2, 1))
    tiles = {"tile": (16, 16), "photometric": "rgb"}
    yield good("tiff/tiled.tif", tif(large, **tiles), "in tiles")
    for compression in ("lzw", "zstd", "deflate", "jpeg", "packbits"):
        yield good(f"tiff/{compression}.tif", tif(large, compression=compression, **tiles), "compressed tiles")
    yield good("tiff/predictor.tif", tif(large, compression="deflate", predictor=True, **tiles), "differences of neighbours")
    yield good("tiff/planar.tif", tif(np.moveaxis(PIXELS, 2, 0), photometric="rgb", planarconfig="separate"), "one plane a channel")
    yield good("tiff/big.tif", tif(bigtiff=True), "BigTIFF")
    yield good("tiff/motorola.tif", tif(byteorder=">"), "the other byte order")
    several = pages((PIXELS, {}), (GREY, {}), (PIXELS.astype(np.uint16), {"photometric": "rgb"}))
    yield good("tiff/pages.tif", several, "pages of several kinds", pages=3)
    pyramid = pages((large, tiles), (large[::2, ::2], tiles | {"subfiletype": 1}), (large[::4, ::4], tiles | {"subfiletype": 1}))
    yield good("tiff/pyramid.tif", pyramid, "smaller copies are no pages")
    yield good("tiff/white_is_zero.tif", tif(GREY, photometric="miniswhite"), "0 is white")
    yield good("tiff/bits.tif", tif(GREY > 80), "1 bit")
    yield good("tiff/palette.tif", encoded(picture("P"), "TIFF"), "a palette")
    yield good("tiff/rgba.tif", tif(np.dstack([PIXELS, GREY]), photometric="rgb", extrasamples=["unassalpha"]), "loses its alpha")
    yield good("tiff/cmyk.tif", encoded(picture("CMYK"), "TIFF"), "becomes RGB")
    yield good("tiff/uint16.tif", tif(PIXELS.astype(np.uint16) * 200, photometric="rgb"), "16 bit")
    for dtype in (np.float16, np.float32, np.float64):
        yield good(f"tiff/{np.dtype(dtype)}.tif", tif((PIXELS / 255).astype(dtype), photometric="rgb"), "floats")
    yield good("tiff/beyond.tif", tif(PIXELS.astype(np.float32) * 99 - 5000, photometric="rgb"), "floats are taken as they are")
    stack = imagej(np.moveaxis(np.stack([PIXELS, PIXELS[::-1]]), 3, 1))
    yield good("tiff/imagej.tif", stack, "an ImageJ stack of 2 times 3 channels, which are bands", pages=2)


def strange_tiffs() -> Iterator[Animal]:
    """TIFF that is sound, but not what a network for RGB takes."""
    for dtype in ("uint32", "int32", "int64", "int16", "int8", "complex64", "uint64"):
        yield bad(f"strange/{dtype}.tif", tif(GREY.astype(dtype)), f"holds {dtype} values; save it as 8 or 16 bit", "no such depth")
    for count in (2, 4, 5):
        bands = tif(np.resize(GREY, (24, 36, count)), photometric="minisblack", planarconfig="contig")
        yield bad(f"strange/{count}_channels.tif", bands, f"has {count} channels; the network wants 3", "no alpha, as the file says")
    many = tif(np.resize(GREY, (200, 24, 36)), photometric="minisblack", planarconfig="separate")
    yield bad("strange/200_channels.tif", many, "a picture has height, width and up to 128 channels", "more than anything here takes")
    for name, value in (("nan", np.nan), ("infinite", np.inf)):
        pixels = (PIXELS / 255).astype(np.float32)
        pixels[5, 7] = value
        yield bad(f"strange/{name}.tif", tif(pixels, photometric="rgb"), "not finite", "one such pixel would spread over all that see it")
    yield bad("strange/lab.tif", tif(PIXELS, photometric="cielab"), "its colours are CIELAB; save it as grey or RGB", "no such colours")


def cut_off() -> Iterator[Animal]:
    """Files of which the disk or the network had no more."""
    said = UNREADABLE
    for suffix, kind in KINDS.items():
        yield bad(f"cut/picture.{suffix}", cut(encoded(picture(), kind)), said, "half a picture is none")
        yield bad(f"cut/empty.{suffix}", b"", "it is empty", "an empty file")
        yield bad(f"cut/header.{suffix}", encoded(picture(), kind)[:10], said, "a few bytes of a header")
    large = np.tile(PIXELS, (8, 8, 1))
    yield bad("cut/progressive.jpg", cut(encoded(picture(), "JPEG", progressive=True), 0.9), said, "all of it, but less sharp")
    yield bad("cut/tiles.tif", cut(tif(large, tile=(32, 32), compression="deflate", photometric="rgb")), said, "its last tiles are missing")
    yield bad("cut/pages.tif", cut(pages((PIXELS, {}), (PIXELS, {}), (PIXELS, {})), 0.9), said, "its last page is missing")
    animation = encoded(picture(), "GIF", save_all=True, append_images=[picture().rotate(90)])
    yield bad("cut/animated.gif", cut(animation), said, "its last frame")


def damaged() -> Iterator[Animal]:
    """Files with a byte or more turned over; what has no check sums may pass."""
    said = UNREADABLE
    yield bad("damaged/data.png", flipped(PNG, PNG.index(b"IDAT") + 200), said, "its check sum tells")
    yield bad("damaged/header.png", flipped(PNG, 18), said, "its check sum tells")
    yield bad("damaged/signature.png", flipped(PNG, 0), "it is no PNG, JPEG, WebP, BMP, GIF", "nothing tells what it is")
    yield bad("damaged/no_data.png", PNG[:33] + chunk(b"IEND", b""), said, "a PNG without pixels")
    yield bad("damaged/no_size.png", png(0, 0, b""), said, "a PNG of 0 x 0")
    yield bad("damaged/no_palette.png", png(36, 24, zlib.compress(bytes(37 * 24)), colour=3), said, "indices without colours")
    yield bad("damaged/tables.jpg", flipped(JPEG, JPEG.index(b"\xff\xc4") + 6), said, "its Huffman tables are none")
    yield bad("damaged/precision.jpg", flipped(JPEG, JPEG.index(b"\xff\xc0") + 4, 0x10), said, "it says that it has 24 bit")
    yield good("damaged/data.jpg", flipped(JPEG, JPEG.index(b"\xff\xda") + 150, 0x04), "JPEG has no check sums: some blocks look different")
    yield good("damaged/tail.jpg", JPEG + bytes(range(256)) * 40, "what follows the end of a picture is no picture")
    yield bad("damaged/header.webp", flipped(WEBP, 12), said, "no such part")
    yield bad("damaged/header.bmp", flipped(encoded(picture(), "BMP"), 14), said, "no such header")
    yield bad("damaged/frame.gif", flipped(GIF, GIF.index(b",\0\0\0\0")), said, "where its picture should begin is something else")
    tiles = tif(PIXELS, tile=(16, 16), compression="deflate", photometric="rgb")
    yield bad("damaged/deflate.tif", flipped(tiles, tiles.index(b"\x78", 200) + 60), said, "its check sum tells")
    yield bad("damaged/order.tif", flipped(tif(), 0), "it is no PNG", "neither byte order")
    yield bad("damaged/cyclic.tif", raw_tif({}, following=24), "page 2, cannot be read as a picture", "its pages go round in circles")
    yield bad("damaged/beyond.tif", raw_tif({}, first=10**8), said, "its first page lies behind its end")
    yield bad("damaged/next_beyond.tif", raw_tif({}, following=10**8), "page 2, cannot be read as a picture", "its second page does")
    yield bad("damaged/in_header.tif", raw_tif({}, first=2), said, "its first page lies in its header")
    yield bad("damaged/no_pages.tif", raw_tif({}, first=0), said, "it has none")
    yield bad("damaged/tags.tif", raw_tif({}, entries=60_000), said, "more tags than bytes")


def lying() -> Iterator[Animal]:
    """Small files that say, or unfold to, something large."""
    black = png(50_000, 50_000, zeros(50_000 * 50_001), colour=0)
    yield bad("bombs/zeros.png", black, "has 50000 x 50000 pixels; at most", "2.4 MB to 2.5 GB")
    yield bad("bombs/huge.png", png(2**31 - 1, 2**31 - 1, b""), "pixels; at most", "nothing is that large")
    yield bad("bombs/canvas.gif", gif(65535, 65535), "has 65535 x 65535 pixels; at most", "one pixel on a large canvas")
    yield bad("bombs/canvas.webp", webp_canvas(2**24, 200), UNREADABLE, "a small picture on a large canvas")
    yield bad("bombs/canvas.bmp", bmp(60_000, 60_000), "has 60000 x 60000 pixels; at most", "a header alone")
    yield bad("bombs/size.bmp", bmp(10_000, 10_000), UNREADABLE, "few enough pixels, but they are not there")
    yield bad("bombs/chunk.png", flipped(PNG, 33), UNREADABLE, "its data is said to have 4 GB")
    size = {256: (LONG, 1, 10**6), 257: (LONG, 1, 10**6), 278: (LONG, 1, 10**6)}
    yield bad("bombs/size.tif", raw_tif(size), UNREADABLE, "16 bytes for a million million pixels")
    yield bad("bombs/deflate.tif", raw_tif(size | {259: (SHORT, 1, 8)}), "at most", "one strip of a million million pixels")
    tile = {322: (LONG, 1, 2**30), 323: (LONG, 1, 2**30), 324: (LONG, 1, 8), 325: (LONG, 1, 16)}
    yield bad("bombs/tile.tif", raw_tif(tile), UNREADABLE, "a tile a million times its picture")
    strip = {259: (SHORT, 1, 8), 279: (LONG, 1, 2**31)}
    yield bad("bombs/strip.tif", raw_tif(strip), UNREADABLE, "a strip longer than the file")
    yield bad("bombs/samples.tif", raw_tif({277: (SHORT, 1, 65535)}), UNREADABLE, "65,535 channels")
    yield good("bombs/tag.tif", raw_tif({258: (SHORT, 2**31, 8)}), "a tag of 4 GB is not there, and the picture does not need it")
    compressed, large = zlib.compress(rows(PIXELS)), zeros(2**28)
    yield bad("bombs/words.png", png(36, 24, compressed, chunk(b"zTXt", b"comment\0\0" + large)), UNREADABLE, "a comment of 256 MB")
    yield bad("bombs/profile.png", png(36, 24, compressed, chunk(b"iCCP", b"profile\0\0" + large)), UNREADABLE, "a profile of 256 MB")
    yield good("bombs/more.png", png(36, 24, large), "of 256 MB of rows no more are read than it has")
