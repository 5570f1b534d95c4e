"""Scores: by hand, beside independent references, and the same however the pictures are dealt out."""

import math
import time

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from unetlift.errors import UsageError
from unetlift.metrics import PSNR_CEILING, PictureScores, SegmentationScores

NAMES = ("sky", "tree", "car", "sign")
VOID = 255


def _patches(seed: int, size: tuple[int, int], count: int = 3, classes: int = 4) -> Tensor:
    """Labels in patches about 8 pixels wide, of all classes or fewer."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, (count, size[0] // 8 + 2, size[1] // 8 + 2))
    rows, columns = (np.arange(side) + rng.integers(0, 3, side) for side in size)
    return torch.from_numpy(coarse[:, rows[:, None] // 8, columns // 8])


def _answers(size: tuple[int, int] = (40, 53), seed: int = 0) -> tuple[Tensor, Tensor]:
    """Labels with ignored stripes and spots, and answers that are near them."""
    labels, rng = _patches(seed, size), np.random.default_rng(seed + 1)
    predicted = torch.where(torch.from_numpy(rng.random(labels.shape) < 0.05), _patches(seed + 2, size), labels.roll((1, 2), (1, 2)))
    labels[:, :, 20:23] = VOID
    labels[torch.from_numpy(rng.random(labels.shape) < 0.02)] = VOID
    return predicted, labels


def _scored(predicted: Tensor, labels: Tensor, ignore: int | None = VOID, share: float = 0.02) -> SegmentationScores:
    scores = SegmentationScores(NAMES, ignore, share)
    scores.update(predicted, labels)
    return scores


def _slow_boundary_iou(predicted: Tensor, labels: Tensor, share: float) -> float:
    """Mask by mask, with what is ignored as part of every mask while it is eroded, and of none when it is counted."""
    inside, union = np.zeros(len(NAMES)), np.zeros(len(NAMES))
    for answer, truth in zip(predicted.numpy(), labels.numpy(), strict=True):
        reach, void = max(1, round(share * math.hypot(*truth.shape))), truth == VOID
        for number in range(len(NAMES)):
            masks = [(of == number) & ~void for of in (answer, truth)]
            bands = [mask & ~binary_erosion(mask | void, np.ones((3, 3)), reach, border_value=0) for mask in masks]
            inside[number] += (bands[0] & bands[1]).sum()
            union[number] += (bands[0] | bands[1]).sum()
    return float(np.mean(inside[union > 0] / union[union > 0]))


def test_scores_by_hand() -> None:
    labels = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, VOID]]])
    predicted = torch.tensor([[[0, 1, 1, 1], [0, 0, 1, 3]]])
    scores = _scored(predicted, labels)
    assert scores.confusion.tolist() == [[3, 1, 0, 0], [0, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    found = {name: value.item() for name, value in scores.compute().items()}
    assert list(found) == ["miou", "dice", "pixel_accuracy", "boundary_iou", "iou/sky", "iou/tree", "iou/car", "iou/sign"]
    assert math.isnan(found.pop("iou/car")) and math.isnan(found.pop("iou/sign"))  # the answer 3 is at an ignored pixel
    iou = {"iou/sky": 3 / 4, "iou/tree": 3 / 4, "miou": 3 / 4, "boundary_iou": 3 / 4}  # all pixels are near the frame
    assert found == pytest.approx(iou | {"dice": 6 / 7, "pixel_accuracy": 6 / 7})


def test_boundary_iou_by_hand() -> None:
    labels, predicted = torch.zeros(2, 1, 20, 20, dtype=torch.long)
    labels[0, 5:15, 5:15] = 1
    predicted[0, 5:15, 6:16] = 1
    rings = [np.zeros((20, 20), bool), np.zeros((20, 20), bool)]
    for ring, left in zip(rings, (5, 6), strict=True):
        ring[5:15, left : left + 10] = True
        ring[6:14, left + 1 : left + 9] = False
    inside, union = (rings[0] & rings[1]).sum(), (rings[0] | rings[1]).sum()
    assert (inside, union) == (18, 36 + 36 - 18)  # all but the ends of the two rows
    found = _scored(predicted, labels, share=0.001)
    assert (found.bands[1, 1], found.bands[1].sum(), found.bands[:, 1].sum()) == (18, 36, 36)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.1, 1.0])
@pytest.mark.parametrize("size", [(40, 53), (7, 90), (1, 1), (3, 2)], ids=str)
def test_boundary_iou_is_that_of_eroded_masks(size: tuple[int, int], share: float) -> None:
    predicted, labels = _answers(size) if min(size) > 3 else (_patches(3, size), _patches(4, size))
    expected = _slow_boundary_iou(predicted, labels, share)
    assert _scored(predicted, labels, share=share).compute()["boundary_iou"].item() == pytest.approx(expected, abs=1e-6)


def test_a_contour_behind_what_is_ignored_is_found_by_its_distance() -> None:
    labels = torch.zeros(1, 30, 40, dtype=torch.long)
    labels[..., 22:] = 1
    labels[..., 18:22] = VOID
    found = _scored(torch.where(labels == VOID, 0, labels), labels, share=0.1)  # of 50 pixels
    frame, contour = 2 * 30 * 5 + 2 * 5 * 26, 2 * 20  # 5 deep; one pixel on either side of the 4 that are ignored
    assert found.bands[:2, :2].sum() == frame + contour
    assert found.compute()["boundary_iou"] == 1


def test_overlap_is_that_of_torchmetrics() -> None:
    predicted, labels = _answers()
    scores = _scored(predicted, labels)
    confusion = MulticlassConfusionMatrix(len(NAMES), ignore_index=VOID)(predicted, labels)
    assert torch.equal(scores.confusion, confusion)
    found = scores.compute()
    iou = MulticlassJaccardIndex(len(NAMES), average="none", ignore_index=VOID)(predicted, labels)
    torch.testing.assert_close(torch.stack([found[f"iou/{name}"] for name in NAMES]), iou)
    torch.testing.assert_close(found["miou"], iou.mean())
    torch.testing.assert_close(found["pixel_accuracy"], confusion.diag().sum() / confusion.sum())
    torch.testing.assert_close(found["dice"], (2 * iou / (1 + iou)).mean())


def test_what_is_answered_at_ignored_pixels_changes_nothing() -> None:
    predicted, labels = _answers()
    other = torch.where(labels == VOID, torch.randint(-5, 300, labels.shape), predicted)
    first, second = _scored(predicted, labels), _scored(other, labels)
    assert torch.equal(first.counts, second.counts) and torch.equal(first.bands, second.bands)


def test_a_right_answer_scores_one_and_a_class_never_found_scores_nothing() -> None:
    _, labels = _answers()
    found = _scored(torch.where(labels == VOID, 0, labels), labels).compute()
    assert all(value == 1 for value in found.values())
    found = _scored(torch.zeros_like(labels), labels).compute()
    assert [found[f"iou/{name}"].item() > 0 for name in NAMES] == [True, False, False, False]


@pytest.mark.parametrize(("what", "at"), [("labels", 1), ("predicted classes", 0)])
@pytest.mark.parametrize("value", [-1, 4])
def test_classes_that_are_none_are_refused(what: str, at: int, value: int) -> None:
    pair = list(_answers())
    pair[at][0, 0, 0] = value
    pair[1 - at][0, 0, 0] = 0
    with pytest.raises(UsageError, match=rf"The {what} go from -?\d to \d; they are 0 to 3\."):
        _scored(*pair)


def _pictures(size: tuple[int, int] = (30, 41), channels: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    target = np.cumsum(rng.uniform(-0.1, 0.1, (4, channels, *size)), -1) % 1
    answer = target + rng.normal(0, 0.05, target.shape) * np.array([1, 2, 3, 4])[:, None, None, None]
    return torch.from_numpy(answer).float(), torch.from_numpy(target).float()


def test_pictures_by_hand() -> None:
    target = torch.tensor([[0.0, 0.5], [0.5, 1.0]])[None, None]
    scores = PictureScores()
    scores.update(target - 0.1, target)  # -0.1 is clamped to 0
    found = {name: value.item() for name, value in scores.compute().items()}
    assert math.isnan(found.pop("ssim"))
    likeness = {"psnr": -10 * math.log10(0.03 / 4), "mae": 0.3 / 4}
    assert found == pytest.approx(likeness | {"total_variation": 0.45, "total_variation_target": 0.5}, rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_likeness_is_that_of_skimage(channels: int) -> None:
    answer, target = _pictures(channels=channels)
    scores = PictureScores()
    scores.update(answer, target)
    found = scores.compute()
    pairs = [
        (a.permute(1, 2, 0).double().numpy(), t.permute(1, 2, 0).double().numpy()) for a, t in zip(answer.clamp(0, 1), target, strict=True)
    ]
    psnr = np.mean([peak_signal_noise_ratio(t, a, data_range=1) for a, t in pairs])
    how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1, "channel_axis": 2}
    ssim = np.mean([structural_similarity(t, a, **how) for a, t in pairs])
    steps = [np.concatenate([np.abs(np.diff(a, axis=axis)).ravel() for axis in (0, 1)]).mean() for a, _ in pairs]
    assert found["psnr"].item() == pytest.approx(psnr, abs=1e-4)
    assert found["ssim"].item() == pytest.approx(ssim, abs=1e-5)
    assert found["total_variation"].item() == pytest.approx(np.mean(steps), rel=1e-5)
    assert found["mae"].item() == pytest.approx(np.mean([np.abs(a - t).mean() for a, t in pairs]), rel=1e-5)


def test_blur_lowers_total_variation() -> None:
    _, target = _pictures()
    scores = PictureScores()
    scores.update(torch.nn.functional.avg_pool2d(target, 3, 1, 1), target)
    found = scores.compute()
    assert found["total_variation"] < 0.8 * found["total_variation_target"]


def test_an_exact_answer_has_a_finite_psnr() -> None:
    _, target = _pictures()
    scores = PictureScores()
    scores.update(target, target)
    found = scores.compute()
    assert found["psnr"] == PSNR_CEILING and found["mae"] == 0
    assert found["ssim"].item() == pytest.approx(1)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 40), (10, 10)], ids=str)
def test_small_pictures_have_no_ssim_and_take_none_from_others(size: tuple[int, int]) -> None:
    scores = PictureScores()
    scores.update(*_pictures(size))
    assert scores.compute()["ssim"].isnan() and scores.compute()["psnr"].isfinite()
    assert scores.compute()["total_variation"].isfinite()
    alone = PictureScores()
    for one in (scores, alone):
        one.update(*_pictures((11, 11)))
    assert torch.equal(scores.compute()["ssim"], alone.compute()["ssim"])


def test_half_precision_pictures_are_scored_in_single() -> None:
    answer, target = (x.bfloat16() for x in _pictures())
    half, single = PictureScores(), PictureScores()
    half.update(answer, target)
    single.update(answer.float(), target.float())
    assert half.compute() == single.compute()


@pytest.mark.parametrize("make", [lambda: SegmentationScores(NAMES, VOID), PictureScores], ids=["labels", "pictures"])
def test_scores_of_nothing_are_nan(make) -> None:
    scores = make()
    assert all(value.isnan() for value in scores.compute().values())
    scores.update(*(_answers() if isinstance(scores, SegmentationScores) else _pictures()))
    assert not all(value.isnan() for value in scores.compute().values())
    scores.reset()
    assert all(value.isnan() for value in scores.compute().values())


@pytest.mark.parametrize("make", [lambda: SegmentationScores(NAMES, VOID), PictureScores], ids=["labels", "pictures"])
def test_batches_and_processes_add_up(make) -> None:
    whole, first, second = make(), make(), make()
    pair = _answers() if isinstance(whole, SegmentationScores) else _pictures()
    whole.update(*pair)
    for number, (x, y) in enumerate(zip(*pair, strict=True)):
        (first, second)[number % 2].update(x[None], y[None])
    first.merge_state(second)  # what several processes do
    for name, value in whole.compute().items():
        torch.testing.assert_close(first.compute()[name], value, msg=name, equal_nan=True)


def test_a_camvid_picture_takes_less_than_15_ms() -> None:
    scores = SegmentationScores([str(number) for number in range(11)], VOID)
    labels, predicted = (_patches(seed, (360, 480), 1, 11) for seed in (0, 1))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def seconds() -> float:
        start = time.process_time()  # not that of others on the machine
        scores.update(predicted, labels)
        return time.process_time() - start

    try:
        assert min(seconds() for _ in range(10)) < 0.015
    finally:
        torch.set_num_threads(threads)
