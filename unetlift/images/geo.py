"""What a TIFF page says of its place in the world, to be carried to what is made of it."""

import re
import struct

import tifffile

from unetlift.images.page import Carried

GEO = (33550, 33920, 33922, 34264, 34735, 34736, 34737, 50844)
"""Tags: pixel scale, Intergraph matrix, tie points, transformation, GeoKeys with their numbers and words, RPC coefficients."""

METADATA, NODATA = 42112, 42113
"""GDAL's tags."""

FORMATS = {3: "H", 12: "d"}
"""By TIFF data type; other types are kept as bytes."""

OF_ONE_BAND = re.compile(rb'[ \t]*<Item\b[^>]*\bsample="[^>]*>[^<]*</Item>\s*')
"""Of GDAL's metadata what holds of the input's bands alone: their statistics, scales and names."""


def carried(page: tifffile.TiffPage) -> Carried:
    """All of it. GDAL's metadata comes without what it says of single bands, which what is made of them does not share."""
    values = {code: _value(page, page.tags[code]) for code in (*GEO, METADATA) if code in page.tags}
    if METADATA in values:
        kept = OF_ONE_BAND.sub(b"", values[METADATA])
        values[METADATA] = kept
        if b"<Item" not in kept:
            del values[METADATA]
    types = {code: page.tags[code].dtype for code in values}
    tags = tuple((code, int(types[code]), len(value), value, True) for code, value in values.items())
    keys = _keys(values.get(34735, ()))
    return Carried(tags, _nodata(page), _transform(values, keys.get(1025) == 2), _crs(keys), _resolution(page))


def _value(page: tifffile.TiffPage, tag: tifffile.TiffTag) -> bytes | tuple:
    """A tag's bytes, or its numbers to the last bit."""
    page.parent.filehandle.seek(tag.valueoffset)
    data = page.parent.filehandle.read(tag.valuebytecount)
    if tag.dtype not in FORMATS:
        return data
    return struct.unpack(f"{page.parent.byteorder}{tag.count}{FORMATS[tag.dtype]}", data)


def _nodata(page: tifffile.TiffPage) -> float | None:
    text = page.tags.valueof(NODATA)
    try:
        return None if text is None else float(str(text).replace(",", ".").strip(" \0"))
    except ValueError:
        return None  # words that mean no number to anybody


def _keys(directory: tuple[int, ...]) -> dict[int, int]:
    """The GeoKeys whose value is a number of 16 bit: four of those a key, after four at the beginning."""
    entries = [directory[start : start + 4] for start in range(4, len(directory) - 3, 4)]
    return {key: value for key, location, _, value in entries if location == 0}


def _crs(keys: dict[int, int]) -> int | None:
    """The EPSG code of the projected, else of the geographic system; 32767 says that it is described in other keys."""
    code = keys.get(3072) or keys.get(2048)
    return code if code and code < 32767 else None


def _transform(values: dict[int, tuple], at_centre: bool) -> tuple[float, float, float, float, float, float] | None:
    """From scale and first tie point, or from the matrix; what is given for pixel centres is moved to their corners, as GDAL does."""
    matrix, scale, tie = values.get(34264, ()), values.get(33550, ()), values.get(33922, ())
    if len(scale) >= 2 and len(tie) >= 6 and scale[0] and scale[1]:
        a, b, d, e = scale[0], 0.0, 0.0, -abs(scale[1])
        c, f = tie[3] - a * tie[0], tie[4] - e * tie[1]
    elif len(matrix) == 16:
        a, b, _, c, d, e, _, f = matrix[:8]
    else:
        return None
    half = 0.5 if at_centre else 0.0
    return a, b, c - half * (a + b), d, e, f - half * (d + e)


def _resolution(page: tifffile.TiffPage) -> tuple[tuple[int, int], tuple[int, int], int] | None:
    x, y = page.tags.valueof(282), page.tags.valueof(283)
    if not all(isinstance(value, tuple) and len(value) == 2 and all(value) for value in (x, y)):
        return None
    return tuple(x), tuple(y), int(page.tags.valueof(296, 2))
