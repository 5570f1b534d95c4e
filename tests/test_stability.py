"""Stability figures are known in advance for functions whose equivariance is known."""

import math

import pytest
import torch
from torch.nn import functional as F

from unetlift import shifts, stability
from unetlift.errors import UsageError
from unetlift.shifts import Shift


def _pictures(count: int = 2, size: int = 64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(1, 3, size, size + 8, generator=generator) for _ in range(count)]


def _jumpy(x: torch.Tensor) -> torch.Tensor:
    """Reads one pixel of every 2x2 block."""
    return F.interpolate(x[..., ::2, ::2], scale_factor=2)


def _local(x: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(x, 3, 1, padding=1)


by_whole_pixels = pytest.mark.parametrize("mode", ["roll", "crop"])


@by_whole_pixels
def test_a_pixelwise_function_is_perfectly_stable(mode: str) -> None:
    report = stability.measure(torch.sigmoid, _pictures(), mode, 4)
    assert report.mean == report.worst == stability.CEILING and report.agreement == 1


def test_a_local_filter_is_stable_away_from_the_frame() -> None:
    assert stability.measure(_local, _pictures(), "crop", 4, margin=1).worst == stability.CEILING
    assert stability.measure(_local, _pictures(), "crop", 4, margin=0).worst < 40


@by_whole_pixels
def test_subsampling_is_stable_under_even_shifts_alone(mode: str) -> None:
    for record in stability.measure(_jumpy, _pictures(), mode, 4, multiple=2, margin=2).records:
        even = record.dy % 2 == 0 and record.dx % 2 == 0
        assert (record.psnr == stability.CEILING) == even
        assert even or record.psnr < 15


def _waves(size: int = 64, least: int = 12) -> torch.Tensor:
    """A picture of waves of `least` pixels and longer, which a resampling hardly harms."""
    rows, columns = torch.meshgrid(torch.arange(float(size)), torch.arange(float(size)), indexing="ij")
    angles = torch.linspace(0, math.pi, 9)
    waves = [torch.sin((angle.cos() * columns + angle.sin() * rows) * 2 * math.pi / (least + 3 * n)) for n, angle in enumerate(angles)]
    return (0.5 + sum(waves) / 36).expand(1, 3, size, size)


def test_by_parts_of_a_pixel_the_identity_measures_the_resampling_itself():
    """There and back is filtered twice, which waves survive and noise does not."""
    smooth = stability.measure(lambda x: x, [_waves()], "subpixel", 4)
    assert smooth.worst > 55 and smooth.mean < stability.CEILING
    noise = stability.measure(lambda x: x, _pictures(), "subpixel", 4)
    assert noise.worst < noise.mean < 35 and smooth.worst > noise.mean + 20


def test_by_parts_of_a_pixel_the_identity_has_the_figure_of_shifting_there_and_back():
    x, shift = _waves(), shifts.Fraction(0.5, 0.25)
    record = stability.measure(lambda y: y, [x], "subpixel", 4, shifts=[shift], margin=16).records[0]
    back = shifts.by_fraction(shifts.by_fraction(x.double(), shift, "circular"), shifts.Fraction(-0.5, -0.25), "circular")
    inner = slice(4 + 16, -4 - 16)
    error = (back - x)[..., inner, inner].square().mean()
    assert record.psnr == pytest.approx(10 * math.log10(1 / error.item()), abs=0.1)


def test_by_parts_of_a_pixel_linear_functions_are_as_stable_as_the_resampling():
    ceiling = stability.measure(lambda x: x, [_waves()], "subpixel", 4)
    for function in (lambda x: 1 - x, lambda x: x.flip(1), _local):
        report = stability.measure(function, [_waves()], "subpixel", 4)
        assert report.worst > ceiling.worst - 0.5 and report.mean > ceiling.mean - 0.5
    assert stability.measure(lambda x: 0.1 * x, [_waves()], "subpixel", 4).mean == pytest.approx(ceiling.mean + 20, abs=0.1)


def test_by_parts_of_a_pixel_subsampling_is_far_below_the_resampling():
    ceiling, jumpy = (stability.measure(f, [_waves()], "subpixel", 4, multiple=2) for f in (lambda x: x, _jumpy))
    assert jumpy.mean < ceiling.mean - 20


def test_by_parts_of_a_pixel_every_eighth_is_a_record():
    report = stability.measure(lambda x: x, _pictures(), "subpixel", 4)
    assert len(report.records) == 2 * 21 and list(report.by_shift()) == [k / 8 for k in range(1, 8)]
    assert report.margin == 16 and report.mode == "subpixel"


def test_psnr_is_the_formula() -> None:
    still = torch.zeros(1, 1, 4, 4)
    comparison = stability.Comparison(still, still + 0.1, torch.ones(4, 4, dtype=torch.bool))
    assert comparison.psnr(1.0) == pytest.approx(20, abs=1e-5)
    assert comparison.psnr(2.0) == pytest.approx(20 + 20 * math.log10(2), abs=1e-5)


def test_only_valid_pixels_count() -> None:
    still, valid = torch.zeros(1, 2, 2, 2), torch.tensor([[True, True], [False, False]])
    moved = still.clone()
    moved[:, 1, 1] = 5.0
    comparison = stability.Comparison(still, moved, valid)
    assert comparison.psnr() == stability.CEILING and comparison.agreement() == 1


def test_label_agreement_counts_pixels() -> None:
    still = torch.zeros(1, 2, 2, 2)
    still[:, 0] = 1
    moved = still.clone()
    moved[0, :, 0, 0] = torch.tensor([0.0, 1.0])
    assert stability.Comparison(still, moved, torch.ones(2, 2, dtype=torch.bool)).agreement() == 0.75


def test_a_window_shows_content_moved_by_the_shift() -> None:
    scene = torch.arange(100.0).reshape(1, 1, 10, 10)
    still, moved = shifts.window(scene, Shift(0, 0), 3), shifts.window(scene, Shift(1, -2), 3)
    expected, valid = shifts.translate(still, Shift(1, -2))
    assert torch.equal(moved[..., valid], expected[..., valid])
    assert valid.sum() == 3 * 2


def test_translate_is_undone_where_it_is_valid() -> None:
    x = torch.rand(1, 2, 5, 6)
    there = shifts.translate(x, Shift(2, -1)).map
    back, valid = shifts.translate(there, Shift(-2, 1))
    assert torch.equal(back[..., valid], x[..., valid]) and valid.sum() == 3 * 5


def test_windows_have_sizes_that_are_multiples() -> None:
    frame = stability.still_frame(torch.rand(1, 3, 67, 90), "crop", 8, 16)
    assert frame.shape[2:] == (48, 64)


def test_the_adaptive_network_is_exact_and_the_fixed_one_is_not() -> None:
    from unetlift import UNet

    figures, pictures = {}, [picture.double() for picture in _pictures(1)]
    for phase in ("fixed", "adaptive"):
        torch.manual_seed(0)
        model = UNet(depth=2, width=4, down="max", up="nearest", padding_mode="circular", phase=phase).double()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0  # one pass then gives every level its say; untrained, the deep ones hardly count
        with torch.inference_mode():
            model(pictures[0])
            model.eval()
            figures[phase] = stability.measure(lambda x, model=model: model(x).sigmoid(), pictures, "roll", 4, multiple=4).worst
    assert figures["adaptive"] == stability.CEILING and figures["fixed"] < 60


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"mode": "spin"}, "mode 'spin' is unknown; it is one of roll, crop, subpixel"),
        ({"max_shift": 0}, "max_shift is 0"),
        ({"max_shift": 40}, "is smaller than|too small"),
        ({"margin": 31}, "A margin of 31 pixels leaves nothing"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        stability.measure(torch.sigmoid, _pictures(1), **arguments)


def test_no_pictures_is_an_error() -> None:
    with pytest.raises(UsageError, match="no pictures"):
        stability.measure(torch.sigmoid, [])
