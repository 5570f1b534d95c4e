"""Where the grid of one step down lies: decided once, shared by its main path and shortcuts (arXiv 2011.14214)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift.pools import Trace
from unetlift.pools.phase import PhaseRule, roll_by
from unetlift.types import Features


class Choice(NamedTuple):
    """What was decided where a step begins.

    Attributes:
        sizes: of the maps that are halved, one or two.
        phases: of each halving, or none.
        votes: the phases once more with their gradients, while a learned phase trains.
    """

    sizes: tuple[tuple[int, ...], ...]
    phases: tuple[Tensor, ...]
    votes: tuple[Tensor | None, ...]


class Grid(nn.Module):
    """Decides where the grid of a step lies.

    Args:
        rules: one for each halving; none for the even grid.
        halvings: 1 or 2.
        multiple: what sizes are filled up to multiples of.
    """

    def __init__(self, rules: list[PhaseRule], halvings: int, multiple: int):
        super().__init__()
        self.rules, self.halvings, self.multiple = nn.ModuleList(rules), halvings, multiple

    def forward(self, x: Features) -> Choice:
        """The map of the step's level, (N, C, H, W), to the choice."""
        sizes, phases, votes = [tuple(x.shape[2:])], [], []
        x = fill_up(x, self.multiple)
        sizes += [tuple((length + 2**k - 1) // 2**k for length in x.shape[2:]) for k in range(1, self.halvings)]
        for k, rule in enumerate(self.rules):
            phase, vote = rule(x)
            phases.append(phase)
            votes.append(vote)
            if k + 1 < len(self.rules):
                x = roll_by(x, phase, None, -1)[..., ::2, ::2]
        return Choice(tuple(sizes), tuple(phases), tuple(votes))


def move_onto(x: Features, choice: Choice, multiple: int) -> Features:
    """A map of the step's level, filled up to a size that the step divides, on the chosen grid."""
    x = fill_up(x, multiple)
    for k, (phase, votes) in enumerate(zip(choice.phases, choice.votes, strict=True)):
        x = roll_by(x, phase, votes, -(2**k))
    return x


def fill_up(x: Features, multiple: int) -> Features:
    """Repeats the last row and column until the size is a multiple."""
    ends = [end for length in reversed(x.shape[2:]) for end in (0, (length + multiple - 1) // multiple * multiple - length)]
    if torch.compiler.is_compiling() or any(ends):  # asking a graph would make one for each remainder of each axis
        x = F.pad(x, ends, mode="replicate")
    return x


def hand_over(choice: Choice, k: int, trace: Trace | None) -> Trace:
    """The trace of halving number `k`: what its downsampler says, if there is one, and what the grid does.

    Of two halvings at once both lie on the final grid, so that the last one up, the first trace's, goes back by both
    phases together.
    """
    trace = (trace or Trace())._replace(size=choice.sizes[k])
    if not choice.phases or k > 0:
        return trace
    if len(choice.phases) > 1:
        return trace._replace(phase=sum(2**j * phase for j, phase in enumerate(choice.phases)))
    return trace._replace(phase=choice.phases[0], votes=choice.votes[0])


def first(pair: tuple[Features, Trace]) -> Features:
    """The map that a downsampler made."""
    return pair[0]


def second(pair: tuple[Features, Trace]) -> Trace:
    """What it says about it."""
    return pair[1]


def maxima(x: Features) -> Trace:
    """The positions of a map's 2x2 maxima."""
    return Trace(indices=F.max_pool2d(x.detach(), 2, return_indices=True)[1])
