"""Many pictures through the page at once: the same answers as on the command line, one archive, nothing left behind."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import tifffile
import torch
from gradio.exceptions import Error
from PIL import Image

from unetlift import UNet, images
from unetlift.demo import batch, networks
from unetlift.demo.answering import Batch, safe_names
from unetlift.demo.examples import nuclei
from unetlift.demo.parcel import Turn, remove_old
from unetlift.errors import Stopped

# Gradio opens an event loop wherever it is imported, and loses it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed (event loop|<socket):ResourceWarning")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "gradio").mkdir()
    return tmp_path / "gradio"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> networks.Network:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoints")
    UNet(depth=2, width=4, classes=3, down="max", up="nearest").save_pretrained(folder / "a")
    return networks.find(folder)[0]


@pytest.fixture
def batches(network: networks.Network) -> batch.Batches:
    return batch.Batches((network,))


def uploaded(cache: Path, *files: tuple[str, bytes]) -> list[dict]:
    """Files where Gradio puts them."""
    told = []
    for number, (name, data) in enumerate(files):
        path = cache / f"{number:064}" / Path(name).name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        told.append({"path": str(path), "orig_name": name})
    return told


def png(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(nuclei(side=100, count=8, seed=seed)[..., 0]).save(buffer, format="PNG")
    return buffer.getvalue()


def files_of(cache: Path) -> Iterator[Path]:
    """Everything anywhere, but the test's own."""
    return (path for path in cache.parent.rglob("*") if path.is_file())


def test_the_archive_holds_what_the_network_answers(batches: batch.Batches, network: networks.Network, cache: Path) -> None:
    turn, *_ = batches.begin(None, None, uploaded(cache, ("a.png", png(1)), ("b/a.png", png(2)), ("broken.png", png(3)[:300])))
    assert {path.parent for path in files_of(cache)} == {turn.room / "in"}
    *_, (status, shown, folder) = batches.answer(turn, network.name, True)
    assert "2 of 3 pictures answered" in status and "broken.png" in shown and str(cache.parent / "unetlift") not in shown
    assert not turn.room.exists()
    (archive,) = files_of(cache)
    assert archive.parent == folder and f'href="gradio_api/file={archive}"' in shown
    with zipfile.ZipFile(archive) as packed:
        names = ["masks/a-2.png", "masks/a.png", "overlays/a-2.png", "overlays/a.png", "summary.csv"]
        assert sorted(packed.namelist()) == names
        for name, seed in (("a.png", 1), ("a-2.png", 2)):
            mask = np.asarray(Image.open(io.BytesIO(packed.read(f"masks/{name}"))))
            page = images.decode_picture(png(seed), Path(name))
            answer = network.asked("crop", False).answer(network.predictor.prepare(page))[0]
            assert (mask == answer.argmax(1)[0].numpy()).all()
        rows = packed.read("summary.csv").decode().splitlines()
    assert rows[0].startswith("file,status") and [row.split(",")[1] for row in rows[1:]] == ["done", "done", "failed"]
    assert str(turn.room) not in "".join(rows)

    batches.begin(turn, folder, uploaded(cache, ("c.png", png())))[0].leave()
    assert list(files_of(cache)) == []  # the next batch takes the archive's place


def test_without_overlays_there_are_masks_alone(batches: batch.Batches, network: networks.Network, cache: Path) -> None:
    turn, *_ = batches.begin(None, None, uploaded(cache, ("a.png", png())))
    *_, (_, _, folder) = batches.answer(turn, network.name, False)
    assert zipfile.ZipFile(next(folder.iterdir())).namelist() == ["summary.csv", "masks/a.png"]


def test_cancelled_it_leaves_nothing(batches: batch.Batches, network: networks.Network, cache: Path) -> None:
    turn, *_ = batches.begin(None, None, uploaded(cache, *((f"{n}.png", png(n)) for n in range(4))))
    answers = batches.answer(turn, network.name, True)
    next(answers)
    batches.cancel(turn)
    *_, (said, _, folder) = answers
    assert "Cancelled" in said and folder is None and list(files_of(cache)) == [] and not turn.room.exists()

    gone, *_ = batches.begin(turn, None, uploaded(cache, ("a.png", png())))
    answers = batches.answer(gone, network.name, True)
    next(answers)
    answers.close()  # as Gradio does for a visitor who has gone
    assert list(files_of(cache)) == [] and not gone.room.exists()


def test_a_second_click_ends_the_first(batches: batch.Batches, network: networks.Network, cache: Path) -> None:
    first, *_ = batches.begin(None, None, uploaded(cache, ("a.png", png())))
    second, *_ = batches.begin(first, None, uploaded(cache, ("b.png", png())))
    assert first.left.is_set() and not first.room.exists() and list(batches.answer(first, network.name, True)) == []
    *_, (_, shown, _) = batches.answer(second, network.name, True)
    assert "b.png" in shown
    assert list(batches.answer(second, network.name, True)) == []


def test_time_ends_it(network: networks.Network, tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "a.png").write_bytes(png())
    with pytest.raises(Stopped, match="which are over"):
        list(Batch(network, tmp_path / "in", tmp_path / "out", True).answered(Event(), -1))


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([("a.txt", b"x")], "a.txt is no picture"),
        ([("a.png", b"x")], "a.png cannot be read"),
        ([("a.mp4", b"x")], "a.mp4 is no picture"),
        ([(f"{n}.png", b"") for n in range(batch.MOST + 1)], "21 files"),
        ([], "0 files"),
    ],
)
def test_what_is_not_taken_is_told_and_removed(batches: batch.Batches, cache: Path, files: list, sentence: str) -> None:
    with pytest.raises(Error, match=sentence):
        batches.begin(None, None, uploaded(cache, *files))
    assert list(files_of(cache)) == []


def test_stacks_and_too_many_pixels_are_not_taken(batches: batch.Batches, cache: Path) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((3, 32, 32), np.uint8), photometric="minisblack")
    with pytest.raises(Error, match="several pages"):
        batches.begin(None, None, uploaded(cache, ("a.tif", buffer.getvalue())))
    large = io.BytesIO()
    Image.new("1", (4000, 4000)).save(large, format="PNG")
    with pytest.raises(Error, match="megapixels together"):
        batches.begin(None, None, uploaded(cache, *((f"{n}.png", large.getvalue()) for n in range(3))))
    assert list(files_of(cache)) == []


def test_another_visitors_folder_is_no_upload(batches: batch.Batches, cache: Path) -> None:
    (file,) = uploaded(cache, ("theirs.png", png()))
    theirs = Path(file["path"])
    link = cache / ("1" * 64) / "link.png"
    link.parent.mkdir()
    link.symlink_to(theirs)
    for path in (theirs.parent, cache, cache.parent, link, cache / "x"):
        with pytest.raises(Error, match="not there any more"):
            batches.begin(None, None, [{"path": str(path)}])
    for given in (None, "x", 3, [3], {"path": 4}, [[]], {}):
        with pytest.raises(Error, match="no upload"):
            batches.begin(None, None, given)
    assert theirs.exists()


def test_an_unknown_network_is_told(batches: batch.Batches, cache: Path) -> None:
    turn, *_ = batches.begin(None, None, uploaded(cache, ("a.png", png())))
    ((said, *_),) = batches.answer(turn, "../x", True)
    assert "network &#x27;../x&#x27; is unknown" in said and not turn.room.exists()


def test_names_are_harmless_and_differ() -> None:
    given = ["../../x.png", "x.png", "X.PNG", "=cmd.png", "-rf.png", "é" * 300 + ".png", "a\nb.png", "<b>.png", "...png", ".png"]
    given += ["日本.tif", "CON.png"]
    names = safe_names(given)
    assert len({name.casefold() for name in names}) == len(given)
    assert all(len(name.encode()) < 200 and not set(name) & set('/\\<>:"|?*\n=') and name[0] not in "-.=+@" for name in names)
    assert names[-2] == "日本.tif" and names[1] != names[2]


def test_old_archives_are_removed(cache: Path) -> None:
    with batch.addressed("a.zip") as (path, _):
        path.write_bytes(b"x")
    remove_old()
    assert path.exists()
    remove_old(-1)
    assert not path.parent.exists()


def test_an_archive_that_cannot_be_written_is_not_half_there(cache: Path) -> None:
    with pytest.raises(OSError, match="full"), batch.addressed("a.zip") as (path, _):
        path.write_bytes(b"x")
        raise OSError("full")
    assert list(files_of(cache)) == []


def test_a_turn_that_never_began_leaves_nothing(cache: Path) -> None:
    turn = Turn()
    assert turn.room.stat().st_mode & 0o077 == 0
    turn.leave()
    assert not turn.room.exists() and not turn.begin()
