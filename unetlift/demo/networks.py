"""The networks of the page: found in a folder, put in order, grouped by what they do."""

from dataclasses import dataclass
from pathlib import Path

from unetlift.anchor import Anchored
from unetlift.checkpoint import CONFIG, WEIGHTS, NetworkKind
from unetlift.errors import UsageError
from unetlift.predict import Predictor, load_predictor

SAID = 4
"""Classes that name a task."""
EXAMPLES = "examples"
"""A folder beside model folders: PNG files that their networks are shown, and no others."""
ORDER = ("max+nearest", "max+unpool", "blur-3+bilinear", "lift+lift", "lift+lift@adaptive")


@dataclass(frozen=True)
class Network:
    """A network of the page, ready to run."""

    name: str
    config: NetworkKind
    predictor: Predictor
    examples: tuple[Path, ...] = ()
    """Pictures of the kind that it is for, where other ones say nothing."""

    @property
    def task(self) -> str:
        """What it does, for people: networks of one task can stand side by side."""
        info = self.predictor.info
        if info.task == "segment":
            names = info.class_names[1:] or info.class_names
            return "segment: " + ", ".join(names[:SAID]) + (f" and {more} more" if (more := len(names) - SAID) > 0 else "")
        return f"restore: {', '.join(info.degrade.names)}" if info.task == "restore" else "translate into another picture"

    @property
    def parameters(self) -> int:
        """How many numbers it has learned."""
        return sum(parameter.numel() for parameter in self.predictor.model.parameters())

    def asked(self, mode: str, anchored: bool) -> Anchored:
        """What answers for it under a mode, its grid anchored or not."""
        return self.predictor.anchored("landmark" if anchored else "none", "circular" if mode == "roll" else "reflect")


def find(checkpoints: Path) -> tuple[Network, ...]:
    """Loads every model folder below `checkpoints`: the usual networks first, the steadiest last, then all others.

    Raises:
        UsageError: there are none.
        ModelFolderError: one cannot be loaded.
    """
    folders = sorted(config.parent for config in checkpoints.rglob(CONFIG) if (config.parent / WEIGHTS).is_file())
    if not folders:
        raise UsageError(
            f"{checkpoints} holds no networks; train one with 'unetlift train --data DIR --out {checkpoints / 'NAME'}', "
            "or name a folder that holds model folders (config.json and model.safetensors)."
        )
    predictors = [load_predictor(folder, precision="float32") for folder in folders]
    variants = [predictor.model.config.variant for predictor in predictors]
    networks = []
    for folder, predictor, variant in zip(folders, predictors, variants, strict=True):
        depths = [len(other.parts) for other, its in zip(folders, variants, strict=True) if its == variant]
        # Where there are several, one that lies above the others keeps the name alone; those are told apart by where they lie.
        plain = depths.count(len(folder.parts)) == 1 and len(folder.parts) == min(depths)
        place = folder.relative_to(checkpoints)
        where = place.parent if place.name == variant and place.parent != Path() else place
        shown = tuple(sorted((folder.parent / EXAMPLES).glob("*.png")))
        networks.append(Network(variant if plain else f"{variant} ({where.as_posix()})", predictor.model.config, predictor, shown))
    rank = {variant: place for place, variant in enumerate(ORDER)}
    return tuple(sorted(networks, key=lambda n: (rank.get(n.config.variant, len(ORDER)), n.name)))


def by_task(networks: tuple[Network, ...]) -> dict[str, tuple[Network, ...]]:
    """Those that do the same and so can stand side by side, by what that is."""
    tasks: dict[str, tuple[Network, ...]] = {}
    for network in networks:
        tasks[network.task] = (*tasks.get(network.task, ()), network)
    return tasks
