"""What is said of two answers that should be the same: a table of figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor

from unetlift.errors import UsageError, one_of
from unetlift.stability.answers import Kind, labels_of
from unetlift.stability.frames import Comparison, decibels
from unetlift.stability.likeness import WINDOW, ssim_map

SEEN = 0.01
"""Share of the valid pixels from which on a class counts as one that the picture holds."""

NO_CLASS = 2**15 - 1

MOST_CLASSES = 1024
"""Different labels of one comparison; every pair of classes is counted, and numbers of single objects are no classes."""


@dataclass(frozen=True)
class Pair:
    """Two answers, what they mean, and what they should be.

    Attributes:
        comparison: the answers.
        kind: of the answers.
        range: R, of pictures and probabilities.
        classes: their names, or none: then they are numbered.
        truth: (1, H, W) labels or (1, C, H, W) picture, cut like the answer before anything moved.
    """

    comparison: Comparison
    kind: Kind
    range: float = 1.0
    classes: Sequence[str] = ()
    truth: Tensor | None = None

    @property
    def labelled(self) -> bool:
        """Whether every pixel has a class."""
        return self.kind != "pictures"

    @cached_property
    def labels(self) -> tuple[Tensor, Tensor]:
        """(N, H, W) of both answers."""
        return labels_of(self.comparison.still, self.kind), labels_of(self.comparison.moved_back, self.kind)

    @cached_property
    def overlap(self) -> dict[str, float]:
        """IoU, boundary IoU and the like of the two label maps over the valid pixels; what has no class there is absent."""
        return self.scores(*self.labels)

    def scores(self, truth: Tensor, labels: Tensor) -> dict[str, float]:
        """Of a label map beside another, which is the truth and may have pixels to be ignored."""
        from unetlift.metrics import SegmentationScores  # torchmetrics takes seconds to import, which most figures need not wait for

        valid, numbers = self.comparison.valid, range(len(self.classes) or self.comparison.still.shape[1])
        if self.kind == "labels" and not self.classes:  # what is there is counted: labels may be any numbers
            present, both = torch.stack((truth, labels)).unique(return_inverse=True)
            numbers, (truth, labels) = present.tolist(), both
            if len(numbers) > MOST_CLASSES:
                raise UsageError(f"The labels have {len(numbers)} different values; classes are up to {MOST_CLASSES}.")
        metric = SegmentationScores(self.classes or list(map(str, numbers)), NO_CLASS)
        metric.update(labels, torch.where(valid & (truth < len(numbers)), truth, NO_CLASS))
        return {name: value.item() for name, value in metric.compute().items() if not value.isnan()}


Figure = Callable[[Pair], Mapping[str, float]]


def _psnr(pair: Pair) -> dict[str, float]:
    if pair.kind != "labels":
        return {"psnr": pair.comparison.psnr(pair.range)}
    # A label map has no values to be near: the error is 1 where the label changed, and 0 elsewhere.
    return {"psnr": decibels(1 - _share_that_stays(pair))}


def _share_that_stays(pair: Pair) -> float:
    one, other = pair.labels
    return (one == other)[..., pair.comparison.valid].double().mean().item()


def _agreement(pair: Pair) -> dict[str, float]:
    return {"agreement": _share_that_stays(pair)} if pair.labelled else {}


def _max_error(pair: Pair) -> dict[str, float]:
    if pair.kind == "labels":
        return {}
    gone = (pair.comparison.still - pair.comparison.moved_back).abs()[..., pair.comparison.valid]
    return {"max_error": gone.max().item()}


def _ssim(pair: Pair) -> dict[str, float]:
    """Over windows that lie inside the valid pixels; absent where none does."""
    valid = pair.comparison.valid
    if pair.kind == "labels" or min(valid.shape) < WINDOW:
        return {}
    inside = torch.nn.functional.avg_pool2d(valid[None, None].double(), WINDOW, 1)[0, 0] > 1 - 1e-9
    if not inside.any():
        return {}
    return {"ssim": ssim_map(pair.comparison.still, pair.comparison.moved_back, pair.range)[..., inside].mean().item()}


def _overlap(pair: Pair) -> dict[str, float]:
    if not pair.labelled:
        return {}
    return {name: value for name, value in pair.overlap.items() if name in ("miou", "boundary_iou") or name.startswith("iou/")}


def _total_variation(pair: Pair) -> dict[str, float]:
    """Mean absolute difference of neighbours in the answer before the move."""
    if pair.kind == "labels":
        return {}
    from unetlift.metrics import total_variation

    return {"total_variation": total_variation(pair.comparison.still).mean().item()}


def _decision(pair: Pair) -> dict[str, float]:
    """Whether both answers hold the same classes, each on a hundredth of the valid pixels; of one pixel it is the class."""
    if not pair.labelled:
        return {}
    held = []
    for labels in pair.labels:
        present, counts = labels[..., pair.comparison.valid].unique(return_counts=True)
        held.append(set(present[counts >= SEEN * counts.sum()].tolist()))
    return {"decision": float(held[0] == held[1])}


def _decline(pair: Pair) -> dict[str, float]:
    """What the move costs beside the truth: of mIoU, or of PSNR in dB; below 0 it gained."""
    if pair.truth is None:
        return {}
    both = pair.comparison.still, pair.comparison.moved_back
    if pair.labelled:
        before, after = (pair.scores(pair.truth, labels).get("miou", 0.0) for labels in pair.labels)
    else:
        before, after = (Comparison(pair.truth, answer, pair.comparison.valid).psnr(pair.range) for answer in both)
    return {"score": before, "decline": before - after}


FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        "psnr": _psnr,
        "agreement": _agreement,
        "max_error": _max_error,
        "ssim": _ssim,
        "overlap": _overlap,
        "total_variation": _total_variation,
        "decision": _decision,
        "decline": _decline,
    }
)
"""By name; `overlap` gives `miou`, `boundary_iou` and `iou/CLASS`, `decline` also `score`, of the answer before the move."""

ALL = tuple(FIGURES)
QUICK = ("psnr", "agreement")


def figures_of(
    comparison: Comparison,
    kind: Kind,
    names: Sequence[str] = ALL,
    truth: Tensor | None = None,
    output_range: float = 1.0,
    classes: Sequence[str] = (),
) -> dict[str, float]:
    """The figures of two answers; one that has no meaning for this kind of answer is absent.

    Args:
        comparison: the answers, as `answers.as_values` gives them.
        kind: of the answers.
        names: which of `FIGURES`.
        truth: what the answer before the move should be: (1, H, W) labels (beyond the classes: ignored), or (1, C, H, W).
        output_range: R.
        classes: names; by default they are numbered.

    Raises:
        UsageError: an unknown name.
    """
    pair = Pair(comparison, kind, output_range, classes, truth)
    found: dict[str, float] = {}
    for name in names:
        one_of("figure", name, FIGURES)
        found |= FIGURES[name](pair)
    return found
