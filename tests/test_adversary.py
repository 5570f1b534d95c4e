"""The discriminator sees patches of the paper's size, and the two losses pull their own way."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift.adversary import ADVERSARIES, PatchDiscriminator, discriminator_loss, generator_loss
from unetlift.errors import UsageError


@pytest.mark.parametrize(("layers", "side"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_a_score_is_about_a_patch_of_the_papers_size(layers: int, side: int) -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(1, 2, width=2, layers=layers).eval()  # trained, its normalisation sees the whole batch
    x, picture = torch.randn(1, 1, 200, 216, requires_grad=True), torch.randn(1, 2, 200, 216, requires_grad=True)
    scores = discriminator(x, picture)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    for seen in (x.grad, picture.grad):
        rows, columns = (seen[0, -1] != 0).nonzero().T
        assert {(axis.max() - axis.min() + 1).item() for axis in (rows, columns)} == {side}
    assert discriminator.receptive_field == side


def test_it_is_the_papers_network() -> None:
    discriminator = PatchDiscriminator(3, 3)
    convs = [module for module in discriminator.modules() if isinstance(module, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [64, 128, 256, 512, 1]
    assert [conv.stride[0] for conv in convs] == [2, 2, 2, 1, 1]
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 2768705  # of the authors' 70 x 70 with 6 channels
    assert PatchDiscriminator(3, 3, layers=5).body[-1].in_channels == 512


def test_weights_start_from_a_narrow_normal_distribution() -> None:
    torch.manual_seed(0)
    for module in PatchDiscriminator(3, 1).modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            assert module.weight.mean().abs() < 1e-3
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.mean().item() == pytest.approx(1, abs=0.01)
        if getattr(module, "bias", None) is not None:
            assert (module.bias == 0).all()


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (35, 32), (71, 45)], ids=str)
def test_odd_sizes_are_fine(size: tuple[int, int]) -> None:
    discriminator = PatchDiscriminator(1, 3, width=2)
    scores = discriminator(torch.randn(1, 1, *size), torch.randn(1, 3, *size))
    assert scores.shape == (1, 1, size[0] // 8 - 2, size[1] // 8 - 2) and scores.isfinite().all()


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_smallest_size_has_one_score_and_a_smaller_one_is_refused(layers: int) -> None:
    discriminator, least = PatchDiscriminator(1, 1, width=2, layers=layers), 3 * 2**layers
    assert discriminator(*torch.randn(2, 1, 1, least, least)).shape == (1, 1, 1, 1)
    with pytest.raises(UsageError, match=f"given {least} x {least - 1} pixels; it takes {least} a side or more"):
        discriminator(*torch.randn(2, 1, 1, least - 1, least))


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(UsageError, match="asked for 0 layers; it has 1 or more"):
        PatchDiscriminator(1, 1, layers=0)
    discriminator = PatchDiscriminator(1, 3, width=2)
    with pytest.raises(UsageError, match=r"it takes \(N, 3, H, W\)"):
        discriminator(torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32))
    for loss in (lambda: generator_loss("wgan", torch.zeros(1)), lambda: discriminator_loss("wgan", torch.zeros(1), torch.zeros(1))):
        with pytest.raises(UsageError, match="adversary 'wgan' is unknown; it is one of lsgan, bce"):
            loss()


def test_losses_by_hand() -> None:
    real, fake = torch.tensor([1.0, 0.5]), torch.tensor([0.0, 1.0])
    assert discriminator_loss("lsgan", real, fake).item() == pytest.approx((0.25 / 2 + 1 / 2) / 2)
    assert generator_loss("lsgan", fake).item() == pytest.approx(1 / 2)
    even = torch.zeros(3)
    assert discriminator_loss("bce", even, even).item() == pytest.approx(math.log(2))
    sure = torch.tensor([math.log(3)])  # 3/4
    assert discriminator_loss("bce", sure, sure).item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)
    assert generator_loss("bce", sure).item() == pytest.approx(math.log(4 / 3))
    assert generator_loss("bce", torch.full((1,), 300.0).bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("kind", ADVERSARIES)
def test_the_two_pull_opposite_ways(kind: str) -> None:
    fake, real = torch.full((4,), 0.3, requires_grad=True), torch.full((4,), 0.3, requires_grad=True)
    (up,) = torch.autograd.grad(generator_loss(kind, fake), fake)
    down, real_up = torch.autograd.grad(discriminator_loss(kind, real, fake), (fake, real))
    assert (up < 0).all() and (down > 0).all() and (real_up < 0).all()


@pytest.mark.parametrize("kind", ADVERSARIES)
def test_a_toy_pair_learns(kind: str) -> None:
    """What is to be made is the input blurred, twice as strong; the generator has 9 taps, and no other teacher."""
    torch.manual_seed(0)

    def truth(x: Tensor) -> Tensor:
        return 2 * F.avg_pool2d(x, 3, 1, 1)

    generator, discriminator = nn.Conv2d(1, 1, 3, padding=1), PatchDiscriminator(1, 1, width=8, layers=1)
    pairs = (generator, 1e-2), (discriminator, 2e-3)
    learns = [torch.optim.Adam(network.parameters(), rate, betas=(0.5, 0.999)) for network, rate in pairs]
    distances, told = [], []
    for _ in range(200):
        x = torch.randn(8, 1, 16, 16)
        made = generator(x)
        judged = discriminator_loss(kind, discriminator(x, truth(x)), discriminator(x, made.detach()))
        learns[1].zero_grad()
        judged.backward()
        learns[1].step()
        learns[0].zero_grad()
        generator_loss(kind, discriminator(x, made)).backward()
        learns[0].step()
        distances.append(F.l1_loss(made, truth(x)).item())
        told.append(judged.item())
    assert min(told[:20]) < told[0]  # first they are told apart
    assert sum(distances[-10:]) < 0.5 * sum(distances[:10])  # and then no longer so easily
