"""What kind of video a file is, and whether all of it is there: a video that was cut off would else simply end earlier."""

import struct
from typing import BinaryIO

ATOMS = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")
"""What the first part of an MP4 or QuickTime file is called."""

STILLS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"crx ", b"jp2 ", b"jxl ")
"""Pictures that are stored in the same way, and are none of ours."""


def container(file: BinaryIO) -> str | None:
    """The kind of video that a file is, by its first bytes; None where it is none."""
    first = file.read(16)
    file.seek(0)
    if first.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if first.startswith(b"RIFF") and first[8:12] == b"AVI ":
        return "avi"
    return "mov" if first[4:8] in ATOMS and first[8:12] not in STILLS else None


def missing(file: BinaryIO, kind: str) -> int:
    """How many bytes a video lacks of what its parts say that they have; 0 where they do not say."""
    size = file.seek(0, 2)
    follow = {"matroska": _after_element, "mov": _after_atom, "avi": _after_chunk}[kind]
    place = 0
    while place < size:
        file.seek(place)
        place = follow(file.read(16), place, size)
    return place - size


def _after_atom(data: bytes, place: int, size: int) -> int:
    """Where the part of an MP4 that begins so ends; one of length 0 goes on to the end of the file."""
    if len(data) < 16:
        return size
    length, long = struct.unpack(">I4xQ", data)
    length = long if length == 1 else length
    return place + length if length >= 8 else size


def _after_chunk(data: bytes, place: int, size: int) -> int:
    """The same of an AVI; padding after its last chunk is none."""
    if data[:4] != b"RIFF" or len(data) < 8:
        return size
    (length,) = struct.unpack_from("<I", data, 4)
    return place + 8 + length + length % 2 if length else size


def _after_element(data: bytes, place: int, size: int) -> int:
    """The same of a Matroska file, whose lengths are as long as their first byte has zeros before its first one."""
    width = 9 - data[4].bit_length() if len(data) > 4 and data[4] else 0
    if data[:4] not in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67") or not width:
        return size
    length = int.from_bytes(data[4 : 4 + width], "big") - (1 << 7 * width)
    unknown = length == (1 << 7 * width) - 1  # while it was written, nobody knew
    return size if unknown else place + 4 + width + length
