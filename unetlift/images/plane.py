"""One picture as a TIFF file stores it, read by windows: rows of what is uncompressed, else the tiles or strips that overlap."""

from collections import OrderedDict
from io import BytesIO
from typing import final

import numpy as np
import tifffile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile
from tifffile import COMPRESSION

from unetlift.errors import PictureError

SMALL = 2**24
"""Pixels that a tile may have although its picture has fewer."""

UNFOLDS = {COMPRESSION.LZW: 1400, COMPRESSION.PACKBITS: 64, COMPRESSION.DEFLATE: 1032, COMPRESSION.ADOBE_DEFLATE: 1032}
"""How many times its stored size a tile can have; what is said to be larger is damaged."""

BOUNDED = (COMPRESSION.NONE, COMPRESSION.LZMA, COMPRESSION.ZSTD, COMPRESSION.ZSTD_DEPRECATED)
BOUNDED += (COMPRESSION.CCITTRLE, COMPRESSION.CCITT_T4, COMPRESSION.CCITT_T6, *UNFOLDS)
"""Compressions whose tiles unfold into the bytes that the page's header names, and no more."""

PICTURES = dict.fromkeys((COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.JPEG_LOSSY, COMPRESSION.ALT_JPEG), JpegImageFile)
PICTURES |= {COMPRESSION.JPEG2000: Jpeg2KImageFile, COMPRESSION.JPEG_2000_LOSSY: Jpeg2KImageFile, COMPRESSION.PNG: PngImageFile}
PICTURES |= {COMPRESSION.APERIO_JP2000_YCBC: Jpeg2KImageFile, COMPRESSION.APERIO_JP2000_RGB: Jpeg2KImageFile}
PICTURES |= {COMPRESSION.WEBP: WebPImageFile}
"""Compressions whose tiles are pictures with headers of their own, and what reads these."""


@final
class Plane:
    """The samples of one picture; `shift` bytes behind where its page says, as in a stack that one page stands for.

    Args:
        page: as tifffile read it, its file open.
        shift: in bytes.
        max_pixels: of a tile or strip, which is decoded as a whole.
        name: of it in errors.
        keep: bytes of decoded tiles or strips, so that windows side by side do not decode them again and again.

    Raises:
        PictureError: a tile or strip has too many pixels.
        ValueError: the page's numbers contradict each other, or it is compressed in an unknown way.
    """

    def __init__(self, page: tifffile.TiffPage, shift: int, max_pixels: int, name: object, keep: int):
        self.page, self.shift, self.keep = page, shift, keep
        self.separate, depth, self.height, self.width, self.samples = page.shaped
        self.rows = page.tilelength if page.is_tiled else page.rowsperstrip
        self.columns = page.tilewidth if page.is_tiled else self.width
        numbers = all(isinstance(number, int) for number in (*page.shaped, self.rows, self.columns))  # damaged tags have other types
        if not numbers or page.dtype is None or depth != 1 or 0 in page.shaped:
            raise ValueError("its size or depth is none that a picture has")
        self.dtype, self.by_rows = page.dtype, bool(page.is_final)
        self.kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self.used = 0  # bytes
        if self.by_rows:
            self._check_rows()
        else:
            self._check_pieces(max_pixels, name)

    def _check_rows(self) -> None:
        if self.page.dataoffsets[0] + self.shift + self.page.nbytes > self.page.parent.filehandle.size:
            raise ValueError("it is cut off")

    def _check_pieces(self, max_pixels: int, name: object) -> None:
        piece, page = self.rows * self.columns, self.page
        if min(self.rows, self.columns) < 1 or piece > max(SMALL, self.height * self.width):
            raise ValueError(f"its tiles have {self.columns} x {self.rows} pixels")
        if piece > max_pixels:
            stored = f"{name} is stored in pieces of {self.columns} x {self.rows} pixels"
            raise PictureError(f"{stored}; at most {max_pixels} are decoded at once, save it in tiles.")
        if page.compression not in (*BOUNDED, *PICTURES):
            raise ValueError(f"its compression {getattr(page.compression, 'name', page.compression)} is unknown")
        wanted = self.separate * -(-self.height // self.rows) * -(-self.width // self.columns)
        if min(len(page.dataoffsets), len(page.databytecounts)) < wanted:
            raise ValueError(f"it has {len(page.dataoffsets)} tiles or strips instead of {wanted}")

    @property
    def piece(self) -> int:
        """Bytes that reading one pixel takes."""
        return 0 if self.by_rows else self.rows * self.columns * self.samples * self.dtype.itemsize

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Samples (height, width, S) of a window that lies inside."""
        out = np.empty((self.separate, height, width, self.samples), self.dtype)
        for sample in range(self.separate):
            (self._read_rows if self.by_rows else self._read_pieces)(out[sample], sample, top, left)
        return out[0] if self.separate == 1 else np.moveaxis(out[..., 0], 0, -1)

    def _read_rows(self, out: np.ndarray, sample: int, top: int, left: int) -> None:
        height, width, samples = out.shape
        file, order = self.page.parent.filehandle, self.dtype.newbyteorder(self.page.parent.byteorder)
        size = samples * self.dtype.itemsize
        step = max(1, SMALL // (width * size)) if width == self.width else 1  # whole rows lie one behind the other
        for row in range(0, height, step):
            count = min(step, height - row)
            file.seek(self.page.dataoffsets[0] + self.shift + ((sample * self.height + top + row) * self.width + left) * size)
            data = file.read(count * width * size)
            out[row : row + count] = np.frombuffer(data, order).reshape(count, width, samples)

    def _read_pieces(self, out: np.ndarray, sample: int, top: int, left: int) -> None:
        height, width, _ = out.shape
        down, across = -(-self.height // self.rows), -(-self.width // self.columns)
        for row in range(top // self.rows, -(-(top + height) // self.rows)):
            for column in range(left // self.columns, -(-(left + width) // self.columns)):
                piece = self._piece((sample * down + row) * across + column)
                y, x = row * self.rows, column * self.columns
                up, low = max(top, y), min(top + height, y + self.rows)
                near, far = max(left, x), min(left + width, x + self.columns)
                out[up - top : low - top, near - left : far - left] = piece[up - y : low - y, near - x : far - x]

    def _piece(self, index: int) -> np.ndarray:
        """A tile or strip (rows, columns, S), decoded or kept; those at the edges may be smaller."""
        if index not in self.kept:
            self.kept[index] = self._decode(index)
            self.used += self.kept[index].nbytes
            while self.used > self.keep and len(self.kept) > 1:
                self.used -= self.kept.popitem(last=False)[1].nbytes
        self.kept.move_to_end(index)
        return self.kept[index]

    def _decode(self, index: int) -> np.ndarray:
        page, file = self.page, self.page.parent.filehandle
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        if not count:  # nothing was ever stored there
            return np.broadcast_to(np.array(page.nodata, self.dtype), (self.rows, self.columns, self.samples))
        bound = self.piece
        if offset + count > file.size or count > 2 * bound + SMALL:
            raise ValueError("it is cut off")
        if bound > UNFOLDS.get(page.compression, bound) * count + SMALL:
            raise ValueError(f"a tile of {count} bytes cannot hold {self.columns} x {self.rows} pixels")
        file.seek(offset)
        data = file.read(count)
        if page.compression in PICTURES:
            header = PICTURES[page.compression](BytesIO(data))
            if header.width > self.columns or header.height > self.rows:
                raise ValueError(f"a tile has {header.width} x {header.height} pixels")
        decoded, _, _ = page.decode(data, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader)
        return decoded[0]
