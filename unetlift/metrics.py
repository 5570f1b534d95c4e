"""Scores of answers against the truth, as sums that several processes and batches add up to exactly."""

from collections.abc import Sequence
from math import hypot
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.functional.image import structural_similarity_index_measure

from unetlift.errors import UsageError

PSNR_CEILING = 160.0
"""In dB, of a picture that is answered exactly: an infinity would be every mean's."""

SSIM_WINDOW = 11
"""Side in pixels of the Gaussian window of sigma 1.5 (Wang et al. 2004)."""

_LOW, _HIGH = torch.iinfo(torch.int16).min, torch.iinfo(torch.int16).max


@final
class SegmentationScores(Metric):
    """Overlap of predicted classes with labels, over all pixels of all pictures; ignored pixels count nowhere.

    Boundary IoU (Cheng et al. 2021, arXiv 2103.16562) is the IoU of those pixels of the two masks that lie within d pixels of
    their own mask's contour. As in the authors' code, d is a share of the diagonal, 1 at least, measured along rows and columns
    (the larger counts), and the picture's frame is a contour. Ignored pixels are none: what lies behind them is not known.

    Args:
        class_names: one a class.
        ignore_index: the label that counts for nothing, or None.
        boundary_share: d in diagonals.
    """

    full_state_update = False
    update_called = True  # sums over nothing are answered with NaN, not with a warning

    counts: Tensor
    bands: Tensor

    def __init__(self, class_names: Sequence[str], ignore_index: int | None, boundary_share: float = 0.02):
        super().__init__()
        self.class_names, self.ignore_index, self.boundary_share = tuple(class_names), ignore_index, boundary_share
        size = len(self.class_names) + 1  # the last row and column are what is ignored, or outside of a band
        for name in ("counts", "bands"):
            self.add_state(name, torch.zeros(size, size, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, labels: Tensor) -> None:
        """Counts a batch of two (N, H, W) of whole numbers.

        Raises:
            UsageError: a class that is none.
        """
        nothing = len(self.class_names)
        known = torch.ones_like(labels, dtype=torch.bool) if self.ignore_index is None else labels != self.ignore_index
        for what, of in (("labels", labels), ("predicted classes", predicted)):
            least, most = torch.where(known, of, 0).aminmax()
            if least < 0 or most >= nothing:
                raise UsageError(f"The {what} go from {least} to {most}; they are 0 to {nothing - 1}.")
        labels, predicted = (torch.where(known, of, nothing) for of in (labels, predicted))
        reach = max(1, round(self.boundary_share * hypot(*labels.shape[1:])))
        there, found = (torch.where(_band(of, nothing, reach), of, nothing) for of in (labels, predicted))
        self.counts += _pairs(labels, predicted, nothing + 1)
        self.bands += _pairs(there, found, nothing + 1)

    def compute(self) -> dict[str, Tensor]:
        """`miou`, `dice`, `pixel_accuracy`, `boundary_iou`, and `iou/NAME` for each class: 0 to 1.

        Means are over the classes that occur in labels or answers; what none occurs for is NaN.
        """
        confusion = self.confusion
        inside, sizes = confusion.diag(), confusion.sum(0) + confusion.sum(1)
        iou = inside / (sizes - inside)
        band_inside, band_sizes = self.bands.diag()[:-1], (self.bands.sum(0) + self.bands.sum(1))[:-1]
        scores = {
            "miou": iou.nanmean(),
            "dice": (2 * inside / sizes).nanmean(),
            "pixel_accuracy": inside.sum() / confusion.sum(),
            "boundary_iou": (band_inside / (band_sizes - band_inside)).nanmean(),
        }
        return scores | {f"iou/{name}": value for name, value in zip(self.class_names, iou, strict=True)}

    @property
    def confusion(self) -> Tensor:
        """(classes, classes) pixels that this process has counted: of the label in the row, answered with the column."""
        return self.counts[:-1, :-1]


def _pairs(first: Tensor, second: Tensor, size: int) -> Tensor:
    """How often each pair of numbers below `size` occurs at the same pixel."""
    return torch.bincount((first * size + second).flatten(), minlength=size**2).reshape(size, size)


def _band(labels: Tensor, nothing: int, reach: int) -> Tensor:
    """Which pixels of (N, H, W) have another class, or the frame, within `reach` along both axes.

    The others' windows hold their own class alone, so that its largest and its smallest label are theirs: two windows for all
    classes at once.
    """
    void = labels == nothing
    both = torch.stack([labels, -labels]).short().masked_fill(void, _LOW)
    largest = F.pad(both, (reach,) * 4, value=_HIGH)
    for axis in (2, 3):
        width = 1
        while width < 2 * reach + 1:  # windows of twice the width from two beside each other, until they overlap
            step, size = min(width, 2 * reach + 1 - width), largest.shape[axis]
            largest = torch.maximum(largest.narrow(axis, 0, size - step), largest.narrow(axis, step, size - step))
            width += step
    return (largest != both).any(0) & ~void


@final
class PictureScores(Metric):
    """Likeness of pictures of 0..1 to what they should be, each a mean over the pictures; answers are clamped to 0..1 first."""

    full_state_update = False
    update_called = True  # sums over nothing are answered with NaN, not with a warning

    sums: Tensor
    pictures: Tensor
    ssim_sum: Tensor
    ssim_pictures: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(4), dist_reduce_fx="sum")
        self.add_state("ssim_sum", torch.tensor(0.0), dist_reduce_fx="sum")
        for name in ("pictures", "ssim_pictures"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, answer: Tensor, target: Tensor) -> None:
        """Adds a batch of two (N, C, H, W)."""
        answer, target = answer.float().clamp(0, 1), target.float()
        difference = answer - target
        psnr = -10 * difference.square().mean((1, 2, 3)).clamp_min(10 ** (-PSNR_CEILING / 10)).log10()
        mae = difference.abs().mean((1, 2, 3))
        self.sums += torch.stack([psnr, mae, total_variation(answer), total_variation(target)], 1).sum(0)
        self.pictures += len(answer)
        if min(answer.shape[2:]) >= SSIM_WINDOW:
            everywhere = {"reduction": "none", "return_full_image": True}  # torchmetrics' own mean has mirrored borders in it
            _, likeness = structural_similarity_index_measure(answer, target, sigma=1.5, data_range=1.0, **everywhere)
            border = SSIM_WINDOW // 2
            self.ssim_sum += likeness[..., border:-border, border:-border].mean((1, 2, 3)).sum()
            self.ssim_pictures += len(answer)

    def compute(self) -> dict[str, Tensor]:
        """NaN before the first picture.

        `psnr`: in dB with R = 1, at most `PSNR_CEILING` a picture. `ssim`: up to 1, with a Gaussian window of sigma 1.5 that lies
        inside the picture; pictures with a side below 11 pixels have none and do not count. `mae`: mean absolute error.
        `total_variation` and `total_variation_target`: mean absolute difference of neighbours in rows and columns, which blur
        lowers.
        """
        names = ("psnr", "mae", "total_variation", "total_variation_target")
        means = dict(zip(names, self.sums / self.pictures, strict=True))
        return means | {"ssim": self.ssim_sum / self.ssim_pictures}


def total_variation(x: Tensor) -> Tensor:
    """(N,): mean absolute difference of neighbours in rows and columns of (N, C, H, W)."""
    down, right = x.diff(dim=2).abs(), x.diff(dim=3).abs()
    pairs = down[0].numel() + right[0].numel()
    return (down.sum((1, 2, 3)) + right.sum((1, 2, 3))) / max(pairs, 1)  # a single pixel has none
