"""A folder of odd files: each has the outcome that is written down for it, nothing hangs, and the good ones are all done."""

import subprocess
from pathlib import Path

from test_predict import command
from zoo import build

from unetlift.batch.manifest import DONE, read_all


def test_every_animal_of_the_zoo_has_its_outcome(tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    expected = build(tmp_path / "zoo")
    assert len(expected) >= 60
    done = subprocess.run(command(tmp_path / "zoo", tmp_path / "out"), capture_output=True, text=True, timeout=200)
    records = {record.file: record for record in read_all(tmp_path / "out") if record.status != "begun"}
    assert done.returncode == 1 and "Traceback" not in done.stderr
    wrong = {}
    for name, outcome in expected.items():
        record = records.get(name)
        if outcome.done is None:
            good = record is None
        elif outcome.done:
            good = record is not None and record.status == DONE and all((tmp_path / "out" / path).is_file() for path in record.outputs)
        else:
            good = record is not None and record.status != DONE and outcome.sentence in record.error
        if not good:
            wrong[name] = (outcome, record)
    assert not wrong
    assert "\x1b" not in done.stderr + done.stdout
    failed = sum(record.status != DONE for record in records.values())
    assert sum(line.startswith("unetlift: ") for line in done.stderr.splitlines()) == failed
    assert set(records) <= set(expected)
    assert len({path for record in records.values() for path in record.outputs}) == sum(len(record.outputs) for record in records.values())
