"""A visitor's own model: taken in, measured apart, its figures those of the library, nothing of it left behind."""

import io
import json
import stat
import struct
import time
import zipfile
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
import torch
from gradio.exceptions import Error
from PIL import Image

from unetlift import UNet, stability
from unetlift.demo.examples import nuclei
from unetlift.demo.job import KEPT, Job, cut, numbers
from unetlift.demo.yours import Yours
from unetlift.errors import ModelFolderError, PictureError, UsageError
from unetlift.foreign import open_upload
from unetlift.guest import heard
from unetlift.guest.measuring import fitted
from unetlift.guest.unzip import unzip
from unetlift.shifts import square

# Gradio opens an event loop wherever it is imported, and loses it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed (event loop|<socket):ResourceWarning")

JOB = ["crop", 1, "0", "1", "find out"]
CONFIG, WEIGHTS = "config.json", "model.safetensors"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "own" / "gradio"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "own"))
    (tmp_path / "own" / "gradio").mkdir(parents=True)
    return tmp_path / "own" / "gradio"


@pytest.fixture
def yours() -> Yours:
    return Yours({"nuclei": nuclei, "small": lambda: nuclei(side=112, count=9)})


def uploaded(cache: Path, **files: bytes) -> list[dict]:
    """Files where Gradio puts them."""
    told = []
    for number, (name, data) in enumerate(files.items()):
        path = cache / f"{number:064}" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        told.append({"path": str(path), "orig_name": name})
    return told


def left(cache: Path) -> list[Path]:
    """All files in Gradio's cache and in visitors' folders."""
    return [path for path in cache.parent.rglob("*") if path.is_file() and path.name != ".ses"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)}


def said(yours: Yours, turn: object) -> list[tuple[str, str]]:
    return [told for told in yours.measure(turn) if isinstance(told[0], str)]


def test_a_model_folders_figures_are_those_of_the_library(yours: Yours, cache: Path, model_folder: Path) -> None:
    turn, status, _ = yours.begin(None, uploaded(cache, **files_of(model_folder)), "small", None, *JOB)
    assert "Waiting" in status and {path.name for path in left(cache)} == {CONFIG, WEIGHTS, "job.json", "picture.npy"}
    assert cache not in {folder for path in left(cache) for folder in path.parents} and turn.room.stat().st_mode & 0o077 == 0
    status, shown = said(yours, turn)[-1]
    assert "8 of 8 shifts: done; the model was removed" in status and left(cache) == [] and not turn.room.exists()

    opened = open_upload(model_folder)
    x = opened.prepare(cut(nuclei(side=112, count=9)), "it")
    report = stability.measure(opened.function, [x], "crop", 1, shifts=square(1), multiple=opened.multiple, margin=16)
    assert f'data-psnr="{report.mean:.4f}"' in shown and f'data-worst="{report.worst:.4f}"' in shown
    assert "lift+lift@adaptive" in shown and "circular padding" in shown and "% </b>" not in shown
    assert shown.count("<img") == 5 and shown.count('alt="') == 5  # curve with heat map; picture, two answers, change


@pytest.mark.slow
def test_an_onnx_file_is_measured_as_it_is_said_to_be_read(yours: Yours, cache: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)

    class Strided(torch.nn.Module):
        """Answers with logits that depend on where the grid lies."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            coarse = torch.nn.functional.avg_pool2d(x, 4)
            fine = torch.nn.functional.interpolate(coarse, scale_factor=4.0, mode="nearest")
            return torch.cat((5 * fine, 1 - 5 * fine), 1)

    path = tmp_path / "strided.onnx"
    torch.onnx.export(Strided().eval(), (torch.rand(1, 1, 64, 64),), path, dynamo=True, external_data=False)
    model = {"strided.onnx": path.read_bytes()}
    turn, *_ = yours.begin(None, uploaded(cache, **model), "nuclei", None, "crop", 4, "0.2", "0.5", "logits")
    status, shown = said(yours, turn)[-1]
    assert "80 of 80 shifts: done" in status and "strided.onnx" in shown and "answers with logits" in shown
    opened = open_upload(path)

    def ask(x: torch.Tensor) -> torch.Tensor:
        return Strided()((x - 0.2) / 0.5).softmax(1)

    x = torch.from_numpy(fitted(cut(nuclei()), opened.size, 8)).permute(2, 0, 1)[None]
    report = stability.measure(ask, [x], "crop", 4, shifts=square(4), margin=16, size=(64, 64))
    assert abs(float(shown.split('data-psnr="')[1].split('"')[0]) - report.mean) < 1e-2
    assert "Heat map over all shifts: from" in shown and "to exact" in shown  # by multiples of 4 nothing changes


def test_a_second_click_and_cancel_end_it_at_once(yours: Yours, cache: Path, model_folder: Path) -> None:
    first, *_ = yours.begin(None, uploaded(cache, **files_of(model_folder)), "nuclei", None, "crop", 8, "", "", "find out")
    told: list = []
    thread = Thread(target=lambda: told.extend(said(yours, first)))
    thread.start()
    while not told and not (first.room / "job.json").exists():
        time.sleep(0.01)
    second, *_ = yours.begin(first, uploaded(cache, **files_of(model_folder)), "nuclei", None, *JOB)
    thread.join(10)
    assert not thread.is_alive() and "cancelled" in told[-1][0] and not first.room.exists()
    yours.cancel(second)  # before it began
    assert left(cache) == [] and said(yours, second) == [] and said(yours, None) == []


def test_who_has_gone_leaves_nothing(yours: Yours, cache: Path, model_folder: Path) -> None:
    turn, *_ = yours.begin(None, uploaded(cache, **files_of(model_folder)), "nuclei", None, *JOB)
    telling = yours.measure(turn)
    next(telling), next(telling)
    telling.close()  # as Gradio does
    assert left(cache) == [] and not turn.room.exists()


def test_time_is_short(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{}")
    begun = time.monotonic()
    with pytest.raises(UsageError, match="which are over"):
        list(heard(tmp_path, 0.0, Event()))
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"m.pt": b"x"}, "m.pt is no model"),
        ({"m.onnx": b"x", "n.onnx": b"x"}, "m.onnx, n.onnx is no model"),
        ({CONFIG: b"x"}, "config.json is no model"),
        ({CONFIG: b"x", WEIGHTS: b"x", "a.py": b"x"}, "3 files"),
        ({}, "0 files"),
    ],
)
def test_what_is_no_model_is_told_and_removed(yours: Yours, cache: Path, files: dict[str, bytes], sentence: str) -> None:
    with pytest.raises(Error, match=sentence):
        yours.begin(None, uploaded(cache, **files), "nuclei", None, *JOB)
    assert left(cache) == []


def test_a_model_that_is_too_large_is_told(yours: Yours, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unetlift.demo.job.LARGEST", 10)
    with pytest.raises(Error, match="more than 0 MB"):
        yours.begin(None, uploaded(cache, **{"m.onnx": b"x" * 11}), "nuclei", None, *JOB)
    assert left(cache) == []


@pytest.mark.parametrize(
    "job",
    [
        ["video", 1, "0", "1", "find out"],
        ["crop", 9, "0", "1", "find out"],
        ["crop", 1.5, "0", "1", "find out"],
        ["crop", None, "", "", "labels"],
        ["crop", 1, "x", "1", "find out"],
        ["crop", 1, "0", "0", "labels"],
        ["crop", 1, "0", "1", "music"],
        [[], {}, [], {}, []],
    ],
)
def test_settings_are_checked(yours: Yours, cache: Path, job: list) -> None:
    with pytest.raises(Error, match=r"is .*; it is|unknown"):
        yours.begin(None, uploaded(cache, **{"m.onnx": b"x"}), "nuclei", None, *job)
    assert left(cache) == []


def test_numbers_are_one_or_one_a_channel(tmp_path: Path) -> None:
    assert numbers("mean", "", 0) == 0 and numbers("std", None, 1) == 1
    assert numbers("mean", "0.485, 0.456,0.406", 0) == [0.485, 0.456, 0.406]
    for text in ("nan", "inf", "1e999", "0," * 20, "0x10", "1 2"):
        with pytest.raises(UsageError, match="mean is"):
            numbers("mean", text, 0)
    Job("roll", 2.0, "0", "1", "labels").write(tmp_path, "m.onnx")
    assert json.loads((tmp_path / "job.json").read_text())["max_shift"] == 2


def test_a_picture_of_ones_own(yours: Yours, cache: Path) -> None:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 2**16, (700, 120), dtype=np.uint16)
    Image.fromarray(pixels).save(buffer, format="PNG")
    own, example, _ = yours.choose(uploaded(cache, **{"a.png": buffer.getvalue()})[0])
    assert example is None and own.shape == (KEPT, 120, 1) and left(cache) == []
    assert np.array_equal(own[..., 0], (pixels[78 : 78 + KEPT] / np.float32(65535)).astype(np.float32))
    with pytest.raises(Error, match=r"a\.png cannot be read"):
        yours.choose(uploaded(cache, **{"a.png": b"x"}))
    with pytest.raises(PictureError, match="60 x 200 pixels"):
        cut(np.zeros((200, 60, 1), np.uint8))
    assert left(cache) == []


def test_models_of_one_size_get_a_picture_of_it() -> None:
    picture = np.random.default_rng(0).random((300, 200, 1), dtype=np.float32)
    assert fitted(picture, None, 16).shape == (256, 200, 1)
    assert np.array_equal(fitted(picture, (64, 64), 0), picture[118:182, 68:132])
    large = fitted(picture, (512, 256), 8)
    assert large.shape == (520, 264, 1) and np.array_equal(large[110:410, 32:232], picture)


def archive(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries:
            packed.writestr(name, data)
    return buffer.getvalue()


def unpack(data: bytes, folder: Path, most: int = 2**20) -> dict[str, bytes]:
    """The files that come out."""
    path, target = folder / "m.zip", folder / "model"
    path.write_bytes(data)
    target.mkdir()
    unzip(path, target, most)
    return {file.name: file.read_bytes() for file in target.iterdir()}


@pytest.mark.parametrize("where", ["", "model/"])
def test_an_archive_of_a_model_folder_is_unpacked(tmp_path: Path, where: str) -> None:
    data = archive((f"{where}config.json", b"{}"), (f"{where}model.safetensors", b"weights"), (f"{where}README.md", b"# x"))
    assert unpack(data, tmp_path) == {CONFIG: b"{}", WEIGHTS: b"weights"}


LINK = zipfile.ZipInfo(WEIGHTS)
LINK.external_attr = (stat.S_IFLNK | 0o777) << 16
GOOD = (CONFIG, b"{}")


@pytest.mark.parametrize(
    "entries",
    [
        [GOOD, (f"../{WEIGHTS}", b"x")],
        [GOOD, (f"a/../../{WEIGHTS}", b"x")],
        [GOOD, (f"/tmp/{WEIGHTS}", b"x")],
        [GOOD, (f"..\\{WEIGHTS}", b"x")],
        [GOOD, (f"C:{WEIGHTS}", b"x")],
        [GOOD, (f"a/b/{WEIGHTS}", b"x")],
        [GOOD, (f"a/{WEIGHTS}", b"x")],
        [GOOD, (LINK, b"/etc/passwd")],
        [GOOD, (WEIGHTS, b"x"), ("evil.py", b"x")],
        [GOOD],
        [],
        [GOOD, *((f"{number}/", b"") for number in range(20))],
    ],
)
def test_archives_of_anything_else_are_refused(tmp_path: Path, entries: list) -> None:
    before = sorted(tmp_path.parent.iterdir())
    with pytest.raises(ModelFolderError, match="archive"):
        unpack(archive(*entries), tmp_path)
    assert list((tmp_path / "model").iterdir()) == [] and sorted(tmp_path.parent.iterdir()) == before


def test_archives_that_unfold_are_refused(tmp_path: Path) -> None:
    data = archive(GOOD, (WEIGHTS, bytes(2**21)))
    for name, bomb in (("declared", data), ("lying", data.replace(struct.pack("<I", 2**21), struct.pack("<I", 8)))):
        (tmp_path / name).mkdir()
        with pytest.raises(ModelFolderError, match=r"MB unpacked|cannot be unpacked"):
            unpack(bomb, tmp_path / name)
        assert sum(file.stat().st_size for file in (tmp_path / name / "model").iterdir()) < 2**20
    for name, text in (("none", b"x"), ("cut", data[:200]), ("empty", b"")):
        (tmp_path / name).mkdir()
        with pytest.raises(ModelFolderError, match="cannot be unpacked"):
            unpack(text, tmp_path / name)


@pytest.mark.slow
def test_a_described_network_that_fills_the_memory_ends_in_a_sentence(yours: Yours, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    UNet(depth=2, width=4, classes=2).save_pretrained(folder)
    config = json.loads((folder / CONFIG).read_text())
    config["network"] |= {"width": 2**20, "depth": 8}
    files = files_of(folder) | {CONFIG: json.dumps(config).encode()}
    turn, *_ = yours.begin(None, uploaded(cache, **files), "nuclei", None, *JOB)
    status, shown = said(yours, turn)[-1]
    assert "told-sentence" in status and "1048576" in status and shown == "" and left(cache) == []
