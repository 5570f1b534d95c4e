"""The proof: every variant trained alike on real data, its quality, stability and cost.

    python benchmarks/gallery.py --train     # all that is in the list and not done, one at a time; resumable

What benchmarks/gallery.json has the figures of is not trained again: take a run's figures out of it, or begin without it, to do so.
Two of these at once share the list, no run twice; with OMP_NUM_THREADS=1 each, two cores do a third more than one after the other.

Data: data_scripts/{bsds500,sr_test,dsb2018,camvid,facades,photos_cc}.py, each into data/NAME; facades with --source paris,
and data/masks2018 by dsb2018.py with --layout translate.
"""

import argparse
import fcntl
import hashlib
import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import segmentation_models_pytorch as smp
import torch
from gallery_measure import PROTOCOL, measure
from gallery_runs import LIST, PEERS, RUNS, TASKS, Run

import unetlift
from unetlift.checkpoint import write_atomically
from unetlift.info import ModelInfo

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).with_suffix(".json")
DIGEST = hashlib.sha256(json.dumps(PROTOCOL).encode()).hexdigest()
PICTURE = 32
"""Of the test split, in the animation."""
LEFT = 75
"""The exit code of `one` where it has done something: there may be more."""


def stored() -> dict[str, Any]:
    """All that was measured so far."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": {}}


def put(everything: dict[str, Any]) -> None:
    """Writes it, whole or not at all."""
    write_atomically(RESULTS, lambda part: part.write_text(compact(everything)))


@contextmanager
def held(path: Path, mode: int = fcntl.LOCK_EX) -> Iterator[bool]:
    """Whether this process alone has the lock while the block runs; with `fcntl.LOCK_EX | fcntl.LOCK_NB` it is not waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, mode)
        except BlockingIOError:
            yield False
        else:
            yield True


def store(run: Run, figures: dict[str, Any]) -> None:
    """Puts a run's figures among the results, with all that made them."""
    names = ("unetlift", "torch", "lightning", "albumentations", "segmentation-models-pytorch")
    made = {"content": run.content, "protocol": DIGEST, "command": " ".join(run.command)}
    made["versions"] = " ".join(f"{name} {version(name)}" for name in names)
    about = {"machine": f"{platform.machine()}, 2 CPU cores, no GPU", "python": platform.python_version(), "protocol": PROTOCOL}
    with held(RUNS / "results.lock"):
        found = stored()
        put(found | about | {"runs": found["runs"] | {run.name: made | figures}})


def compact(values: Any) -> str:
    """JSON with a list of numbers on one line."""
    numbers = re.compile(r"\[[^][{}\"]*\]")
    return numbers.sub(lambda found: " ".join(found[0].split()), json.dumps(values, indent=1)) + "\n"


def measured(run: Run) -> bool:
    """Whether its figures are stored, taken as they would be now."""
    found = stored()["runs"].get(run.name, {})
    return (found.get("content"), found.get("protocol")) == (run.content, DIGEST)


def train() -> None:
    """Trains and measures what has not been; what was interrupted goes on. Each in a process of its own, which reads the list anew."""
    while (code := subprocess.run([sys.executable, __file__, "--one"]).returncode) == LEFT:
        pass
    sys.exit(code)


def begin_peer(run: Run) -> None:
    """A network of smp's with random weights, as a model folder that changes nothing of it."""
    torch.manual_seed(run.seed)
    restores = TASKS[run.task].score == "psnr"
    classes, info = (3, ModelInfo((), (), task="restore")) if restores else (2, None)
    network = smp.Unet(PEERS[run.variant], encoder_weights=None, encoder_depth=4, decoder_channels=(96, 48, 24, 12), classes=classes)
    unetlift.from_smp(network).save_pretrained(run.start, info)


def one() -> None:
    """Trains or measures the first whose figures are not stored and that no other process is at."""
    for run in LIST:
        with held(run.network.folder.with_suffix(".lock"), fcntl.LOCK_EX | fcntl.LOCK_NB) as mine:
            if mine and not measured(run):
                advance(run)
                sys.exit(LEFT)


def advance(run: Run) -> None:
    """Measures what is trained; trains what is not, or goes on with it."""
    if run.trained:
        begun = perf_counter()
        store(run, measure(run))
        print(f"{run.name}: measured in {perf_counter() - begun:.0f} s", flush=True)
        return
    network = run.network
    print("$", *network.command, flush=True)
    if network.start is not None and not network.start.exists():
        begin_peer(network)
    subprocess.run([*network.command, "--out", str(network.folder), *(["--resume"] if network.folder.exists() else [])], check=True)
    network.mark.write_text(network.content)


def cost() -> None:
    """Measures what every variant costs."""
    from gallery_cost import cost

    put(stored() | {"cost": cost()})


def table() -> None:
    """Fills the tables of the pages."""
    from gallery_tables import write

    write(stored(), ROOT)


def ship() -> None:
    """Packs the networks that may be passed on."""
    from gallery_ship import ship

    ship(stored()["runs"], ROOT)


def figures() -> None:
    """Draws what the README shows."""
    from gallery_figures import animation, curves

    curves(stored()["runs"], ROOT / "docs" / "gallery.png")
    animation(ROOT / "docs" / "gallery.webp", sorted(Path("data/dsb2018/test/images").iterdir())[PICTURE])


if __name__ == "__main__":
    jobs = {"train": train, "one": one, "cost": cost, "table": table, "ship": ship, "figures": figures}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    chosen = parser.add_mutually_exclusive_group(required=True)
    for name, job in jobs.items():
        chosen.add_argument(f"--{name}", dest="job", action="store_const", const=job, help=job.__doc__.splitlines()[0])
    parser.parse_args().job()
