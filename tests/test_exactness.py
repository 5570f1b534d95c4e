"""The whole U-Net: adaptive phases follow every roll exactly, and any size comes back, in any pool and padding."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from unetlift import UNet
from unetlift.convs import PADDING_MODES
from unetlift.pools import DOWNS, PHASES, UPS, ups_for

DEPTH = 3
PERIOD = 2**DEPTH

PARTNERS = "bilinear", "blur-3"  # one on each grid, so that every downsampler shows both of its windows
PAIRS = {(down, up) for down in DOWNS for up in PARTNERS if up in ups_for(down)}
PAIRS |= {("lift" if row.needs == "bands" else "max", up) for up, row in UPS.items()}
PAIRS |= {("lift", up) for up in ups_for("lift")}

every_pair = pytest.mark.parametrize(("down", "up"), sorted(PAIRS))
every_pool = pytest.mark.parametrize(
    ("down", "up"), sorted(pair for pair in PAIRS if "max" in pair or "lift" in pair or pair[1] == "bilinear")
)
one_a_family = pytest.mark.parametrize(
    ("down", "up"),
    [("max", "unpool"), ("avg", "nearest"), ("stride", "transpose"), ("blur-3", "blur-3"), ("conv-blur-4", "bilinear"), ("lift", "lift")],
)


def network(down: str, up: str, **settings) -> UNet:
    """In float64 and eval mode, with random weights everywhere: those that start at zero and the statistics too."""
    generator = torch.Generator().manual_seed(5)
    model = UNet(depth=DEPTH, width=4, down=down, up=up, in_channels=2, classes=3, **settings).double().eval()
    for weight in model.parameters():
        weight.data += 0.1 * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def smallest_lead(features: Tensor) -> float:
    """By how much the strongest polyphase component leads the second, as a share: theory excludes a tie."""
    height, width = features.shape[-2:]
    energy = features.square().sum(1).reshape(-1, height // 2, 2, width // 2, 2).sum((1, 3)).flatten(1)
    first, second = energy.topk(2).values.unbind(1)
    return ((first - second) / first).min().item()


@every_pair
def test_an_adaptive_network_follows_every_roll(down, up):
    model, x = network(down, up, phase="adaptive", padding_mode="circular"), noise(1, 2, 2 * PERIOD, 2 * PERIOD)
    shifts = [(dy, dx) for dy in range(PERIOD) for dx in range(PERIOD)]
    with torch.no_grad():
        pooled = model.encoder(x)[0][:DEPTH]
        assert all(features.std() > 0.01 and smallest_lead(features) > 1e-6 for features in pooled)
        still = model(x)
        moved = model(torch.cat([x.roll(shift, (2, 3)) for shift in shifts]))
    expected = torch.cat([still.roll(shift, (2, 3)) for shift in shifts])
    assert (moved - expected).abs().max() < 1e-9 * (still.max() - still.min())


def test_a_fixed_network_does_not_follow_every_roll():
    """Or the law above would say nothing."""
    model, x = network("max", "nearest", padding_mode="circular"), noise(1, 2, 16, 16)
    still = model(x)
    assert (model(x.roll(1, 3)) - still.roll(1, 3)).abs().max() > 1e-2 * (still.max() - still.min())


def test_a_fixed_network_follows_rolls_by_its_stride():
    model, x = network("blur-3", "bilinear", padding_mode="circular"), noise(1, 2, 16, 24)
    still = model(x)
    moved = model(x.roll((PERIOD, -PERIOD), (2, 3)))
    assert (moved - still.roll((PERIOD, -PERIOD), (2, 3))).abs().max() < 1e-9 * (still.max() - still.min())


@every_pool
@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_any_size_comes_back(down, up, padding_mode):
    model = network(down, up, padding_mode=padding_mode, phase="adaptive")
    for size in ((1, 1), (9, 2)):
        with torch.no_grad():
            logits = model(noise(2, 2, *size))
        assert logits.shape == (2, 3, *size)
        assert logits.isfinite().all()


@one_a_family
@pytest.mark.parametrize("phase", PHASES)
def test_four_threads_with_one_network_give_the_bits_of_one(down, up, phase):
    model = network(down, up, padding_mode="reflect", phase=phase)
    pictures = [noise(1, 2, 16 + n % 3, 17 - n % 2, seed=n) for n in range(6)]
    with torch.no_grad():
        alone = [model(x) for x in pictures]

    def run(x: Tensor) -> Tensor:
        with torch.no_grad():  # a thread has its own
            return model(x)

    with ThreadPoolExecutor(4) as threads:
        assert all(torch.equal(a, b) for a, b in zip(alone, threads.map(run, pictures), strict=True))
