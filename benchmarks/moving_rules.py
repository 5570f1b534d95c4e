"""Candidate rules for adaptive phases, and how they get into a trained network: what benchmarks/moving.py compares."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unetlift.convs import pad
from unetlift.model import UNet
from unetlift.pools.phase import AdaptiveDown, AdaptiveUp, Evidence, PhaseRule, phase_of
from unetlift.pools.told import share
from unetlift.types import Field, Phase

BINOMIAL = (1, 4, 6, 4, 1)
PEAK = 16.0
"""The exponent at which a sum is all but its largest term."""


@dataclass(frozen=True)
class Seen:
    """What a rule looks at.

    Attributes:
        detail: `all`; `low`, features after a binomial filter; `high`, what that filter takes away; `centred`, features
            less each channel's mean.
        tapered: places weigh by a Hann window over the frame, so that what enters begins with nothing.
        power: of each place's energy before it is summed; below 1 many places decide, at `PEAK` the strongest alone.
        advantage: how many times as much must speak for another phase before the even grid is left. Above 1 a roll of
            the features no longer rolls the choice.
    """

    detail: str = "all"
    tapered: bool = False
    power: float = 1.0
    advantage: float = 1.0


class Judged(PhaseRule):
    """The phase for which most speaks, as `Seen` says."""

    def __init__(self, seen: Seen):
        super().__init__()
        self.seen = seen

    def forward(self, x: Field) -> tuple[Phase, None]:
        """See `PhaseRule`."""
        votes = self.evidence(x).sum((-2, -1)).flatten(1)
        best = votes.argmax(1)
        leads = votes.gather(1, best[:, None])[:, 0] > self.seen.advantage * votes[:, 0]
        return phase_of(torch.where(leads, best, 0), x.ndim - 2), None

    def evidence(self, x: Field) -> Evidence:
        """See `PhaseRule`: energies, tapered and raised to a power."""
        energy = _detail(x.detach().float(), self.seen.detail).square().sum(1, dtype=torch.float64)
        if self.seen.tapered:
            for axis in (1, 2):
                length = energy.shape[axis]
                taper = torch.sin(torch.pi * (torch.arange(length, dtype=energy.dtype) + 0.5) / length).square()
                energy = energy * taper.reshape(-1, *[1] * (2 - axis))
        energy = (energy / energy.amax((1, 2), keepdim=True).clamp(min=1e-300)).pow(self.seen.power)
        return energy.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).permute(0, 2, 4, 1, 3)


def _detail(x: Tensor, detail: str) -> Tensor:
    if detail == "centred":
        return x - x.mean((2, 3), keepdim=True)
    if detail == "all":
        return x
    low = x
    for axis in (2, 3):
        wide = pad(low, (0, 0, 2, 2) if axis == 2 else (2, 2, 0, 0), "replicate")
        low = sum(tap / sum(BINOMIAL) * wide.narrow(axis, at, x.shape[axis]) for at, tap in enumerate(BINOMIAL))
    return low if detail == "low" else x - low


RULES: dict[str, Callable[[], PhaseRule]] = {
    "largest norm": lambda: Judged(Seen()),
    "tapered": lambda: Judged(Seen(tapered=True)),
    "low-passed": lambda: Judged(Seen("low")),
    "low-passed, tapered": lambda: Judged(Seen("low", tapered=True)),
    "high-passed": lambda: Judged(Seen("high")),
    "high-passed, tapered": lambda: Judged(Seen("high", tapered=True)),
    "centred": lambda: Judged(Seen("centred")),
    "square root": lambda: Judged(Seen(power=0.5)),
    "peak": lambda: Judged(Seen(power=PEAK)),
    "peak, high-passed": lambda: Judged(Seen("high", power=PEAK)),
    "peak, low-passed": lambda: Judged(Seen("low", power=PEAK)),
    "squares, high-passed": lambda: Judged(Seen("high", power=2.0)),
    "1 % more than even": lambda: Judged(Seen(advantage=1.01)),
    "5 % more than even": lambda: Judged(Seen(advantage=1.05)),
    "never": lambda: Judged(Seen(advantage=float("inf"))),
}
"""By name; the first is `unetlift.pools.phase.LargestNorm` in double precision, the last the even grid."""


def ruled(network: UNet, rule: Callable[[], PhaseRule]) -> UNet:
    """A network that chooses its phases by a rule, with the same weights, trained for phases or not."""
    twin = share(network.on_fixed_grid())
    twin.encoder.downs = nn.ModuleList(AdaptiveDown(down, rule()) for down in twin.encoder.downs)
    twin.ups = nn.ModuleList(AdaptiveUp(up) for up in twin.ups)
    return twin
