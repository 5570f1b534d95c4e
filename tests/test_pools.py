"""The contract of every pair of pools: a new pool gets all of it by its line in the table."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from conftest import blob, centroid
from torch import Tensor

from unetlift.convs import PADDING_MODES, pad
from unetlift.errors import UsageError
from unetlift.pools import DOWNS, PHASES, UPS, LiftOptions, pool_pair, ups_for
from unetlift.pools.base import CENTRE, CORNER
from unetlift.pools.lifting import STARTS
from unetlift.pools.phase import largest_phase, roll_each

PAIRS = [(down, up, "haar") for down in DOWNS for up in ups_for(down)]
PAIRS += [("lift", up, start) for start in ("lazy", "cdf53") for up in ups_for("lift", LiftOptions(start))]
SIZES = (1, 1), (1, 2), (3, 1), (6, 8), (7, 9)

KINDS = *(("fixed", mode) for mode in PADDING_MODES), *((phase, "circular") for phase in PHASES if phase != "fixed")
"""Each padding with one phase and each phase with one padding: how one pads does not hang on the phase."""

every_pair = pytest.mark.parametrize(("down", "up", "start"), PAIRS)
every_phase = pytest.mark.parametrize("phase", PHASES)


def make(down: str, up: str, start: str, phase: str = "fixed", padding_mode: str = "circular", channels: int = 2):
    """A pair in float64 whose learned weights are random, those that start at zero too."""
    generator = torch.Generator().manual_seed(7)
    pools = pool_pair(down, up, channels, phase, padding_mode, LiftOptions(start))
    for pool in pools:
        pool.double().eval()
        for weight in pool.parameters():
            weight.data = torch.randn(weight.shape, generator=generator, dtype=torch.float64) / 2
    return pools


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def there_and_back(pools, x: Tensor) -> Tensor:
    down, up = pools
    return up(*down(x))


def shifted(x: Tensor, step: int) -> tuple[Tensor, list[tuple[int, int]]]:
    """One map (1, C, H, W) rolled by every multiple of `step`, as a batch, and the shifts."""
    shifts = [(dy, dx) for dy in range(0, x.shape[2], step) for dx in range(0, x.shape[3], step)]
    return torch.cat([x.roll(shift, (2, 3)) for shift in shifts]), shifts


@every_pair
def test_down_halves_rounding_up_and_up_restores_any_size(down, up, start):
    for phase, padding_mode in KINDS:
        pools = make(down, up, start, phase, padding_mode)
        for height, width in SIZES:
            with torch.no_grad():
                y, trace = pools[0](noise(2, 2, height, width))
                assert y.shape == (2, 2, (height + 1) // 2, (width + 1) // 2)
                assert trace.size == (height, width)
                assert pools[1](y, trace).shape == (2, 2, height, width)


@every_pair
@pytest.mark.parametrize(("phase", "padding_mode"), [("adaptive", "circular"), ("fixed", "reflect")])
def test_gradients_are_those_of_finite_differences(down, up, start, phase, padding_mode):
    pools = make(down, up, start, phase, padding_mode)
    x = noise(2, 2, 5, 4, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: there_and_back(pools, x), (x,), fast_mode=True)


def test_rolling_each_sample_has_the_gradient_of_finite_differences():
    shift = torch.tensor([[0, 1], [1, 0], [1, 1]])
    x = noise(3, 2, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: roll_each(x, shift), (x,))
    assert torch.autograd.gradgradcheck(lambda x: roll_each(x, shift), (x,))


@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 1, 2, 0), (5, 0, 0, 4)])
@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_padding_has_the_gradient_of_finite_differences(pads, padding_mode):
    x = noise(2, 2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: pad(x, pads, padding_mode), (x,))
    assert torch.autograd.gradgradcheck(lambda x: pad(x, pads, padding_mode), (x,))


@every_pair
def test_a_fixed_phase_follows_shifts_by_its_stride(down, up, start):
    pools = make(down, up, start)
    x = noise(1, 2, 6, 8)
    moved, shifts = shifted(x, step=2)
    unmoved = there_and_back(pools, x)
    expected = torch.cat([unmoved.roll(shift, (2, 3)) for shift in shifts])
    torch.testing.assert_close(there_and_back(pools, moved), expected, rtol=0, atol=1e-12)


@every_pair
def test_an_adaptive_phase_follows_every_shift(down, up, start):
    pools = make(down, up, start, phase="adaptive")
    x = noise(1, 2, 6, 8)
    moved, shifts = shifted(x, step=1)
    unmoved = there_and_back(pools, x)
    expected = torch.cat([unmoved.roll(shift, (2, 3)) for shift in shifts])
    torch.testing.assert_close(there_and_back(pools, moved), expected, rtol=0, atol=1e-12)


def test_a_fixed_phase_does_not_follow_odd_shifts():
    """Or the law above would say nothing."""
    pools, x = make("max", "nearest", "haar"), noise(1, 2, 6, 8)
    assert (there_and_back(pools, x.roll(1, 3)) - there_and_back(pools, x).roll(1, 3)).abs().max() > 0.1


def test_the_phase_is_that_of_the_component_of_largest_norm():
    x = noise(8, 3, 6, 4)
    for row, column in largest_phase(x)[:1].tolist():
        norms = {(i, j): x[0, :, i::2, j::2].norm().item() for i in (0, 1) for j in (0, 1)}
        assert max(norms, key=norms.get) == (row, column)
    lone = torch.zeros(4, 1, 4, 4)
    for sample, (i, j) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        lone[sample, 0, 2 + i, j] = -1
    assert largest_phase(lone).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_half_precision_chooses_the_phase_in_single_precision():
    """256 equal pixels against 257: bfloat16 has eight bits and would call it a tie."""
    x = torch.zeros(1, 257, 2, 2, dtype=torch.bfloat16)
    x[0, :256, 0, 0] = 1
    x[0, :257, 1, 1] = 1
    assert largest_phase(x).tolist() == [[1, 1]]


def test_each_sample_is_rolled_by_its_own_shift():
    x, shift = noise(4, 2, 3, 5), torch.tensor([[0, 0], [0, 1], [-1, 0], [1, -1]])
    for sample, (rows, columns) in enumerate(shift.tolist()):
        assert torch.equal(roll_each(x, shift)[sample], x[sample].roll((rows, columns), (1, 2)))


# Centring: the wrong parity of window and filter would drift half a pixel per level against the skips.

LEARNED = "stride", "conv-blur", "transpose"
SYMMETRIC = [pair for pair in PAIRS if not pair[0].startswith(LEARNED) and pair[1] not in LEARNED]
LOCAL = [pair for pair in SYMMETRIC if "fourier" not in pair]  # its filter is as long as the map; tests/test_fourier.py
LINEAR = [pair for pair in LOCAL if pair[0].startswith(("avg", "lift")) and pair[1] != "unpool"]
PEAKED = [pair for pair in LOCAL if pair[0].startswith(("max", "blur")) and pair[1] != "unpool"]


def grid_of(up: str, start: str) -> float:
    return UPS[up].grid if UPS[up].grid is not None else STARTS[start][2]


def untrained(down: str, up: str, start: str, padding_mode: str = "circular", channels: int = 2):
    """Nothing learned: a lift's corrections are zero, and it is the wavelet of its start."""
    return tuple(pool.double().eval() for pool in pool_pair(down, up, channels, "fixed", padding_mode, LiftOptions(start)))


@pytest.mark.parametrize(("down", "up", "start"), [p for p in SYMMETRIC if grid_of(p[1], p[2]) == CENTRE])
@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_pairs_on_block_centres_commute_with_the_mirror(down, up, start, padding_mode):
    pools, x = untrained(down, up, start, padding_mode), noise(2, 2, 6, 8)
    for axis in (2, 3):
        torch.testing.assert_close(there_and_back(pools, x.flip(axis)), there_and_back(pools, x).flip(axis), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("down", "up", "start"), [p for p in SYMMETRIC if grid_of(p[1], p[2]) == CORNER])
def test_pairs_on_even_pixels_commute_with_the_mirror_about_pixel_0(down, up, start):
    pools, x = untrained(down, up, start), noise(2, 2, 6, 8)
    for axis in (2, 3):
        mirrored = there_and_back(pools, x.flip(axis).roll(1, axis))
        torch.testing.assert_close(mirrored, there_and_back(pools, x).flip(axis).roll(1, axis), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("down", "up", "start"), LINEAR)
def test_linear_pairs_leave_a_blob_where_it_is(down, up, start):
    x = blob(48, 50, 23.3, 25.6, sigma=2.5)
    assert centroid(there_and_back(untrained(down, up, start, "zeros", 1), x)) == pytest.approx((23.3, 25.6), abs=1e-9)


@pytest.mark.parametrize(("down", "up", "start"), PEAKED)
def test_max_pairs_leave_a_blob_where_it_is(down, up, start):
    """A maximum is not linear, but symmetric: on this grid a blob between pixels moves far less than the half pixel of
    a wrong parity."""
    x = blob(48, 50, 23.3, 25.6, sigma=4)
    assert centroid(there_and_back(untrained(down, up, start, "zeros", 1), x)) == pytest.approx((23.3, 25.6), abs=0.02)


# Memory format: a pool that loses channels_last makes every convolution after it slower.


def innermost(x: Tensor) -> str:
    return {1: "channels", 3: "columns"}[min((1, 3), key=lambda axis: x.stride(axis))]


@every_pair
@pytest.mark.parametrize(("layout", "expected"), [(torch.channels_last, "channels"), (torch.contiguous_format, "columns")])
def test_the_memory_format_goes_through(down, up, start, layout, expected):
    for kind in KINDS:
        pools = [pool.to(memory_format=layout) for pool in make(down, up, start, *kind, channels=4)]
        x = noise(2, 4, 10, 12).to(memory_format=layout).requires_grad_()
        y, trace = pools[0](x)
        again = pools[1](y, trace)
        assert (innermost(y), innermost(again)) == (expected, expected), kind
        if layout == torch.channels_last:
            (gradient,) = torch.autograd.grad(again.sum(), x)
            assert innermost(gradient) == expected, kind


# Nothing is kept on a module between calls.


@every_pair
@every_phase
def test_two_inputs_in_turn_do_not_disturb_each_other(down, up, start, phase):
    pools = make(down, up, start, phase)
    first, second = noise(2, 2, 6, 8, seed=1), noise(1, 2, 5, 3, seed=2)
    alone = there_and_back(pools, first), there_and_back(pools, second)
    before = [set(vars(module)) for pool in pools for module in pool.modules()]
    y_first, trace_first = pools[0](first)
    y_second, trace_second = pools[0](second)
    assert torch.equal(pools[1](y_first, trace_first), alone[0])
    assert torch.equal(pools[1](y_second, trace_second), alone[1])
    assert [set(vars(module)) for pool in pools for module in pool.modules()] == before


@every_pair
def test_four_threads_with_one_pair_give_the_bits_of_one(down, up, start):
    pools = make(down, up, start, phase="adaptive")
    maps = [noise(1, 2, 5 + n % 3, 8 - n % 2, seed=n) for n in range(4)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda x: there_and_back(pools, x), maps))
    for x, result in zip(maps, together, strict=True):
        assert torch.equal(there_and_back(pools, x), result)


# Names.


@pytest.mark.parametrize(
    ("arguments", "right_names"),
    [
        ({"down": "blurr-3"}, ("blur-3", "max", "lift")),
        ({"down": "blur-8"}, ("blur-7",)),
        ({"up": "linear"}, ("bilinear", "unpool", "lift")),
        ({"phase": "auto"}, PHASES),
        ({"padding_mode": "same"}, PADDING_MODES),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(arguments, right_names):
    with pytest.raises(UsageError) as error:
        pool_pair(**({"down": "max", "up": "nearest", "channels": 2} | arguments))
    (wrong,) = arguments.values()
    for name in (wrong, *right_names):
        assert name in str(error.value)


def test_an_unknown_lifting_start_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="'db4' is unknown; it is one of lazy, haar, cdf53"):
        LiftOptions(start="db4")


@pytest.mark.parametrize("bands", ["LX", "LL+LL", "", "all"])
def test_unknown_bands_are_answered_with_the_known_ones(bands):
    with pytest.raises(UsageError, match="sum, low, or some of LL, LH, HL, HH"):
        pool_pair("lift", "lift", 2, lift=LiftOptions(bands=bands))


@pytest.mark.parametrize("kernel_size", [0, 2, -1])
def test_a_lifting_kernel_has_odd_size(kernel_size):
    with pytest.raises(UsageError, match=f"is {kernel_size}; it is an odd number"):
        pool_pair("lift", "lift", 2, lift=LiftOptions(kernel_size=kernel_size))


@pytest.mark.parametrize(("down", "up"), [("max", "lift"), ("lift", "blur-3")])
def test_an_impossible_pair_is_answered_with_the_possible_ones(down, up):
    with pytest.raises(UsageError) as error:
        pool_pair(down, up, 2)
    for name in ups_for(down):
        assert name in str(error.value)
