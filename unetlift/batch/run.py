"""One run over a folder: what there is to do, who does it, and what has become of it."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from threading import Event

from unetlift import __version__
from unetlift.batch import shards
from unetlift.batch.answers import Wanted
from unetlift.batch.asking import Asking
from unetlift.batch.manifest import DONE, FAILED, Manifest, Record, merge, write_summary
from unetlift.batch.names import KNOWN, check_places, list_inputs
from unetlift.batch.pipeline import outcomes, told_to_stop
from unetlift.batch.stage import Staging
from unetlift.batch.watch import arrivals
from unetlift.batch.work import Item, Outcome, Worker
from unetlift.checkpoint import fingerprint, write_atomically
from unetlift.errors import RunError, Stopped, UsageError
from unetlift.inference import PredictConfig
from unetlift.polygons import merge_coco
from unetlift.predict import Predictor, Tiling, Views, load_predictor
from unetlift.tiling import choose_cut

SKIPPED = "skipped"


@dataclass(frozen=True)
class Result:
    """How many pictures were answered now, had been before, and could not be."""

    done: int
    skipped: int
    failed: int


@dataclass(frozen=True)
class Show:
    """Who is told how a run goes on.

    Attributes:
        begin: called with the number of pictures, or None where it is not known.
        outcome: called after each picture.
        say: called with a sentence now and then.
    """

    begin: Callable[[int | None], None]
    outcome: Callable[[Outcome], None]
    say: Callable[[str], None]


def run(config: PredictConfig, show: Show) -> Result:
    """Answers the pictures of a folder; see `PredictConfig`.

    Raises:
        UsageError: input, output or settings do not suit.
        ModelFolderError: a file of the network is missing, damaged or foreign.
        RunError: the answers cannot be written, or more pictures failed than may.
        Stopped: the process was told to stop.
    """
    source, output, shard = Path(config.input), Path(config.output), shards.choose(config.shard)
    check_places(source, output)
    _, paths = found = list_inputs(source)
    if not paths and not config.watch:
        raise UsageError(f"{source} has no pictures; it wants {', '.join(KNOWN)} files.")
    if shard.count > 1:
        show.say(f"This is shard {shard.number} of {shard.count}.")
    if config.engine == "ray":
        from unetlift.batch import cluster

        return cluster.run(config, found, show)
    return answer_all(config, shard, found, show)


def answer_all(config: PredictConfig, shard: shards.Shard, found: tuple[Path, list[Path]], show: Show) -> Result:
    """Answers a shard's pictures in this process."""
    over = Event()
    with worker(config, shard.manifest, show.say) as answer:

        def stop(why: Stopped) -> None:
            over.set()
            answer.asking.stop(why)

        try:
            with told_to_stop(stop):
                items = _items(config, shard, found, over)
                show.begin(None if config.watch else len(items))
                going_on = takewhile(lambda _: not over.is_set(), items)
                with closing(outcomes(going_on, answer, 1 if answer.in_order else config.workers)) as heard:
                    result = count(heard, config.most_failures, show)
            if answer.asking.stopped:
                raise answer.asking.stopped
        except (RunError, Stopped):
            with suppress(OSError):  # it may be just what the run has stopped for
                _conclude_shard(config, shard, answer)
            raise
        _conclude_shard(config, shard, answer)
    return result


def _conclude_shard(config: PredictConfig, shard: shards.Shard, answer: Worker) -> None:
    if shard.count == 1:
        conclude(Path(config.output), answer.manifest.latest())


def _items(config: PredictConfig, shard: shards.Shard, found: tuple[Path, list[Path]], over: Event) -> Sequence[Item] | Iterator[Item]:
    if config.watch:
        return (item for item in arrivals(Path(config.input), list_inputs, over) if shard.has(item))
    folder, paths = found
    return [item for item in (Item(path, path.relative_to(folder)) for path in paths) if shard.has(item)]


def count(heard: Iterable[Outcome], most: int | None, show: Show) -> Result:
    """Hears what becomes of each picture.

    Raises:
        RunError: so many have failed as may.
    """
    counts = Counter[str]()
    for outcome in heard:
        counts[SKIPPED if outcome.skipped else outcome.record.status] += 1
        show.outcome(outcome)
        if most is not None and counts[FAILED] >= most:
            raise RunError(f"Stopped after {counts[FAILED]} failures, as was asked for; {counts[DONE]} pictures were answered.")
    return Result(counts[DONE], counts[SKIPPED], counts[FAILED])


@contextmanager
def worker(config: PredictConfig, manifest: str, say: Callable[[str], None]) -> Iterator[Worker]:
    """Everything that answers pictures in this process, writing to a manifest of this name."""
    if config.backend != "torch":
        say(f"The backend {config.backend} wants a file of the network: made at its first use, which may take minutes, and kept.")
    predictor = load_predictor(config.model, config.device, config.precision, config.backend)
    predictor = predictor.seen_through(Views(config.flips, config.scales, config.spin))
    wanted = Wanted(predictor.info, config.overlay, config.probabilities, config.polygons, config.objects)
    wanted.check()
    anchored = partial(predictor.anchored, config.anchor, config.placing)
    tiling = Tiling(config.tile, config.overlap, config.blend)
    if tiling.tile:  # that it is too small is to be said at once, and not of each picture
        margin = predictor.field().margin if config.overlap is None else 0
        choose_cut(tiling, predictor.model.config.stride, margin, anchored().around)
    output = Path(config.output)
    halved = lambda size: say(f"Memory did not suffice: from here on batches of {size}.")  # noqa: E731
    with Staging(output, Path(manifest).stem) as staging, Asking(config.batch, halved) as asking:
        model, settings = fingerprint(config.model), settings_hash(config, predictor)
        yield Worker(predictor, asking, tiling, wanted, anchored, staging, Manifest(output, manifest), model, settings)


def settings_hash(config: PredictConfig, predictor: Predictor) -> str:
    """Of all that the answers depend on beside picture and network; how many work at it is not among them."""
    values = {name: getattr(config, name) for name in PredictConfig.SHAPING}
    values |= {"device": predictor.device.type, "precision": str(predictor.dtype), "version": __version__}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def conclude(output: Path, records: Sequence[Record]) -> None:
    """Writes what is said of the whole run: summary.csv and, where there are parts of it, coco.json."""
    write_summary(output / "summary.csv", records)
    join_coco(output, records)


def join_coco(output: Path, records: Sequence[Record]) -> None:
    """Makes one coco.json of those of all pictures, where there are any."""
    parts = [output / name for record in records for name in record.outputs if name.startswith("coco/")]
    if parts:
        merged = merge_coco(json.loads(part.read_text(encoding="ascii")) for part in parts if part.is_file())
        write_atomically(output / "coco.json", lambda part: part.write_text(json.dumps(merged) + "\n", encoding="ascii"))


def merge_shards(output: Path) -> Result:
    """Makes one manifest and one summary of those of all shards.

    Raises:
        UsageError: there are none.
    """
    if not any(output.glob("manifest*.jsonl")):
        raise UsageError(f"{output} holds no manifest; give the --output of the shards.")
    records = merge(output)
    join_coco(output, records)
    counts = Counter(record.status for record in records)
    return Result(counts[DONE], 0, counts[FAILED])
