"""The phases: the APS rule written out naively, and a learned choice whose gradient is the straight-through one."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unetlift.pools import pool_pair
from unetlift.pools.phase import LearnedPhase, largest_phase, phase_of


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def phases(axes: int) -> list[tuple[int, ...]]:
    return list(product((0, 1), repeat=axes))


def naive_aps(x: np.ndarray) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Of each sample's polyphase components the one of largest norm, and its phase, one sample and component at a time."""
    kept, chosen = [], []
    for sample in x:
        norms = {}
        for phase in phases(x.ndim - 2):
            part = sample[(slice(None), *[slice(step, None, 2) for step in phase])]
            norms[phase] = np.sqrt((part**2).sum())
        best = max(norms, key=norms.get)
        kept.append(sample[(slice(None), *[slice(step, None, 2) for step in best])])
        chosen.append(best)
    return np.stack(kept), chosen


@pytest.mark.parametrize("size", [(8,), (6, 4), (4, 6, 2)])
def test_the_adaptive_choice_is_that_of_the_rule_written_out(size):
    x = noise(16, 3, *size)
    _, chosen = naive_aps(x.numpy())
    assert largest_phase(x).tolist() == [list(phase) for phase in chosen]
    assert len(set(chosen)) > 1


def test_adaptive_subsampling_is_aps():
    """avg-blur-1 filters nothing, so that on even pixels only the choice remains."""
    down, up = pool_pair("avg-blur-1", "blur-1", 3, "adaptive", "circular")
    x = noise(16, 3, 6, 4)
    y, trace = down.double()(x)
    kept, chosen = naive_aps(x.numpy())
    np.testing.assert_array_equal(y.numpy(), kept)
    back = up.double()(y, trace).numpy() / 4
    for sample, (row, column) in enumerate(chosen):
        expected = np.zeros((3, 6, 4))
        expected[:, row::2, column::2] = kept[sample]
        np.testing.assert_array_equal(back[sample], expected)


def test_phases_are_counted_row_first():
    assert phase_of(torch.arange(4), 2).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert phase_of(torch.arange(8), 3).tolist() == [list(phase) for phase in phases(3)]


def rule(axes: int = 2, seed: int = 0) -> LearnedPhase:
    torch.manual_seed(seed)
    return LearnedPhase(3, axes, "circular").double()


@pytest.mark.parametrize("size", [(8,), (6, 4), (4, 6, 2)])
def test_a_shift_permutes_the_scores(size):
    """Moved by (dy, dx), the component at p comes to p + (dy, dx), modulo two and a roll."""
    scorer, x = rule(len(size)), noise(5, 3, *size)
    scores = scorer.scores(x)
    space = tuple(range(2, x.ndim))
    for shift in phases(len(size)):
        moved = scorer.scores(x.roll(shift, space))
        order = [phases(len(size)).index(tuple((a + b) % 2 for a, b in zip(phase, shift, strict=True))) for phase in phases(len(size))]
        torch.testing.assert_close(moved[:, order], scores, rtol=0, atol=1e-12)


def test_eval_takes_the_highest_score_and_training_samples():
    scorer, x = rule(), noise(1, 3, 6, 4).repeat(400, 1, 1, 1)
    scores = scorer.scores(x)
    best, votes = scorer.eval()(x)
    assert votes is None
    assert best.tolist() == phase_of(scores.argmax(1), 2).tolist()
    torch.manual_seed(1)
    sampled, votes = scorer.train()(x)
    assert votes.sum(1).allclose(torch.ones(400, dtype=votes.dtype))
    assert phase_of(votes.argmax(1), 2).tolist() == sampled.tolist()
    share = votes.detach().mean(0)
    assert (share - scores[0].softmax(0)).abs().max() < 0.08  # Gumbel's trick: three standard deviations of 400 draws


def test_the_votes_gradient_is_the_straight_through_one():
    """Against the definition: the sum of all rolled maps weighted by one-hot votes, on the way down and up alike."""
    torch.manual_seed(3)
    down, up = (pool.double() for pool in pool_pair("lift", "lift", 3, "learned", "circular"))
    x, weights = noise(4, 3, 6, 4), noise(4, 3, 6, 4, seed=1)
    parameters = list(down.rule.parameters())
    torch.manual_seed(5)
    y, trace = down(x)
    ours = torch.autograd.grad((up(y * 2, trace) * weights).sum(), parameters)

    torch.manual_seed(5)
    votes = F.gumbel_softmax(down.rule.scores(x), hard=True)

    def mixed(z: Tensor, sign: int) -> Tensor:
        rolls = [z.roll((sign * row, sign * column), (2, 3)) for row, column in phases(2)]
        return sum(vote[:, None, None, None] * rolled for vote, rolled in zip(votes.unbind(1), rolls, strict=True))

    y, inner = down.down(mixed(x, -1))
    theirs = torch.autograd.grad((mixed(up.up(y * 2, inner), 1) * weights).sum(), parameters)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    assert max(gradient.abs().max() for gradient in ours) > 1e-3


def test_lifting_stays_invertible_while_the_phase_learns():
    down, up = (pool.double().train() for pool in pool_pair("lift", "lift", 3, "learned"))
    x = noise(8, 3, 7, 6)
    torch.testing.assert_close(up(*down(x)), x, rtol=0, atol=1e-12)


def test_a_phase_learns_what_norms_cannot_say():
    """Every component has the norm of every other; the task wants the one whose values are positive."""
    torch.manual_seed(0)
    down, _ = pool_pair("avg-blur-1", "blur-1", 1, "learned", "circular")
    optimiser = torch.optim.Adam(down.parameters(), 0.03)

    def batch() -> Tensor:
        x = -torch.ones(32, 1, 8, 8)
        for sample, (row, column) in enumerate(torch.randint(0, 2, (32, 2)).tolist()):
            x[sample, :, row::2, column::2] = 1
        return x

    for _ in range(60):
        optimiser.zero_grad()
        (-down(batch())[0].mean()).backward()
        optimiser.step()
    assert down.eval()(batch())[0].mean() == 1
    assert (down.train()(batch())[0].mean() > 0.9).item()


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_training_keeps_the_memory_format(layout):
    down, up = pool_pair("max", "nearest", 4, "learned", "circular")
    x = noise(2, 4, 8, 6).float().to(memory_format=layout).requires_grad_()
    out = up(*down(x))
    (gradient,) = torch.autograd.grad(out.sum(), x)
    inner = 1 if layout == torch.channels_last else 3
    assert (out.stride(inner), gradient.stride(inner)) == (1, 1)
