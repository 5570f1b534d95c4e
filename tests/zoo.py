"""A folder of odd files as people have them: by their names, by where they are, and by what is in them."""

import os
import stat
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from zoo_formats import JPEG, PIXELS, PNG, WEBP, encoded, picture, tif
from zoo_pictures import Animal, Expected, bad, cut_off, damaged, good, lying, passed, plain, strange_tiffs, tiffs


def build(folder: Path) -> dict[str, Expected]:
    """Fills an empty folder; what is expected of each file, by its path relative to the folder."""
    wings = (plain(), tiffs(), strange_tiffs(), cut_off(), damaged(), lying(), disguised(), sizes(), names(), places(folder), not_files())
    found: dict[str, Expected] = {}
    for name, content, expected in (animal for wing in wings for animal in wing):
        path = folder / name
        assert name not in found, name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(path)
        found[name] = expected
    (folder / "empty").mkdir()
    return found


def disguised() -> Iterator[Animal]:
    """Files that are not what their name says; what they are counts."""
    said, unreadable = "it is no PNG, JPEG, WebP, BMP, GIF", "cannot be read as a picture"
    yield good("disguised/jpeg.png", JPEG, "a JPEG")
    yield good("disguised/png.jpg", PNG, "a PNG")
    yield good("disguised/png.tif", PNG, "a PNG")
    yield good("disguised/tiff.png", tif(), "a TIFF")
    yield good("disguised/webp.jpg", WEBP, "a WebP, as browsers save it")
    yield good("disguised/png.mp4", PNG, "a PNG")
    yield bad("disguised/text.png", b"Dear Sir or Madam,\n", said, "text")
    yield bad("disguised/text.tif", b"II, the second\n", said, "text that begins as a TIFF does")
    yield bad("disguised/text.bmp", b"BM is what this text begins with.\n" * 9, unreadable, "text that begins as a BMP does")
    yield bad("disguised/text.mp4", b"[not a video]\n", said, "text")
    yield bad("disguised/page.jpg", b"<!DOCTYPE html><title>404</title>", said, "what a download came to")
    yield bad("disguised/archive.png", b"PK\x03\x04" + bytes(40), said, "a zip file")
    yield bad("disguised/heic.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), said, "a telephone's picture by another name")
    yield bad("disguised/zeros.png", bytes(5000), said, "what a file system left after a crash")
    yield passed("disguised/picture.heic", b"\0\0\0\x18ftypheic", "no such format")
    yield passed("disguised/picture", PNG, "no ending")
    yield passed("disguised/notes.txt", b"notes", "no picture by its name")
    yield passed("disguised/picture.png.part", PNG, "a download that goes on")


def sizes() -> Iterator[Animal]:
    """Sizes that no network has seen."""
    for height, width in ((1, 1), (1, 2), (3, 3), (1, 5000), (5000, 1), (37, 61), (127, 2)):
        pixels = np.resize(PIXELS, (height, width, 3))
        yield good(f"sizes/{height}x{width}.png", encoded(picture(pixels=pixels), "PNG"), "any size has its answer")


def names() -> Iterator[Animal]:
    """Names that a shell, a spreadsheet or a terminal would stumble over."""
    odd = ["new\nline", "tab\t", "'", '"', "-rf", "--help", "a,b", "=1+1", "$(reboot)", "a;b", "%s", "{0}", "*", "?", "[a]", "back\\slash"]
    odd += ["\x1b[31mred", " before", "after ", "two  spaces", "dots...", "CON", "#", "a&b", "~", "@", "😀👩\u200d🔬", "שלום", "\u202egnp"]
    odd += ["\xe9", "e\u0301", "名前"]
    for name in odd:
        yield good(f"names/{name}.png", PNG, "any name has its answer")
    if sys.platform == "linux":
        yield good("names/" + os.fsdecode(b"caf\xe9.png"), PNG, "bytes that are no text")
        yield bad("names/" + os.fsdecode(b"caf\xe9 empty.png"), b"", "it is empty", "bytes that are no text, told in an error")
        yield good("names/Case.png", PNG, "another file than case.png")
        yield good("names/case.png", PNG, "another file than Case.png")
    yield bad("names/two\n lines\x1b[2J.png", b"", "it is empty", "an error is one line, and does not clear the screen")
    yield good("names/UPPER.PNG", PNG, "endings in any case")
    yield good("names/Mixed.JpEg", JPEG, "endings in any case")
    yield good("names/Loud.TIFF", tif(), "endings in any case")
    yield good("names/" + "x" * 246 + ".png", PNG, "250 characters")
    yield good("names/" + "é" * 120 + ".jpg", JPEG, "244 bytes")
    yield bad("names/" + "x" * 250 + ".jpg", JPEG, "is too long a name for this disk", "its answer's would have 258 characters")
    yield passed("names/trailing.png.", PNG, "its ending is no picture's")
    yield passed("names/trailing.png ", PNG, "its ending is no picture's")
    yield passed("names/.png", PNG, "hidden, and without an ending")
    yield passed("names/.hidden.png", PNG, "hidden")
    yield passed("names/._picture.png", b"\0\x05\x16\x07" + bytes(50), "what a Mac leaves beside a picture")
    yield passed("names/Thumbs.db", b"\xd0\xcf\x11\xe0" + bytes(50), "what Windows leaves in a folder")
    yield passed(".thumbnails/picture.png", PNG, "in a hidden folder")


def places(folder: Path) -> Iterator[Animal]:
    """Where files can be."""
    yield good("/".join(["deep"] * 20) + "/picture.png", PNG, "20 folders down")
    yield good("folder.png/picture.png", PNG, "in a folder that is called as a picture is")
    yield good("link.png", lambda path: path.symlink_to("plain/picture.jpg"), "a link to a picture")
    yield good("link_to_link.png", lambda path: path.symlink_to("link.png"), "a link to a link to one")
    yield bad("link_to_text.png", lambda path: path.symlink_to("disguised/notes.txt"), "it is no PNG", "a link to text")
    yield passed("link_to_folder", lambda path: path.symlink_to("plain", target_is_directory=True), "its pictures are there without it")
    yield passed("round", lambda path: path.symlink_to("."), "a link to the folder that it is in")
    yield passed("round.png", lambda path: path.symlink_to("round.png"), "a link to itself")
    yield passed("broken.png", lambda path: path.symlink_to("nowhere.png"), "a link to nothing")
    locked = folder / "locked.png"
    locked.write_bytes(PNG)
    locked.chmod(0)
    if os.access(locked, os.R_OK):
        yield good("locked.png", lambda path: None, "who may read everything may read it")
    else:
        yield bad("locked.png", lambda path: None, "Permission denied", "nobody may read it")


def not_files() -> Iterator[Animal]:
    """What has a name in a folder and is no file; whoever opened some of these would wait for ever."""
    yield passed("pipe.png", os.mkfifo, "nobody writes into it")
    yield passed("socket.png", partial(os.mknod, mode=stat.S_IFSOCK | 0o600), "nobody listens at it")
    yield passed("endless.png", lambda path: path.symlink_to("/dev/zero"), "it has no end")
    yield passed("tty.jpg", lambda path: path.symlink_to("/dev/tty"), "it would ask the user")
    yield passed("directory.png", Path.mkdir, "a folder")
