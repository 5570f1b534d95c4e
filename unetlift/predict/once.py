"""Decides a picture's adaptive phases once for all its tiles, by the sum of what each of them says.

A phase is the one for which the most speaks, summed over space: energies, or scores. So each tile adds what its own part
of the picture says; the parts begin and end at multiples of the stride, and together are the picture. Level after level
is decided, since a level's features depend on the phases above it: a network of D phases reads its picture D times more,
each time down to one level only. Where a tile's margin covers the field, the sums are the whole picture's but for
rounding: they are added up in float64, and a tie between phases, which float32 would settle by its roundings, can be
settled otherwise. Along the picture's border a phase rolls in what lies at the other end, which a tile has not: there
sums differ a little, unless the network's padding is circular and its stride divides the picture, whose tiles wrap with
it. Where that turns a phase, tiles still agree among themselves, and are what the network says with these phases.
"""

from collections.abc import Callable, Iterator
from math import log2

import torch
from torch import Tensor, nn

from unetlift.pools.told import Wanted, rules_of, told
from unetlift.tiling import Piece
from unetlift.types import Map

Where = tuple[Piece, Piece]
"""A tile's extent along the rows and the columns."""

Answers = Callable[[Callable[[Map], Map]], Iterator[tuple[Where, Map]]]
"""Asks a function about every tile of a picture."""


def decide_phases(network: nn.Module, size: tuple[int, int], run: Callable[[nn.Module, Map], Map], answers: Answers) -> nn.Module:
    """The network with every phase decided for one picture; it shares its weights. One without phases is itself.

    Args:
        network: to decide for; it stays as it is.
        size: of the picture: what tiles have beyond it says nothing.
        run: asks a network about a (N, C, H, W) tile.
        answers: asks a function about every tile.
    """
    count, phases = rules_of(network), []
    while len(phases) < count:
        asking = told(network, phases)

        def evidence(x: Map, asking: nn.Module = asking) -> Map:
            try:
                run(asking, x)
            except Wanted as wanted:
                return wanted.evidence.flatten(1, 2)
            raise RuntimeError(f"{type(network).__name__} has {count} phase rules, but asks only {len(phases)} of them.")

        total = sum(_own(found, size, where) for where, found in answers(evidence))
        phases.append(divmod(int(total.argmax()), 2))
    return told(network, phases) if count else network


def _own(evidence: Map, size: tuple[int, int], where: Where) -> Tensor:
    """The sum of a tile's (1, 4, H', W') evidence over the part of the picture that is its own, (4,) in float64."""
    for axis, piece in enumerate(where):
        length, (start, stop) = evidence.shape[axis + 2], piece.own
        step = 2 ** round(log2((piece.last - piece.first) / length))
        first, last = (start - piece.first) // step, -(-(min(stop, size[axis]) - piece.first) // step)
        last = length if stop == piece.last <= size[axis] else last  # with what the network itself fills up at the end
        evidence = evidence.narrow(axis + 2, first, max(last - first, 0))
    return evidence.to("cpu", torch.float64).sum((0, 2, 3))
