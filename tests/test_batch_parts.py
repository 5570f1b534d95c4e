"""The parts of a run over a folder, each on its own: names, manifest, staging, shards, questions, threads, arrivals."""

import os
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unetlift.batch import shards
from unetlift.batch.asking import Asking
from unetlift.batch.manifest import BEGUN, DONE, FAILED, Key, Manifest, Record, merge, summary
from unetlift.batch.names import answer_name, check_places, frame_name
from unetlift.batch.pipeline import outcomes
from unetlift.batch.stage import Staging
from unetlift.batch.watch import arrivals
from unetlift.batch.work import Item, Outcome
from unetlift.errors import PictureError, Stopped, UsageError

STEMS = st.sampled_from(["a", "b", "a.png", "a.jpg", "a.tif", ".a", "a b", "a.PNG", "a.jpg.png", "é", "000000"])
PICTURES = st.builds(lambda stem, suffix: Path(stem + suffix), STEMS, st.sampled_from([".png", ".jpg", ".tif", ".PNG", ".png.png", ".mp4"]))


@given(first=PICTURES, second=PICTURES, suffixes=st.sampled_from([(".png", ".png"), (".png", ".tif"), (".tif", ".tif"), (".csv", ".csv")]))
@settings(deadline=None)
def test_different_pictures_have_different_answers(first: Path, second: Path, suffixes: tuple[str, str]) -> None:
    if first != second:
        assert answer_name(first, suffixes[0]) != answer_name(second, suffixes[1])
        assert frame_name(first, 0, ".png") != answer_name(second, ".png")


@pytest.mark.parametrize(
    ("picture", "answer"), [("p/a.png", "p/a.png"), ("a.jpg", "a.jpg.png"), ("a.jpg.png", "a.jpg.png.png"), ("A.PNG", "A.PNG.png")]
)
def test_a_pngs_mask_has_its_name(picture: str, answer: str) -> None:
    assert answer_name(Path(picture), ".png") == Path(answer)


def test_answers_never_lie_in_over_or_around_pictures(tmp_path: Path) -> None:
    pictures = tmp_path / "out" / "pictures"
    pictures.mkdir(parents=True)
    (tmp_path / "link").symlink_to(pictures)
    for output in (pictures, pictures / "deep", tmp_path / "out", tmp_path / "link" / "x"):
        with pytest.raises(UsageError, match=r"lies in|is not empty"):
            check_places(pictures, output)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="holds no manifest"):
        check_places(pictures, tmp_path / "mine")


def record(file: str, status: str = DONE, **more: object) -> Record:
    return Record(file, status, "hash", "model", "settings", **more)


def test_a_manifest_remembers_by_content_network_settings_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"12345")
    Manifest(tmp_path).append(record("a", outputs={"a.png": 5}))
    manifest = Manifest(tmp_path)
    key = Key("hash", "model", "settings")
    assert manifest.is_done("a", key) and manifest.owns("a", "a.png") and not manifest.owns("b", "a.png")
    for other in (Key("x", "model", "settings"), Key("hash", "x", "settings"), Key("hash", "model", "x")):
        assert not manifest.is_done("a", other)
    (tmp_path / "a.png").write_bytes(b"1234")
    assert not manifest.is_done("a", key)
    manifest.append(record("a", FAILED, error="gone"))
    assert not Manifest(tmp_path).is_done("a", key)


@pytest.mark.parametrize("cut", range(2, 40, 7))
def test_a_line_that_was_cut_off_harms_no_other(tmp_path: Path, cut: int) -> None:
    manifest = Manifest(tmp_path)
    manifest.append(record("a", BEGUN, outputs={"a.png": 5}))
    manifest.append(record("b"))
    manifest.path.write_bytes(manifest.path.read_bytes()[:-cut])
    again = Manifest(tmp_path)
    again.append(record("c"))
    assert [r.file for r in Manifest(tmp_path).latest()] == ["c"]
    assert Manifest(tmp_path).owns("a", "a.png")


def test_manifests_of_shards_become_one_and_names_that_are_no_text_survive(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9\n.png")
    Manifest(tmp_path, "manifest-1-of-2.jsonl").append(record(odd, finished="2"))
    Manifest(tmp_path, "manifest-2-of-2.jsonl").append(record("b", FAILED, error='broken, "really"', finished="1"))
    merged = merge(tmp_path)
    assert [r.file for r in merged] == ["b", odd] == [r.file for r in merge(tmp_path)]
    assert Manifest(tmp_path).is_done(odd, Key("hash", "model", "settings"))
    assert '"broken, ""really"""' in summary(merged)
    assert (tmp_path / "summary.csv").read_text().count("\n") == 4  # the name holds a line break, within quotes


def test_only_one_run_writes_to_a_folder_and_what_a_killed_one_left_goes(tmp_path: Path) -> None:
    left = tmp_path / ".parts" / "manifest" / "7"
    left.mkdir(parents=True)
    (left / "0.png").write_bytes(b"half")
    with Staging(tmp_path, "manifest") as staging, staging.of_one() as staged:
        assert not left.exists()
        staged(Path("masks/a.png")).write_bytes(b"whole")
        assert staged.sizes() == {"masks/a.png": 5}
        with pytest.raises(UsageError, match="Another run is writing"):
            Staging(tmp_path, "manifest")
        with Staging(tmp_path, "manifest-1-of-2"):
            staged.place()
    assert (tmp_path / "masks" / "a.png").read_bytes() == b"whole"
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == [tmp_path / "masks" / "a.png"]


def test_what_cannot_be_put_in_place_is_told_before_anything_is(tmp_path: Path) -> None:
    (tmp_path / "masks" / "a.png").mkdir(parents=True)
    (tmp_path / "masks" / "b.png").write_text("mine")
    (tmp_path / "masks" / "c.png").symlink_to("nowhere")
    (tmp_path / "masks" / "d").write_text("no folder")
    with Staging(tmp_path, "manifest") as staging:
        for name in ("a", "b", "c", "x" * 252):
            with staging.of_one() as staged:
                staged(Path("masks") / f"{name}.png").write_bytes(b"1")
                with pytest.raises(PictureError, match=r"was not made from this picture|too long a name"):
                    staged.check(lambda answer: answer == "masks/a.png")
        with staging.of_one() as staged:
            staged(Path("masks/d/e.png")).write_bytes(b"1")
            staged.check(lambda answer: False)
            with pytest.raises(PictureError, match="another picture's answer has the name of its folder"):
                staged.place()


ENVIRONMENTS = {
    "slurm from 1": ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "1"}, shards.Shard(3, 4)),
    "slurm from 0": ({"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "0"}, shards.Shard(1, 4)),
    "slurm by tens": (
        {"SLURM_ARRAY_TASK_ID": "20", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_STEP": "10"},
        shards.Shard(3, 3),
    ),
    "torchrun": ({"RANK": "1", "WORLD_SIZE": "2"}, shards.Shard(2, 2)),
    "alone": ({}, shards.Shard(1, 1)),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_shard_is_read_from_the_environment_and_the_flag_goes_first(name: str) -> None:
    environment, expected = ENVIRONMENTS[name]
    assert shards.choose(None, environment) == expected
    assert shards.choose("2/5", environment) == shards.Shard(2, 5)


@pytest.mark.parametrize("flag", ["0/2", "3/2", "1", "a/b", "1/2/3", "-1/2"])
def test_a_shard_that_is_none_is_refused(flag: str) -> None:
    with pytest.raises(UsageError, match="shard"):
        shards.choose(flag, {})


def test_every_picture_has_one_shard() -> None:
    items = [Item(Path(f"{n}.png"), Path(f"{n}.png")) for n in range(100)]
    owners = [[item for item in items if shards.Shard(k, 3).has(item)] for k in (1, 2, 3)]
    assert sorted(item.path for part in owners for item in part) == sorted(item.path for item in items)
    assert all(20 < len(part) < 47 for part in owners)


def test_questions_of_one_shape_make_a_batch_that_is_always_full() -> None:
    seen, gate = [], threading.Event()

    def network(x: torch.Tensor) -> torch.Tensor:
        gate.wait()
        seen.append(tuple(x.shape))
        return 2 * x

    with Asking(3, lambda size: None) as asking:
        questions = [torch.full((1, 1, 2, 2 + n % 2), float(n)) for n in range(7)]
        answers = [asking.submit(network, x) for x in questions]
        gate.set()
        for x, answer in zip(questions, answers, strict=True):
            assert torch.equal(answer.result(), 2 * x)
    assert {shape[0] for shape in seen} == {3}
    assert 3 <= len(seen) <= 4  # the first may have gone before the others were there


def test_a_batch_that_memory_does_not_hold_is_halved_and_the_rest_is_told() -> None:
    def network(x: torch.Tensor) -> torch.Tensor:
        if len(x) > 2:
            raise torch.OutOfMemoryError("too much")
        if x.max() > 5:
            raise ValueError("seven")
        return x + 1

    sizes: list[int] = []
    with Asking(8, sizes.append) as asking:
        assert asking.submit(network, torch.zeros(1, 1, 2, 2)).result().sum() == 4
        with pytest.raises(ValueError, match="seven"):
            asking.submit(network, torch.full((1, 1, 2, 2), 7.0)).result()
    assert sizes == [4, 2]


def test_told_to_stop_who_waits_and_who_asks_is_told() -> None:
    begun, gate = threading.Event(), threading.Event()

    def network(x: torch.Tensor) -> torch.Tensor:
        begun.set()
        gate.wait()
        return x

    with Asking(1, lambda size: None) as asking:
        running, waiting = asking.submit(network, torch.zeros(1)), asking.submit(network, torch.zeros(1))
        begun.wait()
        asking.stop(Stopped("enough", 130))
        gate.set()
        assert torch.equal(running.result(), torch.zeros(1))
        with pytest.raises(Stopped, match="enough"):
            waiting.result()
        with pytest.raises(Stopped, match="enough"):
            asking.submit(network, torch.zeros(1))


ITEMS = [Item(Path(f"{n}"), Path(f"{n}")) for n in range(50)]


def test_every_item_is_answered_once_by_several_at_a_time() -> None:
    together = threading.Barrier(3, timeout=60)

    def answer(item: Item) -> Outcome:
        if int(item.path.name) < 3:
            together.wait()  # would never be passed one after the other
        return Outcome(record(item.path.name))

    heard = [outcome.record.file for outcome in outcomes(ITEMS, answer, 3)]
    assert sorted(heard, key=int) == [item.path.name for item in ITEMS]


def test_when_one_cannot_go_on_no_more_is_taken_and_its_error_is_raised() -> None:
    answered = []

    def answer(item: Item) -> Outcome:
        if item.path.name == "5":
            raise OSError("the disk is full")
        answered.append(item)
        return Outcome(record(item.path.name))

    with pytest.raises(OSError, match="the disk is full"):
        list(outcomes(ITEMS, answer, 2))
    assert len(answered) < 49


def test_arrivals_wait_until_a_file_has_stopped_growing_and_come_again_when_it_changes(tmp_path: Path) -> None:
    stop, growing = threading.Event(), tmp_path / "growing.png"
    (tmp_path / "old.png").write_bytes(b"old")
    growing.write_bytes(b"0")
    looks = []

    def listed(folder: Path) -> tuple[Path, list[Path]]:
        looks.append(len(looks))
        if len(looks) < 6:
            growing.write_bytes(b"0" * len(looks))
        return folder, sorted(folder.glob("*.png"))

    coming = arrivals(tmp_path, listed, stop, settled=0.6)
    assert next(coming).relative == Path("old.png")
    assert next(coming).relative == Path("growing.png") and len(looks) > 6
    (tmp_path / "old.png").write_bytes(b"newer")
    assert next(coming).relative == Path("old.png")
    stop.set()
    assert list(coming) == []
