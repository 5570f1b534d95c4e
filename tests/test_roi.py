"""Deformable RoI pooling: RoIAlign at first, then bins that average where their offsets say."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import ps_roi_align, roi_align

from unetlift.convs.deform import parameter_groups
from unetlift.convs.roi import DeformRoIPool, PSDeformRoIPool, deform_roi_pool, ps_deform_roi_pool
from unetlift.errors import UsageError

BINS = 3


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


BOXES = torch.tensor(
    [
        [0, 2.3, 1.2, 9.9, 8.1],
        [1, 0, 0, 20, 16],  # the whole map
        [1, -4.7, -3.1, 6.2, 5.5],  # partly outside, on every side
        [0, 15.5, 9.2, 26.4, 19.9],
        [0, 40, 40, 50, 50],  # wholly outside
        [1, 5.5, 6.5, 5.7, 6.6],  # smaller than a pixel
        [0, 8, 7, 3, 2],  # turned round
    ],
    dtype=torch.float64,
)
SOME = BOXES[:4]


def zeros(groups: int = 1) -> Tensor:
    return torch.zeros(len(BOXES), 2 * groups, BINS, BINS, dtype=torch.float64)


# Zero offsets: torchvision's own operators.


@pytest.mark.parametrize("spatial_scale", [1.0, 0.5, 0.3])
@pytest.mark.parametrize("samples", [1, 2, 3])
def test_without_offsets_it_is_roi_align(samples, spatial_scale):
    x = noise(2, 5, 16, 20)
    expected = roi_align(x, BOXES, BINS, spatial_scale, samples, aligned=True)
    assert expected[4].eq(0).all() == (spatial_scale >= 0.5)
    torch.testing.assert_close(deform_roi_pool(x, BOXES, zeros(), BINS, spatial_scale, samples), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spatial_scale", [1.0, 0.5, 0.3])
@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_without_offsets_the_position_sensitive_one_is_ps_roi_align(samples, spatial_scale, groups):
    x = noise(2, 4 * BINS**2, 16, 20)
    expected = ps_roi_align(x, BOXES, BINS, spatial_scale, samples)
    torch.testing.assert_close(ps_deform_roi_pool(x, BOXES, zeros(groups), BINS, spatial_scale, samples), expected, rtol=0, atol=1e-12)


LAYERS = {"plain": lambda: DeformRoIPool(4, BINS, hidden=32), "ps": lambda: PSDeformRoIPool(4, 6, BINS, offset_groups=3)}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def last_of(layer: nn.Module) -> nn.Module:
    return layer.offsets if isinstance(layer, PSDeformRoIPool) else layer.offsets[-1]


@every_layer
def test_untrained_layers_are_torchvisions_operators_and_learn(make):
    torch.manual_seed(0)
    layer, x = make().double(), noise(2, 4, 16, 20)
    if isinstance(layer, DeformRoIPool):
        expected = roi_align(x, BOXES, BINS, 1.0, 2, aligned=True)
    else:
        expected = ps_roi_align(layer.scores(x), BOXES, BINS, 1.0, 2)
    y = layer(x, BOXES)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    y.square().sum().backward()
    assert last_of(layer).weight.grad.abs().max() > 0
    assert last_of(layer).bias.grad.abs().min() > 0


# Any offsets: the definition, point by point.


def at(picture: Tensor, y: float, x: float) -> float:
    """A bilinear reading as torchvision defines it: zero from a pixel outside on, the border's value before."""
    height, width = picture.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = min(int(y), max(height - 2, 0)), min(int(x), max(width - 2, 0))
    fy, fx = y - top, x - left
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = (1 - fx) * picture[top, left] + fx * picture[top, right]
    lower = (1 - fx) * picture[bottom, left] + fx * picture[bottom, right]
    return ((1 - fy) * upper + fy * lower).item()


def defined(maps, boxes: Tensor, offsets: Tensor, channels: int, scale: float, samples: int, gamma: float) -> Tensor:
    """The mean over each bin's points; `maps(batch, channel, row, column)` is what a bin reads."""
    groups = offsets.shape[1] // 2
    y = torch.zeros(len(boxes), channels, BINS, BINS, dtype=torch.float64)
    for k, (batch, *corners) in enumerate(boxes.tolist()):
        x1, y1, x2, y2 = (corner * scale - 0.5 for corner in corners)
        for channel in range(channels):
            group = channel * groups // channels
            for i in range(BINS):
                for j in range(BINS):
                    dy, dx = offsets[k, 2 * group : 2 * group + 2, i, j].tolist()
                    readings = [
                        at(
                            maps(int(batch), channel, i, j),
                            y1 + (y2 - y1) * ((i + (a + 0.5) / samples) / BINS + gamma * dy),
                            x1 + (x2 - x1) * ((j + (b + 0.5) / samples) / BINS + gamma * dx),
                        )
                        for a in range(samples)
                        for b in range(samples)
                    ]
                    y[k, channel, i, j] = sum(readings) / samples**2
    return y


@pytest.mark.parametrize(("size", "spatial_scale", "samples"), [((16, 20), 1.0, 2), ((7, 9), 0.4, 3), ((1, 1), 0.1, 1), ((1, 5), 0.25, 2)])
def test_random_offsets_move_each_bin(size, spatial_scale, samples):
    x, offsets = noise(2, 2, *size), 2 * noise(len(BOXES), 2, BINS, BINS, seed=1)
    expected = defined(lambda n, c, i, j: x[n, c], BOXES, offsets, 2, spatial_scale, samples, 0.2)
    torch.testing.assert_close(deform_roi_pool(x, BOXES, offsets, BINS, spatial_scale, samples, 0.2), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_random_offsets_move_each_bin_of_each_group(groups):
    x, offsets = noise(2, 4 * BINS**2, 8, 10), 2 * noise(len(BOXES), 2 * groups, BINS, BINS, seed=1)
    expected = defined(lambda n, c, i, j: x[n, c * BINS**2 + i * BINS + j], BOXES, offsets, 4, 0.5, 2, 0.1)
    torch.testing.assert_close(ps_deform_roi_pool(x, BOXES, offsets, BINS, 0.5), expected, rtol=0, atol=1e-12)


def test_one_bin_by_hand():
    """A box of 4 x 2 pixels whose one point is the middle: half a height down are two rows, one width left two columns."""
    x = torch.arange(48, dtype=torch.float64).view(1, 1, 6, 8) ** 2
    box, offsets = torch.tensor([[0.0, 3, 0, 5, 4]], dtype=torch.float64), torch.zeros(1, 2, 1, 1, dtype=torch.float64)
    assert deform_roi_pool(x, box, offsets, 1, samples=1).item() == (11**2 + 12**2 + 19**2 + 20**2) / 4  # rows 1, 2; columns 3, 4
    offsets[0, :, 0, 0] = torch.tensor([0.5, -1.0])
    assert deform_roi_pool(x, box, offsets, 1, samples=1, gamma=1.0).item() == (25**2 + 26**2 + 33**2 + 34**2) / 4
    offsets[0, :, 0, 0] = torch.tensor([5.0, -10.0])
    assert deform_roi_pool(x, box, offsets, 1, samples=1).item() == pytest.approx((25**2 + 26**2 + 33**2 + 34**2) / 4, abs=1e-9)


# Laws.


@pytest.mark.parametrize("pool", [deform_roi_pool, ps_deform_roi_pool])
def test_picture_and_boxes_that_move_together_give_the_same(pool):
    """By whole pixels of a map twice as coarse as the picture."""
    x, offsets = torch.zeros(2, 2 * BINS**2, 40, 44, dtype=torch.float64), noise(4, 2, BINS, BINS, seed=1)
    x[..., 14:26, 14:30] = noise(2, 2 * BINS**2, 12, 16)
    boxes = SOME + torch.tensor([0, 30, 30, 30, 30])
    moved = boxes + torch.tensor([0, 2 * -3, 2 * 5, 2 * -3, 2 * 5])
    y = pool(x, boxes, offsets, BINS, 0.5)
    assert y.abs().mean() > 0.1
    torch.testing.assert_close(pool(x.roll((5, -3), (2, 3)), moved, offsets, BINS, 0.5), y, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pool", [deform_roi_pool, ps_deform_roi_pool])
def test_gradients_are_those_of_finite_differences(pool):
    """The boxes' too, which torchvision's operators do not have."""
    x, offsets = noise(2, BINS**2, 5, 6).requires_grad_(), noise(2, 2, BINS, BINS, seed=1).requires_grad_()
    corners = (SOME[[0, 2], 1:] / 2).requires_grad_()

    def run(x: Tensor, corners: Tensor, offsets: Tensor) -> Tensor:
        boxes = torch.cat((SOME[[0, 2], :1], corners), 1)
        return pool(x, boxes, offsets, BINS, gamma=0.3)

    assert torch.autograd.gradcheck(run, (x, corners, offsets))
    assert torch.autograd.gradgradcheck(run, (x, corners, offsets), fast_mode=True)


def test_no_boxes_give_nothing():
    x = noise(2, BINS**2, 7, 8)
    for pool in (deform_roi_pool, ps_deform_roi_pool):
        assert len(pool(x, BOXES[:0], zeros()[:0], BINS)) == 0
    assert DeformRoIPool(BINS**2, BINS).double()(x, BOXES[:0]).shape == (0, BINS**2, BINS, BINS)


@pytest.mark.parametrize("pool", [deform_roi_pool, ps_deform_roi_pool])
@pytest.mark.parametrize(("layout", "innermost"), [(torch.channels_last, 1), (torch.contiguous_format, 3)])
def test_the_memory_format_goes_through(pool, layout, innermost):
    x = noise(2, 2 * BINS**2, 7, 8).to(memory_format=layout).requires_grad_()
    y = pool(x, BOXES, zeros(), BINS)
    assert y.stride(innermost) == 1
    if layout == torch.channels_last:
        (gradient,) = torch.autograd.grad(y.square().sum(), x)
        assert gradient.stride(innermost) == 1


@every_layer
def test_mixed_precision_gives_single_precisions_numbers(make):
    """The boxes keep theirs: eight bits would be off by a pixel at 200."""
    torch.manual_seed(0)
    layer, x, boxes = make(), noise(2, 4, 16, 20).float(), BOXES.float()
    nn.init.normal_(last_of(layer).bias)
    expected = layer(x, boxes)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(x, boxes)
        assert layer(x.bfloat16(), boxes).dtype == torch.bfloat16
    assert (mixed - expected).abs().max() < 0.015 * (expected.max() - expected.min())


# Training.


def test_offsets_alone_bring_displaced_bins_back():
    """Boxes of 12 x 16 pixels displaced by (2.6, -1.9): each bin finds its way, as parts of the height and width."""
    rows, columns = torch.meshgrid(torch.arange(48, dtype=torch.float64), torch.arange(56, dtype=torch.float64), indexing="ij")
    waves = [(3.1, 9), (4.3, -6), (-7, 3.7), (11, 5), (5, 5), (6, -13)]
    x = torch.stack([torch.sin(rows / a + columns / b + n) for n, (a, b) in enumerate(waves)])[None]
    right = torch.tensor([[0, 14, 12, 30, 24], [0, 22.5, 17.3, 38.5, 29.3]], dtype=torch.float64)
    wrong = right + torch.tensor([0, -1.9, 2.6, -1.9, 2.6])
    offsets = torch.zeros(2, 2, BINS, BINS, dtype=torch.float64, requires_grad=True)
    target = roi_align(x, right, BINS, 1.0, 2, aligned=True)
    optimiser = torch.optim.Adam([offsets], lr=0.2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 300)
    before = (deform_roi_pool(x, wrong, offsets, BINS) - target).square().mean().item()
    for _ in range(300):
        loss = (deform_roi_pool(x, wrong, offsets, BINS) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    pixels = 0.1 * offsets.detach() * torch.tensor([12, 16]).view(2, 1, 1)
    error = (pixels - torch.tensor([-2.6, 1.9]).view(2, 1, 1)).abs().max().item()
    print(f"bins recovered within {error:.1e} px, loss {before:.3f} -> {loss.item():.1e}")
    assert error < 1e-3
    assert loss < 1e-9 * before


def test_offset_layers_have_their_own_learning_rate():
    network = nn.ModuleList([nn.Conv2d(3, 4, 3), DeformRoIPool(4, BINS, hidden=8), PSDeformRoIPool(4, 2, BINS)])
    rest, offsets = parameter_groups(network, 0.5, 0.01)
    assert {id(p) for p in offsets["params"]} == {id(p) for layer in network[1:] for p in layer.offsets.parameters()}
    assert {id(p) for p in rest["params"]} == {id(p) for layer in (network[0], network[2].scores) for p in layer.parameters()}
    assert (rest["lr"], offsets["lr"]) == (0.5, 0.005)


# Export.


@every_layer
@pytest.mark.parametrize("runtime", ["torch", pytest.param("onnx", marks=pytest.mark.slow)])
def test_graphs_give_the_same_numbers_for_any_map_and_number_of_boxes(make, runtime, tmp_path):
    torch.manual_seed(0)
    layer = make().eval()
    nn.init.normal_(last_of(layer).bias)
    free = torch.export.Dim.DYNAMIC
    sizes = ({0: free, 2: free, 3: free}, {0: free})
    arguments = noise(2, 4, 16, 20).float(), BOXES.float()
    program = torch.export.export(layer, arguments, dynamic_shapes=sizes)
    run = program.module() if runtime == "torch" else onnx_session(program, arguments, tmp_path / "pool.onnx")
    for x, boxes in (arguments, (noise(3, 4, 9, 12).float(), BOXES[:2].float())):
        torch.testing.assert_close(run(x, boxes), layer(x, boxes), rtol=0, atol=1e-5)


def onnx_session(program: torch.export.ExportedProgram, arguments: tuple[Tensor, Tensor], path: Path) -> Callable:
    torch.onnx.export(program, arguments, path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path)
    names = [node.name for node in session.get_inputs()]
    return lambda *tensors: torch.from_numpy(session.run(None, dict(zip(names, (t.numpy() for t in tensors), strict=True)))[0])


COMPILE = """
import torch
from unetlift.convs.roi import DeformRoIPool, PSDeformRoIPool

boxes = torch.tensor([[0, 2.3, 1.2, 9.9, 8.1], [1, -4.7, -3.1, 6.2, 5.5], [1, 5.5, 6.5, 15.7, 16.6]])
for layer in (DeformRoIPool(4, 3, 8), PSDeformRoIPool(4, 6, 3, 3)):
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for size, count in (((2, 4, 16, 20), 2), ((3, 4, 9, 12), 3)):
        x = torch.randn(size, requires_grad=True)
        answers = [f(x, boxes[:count]) for f in (compiled, layer)]
        torch.testing.assert_close(*answers, rtol=0, atol=1e-5)
        gradients = [torch.autograd.grad(y.square().sum(), (x, *layer.parameters())) for y in answers]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
"""


@pytest.mark.slow
def test_they_become_one_graph_with_its_gradient():
    """Without generating code, which takes minutes; in a process of its own, as these tests' shape checks stay out of graphs."""
    done = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# Wrong input.


@pytest.mark.parametrize("pool", [deform_roi_pool, ps_deform_roi_pool])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(9, 8, 8)}, r"The shape of the map is \(9, 8, 8\); it is \(N, C, H, W\)"),
        ({"x": torch.zeros(1, 9, 8, 8).int()}, "The map cannot hold torch.int32; it takes floating-point numbers"),
        ({"boxes": torch.zeros(2, 4)}, r"The shape of the boxes is \(2, 4\); it is \(K, 5\)"),
        ({"boxes": torch.zeros(2, 5).long()}, "The boxes cannot hold torch.int64; it takes"),
        ({"offsets": torch.zeros(2, 2, 3, 4)}, r"The shape of the offsets is \(2, 2, 3, 4\); it is \(2, 2, 3, 3\)"),
        ({"offsets": torch.zeros(1, 2, 3, 3)}, r"it is \(2, 2, 3, 3\)"),
        ({"offsets": torch.zeros(2, 3, 3, 3)}, r"it is \(2, 2, 3, 3\)"),
        ({"offsets": torch.zeros(2, 18)}, r"it is \(2, 2, 3, 3\)"),
        ({"offsets": torch.zeros(2, 2, 3, 3).long()}, "The offsets cannot hold torch.int64"),
        ({"output_size": 0}, "output_size is 0; it is 1 or more"),
        ({"samples": 0}, "samples is 0; it is 1 or more"),
    ],
)
def test_wrong_input_is_answered_with_what_is_right(pool, change, message):
    right = {"x": torch.zeros(1, 9, 8, 8), "boxes": torch.zeros(2, 5), "offsets": torch.zeros(2, 2, 3, 3), "output_size": 3}
    with pytest.raises(UsageError, match=message):
        pool(**(right | change))


def test_position_sensitive_pooling_names_wrong_channels_and_groups():
    x, boxes = torch.zeros(1, 18, 8, 8), torch.zeros(2, 5)
    with pytest.raises(UsageError, match="has 18 channels; they are a multiple of 16, one for each bin"):
        ps_deform_roi_pool(x, boxes, torch.zeros(2, 2, 4, 4), 4)
    with pytest.raises(UsageError, match="for 3 groups of channels; they are for a number that divides 2"):
        ps_deform_roi_pool(x, boxes, torch.zeros(2, 6, 3, 3), 3)
    with pytest.raises(UsageError, match="offset_groups is 4; it is a number that divides 6 channels"):
        PSDeformRoIPool(4, 6, 3, offset_groups=4)
