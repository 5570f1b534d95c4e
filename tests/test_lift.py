"""The lifting: exact reconstruction whatever was learned, hand-computed numbers, and PyWavelets' sub-bands."""

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unetlift.convs import PADDING_MODES
from unetlift.pools import PHASES, LiftOptions, pool_pair
from unetlift.pools.lift import LiftDown
from unetlift.pools.lifting import deinterleave, interleave

STARTS = "lazy", "haar", "cdf53"


def trained(start: str, phase: str, padding_mode: str, bands: str = "LL", kernel_size: int = 3):
    """A pair in float64 with random weights in P and U, as after training."""
    generator = torch.Generator().manual_seed(11)
    pools = pool_pair("lift", "lift", 3, phase, padding_mode, LiftOptions(start, bands, kernel_size))
    for pool in pools:
        pool.double().eval()
        for weight in pool.parameters():
            weight.data = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    return pools


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("padding_mode", PADDING_MODES)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(height=st.integers(1, 13), width=st.integers(1, 13), kernel_size=st.sampled_from([1, 3, 5]))
def test_up_gives_back_what_down_took_at_any_size_after_training(start, phase, padding_mode, height, width, kernel_size):
    down, up = trained(start, phase, padding_mode, kernel_size=kernel_size)
    x = noise(2, 3, height, width)
    with torch.no_grad():
        torch.testing.assert_close(up(*down(x)), x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bands", ["sum", "LL+HH", "LH"])
def test_only_ll_itself_reconstructs(bands):
    down, up = trained("haar", "fixed", "circular", bands)
    x = noise(2, 3, 7, 8)
    pooled, trace = down(x)
    ll, _ = LiftDown(down.lifting, "LL").eval()(x)
    assert (up(pooled, trace) - x).abs().max() > 0.1
    torch.testing.assert_close(up(ll, trace), x, rtol=0, atol=1e-12)


def test_the_sum_is_that_of_the_four_bands():
    down, _ = trained("cdf53", "fixed", "zeros", "sum")
    x = noise(1, 3, 6, 8)
    pooled, trace = down(x)
    ll, _ = LiftDown(down.lifting, "LL").eval()(x)
    torch.testing.assert_close(pooled, ll + sum(trace.bands), rtol=0, atol=1e-12)


def test_up_shares_parameters_with_its_down_and_with_no_other():
    (down, up), (other, _) = trained("haar", "fixed", "zeros"), trained("haar", "fixed", "zeros")
    names = dict(down.named_parameters())
    assert set(names) == {f"lifting.{o}.{c}.{w}" for o in ("predict", "update") for c in ("along", "across") for w in ("weight", "bias")}
    assert all(parameter is names[name] for name, parameter in up.named_parameters())
    assert not any(parameter is names[name] for name, parameter in other.named_parameters())


def test_interleaving_undoes_deinterleaving_on_both_axes():
    x = noise(2, 3, 4, 6)
    for axis in (2, 3):
        even, odd = deinterleave(x, axis)
        assert torch.equal(even, x[:, :, ::2] if axis == 2 else x[..., ::2])
        assert torch.equal(interleave(even, odd, axis), x)


def untrained(start: str, channels: int = 1, padding_mode: str = "circular"):
    return tuple(p.double().eval() for p in pool_pair("lift", "lift", channels, padding_mode=padding_mode, lift=LiftOptions(start)))


def test_haar_on_a_block_of_four_by_hand():
    """Rows first: (1, 3) has mean 2 and difference 2, (5, 11) mean 8 and difference 6; then the same down the columns."""
    down, _ = untrained("haar")
    ll, trace = down(torch.tensor([[[[1.0, 3.0], [5.0, 11.0]]]], dtype=torch.float64))
    assert [ll.item(), *(band.item() for band in trace.bands)] == [5, 6, 4, 4]


def test_haar_ll_is_the_mean_of_each_block():
    down, _ = untrained("haar")
    x = torch.arange(16, dtype=torch.float64).reshape(1, 1, 4, 4)
    ll, trace = down(x)
    assert ll.tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert [band.unique().tolist() for band in trace.bands] == [[4], [1], [0]]  # a ramp of 4 down and 1 across


def test_cdf53_by_hand():
    """Along a row 0 4 8 0 that wraps: d = 4 - (0 + 8)/2, 0 - (8 + 0)/2; s = 0 + (-4 + 0)/4, 8 + (0 - 4)/4."""
    down, _ = untrained("cdf53")
    low, high, odd = down.lifting.split(torch.tensor([[[[0.0, 4.0, 8.0, 0.0]]]], dtype=torch.float64), 3)
    assert (high.tolist(), low.tolist(), odd.tolist()) == ([[[[0, -4]]]], [[[[-1, 7]]]], [[[[4, 0]]]])


def test_a_lazy_start_is_plain_subsampling():
    down, _ = untrained("lazy", channels=2)
    x = noise(1, 2, 4, 6)
    ll, (lh, hl, hh) = down(x)[0], down(x)[1].bands
    for band, (row, column) in ((ll, (0, 0)), (lh, (1, 0)), (hl, (0, 1)), (hh, (1, 1))):
        assert torch.equal(band, x[..., row::2, column::2])


@pytest.mark.parametrize(("start", "wavelet"), [("haar", "haar"), ("cdf53", "bior2.2")])
@pytest.mark.parametrize(("height", "width"), [(8, 12), (16, 10)])
def test_the_sub_bands_are_those_of_pywavelets(start, wavelet, height, width):
    """PyWavelets normalises to energy: its low-pass is sqrt(2) times ours along each axis, and its high-pass, which
    points from odd to even, is ours over -sqrt(2). So LL = cA / 2, LH = -cH, HL = -cV, HH = 2 cD."""
    down, _ = untrained(start)
    x = noise(1, 1, height, width)
    ll, trace = down(x)
    approximation, (horizontal, vertical, diagonal) = pywt.dwt2(x[0, 0].numpy(), wavelet, mode="periodization")
    ours = [band[0, 0].detach().numpy() for band in (ll, *trace.bands)]
    for band, expected in zip(ours, (approximation / 2, -horizontal, -vertical, 2 * diagonal), strict=True):
        np.testing.assert_allclose(band, expected, rtol=0, atol=1e-12)


def test_both_operators_learn_from_the_first_step():
    down, up = pool_pair("lift", "lift", 2)
    ll, trace = down(torch.ones(1, 2, 4, 4) + torch.arange(4.0))
    assert trace.penalties.shape == (2,)
    up(2 * ll, trace).square().sum().backward()
    assert all(operator.across.weight.grad.abs().sum() > 0 for operator in (down.lifting.predict, down.lifting.update))


def test_the_regularisers_are_mean_squares_so_a_larger_map_costs_no_more():
    down, _ = pool_pair("lift", "lift", 2, padding_mode="circular")
    x = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    _, small = down(x)
    _, large = down(x.repeat(1, 1, 3, 2))
    torch.testing.assert_close(small.penalties, large.penalties)
    assert down.eval()(x)[1].penalties is None
