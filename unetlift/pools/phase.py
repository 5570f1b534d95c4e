"""Adaptive and learned phases: each sample's own grid, so that pooling follows every shift (arXiv 2011.14214, 2210.08001)."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift.convs import pad
from unetlift.pools.base import Down, Trace, Up
from unetlift.pools.blur import CONVOLVE
from unetlift.types import Band, Field, Phase, Votes

CONV_LAYER = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}

Evidence = Float[Tensor, "n *phases_and_half"]
"""(N, 2, 2, H/2, W/2) in 2-D: for each phase, along each axis, what speaks for it at each place of its component."""


def largest_phase(x: Field) -> Phase:
    """For each sample the offset of the polyphase component of largest L2 norm.

    Args:
        x: (N, C, *size) of even size along one, two or three axes.

    Returns:
        (N, axes), each 0 or 1.
    """
    axes = x.ndim - 2
    return phase_of(_energy(x).sum(tuple(range(-axes, 0))).flatten(1).argmax(1), axes)


def _energy(x: Field) -> Evidence:
    wide = torch.promote_types(x.dtype, torch.float32)  # half precision would make ties
    energy = torch.linalg.vector_norm(x.detach(), dim=1, dtype=wide).square()  # reads x once, without a squared copy
    pairs = [extent for length in x.shape[2:] for extent in (length // 2, 2)]
    return energy.reshape(x.shape[0], *pairs).permute(0, *range(2, len(pairs) + 1, 2), *range(1, len(pairs), 2))


def phase_of(number: Tensor, axes: int) -> Phase:
    """Phases counted from 0 to 2^axes - 1, as offsets: the first axis is the highest binary digit."""
    return torch.stack([number >> (axes - 1 - axis) & 1 for axis in range(axes)], 1)


class _RollEach(torch.autograd.Function):
    """A permutation of pixels, whose gradient is the inverse permutation: one gather either way, no scatter."""

    @staticmethod
    def forward(ctx, x: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(shift)
        source = torch.arange(x.shape[0], device=x.device)
        for axis, length in enumerate(x.shape[2:]):
            along = torch.arange(length, device=x.device) - shift[:, axis : axis + 1]
            along = along.remainder(torch.full_like(along, length))  # a tensor, since no exporter divides by a free size
            source = source.unsqueeze(-1) * length + along.reshape(-1, *[1] * axis, length)
        pixels = x.movedim(1, -1).reshape(-1, x.shape[1]).index_select(0, source.flatten())  # the fastest gather
        moved = pixels.reshape(x.shape[0], *x.shape[2:], x.shape[1]).movedim(-1, 1)
        return moved if x.stride(1) == 1 else moved.contiguous()  # asked by stride, since a cropped map counts as neither

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (shift,) = ctx.saved_tensors
        return _RollEach.apply(grad, -shift), None


def roll_each(x: Field, shift: Phase) -> Field:
    """Moves each sample's content circularly by its own offset along each axis."""
    return _RollEach.apply(x, shift)


class _RollVoted(torch.autograd.Function):
    """`roll_each`, as the sum of all rolls weighted by one-hot votes: the votes get that sum's gradient."""

    @staticmethod
    def forward(ctx, x: Tensor, votes: Tensor, phase: Tensor, factor: int) -> Tensor:
        ctx.save_for_backward(x, phase)
        ctx.factor = factor
        return _RollEach.apply(x, factor * phase)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, phase = ctx.saved_tensors
        axes = tuple(range(2, x.ndim))
        rolled = (x.roll([ctx.factor * step for step in steps], axes) for steps in product((0, 1), repeat=len(axes)))
        votes = torch.stack([(grad * candidate).flatten(1).sum(1) for candidate in rolled], 1)
        return _RollEach.apply(grad, -ctx.factor * phase), votes, None, None


def roll_by(x: Field, phase: Phase, votes: Votes | None, factor: int) -> Field:
    """Moves each sample's content by `factor` times its phase; through the votes, if there are any, the rule learns."""
    return roll_each(x, factor * phase) if votes is None else _RollVoted.apply(x, votes, phase, factor)


class PhaseRule(nn.Module, ABC):
    """How each sample's phase is chosen; a shift of the input has to permute the choice and nothing else."""

    @abstractmethod
    def forward(self, x: Field) -> tuple[Phase, Votes | None]:
        """(N, C, *size) of even size to the phases, and the votes through which the rule learns, if it does."""

    @abstractmethod
    def evidence(self, x: Field) -> Evidence:
        """What every place says for each phase: the phase of the largest sum over space is the one that is taken."""


class LargestNorm(PhaseRule):
    """The polyphase component of largest norm (APS, arXiv 2011.14214, section 3.1)."""

    def forward(self, x: Field) -> tuple[Phase, None]:
        """See `PhaseRule`."""
        return largest_phase(x), None

    def evidence(self, x: Field) -> Evidence:
        """See `PhaseRule`: squares, summed over the channels."""
        return _energy(x)


class LearnedPhase(PhaseRule):
    """The component that a small network scores highest (LPS, arXiv 2210.08001, section 4).

    One network scores every component: two convolutions and the mean over space, so that a shift of the component
    leaves its score. While training the choice is a straight-through Gumbel-softmax sample (temperature 1): the forward
    pass takes one phase, which keeps lifting invertible, and the gradient reaches the scores of all.

    Args:
        channels: of the map.
        axes: 1, 2 or 3.
        padding_mode: of the convolutions; circular for exact equivariance.
    """

    def __init__(self, channels: int, axes: int, padding_mode: str):
        super().__init__()
        hidden = min(channels, 32)  # enough to tell components apart, little beside the network's own convolutions
        self.first, self.second = CONV_LAYER[axes](channels, hidden, 3), CONV_LAYER[axes](hidden, 1, 3)
        self.axes, self.padding_mode = axes, padding_mode

    def forward(self, x: Field) -> tuple[Phase, Votes | None]:
        """See `PhaseRule`."""
        scores = self.scores(x)
        if not self.training:
            return phase_of(scores.argmax(1), self.axes), None
        votes = F.gumbel_softmax(scores, hard=True)
        return phase_of(votes.argmax(1), self.axes), votes

    def scores(self, x: Field) -> Votes:
        """The logits of the 2^axes phases, in at least single precision."""
        score = self._score(x)
        wide = torch.promote_types(score.dtype, torch.float32)
        return score.flatten(1).mean(1, dtype=wide).unflatten(0, (-1, x.shape[0])).T

    def evidence(self, x: Field) -> Evidence:
        """See `PhaseRule`: scores, of which the mean decides."""
        score = self._score(x).squeeze(1).unflatten(0, (*[2] * self.axes, x.shape[0]))
        return score.movedim(self.axes, 0).to(torch.promote_types(score.dtype, torch.float32))

    def _score(self, x: Field) -> Tensor:
        """Of every phase and sample, at every place of the component."""
        around, convolve = (1, 1) * self.axes, CONVOLVE[self.axes]
        steps = product((0, 1), repeat=self.axes)
        parts = torch.cat([x[(..., *[slice(step, None, 2) for step in phase])] for phase in steps])
        hidden = convolve(pad(parts, around, self.padding_mode), self.first.weight, self.first.bias).relu()
        return convolve(pad(hidden, around, self.padding_mode), self.second.weight, self.second.bias)


RULES: dict[str, Callable[[int, int, str], PhaseRule]] = {
    # by channels, axes and padding mode
    "adaptive": lambda *_: LargestNorm(),
    "learned": LearnedPhase,
}


def on_even_grid(pool: nn.Module) -> nn.Module:
    """The pool inside an adaptive one, which samples the even grid; any other pool as it is."""
    if isinstance(pool, AdaptiveDown):
        return pool.down
    return pool.up if isinstance(pool, AdaptiveUp) else pool


class AdaptiveDown(Down):
    """Any downsampler on the grid that its rule chooses: roll the map onto that grid, pool, keep the phase."""

    def __init__(self, down: Down, rule: PhaseRule):
        super().__init__()
        self.down, self.rule, self.axes = down, rule, down.axes

    def reduce(self, x: Field) -> tuple[Band, Trace]:
        phase, votes = self.rule(x)
        y, trace = self.down.reduce(roll_by(x, phase, votes, -1))
        return y, trace._replace(phase=phase, votes=votes)


class AdaptiveUp(Up):
    """Any upsampler, then back by the phase that the way down chose, if it chose one here (arXiv 2105.04040)."""

    def __init__(self, up: Up):
        super().__init__()
        self.up = up

    def expand(self, y: Band, trace: Trace) -> Field:
        x = self.up.expand(y, trace)
        return x if trace.phase is None else roll_by(x, trace.phase, trace.votes, 1)
