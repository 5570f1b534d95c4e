"""RoI pooling whose bins move by learned offsets, plain and position-sensitive (arXiv 1703.06211, section 2.2)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unetlift.convs.deform import Deformable
from unetlift.errors import UsageError
from unetlift.types import Map

Pooled = Float[Tensor, "k c_out bins bins"]
"""What each of k boxes holds, bin by bin."""


def deform_roi_pool(
    x: Tensor,
    boxes: Tensor,
    offsets: Tensor,
    output_size: int,
    spatial_scale: float = 1.0,
    samples: int = 2,
    gamma: float = 0.1,
) -> Pooled:
    """Averages each bin of each box at its place moved by its offset, read bilinearly (eq. 6 there).

    With zero offsets it is `torchvision.ops.roi_align(aligned=True, sampling_ratio=samples)`. It is differentiable in
    the map, the offsets and, unlike torchvision's, the boxes.

    Args:
        x: (N, C, H, W).
        boxes: (K, 5): index in the batch, then x1, y1, x2, y2 in pixels of the picture, which may lie outside it. What
            is more than a pixel outside the map counts as zero, what is nearer as the border's pixel.
        offsets: (K, 2, n, n): (dy, dx) of each bin, which moves down by gamma * dy of the box's height and to the
            right by gamma * dx of its width, so that the same offset means the same for a box of any size.
        output_size: n, bins a side.
        spatial_scale: pixels of the map for each of the picture.
        samples: points a side that are averaged in a bin.
        gamma: the part of the box that an offset of 1 is.

    Returns:
        (K, C, n, n).

    Raises:
        UsageError: a tensor is of another shape or no floating-point one, or a number is under 1.
    """
    _check(x, boxes, output_size, samples)
    _check_tensor("offsets", offsets, (boxes.shape[0], 2, output_size, output_size))
    return _averages(x, boxes, 1, *_points(boxes, offsets, spatial_scale, samples, gamma))


def ps_deform_roi_pool(
    x: Tensor,
    boxes: Tensor,
    offsets: Tensor,
    output_size: int,
    spatial_scale: float = 1.0,
    samples: int = 2,
    gamma: float = 0.1,
) -> Pooled:
    """`deform_roi_pool` where each bin of each output channel reads a map of its own.

    With zero offsets it is `torchvision.ops.ps_roi_align(sampling_ratio=samples)`.

    Args:
        x: (N, C * n * n, H, W): for each output channel the maps of its bins, row by row.
        boxes: (K, 5) as there.
        offsets: (K, 2 * G, n, n): as there, for each of G groups of output channels; G = C are class-wise offsets.
        output_size: n, bins a side.
        spatial_scale: pixels of the map for each of the picture.
        samples: points a side that are averaged in a bin.
        gamma: the part of the box that an offset of 1 is.

    Returns:
        (K, C, n, n).

    Raises:
        UsageError: as there, or the channels are no multiple of n * n, or G does not divide C.
    """
    _check(x, boxes, output_size, samples)
    bins = output_size**2
    channels, rest = divmod(x.shape[1], bins)
    if rest:
        raise UsageError(f"The map has {x.shape[1]} channels; they are a multiple of {bins}, one for each bin.")
    groups = offsets.shape[1] // 2 if offsets.ndim == 4 else 1
    _check_tensor("offsets", offsets, (boxes.shape[0], 2 * max(groups, 1), output_size, output_size))
    if channels % groups:
        raise UsageError(f"The offsets are for {groups} groups of channels; they are for a number that divides {channels}.")
    return _averages(x, boxes, output_size, *_points(boxes, offsets, spatial_scale, samples, gamma))


def _check(x: Tensor, boxes: Tensor, output_size: int, samples: int) -> None:
    _check_tensor("map", x, ("N", "C", "H", "W"))
    _check_tensor("boxes", boxes, ("K", 5))
    for name, number in (("output_size", output_size), ("samples", samples)):
        if number < 1:
            raise UsageError(f"{name} is {number}; it is 1 or more.")


def _check_tensor(name: str, tensor: Tensor, shape: tuple) -> None:
    """A letter in the shape stands for any size."""
    if tensor.ndim != len(shape) or any(have != want for have, want in zip(tensor.shape, shape, strict=True) if not isinstance(want, str)):
        raise UsageError(f"The shape of the {name} is {tuple(tensor.shape)}; it is ({', '.join(map(str, shape))}).")
    if not tensor.is_floating_point():
        raise UsageError(f"The {name} cannot hold {tensor.dtype}; it takes floating-point numbers.")


def _points(boxes: Tensor, offsets: Tensor, scale: float, samples: int, gamma: float) -> tuple[Tensor, Tensor]:
    """Rows (K, G, n, n, S, 1) and columns (K, G, n, n, 1, S) of the points, in pixels of the map.

    Pixel 0 reaches from -1/2 to 1/2 there; in the picture, as boxes count, it begins at 0.
    """
    n = offsets.shape[-1]
    wide = torch.promote_types(offsets.dtype, torch.float32)
    x1, y1, x2, y2 = (boxes[:, 1:].to(wide) * scale - 0.5).view(-1, 4, 1, 1, 1, 1, 1).unbind(1)
    down, right = offsets.to(wide).unflatten(1, (-1, 2))[..., None, None].unbind(2)  # each (K, G, n, n, 1, 1)
    within = (torch.arange(n * samples, dtype=wide, device=boxes.device) + 0.5).view(n, samples) / (n * samples)
    rows = y1 + (y2 - y1) * (within.view(n, 1, samples, 1) + gamma * down)
    columns = x1 + (x2 - x1) * (within.view(n, 1, samples) + gamma * right)
    return rows, columns


def _averages(x: Tensor, boxes: Tensor, side: int, rows: Tensor, columns: Tensor) -> Tensor:
    """The mean over the points of every bin, in the map's precision and memory format.

    Args:
        x: (N, G * C * side * side, H, W).
        boxes: (K, 5).
        side: n if each bin has maps of its own, 1 if all read the same.
        rows: (K, G, n, n, S, 1).
        columns: (K, G, n, n, 1, S).
    """
    height, width = x.shape[-2:]
    groups = rows.shape[1]
    readers = groups * side**2
    channels = x.shape[1] // readers
    pixels = x.permute(0, 2, 3, 1).unflatten(3, (groups, channels, side**2)).transpose(4, 5).reshape(-1, channels)
    reader = torch.arange(readers, device=x.device).view(groups, side, side, 1, 1)
    batch = boxes[:, 0].long().view(-1, 1, 1, 1, 1, 1)
    pooled = 0
    for row, row_weight in _neighbours(rows, height):
        for column, column_weight in _neighbours(columns, width):
            index = ((batch * height + row) * width + column) * readers + reader
            values = pixels.index_select(0, index.flatten()).view(*index.shape, channels)
            pooled = pooled + (values * (row_weight * column_weight)[..., None]).mean((4, 5))
    pooled = pooled.permute(0, 1, 4, 2, 3).flatten(1, 2).to(x.dtype)
    return pooled if x.stride(1) == 1 else pooled.contiguous()


def _neighbours(position: Tensor, size: int | torch.SymInt) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The pixels before and after each position and what they weigh; torchvision's rule for the border."""
    inside = (position >= -1) & (position <= size)
    within = position.clamp(0, size - 1)
    before = within.detach().floor()
    fraction = within - before
    first = before.long()
    return (first, (1 - fraction) * inside), ((first + 1).clamp(max=size - 1), fraction * inside)


class DeformRoIPool(nn.Module, Deformable):
    """RoI pooling whose bins move by offsets that fully connected layers read off the unmoved bins (figure 3 there).

    The last layer's weights and bias start at zero, so training starts from an ordinary RoIAlign.

    Args:
        channels: C of the map.
        output_size: n, bins a side.
        hidden: width of the layer in between.
        spatial_scale: pixels of the map for each of the picture.
        samples: points a side that are averaged in a bin.
        gamma: the part of the box that an offset of 1 is.
    """

    def __init__(
        self,
        channels: int,
        output_size: int,
        hidden: int = 256,
        spatial_scale: float = 1.0,
        samples: int = 2,
        gamma: float = 0.1,
    ):
        super().__init__()
        self.options = (output_size, spatial_scale, samples, gamma)
        bins = output_size**2
        self.offsets = nn.Sequential(nn.Flatten(), nn.Linear(channels * bins, hidden), nn.ReLU(), _zero(nn.Linear(hidden, 2 * bins)))

    def forward(self, x: Map, boxes: Tensor) -> Pooled:
        """(N, C, H, W) and (K, 5) to (K, C, n, n)."""
        n = self.options[0]
        unmoved = deform_roi_pool(x, boxes, x.new_zeros(boxes.shape[0], 2, n, n), *self.options)
        offsets = self.offsets(unmoved).view(-1, 2, n, n)
        return deform_roi_pool(x, boxes, offsets, *self.options)


class PSDeformRoIPool(nn.Module, Deformable):
    """Position-sensitive RoI pooling whose bins move by offsets pooled in the same way (figure 4 there).

    One 1x1 convolution makes a score map for each bin of each output channel, another a map of offsets for each bin.
    The latter's weights and bias start at zero.

    Args:
        channels_in: C of the map.
        channels_out: of the result, for example classes.
        output_size: n, bins a side.
        offset_groups: of output channels that have offsets of their own; as many as channels are the paper's class-wise.
        spatial_scale: pixels of the map for each of the picture.
        samples: points a side that are averaged in a bin.
        gamma: the part of the box that an offset of 1 is.

    Raises:
        UsageError: `offset_groups` does not divide `channels_out`.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        output_size: int,
        offset_groups: int = 1,
        spatial_scale: float = 1.0,
        samples: int = 2,
        gamma: float = 0.1,
    ):
        super().__init__()
        if offset_groups < 1 or channels_out % offset_groups:
            raise UsageError(f"offset_groups is {offset_groups}; it is a number that divides {channels_out} channels.")
        self.options = (output_size, spatial_scale, samples, gamma)
        self.scores = nn.Conv2d(channels_in, channels_out * output_size**2, 1)
        self.offsets = _zero(nn.Conv2d(channels_in, 2 * offset_groups * output_size**2, 1))

    def forward(self, x: Map, boxes: Tensor) -> Pooled:
        """(N, C_in, H, W) and (K, 5) to (K, C_out, n, n)."""
        n = self.options[0]
        offsets = ps_deform_roi_pool(self.offsets(x), boxes, x.new_zeros(boxes.shape[0], 2, n, n), *self.options)
        return ps_deform_roi_pool(self.scores(x), boxes, offsets, *self.options)


def _zero(layer: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
