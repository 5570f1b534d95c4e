"""Videos are read and written frame by frame: times, sizes and labels survive, and what is missing is noticed."""

import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from unetlift import images
from unetlift.errors import PictureError, UsageError

RNG = np.random.default_rng(0)
UNEVEN = [Fraction(n, 1000) for n in (0, 40, 80, 200, 240, 700, 740)]


def film(path: Path, frames: Sequence[np.ndarray], matrix: list[int] | None = None, sound: bool = False, codec: str = "libx264") -> None:
    """A video as others write it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        if matrix:
            stream.set_display_matrix(matrix)
        track = container.add_stream("aac", rate=48000) if sound else None
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if track:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate = 48000
            container.mux(track.encode(silence))
            container.mux(track.encode())


def flat(colour: Sequence[int], height: int = 48, width: int = 64) -> np.ndarray:
    return np.broadcast_to(np.uint8(colour), (height, width, 3)).copy()


def test_masks_come_back_exactly_at_their_times(tmp_path: Path) -> None:
    labels = [RNG.integers(0, 256, (21, 33, 1), dtype=np.uint8) for _ in UNEVEN]
    with images.VideoWriter(tmp_path / "a.part", 21, 33, Fraction(25), "labels") as video:
        for frame, time in zip(labels, UNEVEN, strict=True):
            video.write(frame, time)
    with images.open_pages(tmp_path / "a.part") as opened:  # its name says nothing
        pages = list(opened)
        assert opened.kind == "video" and opened.rate is not None and opened.notes == ()
    assert [page.time for page in pages] == UNEVEN
    assert all(np.array_equal(page.read(), frame) for page, frame in zip(pages, labels, strict=True))
    with av.open(str(tmp_path / "a.part")) as reference:
        assert reference.streams.video[0].codec_context.name == "ffv1" and len(reference.streams) == 1
        seen = [frame.to_ndarray() for frame in reference.decode(video=0)]
    assert all(np.array_equal(a, b[..., 0]) for a, b in zip(seen, labels, strict=True))


@pytest.mark.parametrize("size", [(48, 64), (47, 63)], ids=["even", "odd"])
def test_pictures_keep_times_size_and_colours(size: tuple[int, int], tmp_path: Path) -> None:
    colours = [(200, 30, 40), (20, 180, 220), (255, 255, 255), (0, 0, 0), (128, 128, 128), (255, 0, 0), (0, 0, 255)]
    with images.VideoWriter(tmp_path / "a.mp4", *size, Fraction(30000, 1001), "pictures") as video:
        for colour, time in zip(colours, UNEVEN, strict=True):
            video.write(flat(colour, *size), time)
    with images.open_pages(tmp_path / "a.mp4") as opened:
        assert opened.count == 7
        for page, colour, time in zip(opened, colours, UNEVEN, strict=True):
            assert page.time == time and page.read().shape == (*size, 3)
            assert np.abs(page.read().astype(int) - colour).max() <= 3
    with av.open(str(tmp_path / "a.mp4")) as reference:
        context = reference.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p" if size == (48, 64) else "yuv444p") and context.colorspace == 1


@pytest.mark.parametrize("kind", ["labels", "pictures"])
def test_the_same_frames_give_the_same_bytes(kind: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        rng = np.random.default_rng(1)
        with images.VideoWriter(tmp_path / name, 64, 80, Fraction(25), kind) as video:
            for number in range(12):
                video.write(rng.integers(0, 256, (64, 80, 1), dtype=np.uint8), Fraction(number, 25))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_video_that_fails_leaves_no_file(tmp_path: Path) -> None:
    wanted = r"was given a frame \(3, 4, 1\) of uint8; it takes \(8, 8, 1\) of uint8"
    with pytest.raises(PictureError, match=wanted), images.VideoWriter(tmp_path / "a.mkv", 8, 8, Fraction(5), "labels") as video:
        video.write(np.zeros((8, 8), np.uint8), Fraction(0))
        video.write(np.zeros((3, 4), np.uint8), Fraction(1))
    assert list(tmp_path.iterdir()) == []


USUAL = [("mp4", "libx264"), ("mov", "mpeg4"), ("mkv", "libx264"), ("avi", "mpeg4"), ("webm", "libvpx")]


@pytest.mark.parametrize(("suffix", "codec"), USUAL)
def test_usual_videos_are_read(suffix: str, codec: str, tmp_path: Path) -> None:
    path, colours = tmp_path / f"a.{suffix}", [(200, 30, 40), (20, 180, 220), (128, 128, 128)]
    film(path, [flat(colour) for colour in colours], codec=codec)
    with images.open_pages(path) as opened:
        pages = list(opened)
        assert opened.kind == "video" and opened.rate == 10 and opened.count in (3, None)
        again = [page.time for page in opened]
    assert [page.time for page in pages] == again == [Fraction(number, 10) for number in range(3)]
    for page, colour in zip(pages, colours, strict=True):
        assert page.dtype == np.uint8 and (page.height, page.width, page.channels) == (48, 64, 3)
        assert np.abs(page.read().astype(int) - colour).max() <= 12


ONE = 65536
TURNS = {"clockwise": [0, ONE, 0, -ONE, 0, 0, 0, 0, ONE << 14], "half": [-ONE, 0, 0, 0, -ONE, 0, 0, 0, ONE << 14]}
TURNS |= {"back": [0, -ONE, 0, ONE, 0, 0, 0, 0, ONE << 14]}
"""QuickTime's matrices, as phones write them: x' = a x + c y, y' = b x + d y, with y downwards."""


@pytest.mark.parametrize(("turn", "corner"), [("clockwise", (0, -1)), ("half", (-1, -1)), ("back", (-1, 0))])
def test_phones_videos_are_upright(turn: str, corner: tuple[int, int], tmp_path: Path) -> None:
    frame = flat((0, 0, 0))
    frame[:16, :16] = 255  # the first corner
    film(tmp_path / "a.mp4", [frame], TURNS[turn], sound=True)
    with images.open_pages(tmp_path / "a.mp4") as opened:
        assert opened.notes == ("its sound is left out",)
        (page,) = opened
        assert (page.height, page.width) == ((48, 64) if turn == "half" else (64, 48))
        assert page.read()[corner].min() > 240 and page.read().mean() < 40


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.avi"])
@pytest.mark.parametrize("share", [0.01, 0.4, 0.98])
def test_a_video_that_was_cut_off_is_an_error(name: str, share: float, tmp_path: Path) -> None:
    film(tmp_path / name, [RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(9)], codec="mpeg4")
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PictureError, match=rf"{name} cannot be read as a picture"), images.open_pages(tmp_path / name):
        pass


def test_a_damaged_frame_is_named_when_it_is_reached(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    film(tmp_path / "a.mkv", [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(6)], codec="mpeg4")
    data = bytearray((tmp_path / "a.mkv").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    (tmp_path / "a.mkv").write_bytes(data)
    seen = 0
    with pytest.raises(PictureError, match=r"a\.mkv, frame \d, cannot be read") as told, images.open_pages(tmp_path / "a.mkv") as opened:
        for _ in opened:
            seen += 1
    assert 1 <= seen <= 4 and f"frame {seen + 1}," in str(told.value)


def test_videos_of_too_large_frames_are_refused(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", [flat((0, 0, 0))])
    wanted = "has 64 x 48 pixels; at most 999 are read"
    with pytest.raises(PictureError, match=wanted), images.open_pages(tmp_path / "a.mp4", max_pixels=999):
        pass


def test_a_picture_in_a_video_s_clothes_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    with pytest.raises(PictureError, match="it is no PNG"), images.open_pages(tmp_path / "a.mp4"):
        pass
    film(tmp_path / "b.mp4", [flat((0, 0, 0))])
    with pytest.raises(PictureError, match="it is no PNG"):
        images.read_picture(tmp_path / "b.mp4")


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / "a.mp4", [flat((0, 0, 0))])
    monkeypatch.setitem(sys.modules, "av", None)  # as if it were not installed
    with pytest.raises(UsageError, match=r"need the package av; run pip install unetlift\[video\]"), images.open_pages(tmp_path / "a.mp4"):
        pass
    with pytest.raises(UsageError, match=r"unetlift\[video\]"):
        images.VideoWriter(tmp_path / "b.mkv", 8, 8, Fraction(5), "labels")


def test_ten_times_the_frames_take_the_same_memory_and_nothing_is_said(tmp_path: Path) -> None:
    code = """
import resource, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from unetlift import images
path, frames = Path(sys.argv[1]), int(sys.argv[2])
with images.VideoWriter(path, 240, 320, Fraction(25), "labels") as video:
    for number in range(frames):
        video.write(np.full((240, 320), number % 256, np.uint8), Fraction(number, 25))
with images.open_pages(path) as opened:
    assert all(page.read()[0, 0, 0] == number % 256 for number, page in enumerate(opened))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    peaks = []
    for frames in ("30", "300"):
        done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.mkv", frames], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] + 15  # of 22 MB that the further frames have
