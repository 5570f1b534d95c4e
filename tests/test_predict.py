"""Runs over folders that can be trusted: what is done stays done, what is bad is named, and whoever stops them loses nothing."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import ROOT, draw_cells, mounted
from PIL import Image

from unetlift import cli
from unetlift.batch.manifest import DONE, FAILED, read_all

MODEL = ROOT / "checkpoints" / "blur-3+bilinear"


def command(pictures: Path, out: Path, *more: object) -> list[str]:
    flags = {"model": MODEL, "input": pictures, "output": out, "precision": "float32"}
    return [sys.executable, "-m", "unetlift.cli", "predict", *(f"--{name}={value}" for name, value in flags.items()), *map(str, more)]


def predict(pictures: Path, out: Path, *more: object) -> subprocess.CompletedProcess:
    """In a process of its own, as users run it."""
    return subprocess.run(command(pictures, out, *more), capture_output=True, text=True, timeout=300)


def here(capsys: pytest.CaptureFixture, pictures: Path, out: Path, *more: object) -> tuple[int, str, str]:
    """In this process, which saves the seconds of its start."""
    with pytest.raises(SystemExit) as stop:
        cli.main(command(pictures, out, *more)[3:])
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def answers(out: Path) -> dict[str, bytes]:
    """All answers by their relative paths; what tells of the run itself (times, hashes) is not among them."""
    own = ("manifest", "summary", ".parts")
    found = (path for path in out.rglob("*") if path.is_file())
    return {name: path.read_bytes() for path in found if not (name := path.relative_to(out).as_posix()).startswith(own)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(14):
        path = folder / f"plate{number % 3}" / f"{number % 5}.{'png' if number % 4 else 'jpg'}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(draw_cells(rng, 150 + number, 171)[0]).save(path)
    return folder


@pytest.fixture(scope="module")
def finished(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The answers of a run that nothing befell."""
    out = tmp_path_factory.mktemp("finished") / "out"
    done = predict(pictures, out, "--overlay", "--objects", "--probabilities=npz")
    assert done.returncode == 0, done.stderr
    return out


ALL = ("--overlay", "--objects", "--probabilities=npz")


def test_each_picture_has_its_answers_and_its_record(pictures: Path, finished: Path) -> None:
    files = sorted(path.relative_to(pictures).as_posix() for path in pictures.rglob("*.*"))
    records = {record.file: record for record in read_all(finished) if record.status == DONE}
    assert sorted(records) == files
    for name, record in records.items():
        assert len(record.outputs) == 4 and record.input_sha256 and record.seconds > 0
        with Image.open(pictures / name) as picture, Image.open(finished / next(iter(record.outputs))) as mask:
            assert picture.size == mask.size and mask.mode == "P"
    lines = (finished / "summary.csv").read_text().splitlines()
    assert len(lines) == 1 + len(files) and lines[1].split(",")[:2] == [files[0], "done"]
    assert not list((finished / ".parts").glob("*/*"))


def test_run_again_nothing_is_done_twice_and_what_is_missing_is_repaired(pictures: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert here(capsys, pictures, out)[0] == 0
    before, stamps = answers(out), {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    lost, cut = out / "masks/plate0/3.png", out / "masks/plate1/1.png"
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    code, said, _ = here(capsys, pictures, out)
    assert code == 0 and "14 of 14 pictures predicted, 12 of them before" in said
    assert answers(out) == before
    anew = {path for path in out.rglob("*.png") if path.stat().st_mtime_ns != stamps[path]}
    assert anew == {lost, cut}


def test_another_content_network_or_setting_is_answered_anew(model_folder: Path, tmp_path: Path, capsys) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name in "ab":
        Image.fromarray(draw_cells(rng, 64, 64)[0]).save(folder / f"{name}.png")
    assert "0 of them" not in here(capsys, folder, out)[1]
    stamp = (folder / "a.png").stat()
    Image.fromarray(draw_cells(rng, 64, 64)[0]).save(folder / "a.png")
    os.utime(folder / "a.png", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # its time does not tell
    assert "1 of them before" in here(capsys, folder, out)[1]
    for more in (["--overlay"], [f"--model={model_folder}"], ["--spin=2"]):
        assert "of them before" not in here(capsys, folder, out, *more)[1]
        assert "2 of them before" in here(capsys, folder, out, *more)[1]
        assert "2 of them before" in here(capsys, folder, out, *more, "--workers=3", "--batch=2")[1]


def killed(process: list[str], seconds: float, number: int = signal.SIGKILL) -> int:
    """Starts a run and sends it a signal so many seconds after it has begun to write; returns its exit code."""
    out = Path(next(flag for flag in process if flag.startswith("--output=")).removeprefix("--output="))
    lines = _lines(out)
    running = subprocess.Popen(process, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while running.poll() is None and _lines(out) == lines:
        time.sleep(0.002)
    time.sleep(seconds)
    running.send_signal(number)
    return running.wait(timeout=120)


def _lines(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in out.glob("manifest*.jsonl"))


def kill_and_go_on(pictures: Path, finished: Path, out: Path, kills: int, number: int) -> None:
    chance, seen = random.Random(0), 0
    while seen < kills:
        seen += killed(command(pictures, out, *ALL), chance.uniform(0, 0.25), number) != 0
        whole = answers(finished)
        for name, data in answers(out).items():
            assert data == whole[name], name  # nothing half-written under a final name, at any moment
        if set(answers(out)) == set(whole):  # all were done: what is missing is made again
            for path in list((out / "masks").rglob("*.png"))[:6]:
                path.unlink()
    done = predict(pictures, out, *ALL)
    assert done.returncode == 0, done.stderr
    assert answers(out) == answers(finished)
    assert not list((out / ".parts").glob("*/*"))


def test_killed_at_any_moment_and_run_again_it_is_as_if_never_killed(pictures: Path, finished: Path, tmp_path: Path) -> None:
    kill_and_go_on(pictures, finished, tmp_path / "out", 2, signal.SIGKILL)


@pytest.mark.slow
def test_twelve_kills_change_nothing(pictures: Path, finished: Path, tmp_path: Path) -> None:
    kill_and_go_on(pictures, finished, tmp_path / "out", 12, signal.SIGKILL)


SIGTERM = pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_told_to_stop_it_finishes_what_it_writes(number: int, code: int, pictures: Path, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert killed(command(pictures, out, *ALL), 0.0, number) == code
    whole, part = answers(finished), answers(out)
    assert 0 < len(part) < len(whole) and all(whole[name] == data for name, data in part.items())
    records = [record for record in read_all(out) if record.status == DONE]
    assert len(part) == 4 * len(records)
    assert len((out / "summary.csv").read_text().splitlines()) == 1 + len(records)


def test_a_bad_file_is_named_and_the_rest_goes_on(pictures: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "c", "e"):
        (folder / f"{name}.png").write_bytes((pictures / "plate1/1.png").read_bytes())
    for name in ("b", "d"):
        (folder / f"{name}.png").write_text("dear diary")
    code, said, err = here(capsys, folder, tmp_path / "out")
    assert code == 1 and "3 of 5 pictures predicted." in said
    assert [line.split()[1] for line in err.splitlines()] == [f"{folder}/b.png", f"{folder}/d.png"]
    failed = [record for record in read_all(tmp_path / "out") if record.status == FAILED]
    assert {record.file for record in failed} == {"b.png", "d.png"} and all(record.error and record.input_sha256 for record in failed)
    assert sorted(answers(tmp_path / "out")) == ["masks/a.png", "masks/c.png", "masks/e.png"]
    code, said, err = here(capsys, folder, tmp_path / "first", "--fail-fast", "--workers=1")
    assert code == 1 and "Stopped after 1 failures" in err  # the next one may have begun, and is then completed
    assert {"masks/a.png"} <= set(answers(tmp_path / "first")) <= {"masks/a.png", "masks/c.png"}
    code, said, err = here(capsys, folder, tmp_path / "second", "--max-failures=2", "--workers=1")
    assert code == 1 and "Stopped after 2 failures" in err
    assert {"masks/a.png", "masks/c.png"} <= set(answers(tmp_path / "second"))


def test_somebody_elses_file_is_not_overwritten(pictures: Path, tmp_path: Path, capsys) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_bytes((pictures / "plate1/1.png").read_bytes())
    assert here(capsys, folder, out)[0] == 0
    (folder / "b.png").write_bytes((pictures / "plate1/1.png").read_bytes())
    (out / "masks" / "b.png").write_text("mine")
    code, _, err = here(capsys, folder, out)
    assert code == 1 and "was not made from this picture" in err
    assert (out / "masks" / "b.png").read_text() == "mine"


def test_shards_together_are_the_whole_and_merge(pictures: Path, finished: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    out = tmp_path / "out"
    assert here(capsys, pictures, out, *ALL, "--shard=1/3")[0] == 0
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "3")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "1")
    code, _, err = here(capsys, pictures, out, *ALL)
    assert code == 0 and "This is shard 2 of 3." in err
    assert here(capsys, pictures, out, *ALL, "--shard=3/3")[0] == 0
    assert answers(out) == answers(finished) and not (out / "summary.csv").exists()
    with pytest.raises(SystemExit) as stop:
        cli.main(["predict", "--merge", f"--output={out}"])
    assert stop.value.code == 0 and "14 of 14 pictures predicted" in capsys.readouterr().out
    assert len((out / "summary.csv").read_text().splitlines()) == 15
    monkeypatch.undo()
    assert "14 of them before" in here(capsys, pictures, out, *ALL)[1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "300k") as disk:
        yield disk


def test_a_full_disk_stops_it_in_one_sentence_and_what_was_done_stays(pictures: Path, finished: Path, small_disk: Path) -> None:
    done = predict(pictures, small_disk / "out", *ALL)
    assert done.returncode == 1
    assert done.stderr.startswith("unetlift: ") and done.stderr.count("\n") == 1 and "No space left" in done.stderr, done.stderr
    whole = answers(finished)
    assert all(whole[name] == data for name, data in answers(small_disk / "out").items())


def test_an_output_that_cannot_be_written_is_one_sentence(pictures: Path, small_disk: Path, capsys) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    code, _, err = here(capsys, pictures, small_disk / "out")
    assert code == 1 and err.count("\n") == 1 and "Read-only file system" in err


def test_pictures_are_answered_as_they_arrive(pictures: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    data = (pictures / "plate1/1.png").read_bytes()
    running = subprocess.Popen(command(folder, out, "--watch"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        (folder / "half.png").write_bytes(data[:1000])
        (folder / "a.png").write_bytes(data)
        wait_for(out / "masks/a.png", running)
        for end in range(1000, len(data), 4000):  # a copy that takes its time
            (folder / "half.png").write_bytes(data[:end])
            time.sleep(0.1)
        (folder / "half.png").write_bytes(data)
        wait_for(out / "masks/half.png", running)
    finally:
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 130 and "Stopped by SIGINT" in err
    assert (out / "masks/half.png").read_bytes() == (out / "masks/a.png").read_bytes()


def wait_for(path: Path, running: subprocess.Popen) -> None:
    while not path.exists():
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.05)


def test_full_batches_answer_the_same_whatever_comes_together(pictures: Path, tmp_path: Path, capsys) -> None:
    flags = ("--anchor=none", "--tile=96", "--overlap=32", "--batch=4", "--probabilities=npz")
    for workers in (1, 3):
        assert here(capsys, pictures, tmp_path / str(workers), *flags, f"--workers={workers}")[0] == 0
    assert answers(tmp_path / "1") == answers(tmp_path / "3")


def test_objects_polygons_and_probabilities_tell_of_one_mask(pictures: Path, tmp_path: Path, capsys) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.png").write_bytes((pictures / "plate1/1.png").read_bytes())
    code, *_ = here(capsys, folder, out, "--objects", "--polygons=both", "--probabilities=tiff", "--overlay")
    assert code == 0
    mask = np.asarray(Image.open(out / "masks/a.png"))
    probabilities = tifffile.imread(out / "probabilities/a.png.tif")
    assert probabilities.dtype == np.float16 and (probabilities.argmax(-1) == mask).mean() > 0.999
    rows = (out / "objects/a.png.csv").read_text().splitlines()
    shapes = json.loads((out / "polygons/a.png.geojson").read_text())["features"]
    assert len(rows) - 1 == len(shapes) > 0
    both = json.loads((out / "coco.json").read_text())
    assert [image["file_name"] for image in both["images"]] == ["a.png", "b.png"]
    assert sum(note["area"] for note in both["annotations"]) == 2 * (mask > 0).sum()


def test_a_terminal_sees_how_many_how_fast_and_how_long(pictures: Path, tmp_path: Path) -> None:
    import pty

    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.png").write_bytes((pictures / "plate1/1.png").read_bytes())
    (folder / "bad.png").write_text("dear diary")
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "160", "TERM": "xterm"}
    process = subprocess.Popen(command(folder, tmp_path / "out"), stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error on Linux
        while part := os.read(ours, 65536):
            seen += part
    assert process.wait() == 1
    for word in (b"/13", b"pictures/s", b"1 failed", b"12 of 13 pictures predicted", b"bad.png cannot be read"):
        assert word in seen, word


TIGHT = """
import resource, sys
from unetlift import cli
import torch, unetlift.batch
torch.nn.Conv2d(3, 8, 3)(torch.rand(1, 3, 64, 64))
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 1400 * 2**20,) * 2)
cli.main(sys.argv[1:])
"""


@pytest.mark.slow  # how much a process takes beside its tensors depends on the machine
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory cannot be made scarce")
def test_out_of_memory_goes_on_in_smaller_tiles_and_says_so(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1800, 2000, 3), dtype=np.uint8)).save(folder / "a.png", compress_level=1)
    tight = [sys.executable, "-c", TIGHT, *command(folder, tmp_path / "tight", "--tile=2000")[3:]]
    done = subprocess.run(tight, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert "a.png: memory did not suffice for more than tiles of" in done.stdout
    assert here(capsys, folder, tmp_path / "out")[0] == 0
    masks = [np.asarray(Image.open(tmp_path / out / "masks/a.png")) for out in ("tight", "out")]
    assert (masks[0] != masks[1]).mean() < 1e-5  # tiles sum in another order
