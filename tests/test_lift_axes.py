"""Lifting along one, two and three axes from one implementation: exact inverse, PyWavelets' sub-bands, every choice."""

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unetlift.convs import PADDING_MODES
from unetlift.errors import UsageError
from unetlift.pools import PHASES, LiftOptions, lift_pair
from unetlift.pools.lift import band_names

AXES = 1, 2, 3
CHANNELS = 4

every_number_of_axes = pytest.mark.parametrize("axes", AXES)
every_choice = pytest.mark.parametrize(
    "options",
    [
        LiftOptions(start="lazy", kernel_size=5),
        LiftOptions(start="haar", groups=(0, 0)),
        LiftOptions(start="cdf53", shared=False),
        LiftOptions(start="cdf53", groups=(1, 2), shared=False),
        LiftOptions(start="haar", learned=False),
        LiftOptions(start="cdf53", learned=False),
    ],
    ids=lambda options: f"{options.start}-{options.kernel_size}-{options.learned}-{options.shared}-{options.groups}",
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trained(axes: int, options: LiftOptions, phase: str = "fixed", padding_mode: str = "circular"):
    """In float64 with random weights, as after training."""
    generator = torch.Generator().manual_seed(11)
    pools = lift_pair(CHANNELS, axes, phase, padding_mode, options)
    for pool in pools:
        pool.double().eval()
        for weight in pool.parameters():
            weight.data = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    return pools


@every_number_of_axes
@every_choice
@settings(max_examples=8, deadline=None, derandomize=True)
@given(data=st.data())
def test_up_gives_back_what_down_took(axes, options, data):
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=axes, max_size=axes))
    phase, padding_mode = data.draw(st.sampled_from(PHASES)), data.draw(st.sampled_from(PADDING_MODES))
    down, up = trained(axes, options, phase, padding_mode)
    x = noise(2, CHANNELS, *sizes)
    with torch.no_grad():
        y, trace = down(x)
        assert y.shape == (2, CHANNELS, *[(size + 1) // 2 for size in sizes])
        assert len(trace.bands) == 2**axes - 1
        torch.testing.assert_close(up(y, trace), x, rtol=0, atol=1e-10)  # P and U of size 1 amplify rounding a hundredfold


@every_number_of_axes
@every_choice
@pytest.mark.parametrize("phase", ["adaptive", "learned"])
def test_every_shift_is_followed(axes, options, phase):
    sizes = (6, 4, 8)[:axes]
    down, up = trained(axes, options, phase)
    x = noise(1, CHANNELS, *sizes)
    still_y, still_trace = down(x)
    for seed in range(5):
        shift = np.random.default_rng(seed).integers(0, sizes).tolist()
        space = tuple(range(2, 2 + axes))
        y, trace = down(x.roll(shift, space))
        moved = up(2 * y, trace)  # what a network between the two might have done
        torch.testing.assert_close(moved, up(2 * still_y, still_trace).roll(shift, space), rtol=0, atol=1e-10)


@every_number_of_axes
@pytest.mark.parametrize(("start", "wavelet"), [("haar", "haar"), ("cdf53", "bior2.2")])
@pytest.mark.parametrize("learned", [True, False], ids=["untrained", "fixed"])
def test_the_sub_bands_are_those_of_pywavelets(axes, start, wavelet, learned):
    """PyWavelets normalises to energy: along each axis its low-pass is sqrt(2) times ours, and its high-pass, which points
    from odd to even, is ours over -sqrt(2). Its first letter is its first axis, ours is the last."""
    down, _ = lift_pair(1, axes, padding_mode="circular", lift=LiftOptions(start=start, learned=learned))
    x = noise(1, 1, *(8, 12, 10)[:axes])
    y, trace = down.double().eval()(x)
    theirs = pywt.dwtn(x[0, 0].numpy(), wavelet, mode="periodization")
    for name, ours in zip(band_names(axes), (y, *trace.bands), strict=True):
        low, high = name.count("L"), name.count("H")
        expected = theirs[name[::-1].replace("L", "a").replace("H", "d")] / 2 ** (low / 2) * (-(2 ** (1 / 2))) ** high
        np.testing.assert_allclose(ours[0, 0].detach().numpy(), expected, rtol=0, atol=1e-12)


def test_a_signal_by_hand():
    """Haar of 1 3 | 5 11: means 2 and 8, differences 2 and 6."""
    down, up = lift_pair(1, axes=1, lift=LiftOptions(learned=False))
    x = torch.tensor([[[1.0, 3.0, 5.0, 11.0]]])
    y, trace = down(x)
    assert (y.tolist(), trace.bands[0].tolist()) == ([[[2, 8]]], [[[2, 6]]])
    assert torch.equal(up(y, trace), x)


@every_number_of_axes
def test_the_chosen_bands_go_on(axes):
    x, names = noise(1, CHANNELS, *[6] * axes), band_names(axes)
    y, trace = lift_pair(CHANNELS, axes, lift=LiftOptions(learned=False))[0](x)
    parts = dict(zip(names, (y, *trace.bands), strict=True))
    for bands, expected in (
        ("low", parts[names[0]]),
        ("sum", sum(parts.values())),
        (names[-1], parts[names[-1]]),
        (f"{names[0]}+{names[-1]}", parts[names[0]] + parts[names[-1]]),
    ):
        pooled, _ = lift_pair(CHANNELS, axes, lift=LiftOptions(learned=False, bands=bands))[0](x)
        torch.testing.assert_close(pooled, expected, rtol=0, atol=1e-12)


@every_number_of_axes
@every_choice
def test_gradients_are_those_of_finite_differences(axes, options):
    pools = trained(axes, options, padding_mode="reflect")
    x = noise(2, CHANNELS, *(5, 4, 3)[:axes], seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: pools[1](*pools[0](x)) + pools[1](2 * pools[0](x)[0], pools[0](x)[1]), (x,), fast_mode=True)


@every_number_of_axes
def test_shared_and_separate_pairs_have_the_parameters_they_say(axes):
    shared, separate = (lift_pair(CHANNELS, axes, lift=LiftOptions(shared=shared))[0] for shared in (True, False))
    count = sum(p.numel() for p in shared.parameters())
    assert sum(p.numel() for p in separate.parameters()) == axes * count
    assert not list(lift_pair(CHANNELS, axes, lift=LiftOptions(learned=False))[0].parameters())


def test_groups_count_the_weights():
    weights = {g: lift_pair(CHANNELS, lift=LiftOptions(groups=g))[0].lifting.predict for g in ((0, 0), (0, 1), (2, 1))}
    assert [tuple(p.along.weight.shape) + tuple(p.across.weight.shape) for p in weights.values()] == [
        (4, 1, 3, 4, 1, 1),
        (4, 1, 3, 4, 4, 1),
        (4, 2, 3, 4, 4, 1),
    ]


def test_the_regularisers_are_summed_over_the_transforms():
    """Of a lazy start the details are the odd samples, and the approximations the even ones."""
    options, x = LiftOptions(start="lazy", learned=False), noise(1, CHANNELS, 4, 6)

    def of(even: Tensor, odd: Tensor) -> Tensor:
        return torch.stack(((even - odd).square().mean(), odd.square().mean()))

    rows = of(x[..., ::2], x[..., 1::2])
    columns = of(x[:, :, ::2, ::2], x[:, :, 1::2, ::2]) + of(x[:, :, ::2, 1::2], x[:, :, 1::2, 1::2])
    down, _ = lift_pair(CHANNELS, 2, lift=options)
    torch.testing.assert_close(down.train()(x)[1].penalties, rows + columns, rtol=0, atol=1e-12)
    assert down.eval()(x)[1].penalties is None
    signal = x.flatten(2)
    torch.testing.assert_close(lift_pair(CHANNELS, 1, lift=options)[0](signal)[1].penalties, of(signal[..., ::2], signal[..., 1::2]))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: lift_pair(4, axes=4), "number of axes 4 is unknown; it is one of 1, 2, 3"),
        (lambda: lift_pair(4, lift=LiftOptions(groups=(0, 3))), "3 groups do not divide 4 channels"),
        (lambda: lift_pair(4, lift=LiftOptions(groups=(-1, 1))), "-1 groups do not divide 4 channels"),
        (lambda: lift_pair(4, axes=3, lift=LiftOptions(bands="LL")), "write sum, low, or some of LLL, LLH,"),
        (lambda: lift_pair(4, phase="auto"), "phase 'auto' is unknown; it is one of fixed, adaptive, learned"),
    ],
)
def test_what_cannot_be_is_answered_with_what_can(make, sentence):
    with pytest.raises(UsageError, match=sentence):
        make()
