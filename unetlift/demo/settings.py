"""How a visitor looks at a picture: checked, and read from the page's address, so that a finding can be shared."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

from unetlift.demo import compare
from unetlift.demo.compare import Move, Network
from unetlift.errors import UsageError, one_of

MODES = ("crop", "roll")
ANCHORS = ("none", "landmark", "both")
RANGES = {"dx": (-compare.REACH, compare.REACH), "dy": (-compare.REACH, compare.REACH), "gain": (1, 100)}
SEPARATOR = ","


class Settings(NamedTuple):
    """How a picture is looked at.

    Attributes:
        mode: `crop` or `roll`.
        dx: to the right in pixels; an emptied number box sends nothing, which is 0.
        dy: down.
        variants: names of networks; by default all.
        anchor: `none`, `landmark` or `both`.
        gain: that differences are multiplied by.
    """

    mode: str = "crop"
    dx: float | None = 1
    dy: float | None = 1
    variants: Sequence[str] | None = None
    anchor: str = "none"
    gain: float | None = 10

    def checked(self, networks: Sequence[Network]) -> "Settings":
        """The same; any of it may come from a stranger.

        Raises:
            UsageError: naming what is wrong.
        """
        one_of("mode", self.mode, MODES)
        one_of("anchor", self.anchor, ANCHORS)
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and low <= value <= high):
                raise UsageError(f"{name} is {str(value)[:40]!r}; it is a number from {low} to {high}.")
        if self.variants is not None and not isinstance(self.variants, list | tuple):
            raise UsageError(f"variants is {str(self.variants)[:40]!r}; it is a list of names.")
        for name in self.variants or ():
            one_of("variant", name, [network.name for network in networks])
        return self

    @property
    def move(self) -> Move:
        """By eighths of a pixel."""
        return compare.move(self.dy or 0, self.dx or 0)

    def chosen(self, networks: Sequence[Network]) -> tuple[Network, ...]:
        """The networks, in their own order."""
        return tuple(n for n in networks if self.variants is None or n.name in self.variants)


class Address(NamedTuple):
    """What a page's address asks for; what it does not say, or says wrongly, is the usual."""

    task: str
    picture: str
    settings: Settings
    unknown: tuple[str, ...]

    @property
    def complaint(self) -> str:
        """One sentence, or nothing."""
        asked = " and ".join(self.unknown)
        return f"The address asks for {asked}, which this page does not know; it shows the usual." if asked else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def read_address(query: Mapping[str, str], tasks: Mapping[str, Sequence[str]], pictures: Mapping[str, Sequence[str]]) -> Address:
    """What the query of an address asks for.

    Args:
        query: its keys and values.
        tasks: the variants of each task, the usual task first.
        pictures: the examples of each task, the usual one first.
    """
    reader = _Reader(query)
    task = reader.one("task", tuple(tasks))
    picture = reader.one("picture", tuple(pictures[task]))
    numbers = {name: reader.number(name) for name in RANGES}
    settings = Settings(
        mode=reader.one("mode", MODES), variants=reader.some("variants", tasks[task]), anchor=reader.one("anchor", ANCHORS), **numbers
    )
    return Address(task, picture, settings, tuple(reader.unknown))


class _Reader:
    """Reads values one by one and notes what it does not know."""

    def __init__(self, query: Mapping[str, str]):
        self.query, self.unknown = query, []

    def _refuse(self, key: str) -> None:
        self.unknown.append(f"{key}={self.query[key][:40]!r}")

    def one(self, key: str, known: Sequence[str]) -> str:
        value = self.query.get(key, known[0])
        if value in known:
            return value
        self._refuse(key)
        return known[0]

    def some(self, key: str, known: Sequence[str]) -> list[str]:
        values = self.query[key].split(SEPARATOR) if self.query.get(key) else list(known)
        if set(values) <= set(known):
            return values
        self._refuse(key)
        return list(known)

    def number(self, key: str) -> float:
        usual, (low, high) = Settings._field_defaults[key], RANGES[key]
        try:
            value = float(self.query.get(key, usual))
        except ValueError:
            value = float("nan")
        if low <= value <= high:
            return int(value) if value.is_integer() else value
        self._refuse(key)
        return usual
