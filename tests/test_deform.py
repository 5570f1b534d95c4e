"""Deformable convolutions: ordinary ones at first, then taps that read where their offsets say, in any padding mode."""

import math
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift.convs import PADDING_MODES, PaddedConv2d, pad
from unetlift.convs.deform import DeformConv2d, ModulatedDeformConv2d, deform, parameter_groups
from unetlift.errors import UsageError

NUMPYS = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
VERSIONS = DeformConv2d, ModulatedDeformConv2d

every_mode = pytest.mark.parametrize("padding_mode", PADDING_MODES)
every_version = pytest.mark.parametrize("version", VERSIONS)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trained(version: type, *arguments, scale: float = 1, **options):
    """A layer in float64 whose offsets have learned something, far beyond the border too."""
    torch.manual_seed(0)
    layer = version(*arguments, **options).double()
    for number, weight in enumerate(layer.offsets.parameters()):
        weight.data = scale * noise(*weight.shape, seed=number)
    return layer


# Before training.


@every_mode
@every_version
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (7, 9)])
def test_untrained_it_is_the_padded_convolution_of_the_same_weights(version, padding_mode, size):
    torch.manual_seed(0)
    layer, x = version(4, 6, 3, padding_mode).double(), noise(2, 4, *size)
    conv = PaddedConv2d(4, 6, 3, padding_mode).double()
    conv.weight, conv.bias = layer.weight, layer.bias
    torch.testing.assert_close(layer(x), conv(x), rtol=0, atol=1e-12)


@every_mode
@every_version
@pytest.mark.parametrize(("kernel_size", "groups", "offset_groups", "dilation"), [(5, 1, 4, 1), (3, 2, 1, 2), (5, 4, 2, 3)])
def test_untrained_it_has_groups_and_dilation(version, padding_mode, kernel_size, groups, offset_groups, dilation):
    torch.manual_seed(0)
    layer = version(4, 8, kernel_size, padding_mode, False, groups, offset_groups, dilation).double()
    x, reach = noise(2, 4, 6, 5), dilation * (kernel_size // 2)
    expected = F.conv2d(pad(x, (reach,) * 4, padding_mode), layer.weight, groups=groups, dilation=dilation)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)


@every_version
def test_training_moves_the_offsets_from_their_start(version):
    """Zero weights are no dead end: the sampling has a slope."""
    layer, x = version(2, 2, padding_mode="reflect").double(), noise(1, 2, 6, 6)
    layer(x).square().sum().backward()
    assert layer.offsets.weight.grad.abs().min() > 0
    assert layer.offsets.bias.grad.abs().min() > 0


# Where taps read, by hand: on this map each reading tells its place.

MAP = torch.tensor([[[[1.0, 2, 4], [8, 16, 32], [64, 128, 256]]]], dtype=torch.float64)


def reading(tap: int, dy: float, dx: float, padding_mode: str = "zeros") -> float:
    """What one tap of a 3x3 kernel, moved by (dy, dx), contributes to the middle of the map."""
    weight, offsets = torch.zeros(1, 1, 3, 3).double(), torch.zeros(1, 18, 3, 3).double()
    weight.view(-1)[tap] = 1
    offsets[0, 2 * tap, 1, 1], offsets[0, 2 * tap + 1, 1, 1] = dy, dx
    return deform(MAP, offsets, weight, None, padding_mode)[0, 0, 1, 1].item()


@pytest.mark.parametrize(
    ("tap", "dy", "dx", "expected"),
    [
        (4, 0, 0, 16),
        (4, 1, 0, 128),  # dy comes first and leads down
        (4, 0, 1, 32),  # dx leads to the right
        (0, 2, 1, 128),  # the first tap starts at the top left
        (5, 0, -1, 16),  # the sixth at the middle of the right column
        (4, 0.5, 0, 72),  # (16 + 128) / 2
        (4, 0.5, -0.25, 63),  # 3/4 of (16 + 128) / 2 and 1/4 of (8 + 64) / 2
        (4, 1.5, 0, 64),  # half of 128, half of nothing
        (4, 2.5, 0, 0),
    ],
)
def test_taps_by_hand(tap, dy, dx, expected):
    assert reading(tap, dy, dx) == expected


@pytest.mark.parametrize(
    ("padding_mode", "dy", "dx", "expected"),
    [
        ("replicate", 1.5, 0, 128),
        ("replicate", 9, -9, 64),
        ("reflect", 1.5, 0, 72),  # 2.5 is 1.5 again
        ("reflect", -3, 0, 128),  # -2 is 2
        ("circular", 1.5, 0, 65),  # half of 128 in the last row, half of 2 in the first
        ("circular", 3, -6, 16),
        ("circular", -1.5, 0, 65),
    ],
)
def test_taps_beyond_the_border_by_hand(padding_mode, dy, dx, expected):
    assert reading(4, dy, dx, padding_mode) == expected


def test_modulation_by_hand():
    """A logit of log 3 has the sigmoid 3/4, and the factor is twice that."""
    layer = ModulatedDeformConv2d(1, 1, bias=False).double()
    layer.weight.data = torch.zeros(1, 1, 3, 3).double()
    layer.weight.data[0, 0, 1, 1] = 1
    layer.offsets.bias.data[[8, 9, 18 + 4]] = torch.tensor([0.5, -0.25, math.log(3)]).double()
    assert layer(MAP)[0, 0, 1, 1].item() == pytest.approx(1.5 * 63, abs=1e-6)


# Independent references.


@pytest.mark.parametrize(("groups", "offset_groups", "dilation"), [(1, 1, 1), (2, 4, 2)])
def test_with_zeros_beyond_the_border_it_is_torchvisions_layer(groups, offset_groups, dilation):
    torch.manual_seed(0)
    theirs = torchvision.ops.DeformConv2d(4, 6, 3, padding=dilation, dilation=dilation, groups=groups).double()
    x, offsets = noise(2, 4, 6, 7), 3 * noise(2, 18 * offset_groups, 6, 7, seed=1)
    modulation = noise(2, 9 * offset_groups, 6, 7, seed=2)
    for factor in (None, modulation):
        ours = deform(x, offsets, theirs.weight, theirs.bias, "zeros", dilation, factor)
        torch.testing.assert_close(ours, theirs(x, offsets, factor), rtol=0, atol=1e-12)


def bilinear(picture: np.ndarray, y: float, x: float) -> float:
    top, left = math.floor(y), math.floor(x)
    fy, fx = y - top, x - left
    (a, b), (c, d) = picture[top : top + 2, left : left + 2]
    return (1 - fy) * ((1 - fx) * a + fx * b) + fy * ((1 - fx) * c + fx * d)


def defined(x: Tensor, offsets: Tensor, weight: Tensor, modulation: Tensor, mode: str, dilation: int) -> Tensor:
    """The papers' sums, tap by tap, on a map padded so far that no offset leaves it."""
    (n, channels, height, width), (c_out, _, taps, _) = x.shape, weight.shape
    far = 40
    wide = np.pad(x.numpy(), ((0, 0), (0, 0), (far, far), (far, far)), NUMPYS[mode])
    groups = offsets.shape[1] // (2 * taps**2)
    y = np.zeros((n, c_out, height, width))
    for sample, channel, i, j, row, column in np.ndindex(n, channels, taps, taps, height, width):
        tap = (channel * groups // channels) * taps**2 + i * taps + j
        dy, dx = offsets[sample, 2 * tap : 2 * tap + 2, row, column].tolist()
        py, px = row + dilation * (i - taps // 2) + dy, column + dilation * (j - taps // 2) + dx
        value = bilinear(wide[sample, channel], far + py, far + px) * modulation[sample, tap, row, column].item()
        y[sample, :, row, column] += weight[:, channel, i, j].detach().numpy() * value
    return torch.from_numpy(y)


CASES = [((4, 5), 1, 1), ((4, 3), 2, 2), ((1, 1), 1, 1), ((1, 3), 2, 1), ((2, 2), 1, 1)]


@every_mode
@pytest.mark.parametrize(("size", "offset_groups", "dilation"), CASES)
def test_large_offsets_are_the_papers_sums_over_a_map_that_goes_on(padding_mode, size, offset_groups, dilation):
    x, weight = noise(2, 2, *size), noise(3, 2, 3, 3, seed=1)
    offsets = 7 * noise(2, 18 * offset_groups, *size, seed=2)
    modulation = noise(2, 9 * offset_groups, *size, seed=3)
    assert offsets.abs().max() > 2 * max(size)
    expected = defined(x, offsets, weight, modulation, padding_mode, dilation)
    torch.testing.assert_close(deform(x, offsets, weight, None, padding_mode, dilation, modulation), expected, rtol=0, atol=1e-12)


# Laws.


@every_version
def test_a_circular_one_follows_every_shift_with_large_learned_offsets(version):
    layer, x = trained(version, 4, 3, 3, "circular", offset_groups=2), noise(1, 4, 5, 6, seed=5)
    assert layer.offsets(pad(x, (1, 1, 1, 1), "circular")).abs().max() > 12
    moved = torch.cat([x.roll((dy, dx), (2, 3)) for dy in range(5) for dx in range(6)])
    expected = torch.cat([layer(x).roll((dy, dx), (2, 3)) for dy in range(5) for dx in range(6)])
    torch.testing.assert_close(layer(moved), expected, rtol=0, atol=1e-12)


def test_a_position_rounded_to_the_far_border_reads_the_first_pixel():
    """-1e-18 modulo 3 is 3 in floating point, one beyond the last row."""
    assert reading(4, -1 - 1e-17, 0, "circular") == 2
    assert reading(1, -1e-18, 0, "circular") == 2


@every_mode
def test_gradients_are_those_of_finite_differences(padding_mode):
    """Offsets end in 0.2 to 0.8: where a position is whole, bilinear reading has a kink."""
    x, weight, bias = noise(1, 2, 3, 4), noise(2, 2, 3, 3, seed=1), noise(2, seed=2)
    whole = (3 * noise(1, 18, 3, 4, seed=3)).round()
    offsets = whole + 0.2 + 0.6 * torch.rand(whole.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    inputs = [t.requires_grad_() for t in (x, offsets, weight, bias, noise(1, 9, 3, 4, seed=5))]

    def run(x: Tensor, offsets: Tensor, weight: Tensor, bias: Tensor, modulation: Tensor) -> Tensor:
        return deform(x, offsets, weight, bias, padding_mode, modulation=modulation)

    assert torch.autograd.gradcheck(run, inputs)


@every_mode
@every_version
@pytest.mark.parametrize(("layout", "innermost"), [(torch.channels_last, 1), (torch.contiguous_format, 3)])
def test_the_memory_format_goes_through(version, padding_mode, layout, innermost):
    layer = trained(version, 4, 6, 3, padding_mode).float().to(memory_format=layout)
    x = noise(2, 4, 6, 8).float().to(memory_format=layout).requires_grad_()
    y = layer(x)
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    assert (y.stride(innermost), gradient.stride(innermost)) == (1, 1)


@every_mode
@every_version
def test_mixed_precision_gives_single_precisions_numbers(version, padding_mode):
    """The map, weights and offsets are rounded to eight bits, so results agree to a hundredth or so of their range."""
    layer, x = trained(version, 4, 4, 3, padding_mode, scale=0.03).float(), noise(2, 4, 8, 8).float()
    expected = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(x.bfloat16())
        mixed.float().sum().backward()
        assert mixed.dtype == layer(x).dtype == torch.bfloat16
        assert layer.double()(x.double()).dtype == torch.float64  # as an ordinary convolution's
    assert (mixed - expected).abs().max() < 0.015 * (expected.max() - expected.min())
    assert layer.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


# Training.


def warped(picture: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
    """PyTorch's own bilinear reading of a picture (H, W) at each pixel's place plus its displacement."""
    height, width = picture.shape
    rows, columns = GRID
    grid = torch.stack((2 * (columns + dx) / (width - 1) - 1, 2 * (rows + dy) / (height - 1) - 1), 2)
    return F.grid_sample(picture[None, None], grid[None], padding_mode="border", align_corners=True)


GRID = torch.meshgrid(torch.arange(32, dtype=torch.float64), torch.arange(36, dtype=torch.float64), indexing="ij")
SLOW = 0.7 * torch.sin((GRID[0] + GRID[1]) / 5.3) + 0.5 * torch.cos((GRID[0] - 2 * GRID[1]) / 7.9)
PICTURE = torch.sin(GRID[0] / 3.1) + torch.cos(GRID[1] / 3.7 + 0.5) + SLOW  # its shortest wave has 18 pixels
INNER = (slice(None), slice(None), slice(5, -5), slice(5, -5))


def recovered(version: type, inputs: Tensor, target: Tensor, rates: tuple[float, float], steps: int) -> tuple[Tensor, float]:
    """The displacement (1, 2, H, W) that offsets alone learn under a kernel that copies the first channel, and the loss."""
    layer = version(inputs.shape[1], 1, 3, "replicate", bias=False).double()
    layer.weight.data.zero_()
    layer.weight.data[0, 0, 1, 1] = 1
    layer.weight.requires_grad_(False)
    optimiser = torch.optim.Adam([{"params": [layer.offsets.weight], "lr": rates[0]}, {"params": [layer.offsets.bias], "lr": rates[1]}])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        loss = (layer(inputs) - target)[INNER].square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return layer.offsets(pad(inputs, (1, 1, 1, 1), "replicate"))[:, 8:10].detach(), loss.item()


def test_offsets_alone_recover_a_shift():
    dy, dx = torch.full_like(PICTURE, 1.37), torch.full_like(PICTURE, -2.21)
    target = warped(PICTURE, dy, dx)
    before = (PICTURE - target)[INNER].square().mean().item()
    displacement, loss = recovered(DeformConv2d, PICTURE[None, None], target, (0.01, 0.1), 300)
    error = (displacement - torch.stack((dy, dx)))[INNER].abs().max().item()
    print(f"shift by (1.37, -2.21): recovered within {error:.4f} px, loss {before:.3f} -> {loss:.1e}")
    assert error < 0.02
    assert loss < 1e-5 * before


def test_offsets_alone_recover_a_rotation():
    """The offset convolution sees where it is by two channels of coordinates, of which a rotation is a linear function."""
    down, right = (GRID[0] - 15.5) / 16, (GRID[1] - 17.5) / 16
    angle = math.radians(7)
    dy = 16 * (down * (math.cos(angle) - 1) + right * math.sin(angle))
    dx = 16 * (right * (math.cos(angle) - 1) - down * math.sin(angle))
    target = warped(PICTURE, dy, dx)
    before = (PICTURE - target)[INNER].square().mean().item()
    inputs = torch.stack((PICTURE, down, right))[None]
    displacement, loss = recovered(DeformConv2d, inputs, target, (0.02, 0.02), 250)
    error = (displacement - torch.stack((dy, dx)))[INNER].abs().max().item()
    print(f"rotation by 7 degrees, up to {dy.abs().max():.2f} px: recovered within {error:.4f} px, loss {before:.3f} -> {loss:.1e}")
    assert error < 0.02
    assert loss < 1e-5 * before


class _Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({"first": nn.Conv2d(1, 2, 3), "second": nn.Sequential(DeformConv2d(2, 2), ModulatedDeformConv2d(2, 2))})
        self.shared = self.layers["first"]


def test_parameters_are_grouped_by_what_they_predict():
    network = _Network()
    rest, offsets = parameter_groups(network, 0.5, 0.2)
    first, second = network.layers["second"]
    assert {id(p) for p in offsets["params"]} == {id(p) for layer in (first, second) for p in layer.offsets.parameters()}
    together = [id(p) for p in (*rest["params"], *offsets["params"])]
    assert sorted(together) == sorted(id(p) for p in network.parameters())
    assert (rest["lr"], offsets["lr"]) == (0.5, 0.1)


def test_a_network_without_offsets_has_one_group_and_an_offset_layer_alone_too():
    conv = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    (group,) = parameter_groups(conv, 0.5)
    assert group == {"params": list(conv.parameters()), "lr": 0.5}
    frozen = DeformConv2d(1, 1)
    del frozen.weight, frozen.bias
    (group,) = parameter_groups(frozen, 0.5)
    assert group == {"params": list(frozen.offsets.parameters()), "lr": 0.05}


def test_an_optimiser_takes_smaller_steps_on_offsets():
    network = _Network().double()
    optimiser = torch.optim.SGD(parameter_groups(network, 0.5))
    before = [p.detach().clone() for p in network.parameters()]
    for p in network.parameters():
        p.grad = torch.ones_like(p)
    optimiser.step()
    for (name, p), old in zip(network.named_parameters(), before, strict=True):
        step = 0.05 if ".offsets." in name else 0.5
        torch.testing.assert_close(p.detach(), old - step, rtol=0, atol=1e-15)


# Export.

SIZES = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=3), 3: torch.export.Dim("width", min=3)}


@every_mode
@every_version
def test_it_exports_for_any_batch_and_size(version, padding_mode):
    layer = trained(version, 2, 2, 3, padding_mode).eval()
    program = torch.export.export(layer, (noise(2, 2, 6, 8),), dynamic_shapes=(SIZES,)).module()
    for shape in ((3, 2, 5, 9), (1, 2, 12, 4)):
        torch.testing.assert_close(program(noise(*shape)), layer(noise(*shape)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("padding_mode", ["circular", *(pytest.param(mode, marks=pytest.mark.slow) for mode in PADDING_MODES[:3])])
def test_onnx_runtime_gives_the_same_numbers(padding_mode, tmp_path):
    layer = trained(ModulatedDeformConv2d, 4, 6, 3, padding_mode, groups=2, offset_groups=2).float().eval()
    example = noise(2, 4, 6, 8).float()
    torch.onnx.export(layer, (example,), tmp_path / "layer.onnx", dynamic_shapes=(SIZES,), opset_version=19, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "layer.onnx")
    for shape in ((3, 4, 5, 9), (1, 4, 12, 4)):
        x = noise(*shape).float()
        (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(y), layer(x), rtol=0, atol=1e-4)


COMPILE = """
import torch
from unetlift.convs import PADDING_MODES
from unetlift.convs.deform import ModulatedDeformConv2d

for mode in PADDING_MODES:
    torch.manual_seed(0)
    layer = ModulatedDeformConv2d(4, 6, 3, mode, groups=2, offset_groups=2)
    for weight in layer.offsets.parameters():
        torch.nn.init.normal_(weight)
    compiled = torch.compile(layer, fullgraph=True, dynamic=True)
    for shape in ((2, 4, 6, 8), (3, 4, 5, 9)):
        x = torch.randn(shape, requires_grad=True)
        y, expected = compiled(x), layer(x)
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-5)
        if mode == "replicate":  # PyTorch 2.14 compiles no gradient of F.pad's replication before a plain Conv2d either
            continue
        gradients = [torch.autograd.grad(made.square().sum(), (x, *layer.parameters())) for made in (y, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-3)
"""


@pytest.mark.slow
def test_it_compiles_whole_for_any_batch_and_size():
    """In a process of its own, since the shape checks of these tests do not go into a graph."""
    done = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@every_version
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 2}, "is 2; it is 3, 5 or another odd number"),
        ({"kernel_size": 1}, "is 1; it is 3, 5 or another odd number"),
        ({"padding_mode": "same"}, "'same' is unknown; it is one of zeros, reflect, replicate, circular"),
        ({"groups": 4}, "groups is 4; it is a number that divides 6 and 8 channels"),
        ({"offset_groups": 4}, "offset_groups is 4; it is a number that divides 6 channels"),
        ({"dilation": 0}, "dilation is 0; it is 1 or more"),
    ],
)
def test_wrong_arguments_are_answered_with_the_right_ones(version, arguments, message):
    with pytest.raises(UsageError, match=message):
        version(6, 8, **arguments)
