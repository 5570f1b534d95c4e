"""Decoded pictures kept in bounded memory, known by the content of their files."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from unetlift import images


class Cache:
    """Reads files as `images` does, but decodes the same content only once while it stays in memory.

    A file that has changed is decoded anew, and copies are kept once. What was not asked for the longest goes first.
    Each process has its own.

    Args:
        limit: bytes of decoded pixels to keep at most; 0 keeps none.
    """

    def __init__(self, limit: int):
        self.limit, self.used = limit, 0
        self._kept: OrderedDict[tuple[bytes, str], np.ndarray] = OrderedDict()

    def picture(self, path: Path) -> images.Picture:
        """See `images.read_picture`; the array is shared and cannot be written to."""
        return self._read(path, images.decode_picture)

    def mask(self, path: Path) -> np.ndarray:
        """See `images.read_mask`; the array is shared and cannot be written to."""
        return self._read(path, images.decode_mask)

    def _read(self, path: Path, decode: Callable[[bytes, Path], np.ndarray]) -> np.ndarray:
        data = images.read_bytes(path)
        key = hashlib.blake2b(data, digest_size=16).digest(), decode.__name__
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        images.size(path)  # refuses before it unfolds what is too large
        array = decode(data, path)
        array.setflags(write=False)
        if array.nbytes <= self.limit:
            self._kept[key] = array
            self.used += array.nbytes
        while self.used > self.limit:
            self.used -= self._kept.popitem(last=False)[1].nbytes
        return array
