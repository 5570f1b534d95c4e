"""A run shared among several machines: each picture has one owner, told by a hash of its name."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

from unetlift.batch.work import Item
from unetlift.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """One of several parts of a run, counted from 1.

    Attributes:
        number: of this part.
        count: of all.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise UsageError(f"The shard {self.number}/{self.count} does not exist; they are 1/{self.count} to {self.count}/{self.count}.")

    def has(self, item: Item) -> bool:
        """Whether the picture is this part's, whatever others there are."""
        digest = hashlib.sha256(os.fsencode(item.relative.as_posix())).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1

    @property
    def manifest(self) -> str:
        """The name of its manifest."""
        return "manifest.jsonl" if self.count == 1 else f"manifest-{self.number}-of-{self.count}.jsonl"


def choose(flag: str | None, environment: Mapping[str, str] = os.environ) -> Shard:
    """The shard of `I/N`, or else of a SLURM array (SLURM_ARRAY_TASK_ID) or of a launcher (RANK, WORLD_SIZE), or the only one.

    Raises:
        UsageError: it is no such thing.
    """
    if flag:
        number, _, count = flag.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise UsageError(f"shard is {flag!r}; it is I/N, from 1/N to N/N.")
        return Shard(int(number), int(count))
    if "SLURM_ARRAY_TASK_ID" in environment and "SLURM_ARRAY_TASK_COUNT" in environment:
        first = _whole(environment, "SLURM_ARRAY_TASK_MIN", "0")
        step = _whole(environment, "SLURM_ARRAY_TASK_STEP", "1")
        number = (_whole(environment, "SLURM_ARRAY_TASK_ID") - first) // step
        return Shard(number + 1, _whole(environment, "SLURM_ARRAY_TASK_COUNT"))
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return Shard(_whole(environment, "RANK") + 1, _whole(environment, "WORLD_SIZE"))
    return Shard()


def _whole(environment: Mapping[str, str], name: str, usual: str = "") -> int:
    value = environment.get(name, usual)
    if not value.isdecimal():
        raise UsageError(f"The environment's {name} is {value!r}; it is a whole number, or give --shard 1/1.")
    return int(value)
