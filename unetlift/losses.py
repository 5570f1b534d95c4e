"""Task losses by name, and the lifting regularisers."""

from collections.abc import Callable

import segmentation_models_pytorch.losses as smp_losses
import torch
from torch import Tensor, nn

from unetlift.errors import one_of
from unetlift.pools import Trace

LIFT_WEIGHTS = (0.01, 0.1)
"""The paper's lambda_u and lambda_p (arXiv 2104.00996, section 4)."""

LOSSES: dict[str, Callable[[int | None], nn.Module]] = {
    "ce": lambda ignore: nn.CrossEntropyLoss(ignore_index=-100 if ignore is None else ignore),
    "dice": lambda ignore: smp_losses.DiceLoss("multiclass", ignore_index=ignore),
    "focal": lambda ignore: smp_losses.FocalLoss("multiclass", ignore_index=ignore),
}


def segmentation_loss(names: str, ignore_index: int | None) -> Callable[[Tensor, Tensor], Tensor]:
    """The sum of the losses joined by `+` in `names`, as a function of (N, classes, H, W) logits and (N, H, W) labels."""
    for name in names.split("+"):
        one_of("loss", name, LOSSES)
    parts = [LOSSES[name](ignore_index) for name in names.split("+")]
    return lambda logits, labels: torch.stack([part(logits, labels) for part in parts]).sum()


def lift_regularisers(traces: list[Trace]) -> Tensor:
    """(c_u, c_p) summed over the levels; zeros for a network without lifting."""
    penalties = [trace.penalties for trace in traces if trace.penalties is not None]
    return torch.stack(penalties).float().sum(0) if penalties else torch.zeros(2)
