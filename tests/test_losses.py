"""Losses: what is ignored counts nowhere, values by hand, weights, and the penalty on what does not move along."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift import losses, stability
from unetlift.errors import UsageError
from unetlift.shifts import Shift

NAMES = tuple(losses.LOSSES)
OVERLAP = ("dice", "jaccard", "tversky")


def _batch(seed: int = 0, classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 5, 7, generator=generator)
    return logits.requires_grad_(), torch.randint(0, classes, (2, 5, 7), generator=generator)


def test_names_are_joined_by_plus_and_have_factors() -> None:
    logits, labels = _batch()
    ce, dice = (losses.segmentation_loss(name, None)(logits, labels) for name in ("ce", "dice"))
    for names, expected in {
        "ce+dice": ce + dice,
        "0.5*ce+dice": 0.5 * ce + dice,
        "ce + 2 * dice": ce + 2 * dice,
        "1e-3*ce": 1e-3 * ce,
    }.items():
        torch.testing.assert_close(losses.segmentation_loss(names, None)(logits, labels), expected)
    x, y = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.5)
    torch.testing.assert_close(losses.picture_loss("l1+0.1*l2")(x, y), torch.tensor(0.5 + 0.1 * 0.25))


def test_names_and_factors_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="loss 'l1' is unknown; it is one of ce, dice, focal, jaccard, lovasz, tversky"):
        losses.segmentation_loss("ce+l1", None)
    with pytest.raises(UsageError, match="loss 'ce' is unknown; it is one of l1, l2, charbonnier"):
        losses.picture_loss("0.5*ce")
    with pytest.raises(UsageError, match="loss '' is unknown"):
        losses.segmentation_loss("ce+", None)
    for factor in ("0", "-1", "nan", "inf", "half", ""):
        with pytest.raises(UsageError, match="of a loss is no number above 0"):
            losses.segmentation_loss(f"{factor}*ce", None)
    for weight in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="it is a number above 0"):
            losses.segmentation_loss("ce", None, [1.0, weight, 1.0])


@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 5.0)], ids=["even", "weighted"])
@pytest.mark.parametrize("ignored", [255, -1, 1], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_ignored_pixels_count_nowhere(name: str, ignored: int, weights: tuple[float, ...] | None) -> None:
    logits, labels = _batch()
    labels[:, 1:4, 2:6] = ignored
    loss = losses.segmentation_loss(name, ignored, weights)
    value = loss(logits, labels)
    value.backward()
    out = labels == ignored
    there = logits.grad.movedim(1, -1)
    assert (there[out] == 0).all() and (there[~out] != 0).any()
    other = torch.where(out[:, None], 100 * torch.randn(2, 3, 5, 7), logits)
    assert torch.equal(loss(other, labels), value)
    rows = logits.movedim(1, -1)[~out].T[None, :, None], labels[~out][None, None]  # as if the others were never taken
    assert torch.equal(losses.segmentation_loss(name, None, weights)(*rows), value)


@pytest.mark.parametrize("name", NAMES)
def test_with_nothing_to_ignore_the_index_changes_nothing(name: str) -> None:
    logits, labels = _batch()
    torch.testing.assert_close(losses.segmentation_loss(name, 255)(logits, labels), losses.segmentation_loss(name, None)(logits, labels))


@pytest.mark.parametrize("name", [*NAMES, "+".join(NAMES)])
def test_a_batch_of_ignored_pixels_costs_nothing(name: str) -> None:
    logits, labels = _batch()
    value = losses.segmentation_loss(name, 9)(logits * math.inf, torch.full_like(labels, 9))
    assert value.item() == 0 and value.shape == ()
    losses.segmentation_loss(name, 9)(logits, torch.full_like(labels, 9)).backward()
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 3.0, 4.0)], ids=["even", "weighted"])
@pytest.mark.parametrize("name", NAMES)
def test_absent_classes_are_finite(name: str, weights: tuple[float, ...] | None) -> None:
    logits, _ = _batch(classes=4)
    value = losses.segmentation_loss(name, 255, weights)(logits, torch.full((2, 5, 7), 2))
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all() and value > 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dice", 1 - (2 / 3 + 4 / 5) / 2),
        ("jaccard", 1 - (1 / 2 + 2 / 3) / 2),
        ("lovasz", 1 - (1 / 2 + 2 / 3) / 2),  # on whole masks the extension is the loss that it extends
        ("tversky", 1 - (1 / 1.7 + 2 / 2.3) / 2),
    ],
)
def test_overlap_losses_by_hand(name: str, expected: float) -> None:
    labels = torch.tensor([[[0, 0, 1, 1]]])
    answer = torch.tensor([[[0, 1, 1, 1]]])
    logits = 100 * F.one_hot(answer, 2).movedim(-1, 1).float()
    torch.testing.assert_close(losses.segmentation_loss(name, None)(logits, labels), torch.tensor(expected))


def test_pixel_losses_by_hand() -> None:
    logits, labels = torch.zeros(1, 2, 1, 4), torch.tensor([[[0, 0, 0, 1]]])
    torch.testing.assert_close(losses.segmentation_loss("ce", None)(logits, labels).item(), math.log(2))
    torch.testing.assert_close(losses.segmentation_loss("focal", None)(logits, labels).item(), 0.5**2 * math.log(2))
    logits[:, 0] = math.log(3)  # 3/4 for class 0
    mean = (1 * 3 * math.log(4 / 3) + 6 * math.log(4)) / (1 * 3 + 6)
    torch.testing.assert_close(losses.segmentation_loss("ce", None, (1, 6))(logits, labels).item(), mean)


@pytest.mark.parametrize("name", OVERLAP)
def test_weights_of_overlap_losses_are_those_of_a_mean_over_the_classes(name: str) -> None:
    logits, labels = _batch()
    p, there = logits.detach().softmax(1).double().numpy(), np.eye(3)[labels.numpy()].transpose(0, 3, 1, 2)
    inside, missed, wrong = ((a).sum((0, 2, 3)) for a in (p * there, (1 - p) * there, p * (1 - there)))
    alpha, beta = {"dice": (0.5, 0.5), "jaccard": (1, 1), "tversky": (0.3, 0.7)}[name]
    each = 1 - inside / (inside + alpha * wrong + beta * missed)
    for weights in ((1.0, 1.0, 1.0), (1.0, 2.0, 5.0)):
        value = losses.segmentation_loss(name, None, weights)(logits, labels).item()
        np.testing.assert_allclose(value, np.average(each, weights=weights), rtol=1e-5)
    np.testing.assert_allclose(losses.segmentation_loss(name, None)(logits, labels).item(), each.mean(), rtol=1e-5)


def test_weights_of_focal_are_those_of_a_mean_over_the_classes_and_lovasz_has_none() -> None:
    logits, labels = _batch()
    x, there = logits.detach().double().numpy(), np.eye(3)[labels.numpy()].transpose(0, 3, 1, 2)
    right = np.where(there, 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x)))
    each = (-((1 - right) ** 2) * np.log(right)).mean((0, 2, 3))
    for weights in ((1.0, 1.0, 1.0), (1.0, 2.0, 5.0)):
        value = losses.segmentation_loss("focal", None, weights)(logits, labels).item()
        np.testing.assert_allclose(value, np.average(each, weights=weights), rtol=1e-5)
    even, weighted = (losses.segmentation_loss("lovasz", None, weights)(logits, labels) for weights in (None, (1, 2, 5)))
    assert torch.equal(even, weighted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_any_precision_is_summed_in_single(name: str, dtype: torch.dtype) -> None:
    logits, labels = torch.randn(1, 2, 64, 64).to(dtype), torch.randint(0, 2, (1, 64, 64))
    loss = losses.segmentation_loss(name, 255, (1, 2))
    assert torch.equal(loss(logits, labels), loss(logits.float(), labels))


def test_picture_losses_by_hand() -> None:
    x = torch.zeros(1, 1, 2, 2, requires_grad=True)
    for name, half, nothing in (("l1", 0.5, 0.0), ("l2", 0.25, 0.0), ("charbonnier", math.sqrt(0.25 + 1e-6), 1e-3)):
        loss = losses.picture_loss(name)
        torch.testing.assert_close(loss(x, torch.full_like(x, 0.5)).item(), half)
        torch.testing.assert_close(loss(x, torch.zeros_like(x)).item(), nothing)
    (gradient,) = torch.autograd.grad(losses.picture_loss("charbonnier")(x, torch.zeros_like(x)), x)
    assert (gradient == 0).all()


def _whole_numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(-8, 9, shape, generator=torch.Generator().manual_seed(seed)).float()  # sums of these are exact


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("seed", range(4))
def test_what_commutes_with_shifts_is_not_penalised(seed: int, stride: int) -> None:
    conv = nn.Conv2d(2, 3, 5, padding=2, bias=False)
    conv.weight.data = _whole_numbers(3, 2, 5, 5, seed=seed)
    x = _whole_numbers(2, 2, 31, 26, seed=seed + 9)
    assert losses.shift_consistency(conv, x, conv(x), 3, seed, stride).item() == 0
    assert losses.shift_consistency(conv, x, conv(x), 3, seed, stride, margin=1).item() > 0  # less than it reaches


def test_pooling_is_penalised_unless_the_shift_is_its_stride() -> None:
    x = _whole_numbers(1, 2, 24, 24)

    def pooled(x: Tensor) -> Tensor:
        return F.interpolate(F.max_pool2d(x, 2), size=x.shape[2:])

    def shift(seed: int) -> tuple[int, int]:
        corner = torch.arange(24.0)[:, None] * 100 + torch.arange(24.0)
        seen = []
        losses.shift_consistency(lambda w: seen.append(int(w[0, 0, 0, 0])) or w, corner[None, None], corner[None, None], 2, seed)
        return divmod(seen[0], 100)

    shifts = {seed: shift(seed) for seed in range(100)}
    assert set(shifts.values()) == {(dy, dx) for dy in range(3) for dx in range(3)} - {(0, 0)}
    for seed, (dy, dx) in shifts.items():
        value = losses.shift_consistency(pooled, x, pooled(x), 2, seed).item()
        assert (value == 0) == (dy % 2 == 0 and dx % 2 == 0)
        moved, still = pooled(x[..., dy : dy + 22, dx : dx + 22]), pooled(x)[..., dy : dy + 22, dx : dx + 22]
        np.testing.assert_allclose(value, (moved - still)[..., 2:-2, 2:-2].square().mean().item(), rtol=1e-6)
        assert value == losses.shift_consistency(pooled, x, pooled(x), 2, seed).item()


def test_gradients_flow_through_both_outputs_alike() -> None:
    factor, other = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    x = torch.rand(1, 1, 16, 16)
    losses.shift_consistency(lambda w: w * factor, x, x * other, 1, 0).backward()
    torch.testing.assert_close(factor.grad, -other.grad)
    assert factor.grad < 0


def test_windows_have_sizes_of_the_stride() -> None:
    seen = []
    x = torch.zeros(1, 1, 45, 70)
    losses.shift_consistency(lambda w: seen.append(w.shape[2:]) or w, x, x, 4, 0, stride=16)
    assert seen == [(32, 64)]


def test_shifts_that_leave_nothing_are_refused() -> None:
    x = torch.zeros(1, 1, 32, 40)
    with pytest.raises(
        UsageError, match="A picture of 40 x 32 is too small for windows that move by 8, less a margin of 12, in steps of 1"
    ):
        losses.shift_consistency(lambda w: w, x, x, 8, 0, margin=12)
    with pytest.raises(UsageError, match="less a margin of -1"):
        losses.shift_consistency(lambda w: w, x, x, 8, 0, margin=-1)
    with pytest.raises(UsageError, match="The largest shift is 0; it is 1 pixel or more"):
        losses.shift_consistency(lambda w: w, x, x, 0, 0)


def test_a_network_taught_with_more_of_it_is_more_stable() -> None:
    def taught(factor: float) -> tuple[float, float]:
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 2, 3, padding=1), nn.Upsample(scale_factor=2)
        )
        optimiser = torch.optim.Adam(network.parameters(), 1e-2)
        for step in range(80):
            x = torch.rand(4, 1, 32, 32).round()
            labels = (F.avg_pool2d(x, 5, 1, 2) > 0.5).long()[:, 0]
            logits = network(x)
            task = losses.segmentation_loss("ce", None)(logits, labels)
            (task + factor * losses.shift_consistency(lambda w: network(w).softmax(1), x, logits.softmax(1), 2, step, stride=2)).backward()
            optimiser.step()
            optimiser.zero_grad()
        with torch.no_grad():
            picture, odd = torch.rand(1, 1, 48, 48).round(), [Shift(0, 1), Shift(1, 0), Shift(1, 1)]  # at even shifts it is exact
            report = stability.measure(lambda x: network(x).softmax(1), [picture], "crop", 2, shifts=odd, multiple=2, margin=4)
        return report.mean, task.item()

    (plain, _), (some, _), (more, loss) = taught(0.0), taught(2.0), taught(10.0)
    assert plain + 1 < some < more - 1  # in dB
    assert loss < 0.6 * math.log(2)  # and it has learned what it was to learn
