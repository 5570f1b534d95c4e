"""The gallery's figures: pages say what is stored, and verdicts follow from the figures."""

import fcntl
import json
import sys
from collections.abc import Iterator

import pytest
from conftest import ROOT


@pytest.fixture(autouse=True)
def gallery(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The benchmarks' modules, for as long as a test takes."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield
    for name in set(sys.modules) - before:
        if name.startswith("gallery"):
            del sys.modules[name]


def test_the_pages_say_what_is_stored() -> None:
    from gallery_tables import MARK, PAGES, all_tables, filled

    tables = all_tables(json.loads((ROOT / "benchmarks" / "gallery.json").read_text()))
    for name in PAGES:
        text = (ROOT / name).read_text()
        assert MARK.search(text), f"{name} has no table of the gallery"
        assert text == filled(text, tables), f"run python benchmarks/gallery.py --table: {name} is not as the figures are"


def test_every_stored_run_is_one_of_the_list() -> None:
    from gallery_runs import LIST

    names = {run.name for run in LIST}
    assert len(names) == len(LIST) == len({run.folder for run in LIST})
    assert json.loads((ROOT / "benchmarks" / "gallery.json").read_text())["runs"].keys() <= names


def _runs(task: str, **scores: list[float]) -> dict:
    """Runs whose test pictures have these scores; `_` is + in a variant's name."""
    test = {"denoise": "CBSD68", "nuclei": "dsb2018"}[task]
    return {f"{task}/{name.replace('_', '+')}/0": {"quality": {f"{test}, none": {"each": each}}} for name, each in scores.items()}


@pytest.mark.parametrize(
    ("gain", "more", "kept"),
    [(0.5, True, True), (0.0, None, True), (-0.05, False, True), (-0.5, False, False)],
    ids=["better", "alike", "a little worse", "worse"],
)
def test_a_comparison_speaks_for_a_claim_where_its_interval_does(gain: float, more: bool | None, kept: bool) -> None:
    from gallery_claims import Comparison

    before = [28.0, 30.0, 27.5, 31.0, 29.0, 26.0]
    noise = [0.01, -0.01, 0.01, -0.01, 0.01, -0.01]
    runs = _runs("denoise", lift_lift=[a + gain + b for a, b in zip(before, noise, strict=True)], max_unpool=before)
    for wish, expected in (("more", more), ("kept", kept)):
        comparison = Comparison("denoise", "lift+lift", "max+unpool", "quality", wish)
        mean, low, high = comparison.difference(runs)
        assert comparison.holds(low, high) is expected
    assert mean == pytest.approx(gain, abs=1e-9) and low <= gain + 1e-9 and high >= gain - 1e-9


def test_what_another_seed_undoes_is_open() -> None:
    from gallery_claims import Comparison

    comparison, before = Comparison("denoise", "lift+lift", "max+unpool", "quality", "more"), [28.0, 30.0, 27.5, 31.0]
    one = _runs("denoise", lift_lift=[a + 0.5 for a in before], max_unpool=before)
    other = _runs("denoise", lift_lift=[a - 0.3 for a in before], max_unpool=before)
    for runs, expected in ((one, True), (one | {name.replace("/0", "/1"): row for name, row in other.items()}, None)):
        _, low, high = comparison.difference(runs)
        assert comparison.holds(low, high) is expected


def test_a_picture_without_a_score_is_in_no_comparison() -> None:
    from gallery_claims import Comparison

    runs = _runs("denoise", lift_lift=[2.0, None, 4.0, 9.0], max_unpool=[1.0, 50.0, 3.0, None])
    assert Comparison("denoise", "lift+lift", "max+unpool", "quality", "more").difference(runs) == pytest.approx((1, 1, 1))


def test_a_claim_is_confirmed_only_where_every_comparison_says_so() -> None:
    from gallery_claims import Claim, Comparison, differences

    both = tuple(Comparison(task, "lift+lift", "max+unpool", "quality", "more") for task in ("denoise", "nuclei"))
    claim = Claim("lifts are better", both)
    better = _runs("denoise", lift_lift=[2.0, 3.0], max_unpool=[1.0, 2.0])
    worse = _runs("nuclei", lift_lift=[0.2, 0.3], max_unpool=[0.5, 0.6])
    verdicts = [claim.verdict(differences([claim], runs)) for runs in ({}, better, worse, better | worse)]
    assert verdicts == ["not measured", "**confirmed**", "**opposite**", "**not confirmed** (1 for, 1 against)"]


def test_another_command_or_other_data_is_another_run(tmp_path) -> None:
    from gallery_runs import Run, data_hash

    one, other = Run("nuclei", "max+nearest", 1), Run("nuclei", "max+nearest", 2)
    assert one.command != other.command and one.folder != other.folder
    (tmp_path / "a.txt").write_text("1")
    before = data_hash(tmp_path)
    data_hash.cache_clear()
    (tmp_path / "a.txt").write_text("2")
    assert data_hash(tmp_path) != before


def test_a_run_has_one_process_at_a_time(tmp_path) -> None:
    from gallery import held

    for _ in range(2):
        with held(tmp_path / "runs" / "0.lock") as first, held(tmp_path / "runs" / "0.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as second:
            assert first and not second


def test_every_command_of_the_list_makes_a_network() -> None:
    from gallery_runs import LIST

    from unetlift import UNet
    from unetlift.flags import parse
    from unetlift.recipe import TrainConfig

    made = set()
    for run in LIST:
        if run.start is None:
            config = parse(TrainConfig, [*run.command[2:], "--out", str(run.folder)], "unetlift train", "")
            assert config.task == ("segment" if run.task in ("nuclei", "streets", "start") else config.task)
            made.add(config.network)
    for network in made:
        UNet(**vars(network))
    assert len(made) > 40
