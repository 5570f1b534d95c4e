"""The engine `ray`: pictures are shared out among actors of a Ray cluster whose machines all see input and output folder."""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from unetlift.batch.manifest import Record, merge
from unetlift.batch.run import Result, Show, count, join_coco, worker
from unetlift.batch.stage import PARTS, Staging
from unetlift.batch.work import Item, Outcome
from unetlift.errors import RunError, Stopped, UsageError
from unetlift.inference import PredictConfig

PREFIX = "manifest-ray-"


class Answerer:
    """An actor: a network and everything around it; its manifest is its own until the run is over."""

    def __init__(self, config: PredictConfig):
        import ray

        self._open = ExitStack()
        name = f"{PREFIX}{ray.get_runtime_context().get_actor_id()}.jsonl"
        self._answer = self._open.enter_context(worker(config, name, print))

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Paths and relative paths, as bytes, to records as JSON; what ends the run is told there too."""
        pairs = zip(batch["path"], batch["relative"], strict=True)
        return {"outcome": [self._one(Item(*(Path(os.fsdecode(name)) for name in pair))) for pair in pairs]}

    def _one(self, item: Item) -> bytes:
        try:
            outcome = self._answer(item)
        except (RunError, Stopped) as error:
            return json.dumps({"error": str(error)}).encode()
        return json.dumps({"record": asdict(outcome.record), "skipped": outcome.skipped}).encode()


def run(config: PredictConfig, found: tuple[Path, list[Path]], show: Show) -> Result:
    """Answers pictures by `config.workers` actors, in the cluster of RAY_ADDRESS or in one that is started here.

    Raises:
        UsageError: Ray is missing, or another run is writing to the output folder.
        RunError: the answers cannot be written, or more pictures failed than may.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError("The engine ray needs the package ray; run pip install unetlift[ray].") from error
    output, (folder, paths) = Path(config.output).resolve(), found
    config = _everywhere(config)
    with Staging(output, "manifest"):
        for left in output.glob(f"{PARTS}/{PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
        for name in ("ray", "ray.data"):  # which tell of every step they take
            logging.getLogger(name).setLevel(logging.ERROR)
        ray.init(ignore_reinit_error=True, logging_level="ERROR", log_to_driver=False)
        show.begin(len(paths))
        names = [{"path": os.fsencode(path.resolve()), "relative": os.fsencode(path.relative_to(folder))} for path in paths]
        try:
            with closing(_outcomes(ray, config, names)) as heard:
                return count(heard, config.most_failures, show)
        finally:
            _gather(output)


def _everywhere(config: PredictConfig) -> PredictConfig:
    """With full paths: actors begin in folders of their own."""
    full = {name: str(Path(getattr(config, name)).resolve()) for name in ("model", "input", "output")}
    return replace(config, **full)


def _outcomes(ray: Any, config: PredictConfig, names: list[dict[str, bytes]]) -> Iterator[Outcome]:
    ray.data.DataContext.get_current().enable_progress_bars = False
    actors = min(config.workers, len(names))
    items = ray.data.from_items(names, override_num_blocks=min(len(names), 4 * actors))
    pool = ray.data.ActorPoolStrategy(size=actors)
    answered = items.map_batches(Answerer, fn_constructor_args=(config,), batch_size=1, compute=pool, num_cpus=1)
    for row in answered.iter_rows():
        heard = json.loads(row["outcome"])
        if "error" in heard:
            raise RunError(heard["error"])
        record = heard["record"]
        yield Outcome(Record(**record | {"notes": tuple(record["notes"])}), heard["skipped"])


def _gather(output: Path) -> None:
    """Makes the actors' manifests one, whatever has happened; only then are they removed."""
    records = merge(output)
    for path in output.glob(f"{PREFIX}*.jsonl"):
        path.unlink()
    join_coco(output, records)
