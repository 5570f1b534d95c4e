"""Videos, frame by frame in constant memory, in 8-bit RGB or grey; their sound is left out."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from unetlift.errors import UsageError
from unetlift.images.containers import missing
from unetlift.images.damage import capped, reading
from unetlift.images.page import ArrayPage, Opened, page_name


def need_av(name: object) -> ModuleType:
    """The package for videos.

    Raises:
        UsageError: it is missing.
    """
    try:
        import av
    except ImportError as error:
        raise UsageError(f"{name} is a video; videos need the package av; run pip install unetlift[video].") from error
    return av


def opened(file: BinaryIO, kind: str, path: Path, max_pixels: int) -> Opened:
    """A video of a kind that `containers.container` told; times are those of the file, also where frames last differently long.

    Raises:
        PictureError: it is damaged, or has too many pixels.
        UsageError: the package for videos is missing.
    """
    av = need_av(path)
    with reading(path):
        if lacks := missing(file, kind):
            raise ValueError(f"it is cut off: {lacks} bytes are missing")
    with reading(path), _container(av, file, kind) as video:
        stream = _stream(video)
        notes = [f"its {name} left out" for name, there in _beside(video) if there]
        count, rate = stream.frames or None, stream.average_rate or Fraction(25)
        height, width = stream.height, stream.width
    capped(path, height, width, max_pixels)

    def pages() -> Iterator[ArrayPage]:
        with reading(path):
            video = _container(av, file, kind)
        with video:
            yield from _frames(av, video, path, max_pixels)

    return Opened("video", count, tuple(notes), pages, Fraction(rate))


def _container(av: ModuleType, file: BinaryIO, kind: str) -> Any:
    """By bytes, never by name: a name could be an address, and a playlist would name other files."""
    file.seek(0)
    try:
        return av.open(file, format=kind, metadata_errors="replace")
    except av.FFmpegError as error:
        raise ValueError(str(error)) from error


def _stream(video: Any) -> Any:
    stream = video.streams.best("video")
    if stream is None or stream.codec_context is None:
        raise ValueError("it has no pictures that can be decoded")
    return stream


def _beside(video: Any) -> tuple[tuple[str, bool], ...]:
    return ("sound is", bool(video.streams.audio)), ("subtitles are", bool(video.streams.subtitles))


def _frames(av: ModuleType, video: Any, path: Path, max_pixels: int) -> Iterator[ArrayPage]:
    stream = _stream(video)
    stream.codec_context.options = {"max_pixels": str(max_pixels)}  # of frames that are larger than the header says
    begin, time, number = None, Fraction(0), 0
    frames = video.decode(stream)
    while True:
        name = page_name(path, number, None, "frame")
        with reading(name):
            try:
                frame = next(frames, None)
            except av.FFmpegError as error:
                raise ValueError(str(error)) from error
            if frame is None:
                break
            if frame.is_corrupt:
                raise ValueError("its data is damaged")
            if frame.pts is not None:
                begin = frame.pts if begin is None else begin
                time = (frame.pts - begin) * Fraction(frame.time_base)
            page = ArrayPage(_pixels(frame), name, time)
        yield page
        number, time = number + 1, time + 1 / Fraction(stream.average_rate or 25)


def _pixels(frame: Any) -> np.ndarray:
    """Upright, (H, W) of grey videos, else (H, W, 3)."""
    pixels = frame.to_ndarray(format="gray" if frame.format.name.startswith("gray") else "rgb24")
    return np.rot90(pixels, round(frame.rotation / 90))
