"""Task losses by name, what makes a network stable while it learns, and the lifting regularisers."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import final

import segmentation_models_pytorch.losses as smp_losses
import torch
from torch import Tensor, nn

from unetlift.errors import UsageError, one_of
from unetlift.pools import Trace

LIFT_WEIGHTS = (0.01, 0.1)
"""The paper's lambda_u and lambda_p (arXiv 2104.00996, section 4)."""

Weights = Sequence[float] | None

LOSSES: dict[str, Callable[[Weights], nn.Module]] = {
    "ce": lambda weights: nn.CrossEntropyLoss(None if weights is None else torch.tensor(weights)),
    "dice": lambda weights: smp_losses.DiceLoss("multiclass", class_weights=weights),
    "focal": lambda weights: smp_losses.FocalLoss("multiclass", class_weights=weights),
    "jaccard": lambda weights: smp_losses.JaccardLoss("multiclass", class_weights=weights),
    "lovasz": lambda weights: smp_losses.LovaszLoss("multiclass"),
    "tversky": lambda weights: smp_losses.TverskyLoss("multiclass", alpha=0.3, beta=0.7, class_weights=weights),
}
"""Of logits (N, classes, H, W) and labels (N, H, W), by name, from one weight a class.

`tversky` has the source's 0.3 for what is wrongly found and 0.7 for what is missed (Salehi et al. 2017, arXiv 1706.05721);
at 0.5 each it would be `dice`. `focal` asks each class for itself whether a pixel is of it, with gamma 2.
"""


@final
class Charbonnier(nn.Module):
    """Mean of sqrt(difference^2 + eps^2), an l1 that is smooth at 0 (Lai et al. 2017, arXiv 1704.03915, eps 1e-3).

    Args:
        eps: in the units of the pictures compared, those a network answers with (`unetlift.info.TARGET_STD` to one).
    """

    def __init__(self, eps: float = 1e-3):
        super().__init__()
        self.eps = eps

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return ((output - target).square() + self.eps**2).sqrt().mean()


PICTURE_LOSSES: dict[str, Callable[[], nn.Module]] = {"l1": nn.L1Loss, "l2": nn.MSELoss, "charbonnier": Charbonnier}
"""Of two pictures (N, C, H, W), by name."""


@final
class _Sum(nn.Module):
    def __init__(self, factors: list[float], parts: list[nn.Module]):
        super().__init__()
        self.factors, self.parts = factors, nn.ModuleList(parts)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        output = output.float()  # sums over pixels are beyond half precision, and lovasz knows single alone
        return torch.stack([factor * part(output, target) for factor, part in zip(self.factors, self.parts, strict=True)]).sum()


@final
class _Known(nn.Module):
    """A loss of the pixels that are not ignored; 0 where all are."""

    def __init__(self, loss: nn.Module, ignore_index: int):
        super().__init__()
        self.loss, self.ignore_index = loss, ignore_index

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        known = labels != self.ignore_index
        row = logits.movedim(1, -1)[known].T[None, :, None]
        return self.loss(row, labels[known][None, None]) if row.numel() else row.sum()


def segmentation_loss(names: str, ignore_index: int | None, weights: Weights = None) -> nn.Module:
    """A sum of `LOSSES` out of `names` like `ce+dice` or `0.5*ce+dice`, a module of (N, classes, H, W) logits and (N, H, W) labels.

    Ignored pixels are taken out before any loss sees them, so none can count them; a batch of nothing else costs 0. An absent
    class is no NaN: the overlap losses (`dice`, `jaccard`, `tversky`) give it a loss of 0, `lovasz` leaves it out of its mean.

    Args:
        names: joined by `+`, each with a factor above 0 and `*` before it, if that is not 1.
        ignore_index: the label that counts for nothing, or None.
        weights: one a class, above 0. `ce` weighs each pixel by its label's, and divides by the sum over the pixels; `focal` and
            the overlap losses are weighted means of the classes' own losses; `lovasz` knows no weights.

    Raises:
        UsageError: a name, factor or weight that is none.
    """
    if weights is not None:
        weights = [float(weight) for weight in weights]
        if bad := [weight for weight in weights if not (isfinite(weight) and weight > 0)]:
            raise UsageError(f"A class has the weight {bad[0]:g}; it is a number above 0.")
    loss = _sum(names, {name: lambda make=make: make(weights) for name, make in LOSSES.items()})
    return loss if ignore_index is None else _Known(loss, ignore_index)


def picture_loss(names: str) -> nn.Module:
    """A sum of `PICTURE_LOSSES` out of `names` like `l1` or `l1+0.1*l2`, a module of two (N, C, H, W) of one scale.

    Raises:
        UsageError: a name or factor that is none.
    """
    return _sum(names, PICTURE_LOSSES)


def _sum(names: str, known: Mapping[str, Callable[[], nn.Module]]) -> _Sum:
    terms = [term.rpartition("*") for term in names.split("+")]
    for _, _, name in terms:
        one_of("loss", name.strip(), known)
    factors = [_factor(said) if star else 1.0 for said, star, _ in terms]
    return _Sum(factors, [known[name.strip()]() for _, _, name in terms])


def _factor(said: str) -> float:
    try:
        factor = float(said)
    except ValueError:
        factor = 0.0
    if not (isfinite(factor) and factor > 0):
        raise UsageError(f"The factor {said!r} of a loss is no number above 0; write it like 0.5*ce.")
    return factor


def shift_consistency(
    network: Callable[[Tensor], Tensor],
    x: Tensor,
    output: Tensor,
    max_shift: int,
    seed: int,
    stride: int = 1,
    margin: int | None = None,
) -> Tensor:
    """How much a network's output changes, other than by moving, when its window moves: mean (f(S x) - S f(x))^2.

    One shift (dy, dx) is drawn a batch, each from 0 to `max_shift` and not both 0. The network sees a second time what lies from
    there on, a window `max_shift` pixels smaller than x, and is compared with the same window of its first output. For
    probabilities, -10 log10 of this is a shift PSNR under crop in dB, with R = 1.

    Gradients flow through both outputs. A detached target suits a teacher who knows better; here both windows are crops of the
    same kind. Detached, the gradient would be half of this one on average and vary more, and it would spare nothing: the task's
    loss goes back through the first output anyway. That loss also keeps the network from a constant, which never changes.
    What is normalised by its batch changes a little with the window, so that in training not even equivariant layers have 0.

    Args:
        network: (N, C, H, W) to (N, K, H, W): probabilities, or pictures.
        x: what it has seen.
        output: what it has answered.
        max_shift: in pixels, from 1 on.
        seed: draws the shift.
        stride: the window's height and width are multiples of it.
        margin: pixels left out along the window's frame, where the network sees its own padding; `max_shift` unless given.

    Raises:
        UsageError: the shift is less than 1, or shift and margin leave nothing of x to compare.
    """
    if max_shift < 1:
        raise UsageError(f"The largest shift is {max_shift}; it is 1 pixel or more.")
    margin = max_shift if margin is None else margin
    height, width = ((size - max_shift) // stride * stride for size in x.shape[2:])
    if not 0 <= 2 * margin < min(height, width):
        left = f"windows that move by {max_shift}, less a margin of {margin}"
        raise UsageError(f"A picture of {x.shape[3]} x {x.shape[2]} is too small for {left}, in steps of {stride}.")
    drawn = torch.randint(1, (max_shift + 1) ** 2, (), generator=torch.Generator().manual_seed(seed)).item()
    dy, dx = divmod(int(drawn), max_shift + 1)
    window = (..., slice(dy, dy + height), slice(dx, dx + width))
    inner = (..., slice(margin, height - margin), slice(margin, width - margin))
    moved, still = network(x[window])[inner].float(), output[window][inner].float()
    return (moved - still).square().mean()


def lift_regularisers(traces: list[Trace]) -> Tensor:
    """(c_u, c_p) summed over the levels; zeros for a network without lifting."""
    penalties = [trace.penalties for trace in traces if trace.penalties is not None]
    return torch.stack(penalties).float().sum(0) if penalties else torch.zeros(2)
