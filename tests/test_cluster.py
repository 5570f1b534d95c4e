"""The engine ray: two actors on a Ray that the test starts give the local run's answers, to the byte."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_predict import ALL, answers, pictures, predict  # noqa: F401 (a fixture)

from unetlift.batch.manifest import DONE, FAILED, read_all

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Ray of two processors, without its page for people."""
    ray = pytest.importorskip("ray", reason="Ray is missing; install it with: pip install -e '.[ray]'")
    context = ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    address = context.address_info["gcs_address"]
    monkeypatch.setenv("RAY_ADDRESS", address)
    yield address
    ray.shutdown()


def test_two_actors_answer_as_the_local_run(pictures: Path, cluster: str, tmp_path: Path, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as Ray's actors have it: with other threads a network sums in another order
    finished = tmp_path / "finished"
    assert predict(pictures, finished, *ALL).returncode == 0
    folder, out = tmp_path / "in", tmp_path / "out"
    for path in pictures.rglob("*.*"):
        (folder / path.relative_to(pictures)).parent.mkdir(parents=True, exist_ok=True)
        (folder / path.relative_to(pictures)).write_bytes(path.read_bytes())
    done = predict(folder, out, *ALL, "--engine=ray", "--workers=2")
    assert done.returncode == 0 and "14 of 14 pictures predicted." in done.stdout, done.stderr
    assert answers(out) == answers(finished)
    assert sorted(path.name for path in out.glob("manifest*")) == ["manifest.jsonl"]
    assert len({record.file for record in read_all(out) if record.status == DONE}) == 14
    assert len((out / "summary.csv").read_text().splitlines()) == 15

    (out / "masks/plate0/3.png").unlink()
    (folder / "bad.png").write_text("dear diary")
    again = predict(folder, out, *ALL, "--engine=ray", "--workers=2")
    assert again.returncode == 1 and "14 of 15 pictures predicted, 13 of them before." in again.stdout
    (told,) = [line for line in again.stderr.splitlines() if line.startswith("unetlift: ")]
    assert "bad.png" in told
    assert answers(out) == answers(finished)
    assert [record.file for record in read_all(out) if record.status == FAILED] == ["bad.png"]
    assert all(json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines())
