"""Writes videos frame by frame: index masks without loss, pictures as every player shows them."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from unetlift.errors import PictureError, UsageError
from unetlift.images.video import need_av


@dataclass(frozen=True)
class VideoKind:
    """How videos of a kind are stored.

    Attributes:
        suffix: of the file.
        container: its format.
        codec: that compresses the frames.
        stored: pixel format, of frames whose sides are even numbers.
        stored_odd: of others.
        given: the pixel format of the frames as they come.
        options: of the codec.
        tick: seconds; times are rounded to it.
    """

    suffix: str
    container: str
    codec: str
    stored: str
    stored_odd: str
    given: str
    options: dict[str, str]
    tick: Fraction


VIDEO_KINDS = {
    "labels": VideoKind(".mkv", "matroska", "ffv1", "gray", "gray", "gray", {}, Fraction(1, 1000)),
    "pictures": VideoKind(".mp4", "mp4", "libx264", "yuv420p", "yuv444p", "rgb24", {"crf": "18"}, Fraction(1, 90000)),
}
"""Labels are read back exactly. Pictures are H.264, whose usual form halves colour, so that odd sizes are stored with all of it."""


@final
class VideoWriter:
    """Writes frames of one size, one after the other; the same frames give the same bytes. A video that fails is removed.

    Args:
        path: of the file, whatever its name.
        height: of the frames, in pixels.
        width: of the frames, in pixels.
        rate: frames a second, for players; the frames' own times decide.
        kind: a name in `VIDEO_KINDS`: labels (H, W) or (H, W, 1), or pictures (H, W, 3) or grey.

    Raises:
        UsageError: the package for videos is missing, or has no such codec.
    """

    def __init__(self, path: Path, height: int, width: int, rate: Fraction, kind: Literal["labels", "pictures"]):
        self.path, self.height, self.width, self.rate, self.kind = path, height, width, rate, VIDEO_KINDS[kind]
        self.av, self.last = need_av(path), -1
        if self.kind.codec not in self.av.codecs_available:
            raise UsageError(f"{path} needs the codec {self.kind.codec}, which the package av lacks; install another build of it.")

    def __enter__(self) -> Self:
        self.file = self.path.open("wb")
        self.container = self.av.open(self.file, "w", format=self.kind.container, container_options={"fflags": "bitexact"})
        stream = self.container.add_stream(self.kind.codec, rate=self.rate, options=self.kind.options)
        odd = self.height % 2 or self.width % 2
        stream.height, stream.width = self.height, self.width
        stream.pix_fmt = self.kind.stored_odd if odd else self.kind.stored
        stream.time_base = stream.codec_context.time_base = self.kind.tick
        stream.codec_context.thread_count = 1  # with more, bytes depend on how these take turns
        if self.kind.given == "rgb24":
            stream.codec_context.colorspace = stream.codec_context.color_primaries = stream.codec_context.color_trc = 1  # BT.709
            stream.codec_context.color_range = 1
        self.stream = stream
        return self

    def write(self, frame: NDArray[np.uint8], time: Fraction) -> None:
        """Adds a frame that is shown from `time` on, in seconds; times grow.

        Raises:
            PictureError: it has another size or depth than the video.
        """
        frame = frame[..., None] if frame.ndim == 2 else frame
        channels = 1 if self.kind.given == "gray" else 3
        if frame.dtype != np.uint8 or frame.shape[:2] != (self.height, self.width) or frame.shape[2] not in (1, channels):
            wanted = (self.height, self.width, channels)
            raise PictureError(f"{self.path} was given a frame {frame.shape} of {frame.dtype}; it takes {wanted} of uint8.")
        pixels = frame[..., 0] if channels == 1 else np.broadcast_to(frame, (self.height, self.width, 3))
        made = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=self.kind.given)
        if self.kind.given == "rgb24":
            made = made.reformat(format=self.stream.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG")
        self.last = max(self.last + 1, round(time / self.kind.tick))
        made.pts, made.time_base = self.last, self.kind.tick
        self.container.mux(self.stream.encode(made))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        done = False
        try:
            if error is None:
                self.container.mux(self.stream.encode(None))
                self.container.close()
                done = True
        finally:
            self.file.close()
            if not done:
                self.path.unlink(missing_ok=True)
