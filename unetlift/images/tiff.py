"""TIFF files: which of their pictures are pages, and each page upright, by windows that decode no more than they need."""

import logging
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, final

import numpy as np
import tifffile

from unetlift.images.colours import to_picture, transparent
from unetlift.images.damage import capped, reading
from unetlift.images.geo import carried
from unetlift.images.page import CHANNELS, TURNS, Opened, Page, Picture, page_name, upright
from unetlift.images.plane import Plane
from unetlift.images.stacks import MOST, Stack, bands_of

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""A file's first bytes: little and big endian, classic and BigTIFF."""

SMALL_PIECE = 2**25
"""Bytes; where a pixel costs more than that to read, a page is not windowed."""

KEPT = 2**27
"""Bytes of decoded tiles or strips that a page keeps."""

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what is wrong with a file is said in one sentence, by us


class Entry(NamedTuple):
    """Where a picture is described: position in the file, and the NewSubfileType that says what it is for."""

    offset: int
    kind: int


@final
class TiffPage(Page):
    """A page of one plane, or of several of one size and depth that are its bands."""

    def __init__(self, planes: Sequence[Plane], max_pixels: int, name: object):
        self.planes, self.max_pixels, self.name = planes, max_pixels, name
        first = planes[0]
        if any((p.height, p.width, p.samples, p.dtype) != (first.height, first.width, first.samples, first.dtype) for p in planes):
            raise ValueError("its channels differ in size or depth")
        if len(planes) * first.page.samplesperpixel > CHANNELS:
            shape = (first.height, first.width, len(planes) * first.page.samplesperpixel)
            raise ValueError(f"it has the shape {shape}; a picture has height, width and up to {CHANNELS} channels")
        self.carried = carried(first.page)
        placed = self.carried.transform is not None or self.carried.crs is not None  # then its rows and columns stay what they are
        self.orientation = 1 if placed else int(first.page.tags.valueof(274, 1))
        swapped = TURNS.get(self.orientation, TURNS[1])[2]
        self.height, self.width = (first.width, first.height) if swapped else (first.height, first.width)
        pixel = self._colour([np.zeros((1, 1, first.page.samplesperpixel), first.dtype)] * len(planes))
        self.channels, self.dtype = pixel.shape[2], pixel.dtype
        self.windowed = all(plane.piece <= SMALL_PIECE for plane in planes)

    def _colour(self, samples: Sequence[np.ndarray]) -> Picture:
        pictures = [to_picture(stored, plane.page, self.name) for stored, plane in zip(samples, self.planes, strict=True)]
        return pictures[0] if len(pictures) == 1 else np.concatenate(pictures, 2)

    def _window(self, top: int, left: int, height: int, width: int) -> Picture:
        capped(self.name, height, width, self.max_pixels)
        rows, columns, swapped = TURNS.get(self.orientation, TURNS[1])
        if swapped:
            top, left, height, width = left, top, width, height
        top = top if rows > 0 else self.planes[0].height - top - height
        left = left if columns > 0 else self.planes[0].width - left - width
        with reading(self.name):
            stored = self._colour([plane.read(top, left, height, width) for plane in self.planes])
        return np.ascontiguousarray(upright(stored, self.orientation))


def opened(file: BinaryIO, path: Path, max_pixels: int) -> Opened:
    """A TIFF file: pages are all its pictures but reduced ones (of a pyramid) and masks; channels of a stack are bands.

    Raises:
        PictureError: it is damaged where nothing of it can be read.
    """
    with reading(path):
        tiff = tifffile.TiffFile(file, _multifile=False)  # never opens the other files that an OME-TIFF may name
        entries, whole = _entries(tiff)
        pages = [entry.offset for entry in entries if not entry.kind & 5] or [entries[0].offset]
        if tiff.is_svs:  # whose reduced pictures say nothing about it
            pages = pages[:1]
        stacks = bands_of(tiff, pages)
        count = len(stacks) + (not whole)
        notes = ("its transparency is left out",) if transparent(tiff.pages.first) else ()

    def read() -> Iterator[TiffPage]:
        for number, stack in enumerate(stacks):
            name = page_name(path, number, count)
            with reading(name):
                page = _page(tiff, stack, max_pixels, name)
            yield page
        with reading(page_name(path, len(stacks), count)):
            if not whole:
                raise ValueError("the file is cut off or damaged there")

    return Opened("picture" if count == 1 else "pages", count, notes, read)


def _page(tiff: tifffile.TiffFile, stack: Stack, max_pixels: int, name: object) -> TiffPage:
    planes, pages = [], {}
    for offset, shift in stack:
        if offset not in pages:
            tiff.filehandle.seek(offset)
            pages[offset] = tifffile.TiffPage(tiff, index=0)
        planes.append(Plane(pages[offset], shift, max_pixels, name, KEPT // len(stack)))
    return TiffPage(planes, max_pixels, name)


def _entries(tiff: tifffile.TiffFile) -> tuple[list[Entry], bool]:
    """All pictures in the file's chain, and whether it came to an end as it should; it may lead outside, or round in circles."""
    form, file, seen = tiff.tiff, tiff.filehandle, set()
    entries, offset = [], tiff.pages.first.offset
    while offset:
        if offset in seen or len(entries) == MOST:
            return entries, False
        seen.add(offset)
        file.seek(offset)
        try:
            (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
            data = file.read(min(count, 4096) * form.tagsize)  # with more, what follows is no offset of a picture
            kind = _kind(data, form.byteorder, form.tagsize)
            (following,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
        except struct.error:
            return entries, False
        entries.append(Entry(offset, kind))
        offset = following
    return entries, True


def _kind(data: bytes, order: str, size: int) -> int:
    """NewSubfileType: bit 0 for a reduced picture, bit 2 for a mask; the older SubfileType says 2 for a reduced one."""
    for start in range(0, len(data), size):
        code, kind = struct.unpack_from(f"{order}HH", data, start)
        if code not in (254, 255):
            continue
        (value,) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, start + size - (4 if size == 12 else 8))
        return value if code == 254 else int(value == 2)
    return 0
