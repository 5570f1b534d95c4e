"""Every figure of two answers, every kind of answer, every way to move a picture: known beforehand or by an independent reference."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import structural_similarity
from torch.nn import functional as F

from unetlift import shifts, stability
from unetlift.errors import UsageError
from unetlift.shifts import Fraction, Shift
from unetlift.stability import Comparison, Record, StabilityReport

EVERYWHERE = torch.ones(32, 40, dtype=torch.bool)


def _rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def _labels(still: list[list[int]], moved: list[list[int]]) -> Comparison:
    first, second = (torch.tensor(rows, dtype=torch.float64)[None, None] for rows in (still, moved))
    return Comparison(first, second, torch.ones(first.shape[2:], dtype=torch.bool))


# Figures


def test_figures_of_labels_are_counted_by_hand() -> None:
    found = stability.figures_of(_labels([[0, 0], [1, 1]], [[0, 0], [1, 0]]), "labels")
    assert found["agreement"] == 0.75 and found["iou/0"] == pytest.approx(2 / 3) and found["iou/1"] == 0.5
    assert found["miou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["psnr"] == pytest.approx(-10 * math.log10(0.25))
    assert not {"ssim", "max_error", "total_variation", "decline"} & set(found)


def test_pictures_have_no_classes() -> None:
    comparison = Comparison(_rand(1, 3, 32, 40), _rand(1, 3, 32, 40, seed=1), EVERYWHERE)
    found = stability.figures_of(comparison, "pictures")
    assert set(found) == {"psnr", "max_error", "ssim", "total_variation"}
    assert found["max_error"] == pytest.approx((comparison.still - comparison.moved_back).abs().max().item())


def test_likeness_is_scikit_images() -> None:
    one, other = _rand(1, 1, 32, 40), (_rand(1, 1, 32, 40) + 0.2 * _rand(1, 1, 32, 40, seed=1)).clamp(0, 1)
    found = stability.figures_of(Comparison(one, other, EVERYWHERE), "pictures", ["ssim"])["ssim"]
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    assert found == pytest.approx(structural_similarity(one[0, 0].double().numpy(), other[0, 0].double().numpy(), **options), abs=2e-4)


def test_likeness_looks_at_windows_of_valid_pixels_alone() -> None:
    one = _rand(1, 1, 32, 40)
    other, valid = one.clone(), EVERYWHERE.clone()
    other[..., :6, :], valid[:6] = 9.0, False
    found = stability.figures_of(Comparison(one, other, valid), "pictures", ["ssim", "psnr", "max_error"])
    assert found == {"ssim": pytest.approx(1, abs=1e-6), "psnr": stability.CEILING, "max_error": 0}


def test_pixels_that_are_not_valid_count_in_no_figure() -> None:
    still = F.one_hot(torch.zeros(1, 32, 40, dtype=torch.long), 3).permute(0, 3, 1, 2).float()
    moved, valid = still.clone(), EVERYWHERE.clone()
    moved[:, :, :4], valid[:4] = moved[:, [1, 2, 0], :4], False
    found = stability.figures_of(Comparison(still, moved, valid), "probabilities")
    assert found["agreement"] == found["miou"] == found["decision"] == found["ssim"] == 1 and found["psnr"] == stability.CEILING


def test_total_variation_shows_stillness_that_was_bought_with_blur() -> None:
    sharp = _rand(1, 1, 32, 40)
    tv = [stability.figures_of(Comparison(x, x, EVERYWHERE), "pictures")["total_variation"] for x in (sharp, F.avg_pool2d(sharp, 3, 1, 1))]
    assert tv[1] < tv[0] / 3
    ramp = torch.arange(40.0).expand(1, 1, 32, 40) / 40
    expected = 32 * 39 / 40 / (32 * 39 + 31 * 40)
    assert stability.figures_of(Comparison(ramp, ramp, EVERYWHERE), "pictures")["total_variation"] == pytest.approx(expected)


def test_the_decision_is_which_classes_a_picture_holds() -> None:
    still = torch.zeros(1, 1, 32, 40, dtype=torch.float64)
    speck, patch = still.clone(), still.clone()
    speck[..., 0, :12] = 1  # 12 of 1280 pixels are less than a hundredth
    patch[..., 0, :13] = 1
    decisions = [stability.figures_of(Comparison(still, moved, EVERYWHERE), "labels")["decision"] for moved in (speck, patch)]
    assert decisions == [1, 0]


def test_what_a_move_costs_beside_the_truth() -> None:
    truth = torch.zeros(1, 32, 40, dtype=torch.long)
    truth[:, :, 20:] = 1
    still, moved = truth[:, None].double(), truth[:, None].double().clone()
    moved[..., 10:20] = 1
    found = stability.figures_of(Comparison(still, moved, EVERYWHERE), "labels", ["decline"], truth)
    assert found["score"] == 1 and found["decline"] == pytest.approx(1 - (0.5 + 20 / 30) / 2)
    pictures = Comparison(_rand(1, 3, 32, 40), _rand(1, 3, 32, 40) + 0.1, EVERYWHERE)
    gone = stability.figures_of(pictures, "pictures", ["decline"], pictures.still + 0.01)
    assert gone["score"] == pytest.approx(40, abs=1e-3) and gone["decline"] == pytest.approx(40 - 20.915, abs=1e-2)


def test_labels_beyond_the_classes_are_not_in_the_truth() -> None:
    truth = torch.zeros(1, 2, 2, dtype=torch.long)
    truth[0, 0, 0] = 255
    values = torch.tensor([[[[0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]]])
    comparison = Comparison(values, values, torch.ones(2, 2, dtype=torch.bool))
    assert stability.figures_of(comparison, "probabilities", ["decline"], truth) == {"score": 1.0, "decline": 0.0}


def test_classes_have_their_names() -> None:
    found = stability.figures_of(_labels([[0, 1]], [[0, 1]]), "labels", ["overlap"], classes=("sky", "road", "tree"))
    assert found["iou/sky"] == found["iou/road"] == 1 and "iou/tree" not in found


# Kinds of answers


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        (torch.zeros(1, 4, 5, dtype=torch.long), "labels"),
        (torch.zeros(1, 1, 4, 5, dtype=torch.int32), "labels"),
        (_rand(1, 3, 4, 5).softmax(1), "probabilities"),
        (_rand(1, 3, 4, 5).softmax(1).half(), "probabilities"),
        (_rand(1, 5).softmax(1), "probabilities"),
        (_rand(1, 3, 4, 5), "pictures"),
        (_rand(1, 1, 4, 5) * 1.2, "pictures"),
    ],
)
def test_answers_are_known_by_their_look(output: torch.Tensor, kind: str) -> None:
    assert stability.find_kind(output) == kind


def test_logits_have_to_be_told() -> None:
    logits = 9 * _rand(1, 2, 4, 5) - 4
    with pytest.raises(UsageError, match=r"neither probabilities nor pictures of 0 to 1; say what the answers are: logits"):
        stability.find_kind(logits)
    assert torch.equal(stability.as_values(logits, "logits"), logits.softmax(1))
    lone = stability.as_values(logits[:, :1], "logits")
    assert torch.allclose(lone[:, 1], logits[:, 0].sigmoid()) and lone.shape[1] == 2


@pytest.mark.parametrize(("shape", "kind"), [((1, 4), "pictures"), ((1, 4, 5), "probabilities"), ((1, 2, 0, 5), "probabilities")])
def test_answers_of_another_shape_are_refused(shape: tuple[int, ...], kind: str) -> None:
    with pytest.raises(UsageError, match=f"The function answered {kind} of shape"):
        stability.as_values(torch.zeros(shape), kind)


def test_answers_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="not finite"):
        stability.as_values(torch.full((1, 2, 3, 3), math.nan), "pictures")


def test_one_answer_for_the_whole_picture_is_consistent_or_not() -> None:
    def parity(x: torch.Tensor) -> torch.Tensor:  # an image-level decision that hangs on one pixel of the grid
        return torch.stack([x[..., 0, 0].mean(1), 1 - x[..., 0, 0].mean(1)], 1)

    report = stability.measure(parity, [_rand(1, 3, 40, 40)], "crop", 4)
    assert set(report.means) >= {"psnr", "decision"} and report.means["decision"] < 1
    steady = stability.measure(lambda x: torch.tensor([[0.2, 0.8]]), [_rand(1, 3, 40, 40)], "crop", 4)
    assert steady.means["decision"] == 1 and steady.worst == stability.CEILING


# Arrays


def test_arrays_go_in_and_come_out_in_their_own_dtype() -> None:
    seen = []

    def threshold(picture: np.ndarray) -> np.ndarray:
        seen.append((picture.dtype, picture.shape, picture.flags.c_contiguous))
        return picture[..., 0] > 100

    images = [np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)]
    report = stability.measure(threshold, images, "crop", 2, margin=2)
    assert set(seen) == {(np.dtype(np.uint8), (56, 66, 3), True)}
    assert report.kind == "labels" and report.agreement == 1 and report.worst == stability.CEILING


@pytest.mark.parametrize("answer", ["(H, W, 3) uint8", "(H, W, 2) floats", "(H, W) floats", "(K,) floats"])
def test_arrays_may_answer_in_many_ways(answer: str) -> None:
    def ask(picture: np.ndarray) -> np.ndarray:
        grey = picture.astype(np.float32).mean(2) / 255
        return {
            "(H, W, 3) uint8": picture,
            "(H, W, 2) floats": np.stack([grey, 1 - grey], 2),
            "(H, W) floats": grey,
            "(K,) floats": np.array([0.25, 0.75]),
        }[answer]

    images = [np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)]
    report = stability.measure(ask, images, "crop", 2, margin=2)
    assert report.worst == stability.CEILING
    assert report.kind == ("pictures" if answer in ("(H, W, 3) uint8", "(H, W) floats") else "probabilities")


def test_an_array_that_is_no_answer_is_refused() -> None:
    with pytest.raises(UsageError, match=r"The function answered with complex128 of shape \(56, 66\)"):
        stability.measure(lambda picture: picture[..., 0] * 1j, [np.zeros((60, 70, 3))], "crop", 2)


# Truths


def test_truths_are_cut_and_compared_like_the_answers() -> None:
    picture = _rand(1, 1, 60, 70)
    labels = (picture[:, 0] > 0.5).long()
    exact = stability.measure(lambda x: (x[:, 0] > 0.5).long(), [picture], "crop", 3, margin=2, truths=[labels])
    assert exact.means["score"] == 1 and exact.means["decline"] == 0
    jumpy = stability.measure(lambda x: (F.interpolate(x[..., ::2, ::2], scale_factor=2)[:, 0] > 0.5).long(), [picture], "crop", 3,
                              margin=2, multiple=2, truths=[labels])  # fmt: skip
    assert 0 < jumpy.means["score"] < 1


@pytest.mark.parametrize(("count", "word"), [(0, "fewer"), (2, "more")])
def test_every_image_wants_its_truth(count: int, word: str) -> None:
    with pytest.raises(UsageError, match=f"There are {word} truths than images"):
        stability.measure(torch.sigmoid, [_rand(1, 1, 60, 70)], "crop", 3, truths=[_rand(1, 1, 60, 70)] * count)


# Conditions


def test_frames_of_one_size_alone() -> None:
    sizes = set()
    stability.measure(lambda x: sizes.add(tuple(x.shape[2:])) or x, [_rand(1, 3, 90, 101)], "crop", 4, size=(48, 64))
    assert sizes == {(48, 64)}
    with pytest.raises(UsageError, match="A picture of 70 x 60 is too small; frames of 72 x 56 are wanted"):
        stability.measure(lambda x: x, [_rand(1, 3, 60, 70)], "crop", 4, size=(48, 64))


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"figures": ["psrn"]}, "figure 'psrn' is unknown"),
        ({"resampling": "linear", "shifts": [Fraction(0.5, 0.0)]}, "resampling 'linear' is unknown"),
        ({"answers": "masks"}, "answers 'masks' is unknown"),
        ({"output_range": 0}, "output_range is 0"),
        ({"shifts": [Shift(9, 0)]}, r"The shift \(9, 0\) is larger than max_shift, 8 pixels"),
        ({"margin": -1}, "margin is -1"),
    ],
)
def test_wrong_conditions_are_one_sentence(keys: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        stability.measure(torch.sigmoid, [_rand(1, 3, 90, 90)], **keys)


def test_an_odd_grid_shows_its_period_and_a_smooth_one_is_flat() -> None:
    def blocks(x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x[..., ::4, ::4], scale_factor=4)

    square = shifts.square(4)
    grid = stability.measure(blocks, [_rand(1, 3, 64, 64)], "roll", 4, multiple=4, shifts=square, figures=["psnr"]).grid()
    exact = grid.values == stability.CEILING
    assert grid.full and grid.values.shape == (9, 9)
    period = np.array(grid.dys)[:, None] % 4 + np.array(grid.dxs)[None] % 4 == 0
    assert exact.sum() == 9 and (exact == period).all()
    flat = stability.measure(torch.sigmoid, [_rand(1, 3, 64, 64)], "roll", 4, shifts=square, figures=["psnr"]).grid()
    assert (flat.measured == stability.CEILING).all() and len(flat.measured) == 80


def test_a_star_is_no_full_grid() -> None:
    assert not stability.measure(torch.sigmoid, [_rand(1, 3, 64, 64)], "roll", 2).grid().full


def test_scattered_shifts_are_by_chance_and_all_different() -> None:
    drawn = shifts.scattered(3, 20, seed=4)
    assert drawn == shifts.scattered(3, 20, seed=4) != shifts.scattered(3, 20, seed=5)
    assert len(set(drawn)) == 20 and set(drawn) <= set(shifts.square(3))
    with pytest.raises(UsageError, match="49 random shifts are wanted; of up to 3 pixels there are 1 to 48"):
        shifts.scattered(3, 49, seed=0)


# Parts of a pixel


def _waves(size: int, periods: tuple[int, ...] = (1, 3, 5)) -> torch.Tensor:
    """Periodic and band-limited: every shift of it is known."""
    at = torch.arange(size, dtype=torch.float64) * 2 * math.pi / size
    return sum(torch.sin(k * at[:, None] + 0.3) + torch.cos(k * at[None] - 0.7) for k in periods)[None, None]


def test_the_spectrum_moves_a_band_limited_picture_exactly() -> None:
    x, shift = _waves(48), Fraction(0.375, -0.8)
    at = torch.arange(48, dtype=torch.float64) * 2 * math.pi / 48
    rows, columns = at - shift.dy * 2 * math.pi / 48, at - shift.dx * 2 * math.pi / 48
    expected = sum(torch.sin(k * rows[:, None] + 0.3) + torch.cos(k * columns[None] - 0.7) for k in (1, 3, 5))
    assert (shifts.by_fraction(x, shift, "circular", "fourier") - expected).abs().max() < 1e-12
    back = shifts.by_fraction(shifts.by_fraction(x, shift, "circular", "fourier"), Fraction(-shift.dy, -shift.dx), "circular", "fourier")
    assert (back - x).abs().max() < 1e-12


def test_bicubic_is_keys_cubic_convolution() -> None:
    x = _rand(1, 1, 20, 24).double()
    moved = shifts.by_fraction(x, Fraction(0.0, 0.25), "circular", "bicubic")[0, 0].numpy()
    weights = [-0.0703125, 0.8671875, 0.2265625, -0.0234375]  # of the distances 1.25, 0.25, 0.75 and 1.75
    row = x[0, 0].numpy()
    expected = sum(w * np.roll(row, k, 1) for w, k in zip(weights, (-1, 0, 1, 2), strict=True))
    assert np.allclose(moved, expected, atol=1e-12)


@pytest.mark.parametrize("resampling", ["lanczos", "bicubic", "fourier"])
@pytest.mark.parametrize("border", ["reflect", "circular"])
def test_every_resampling_keeps_a_constant_and_is_near_scipys_spline(resampling: str, border: str) -> None:
    assert torch.allclose(shifts.by_fraction(torch.full((1, 1, 16, 18), 0.7).double(), Fraction(0.4, -0.3), border, resampling),
                          torch.tensor(0.7).double())  # fmt: skip
    x, shift = _waves(64), Fraction(0.4, -0.3)
    reference = ndimage.shift(x[0, 0].numpy(), shift, order=5, mode="grid-wrap")
    moved = shifts.by_fraction(x, shift, border, resampling)[0, 0].numpy()
    assert np.abs(moved - reference)[8:-8, 8:-8].max() < 0.02


def test_nearest_moves_labels_by_whole_pixels() -> None:
    x = torch.arange(30.0).reshape(1, 1, 5, 6)
    for shift, whole in ((Fraction(0.4, -0.4), (0, 0)), (Fraction(0.6, -0.6), (1, -1))):
        assert torch.equal(shifts.by_fraction(x, shift, "circular", "nearest"), x.roll(whole, (2, 3)))


@pytest.mark.parametrize("mode", ["roll", "crop"])
def test_whole_pixels_and_parts_go_together(mode: str) -> None:
    x, shift = _waves(96), Fraction(-2.25, 3.5)
    record = stability.measure(lambda y: 0.1 * y, [x], mode, 4, shifts=[shift], answers="pictures", figures=["psnr"]).records[0]
    assert (record.dy, record.dx) == shift and record.psnr > 65
    whole = stability.measure(lambda y: 0.1 * y, [x], mode, 4, shifts=[Fraction(-2.0, 3.0)], answers="pictures", figures=["psnr"])
    assert whole.worst == stability.CEILING and whole.resampling == ""


def test_labels_are_never_blended_on_the_way_back() -> None:
    report = stability.measure(lambda y: (y[:, 0] > 0).long(), [_waves(96)], "subpixel", 2)
    assert report.kind == "labels" and 0.97 < report.agreement < 1 and report.means["miou"] > 0.9


# Reports


def _report(figures: list[list[float]], **about: object) -> StabilityReport:
    records = [Record(image, 0, 1 + k, {"psnr": value}) for image, row in enumerate(figures) for k, value in enumerate(row)]
    return StabilityReport(*("crop", 8, 1.0, 16), tuple(records), **about)


def test_a_reports_figures_are_those_of_its_records() -> None:
    report = _report([[30, 40], [20, 50]])
    assert (report.mean, report.worst, report.by_image()) == (35, 20, {0: 35, 1: 35})
    assert report.deviation == pytest.approx(np.std([30, 40, 20, 50])) and report.percentile(50) == 35
    assert [(r.image, r.psnr) for r in report.worst_records(5)] == [(1, 20), (0, 30)]
    assert report.agreement is None and report.means == {"psnr": 35}


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for draw in range(60):
        found = stability.interval(rng.normal(40, 3, 40), seed=draw)
        inside += found.low <= 40 <= found.high
    assert inside >= 52  # 95 % of 60 are 57
    again = [stability.interval([30.0, 35.0, 41.0], seed=1) for _ in range(2)]
    assert again[0] == again[1] and again[0].count == 3
    assert math.isnan(stability.interval([30.0]).low)
    same = stability.interval([160.0] * 9)
    assert (same.low, same.mean, same.high) == (160, 160, 160)


def test_two_functions_are_compared_picture_by_picture() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(40, 8, 30)
    better, alike = base + rng.normal(1, 0.5, 30), base + rng.normal(0, 0.5, 30)
    first = _report([[v] for v in base])
    gain = stability.paired(_report([[v] for v in better]), first)
    assert gain.difference.mean == pytest.approx((better - base).mean()) and gain.larger == (better > base).mean()
    assert gain.p_value < 0.001 and 0 < gain.difference.low < gain.difference.mean < gain.difference.high
    assert stability.paired(_report([[v] for v in alike]), first).p_value > 0.05
    assert stability.paired(first, first).p_value == 1


def test_only_what_was_measured_alike_is_compared() -> None:
    with pytest.raises(UsageError, match=r"differ in names: \('a',\) and \('b',\)"):
        stability.paired(_report([[1]], names=("a",)), _report([[1]], names=("b",)))
    with pytest.raises(UsageError, match="have 1 and 2 pictures"):
        stability.paired(_report([[1]]), _report([[1], [2]]))


def test_likeness_is_told_where_almost_nothing_varies() -> None:
    still = torch.full((1, 1, 32, 32), 0.999)
    moved = still + 1e-3 * _rand(1, 1, 32, 32)
    wanted, everywhere = structural_similarity(
        *(of[0, 0].double().numpy() for of in (still, moved)), data_range=1, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    found = stability.figures_of(Comparison(still, moved, torch.ones(32, 32, dtype=torch.bool)), "pictures", ("ssim",))
    assert found["ssim"] == pytest.approx(everywhere[5:-5, 5:-5].mean(), abs=1e-12) and 0 < wanted < 1


@pytest.mark.parametrize("resampling", ["lanczos", "bicubic", "fourier"])
def test_what_resampling_makes_up_along_the_frame_is_left_out(resampling: str) -> None:
    x = _rand(1, 1, 40, 40)
    moves = [Fraction(0.5, -0.25)]
    reports = [stability(lambda x: x, [x], max_shift=8, shifts=moves, margin=margin, resampling=resampling) for margin in (0, 4)]
    assert [report.margin for report in reports] == [4, 4] and reports[0].mean == reports[1].mean


def test_labels_may_be_any_numbers() -> None:
    def far(x: torch.Tensor) -> torch.Tensor:
        return (x[:, 0] > 0.5).long() * 2_000_000_000 - 1

    report = stability(far, [_rand(1, 1, 32, 32)], max_shift=1, margin=0)
    assert report.mean == 160 and {"iou/-1", "iou/1999999999"} < set(report.means)
    with pytest.raises(UsageError, match=r"The labels have \d+ different values; classes are up to 1024"):
        stability(lambda x: (x[:, 0] * 1e6).long(), [_rand(1, 1, 40, 40)], max_shift=1, margin=0)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda x: None, "answered with NoneType; it is a tensor or an array"),
        (lambda x: x + 1j, "answered with torch.complex64"),
        (lambda x: x[0, 0] > 0.5, r"answered one picture with \(30, 30\)"),
        (lambda x: x.mean(), r"answered one picture with \(\)"),
        (lambda x: x[..., ::2, ::2], "answered a frame of 30 x 30 with 15 x 15"),
        (lambda x: x * math.nan, "values that are not finite numbers"),
    ],
)
def test_what_is_no_answer_is_one_sentence(function: object, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        stability(function, [_rand(1, 3, 32, 32)], max_shift=1, margin=0)


def test_a_function_may_answer_with_arrays_and_change_what_it_is_given() -> None:
    x = _rand(1, 3, 32, 32)
    before = x.clone()
    report = stability(lambda x: x.mul_(0.5).numpy(), [x], mode="roll", max_shift=2)
    assert torch.equal(x, before)
    same = stability(lambda x: x, [x], mode="roll", max_shift=2)
    assert report.means["total_variation"] == pytest.approx(0.5 * same.means["total_variation"])


@pytest.mark.parametrize("image", [torch.rand(3, 32, 32), torch.rand(2, 3, 32, 32), np.zeros((8, 8, 0)), [[1, 2]]])
def test_images_of_another_shape_are_one_sentence(image: object) -> None:
    with pytest.raises(UsageError, match="An image is"):
        stability(lambda x: x, [image], max_shift=1, margin=0)


def test_arrays_of_any_byte_order_go_in() -> None:
    image = np.random.default_rng(0).random((24, 24, 3)).astype(">f4")
    assert stability(lambda x: x, [image], max_shift=1, margin=0).mean == 160


def test_truths_have_their_pictures_size_and_range() -> None:
    image = np.random.default_rng(0).integers(0, 2**16, (24, 24, 3), dtype=np.uint16)
    report = stability(lambda x: x / 65535, [image], max_shift=1, margin=0, truths=[image])
    assert report.means["score"] > 120  # exact but for rounding
    with pytest.raises(UsageError, match="A truth has 20 x 24 pixels, but its picture 24 x 24"):
        stability(lambda x: x / 65535, [image], max_shift=1, margin=0, truths=[image[:20]])
    labels = stability(lambda x: x[..., 0] > 9, [image], max_shift=1, margin=0, truths=[image[..., 0] > 9])
    assert labels.means["score"] == 1


def test_shifts_may_be_plain_pairs() -> None:
    told = [stability.measure(_waved, [_rand(1, 3, 64, 64)], "crop", 4, shifts=shifts_).records for shifts_ in ([(1, -2)], [Shift(1, -2)])]
    assert told[0] == told[1]


def _waved(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x[..., ::2, ::2], scale_factor=2)


def test_logits_stand_beside_probabilities_and_labels_do_not() -> None:
    logits, shares, labels = (_report([[30.0], [40.0]], kind=kind) for kind in ("logits", "probabilities", "labels"))
    assert stability.paired(logits, shares).difference.mean == 0
    with pytest.raises(UsageError, match="differ in kind: 'labels' and 'probabilities'"):
        stability.paired(labels, shares)
