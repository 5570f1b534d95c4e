"""The whole U-Net: adaptive phases follow every roll exactly, and any size comes back, in any pool and padding."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from unetlift import UNet
from unetlift.convs import ACTIVATIONS, CONVS, PADDING_MODES
from unetlift.errors import UsageError
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


PICTURE = noise(1, 2, 2 * PERIOD, 2 * PERIOD)


def settled(model: UNet, picture: Tensor = PICTURE) -> UNet:
    """Normalised among others to what it is going to be shown: squares of squares of a stranger may leave every number behind."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.cat([picture, noise(7, *picture.shape[1:], seed=9)]))
    return model.eval()


def smallest_lead(features: Tensor) -> float:
    """By how much the strongest polyphase component leads the second, as a share: theory excludes a tie."""
    height, width = features.shape[-2:]
    energy = features.square().sum(1).reshape(-1, height // 2, 2, width // 2, 2).sum((1, 3)).flatten(1)
    first, second = energy.topk(2).values.unbind(1)
    return ((first - second) / first).min().item()


@every_pair
def test_an_adaptive_network_follows_every_roll(down, up):
    model, x = network(down, up, phase="adaptive", padding_mode="circular"), PICTURE
    shifts = [(dy, dx) for dy in range(PERIOD) for dx in range(PERIOD)]
    with torch.no_grad():
        pooled = model.encoder(x)[0][:DEPTH]
        assert all(features.std() > 0.01 and smallest_lead(features) > 1e-6 for features in pooled)
        still = model(x)
        moved = model(torch.cat([x.roll(shift, (2, 3)) for shift in shifts]))
    expected = torch.cat([still.roll(shift, (2, 3)) for shift in shifts])
    assert (moved - expected).abs().max() < 1e-9 * (still.max() - still.min())


def follows_every_roll(model: UNet) -> None:
    x, shifts = PICTURE, [(dy, dx) for dy in range(PERIOD) for dx in range(PERIOD)]
    with torch.no_grad():
        still = model(x)
        moved = model(torch.cat([x.roll(shift, (2, 3)) for shift in shifts]))
    expected = torch.cat([still.roll(shift, (2, 3)) for shift in shifts])
    assert (moved - expected).abs().max() < 1e-9 * (still.max() - still.min())


@every_pool
def test_a_learned_phase_follows_every_roll(down, up):
    follows_every_roll(network(down, up, phase="learned", padding_mode="circular"))


@pytest.mark.parametrize("conv", CONVS)
def test_every_convolution_follows_every_roll(conv):
    for down, up in (("max", "unpool"), ("blur-3", "bilinear"), ("lift", "lift"), ("fourier", "fourier")):
        follows_every_roll(settled(network(down, up, phase="adaptive", padding_mode="circular", conv=conv)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_follows_every_roll(activation):
    """Without unpool: what ReLU makes zero a filter makes a few roundings, among which the maximum is a matter of luck."""
    for down, up in (("max", "nearest"), ("blur-3", "bilinear"), ("lift", "lift"), ("fourier", "fourier")):
        follows_every_roll(settled(network(down, up, phase="adaptive", padding_mode="circular", activation=activation)))


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_every_convolution_takes_any_size(conv, padding_mode):
    model = network("blur-3", "bilinear", padding_mode=padding_mode, conv=conv)
    for size in ((1, 1), (9, 2)):
        with torch.no_grad():
            assert model(noise(2, 2, *size)).isfinite().all()


def test_deformable_convolutions_are_on_the_deepest_levels():
    model = UNet(depth=3, width=4, conv="deform", deform_levels=2)
    with_offsets = {name.rpartition(".")[0] for name, _ in model.named_parameters() if ".offsets." in name}
    blocks = {".".join(name.split(".")[:-2]) for name in with_offsets}
    assert blocks == {"encoder.blocks.2", "encoder.blocks.3", "blocks.2"}
    assert not any(".offsets." in name for name, _ in UNet(depth=3, width=4, conv="deform", deform_levels=0).named_parameters())


def test_c2sp_has_four_ninths_of_the_3x3_weights():
    def weights(conv: str) -> int:
        return sum(p.numel() for p in UNet(depth=2, width=8, conv=conv).parameters() if p.shape[2:] in ((3, 3), (2, 2)))

    assert weights("c2sp") * 9 == weights("conv") * 4


@pytest.mark.parametrize(("height", "width"), [(16, 24), (32, 16)])
def test_the_alias_free_network_follows_every_eighth_of_a_pixel(height, width):
    """Shifts are exact ones, by a phase ramp in the spectrum."""
    def moved(x: Tensor, dy: float, dx: float) -> Tensor:
        rows, columns = torch.fft.fftfreq(height, dtype=x.dtype)[:, None], torch.fft.rfftfreq(width, dtype=x.dtype)
        spectrum = torch.fft.rfft2(x) * torch.exp(-2j * torch.pi * (rows * dy + columns * dx))
        spectrum[:, :, height // 2] = spectrum[..., width // 2] = 0  # a Nyquist wave cannot be moved by part of a pixel
        return torch.fft.irfft2(spectrum, s=(height, width))

    x = moved(noise(1, 2, height, width), 0, 0)
    model = settled(network("fourier", "fourier", padding_mode="circular", activation="filtered-poly"), x)
    with torch.no_grad():
        still = model(x)
        for dy, dx in [(k / 8, (3 * k % 16) / 8) for k in range(1, 16)]:
            error = (moved(model(moved(x, dy, dx)) - moved(still, dy, dx), 0, 0)).abs().max()
            assert error < 1e-9 * (still.max() - still.min()), (dy, dx)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"conv": "deformable"}, "conv 'deformable' is unknown; it is one of conv, c2sp, deform, deform-v2"),
        ({"activation": "gelu"}, "activation 'gelu' is unknown; it is one of relu, filtered-relu, filtered-poly"),
        ({"deform_levels": -1}, "deform_levels is -1; it is a number from 0 on"),
    ],
)
def test_an_unknown_piece_is_answered_with_the_known_ones(wrong, sentence):
    with pytest.raises(UsageError, match=sentence):
        UNet(**wrong)


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
