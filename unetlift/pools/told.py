"""Phases that were decided elsewhere: tiles of one picture cannot each choose their own, or their answers would not meet."""

from collections.abc import Sequence
from copy import deepcopy
from typing import NoReturn, TypeVar

import torch
from torch import nn

from unetlift.pools.phase import Evidence, PhaseRule
from unetlift.types import Field, Phase

Network = TypeVar("Network", bound=nn.Module)


class Told(PhaseRule):
    """A phase that is given, the same for every sample.

    Args:
        phase: 0 or 1 along each axis.
    """

    def __init__(self, phase: Sequence[int]):
        super().__init__()
        self.phase = tuple(phase)

    def forward(self, x: Field) -> tuple[Phase, None]:
        """See `PhaseRule`."""
        return torch.tensor([self.phase], device=x.device).repeat(x.shape[0], 1), None

    def evidence(self, x: Field) -> NoReturn:
        """There is none."""
        raise TypeError("A phase that was told has no evidence.")


class Wanted(Exception):
    """Carries the evidence for a phase that is not decided yet, out of the network that cannot go on without it."""

    def __init__(self, evidence: Evidence):
        super().__init__("A phase is not decided yet.")
        self.evidence = evidence


class Asking(PhaseRule):
    """A phase that is not decided yet: instead of a choice it raises the evidence, `Wanted`.

    Args:
        rule: whose evidence it is.
    """

    def __init__(self, rule: PhaseRule):
        super().__init__()
        self.rule = rule

    def forward(self, x: Field) -> NoReturn:
        """See `PhaseRule`."""
        raise Wanted(self.rule.evidence(x))

    def evidence(self, x: Field) -> Evidence:
        """See `PhaseRule`."""
        return self.rule.evidence(x)


def share(network: Network) -> Network:
    """A copy of a network with the same weights in it, not copies of them."""
    return deepcopy(network, {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())})


def rules_of(network: nn.Module) -> int:
    """How many phases a network chooses for each picture."""
    return sum(isinstance(module, PhaseRule) for module in network.modules())


def told(network: Network, phases: Sequence[Sequence[int]]) -> Network:
    """A network that shares its weights with another and takes given phases instead of choosing.

    Args:
        network: its rules stand in the order in which it asks them, from the top of the U down; it stays as it is.
        phases: of the first so many rules; the rule after them raises its evidence, `Wanted`.
    """
    twin, number = share(network), 0
    for module in list(twin.modules()):
        for name, rule in list(module.named_children()):
            if isinstance(rule, PhaseRule):
                setattr(module, name, Told(phases[number]) if number < len(phases) else Asking(rule))
                number += 1
    return twin
