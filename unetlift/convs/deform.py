"""Convolutions whose taps move by learned offsets: deformable, and modulated too (arXiv 1703.06211, 1811.11168)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unetlift.convs.padded import PADDING_MODES, Filtered, pad
from unetlift.errors import UsageError, check_map, one_of
from unetlift.types import Given, Map

Offsets = Float[Tensor, "n taps2 h w"]
"""For each offset group, row and column of the kernel the pixels down and to the right by which that tap moves."""

Modulation = Float[Tensor, "n taps h w"]
"""For each offset group, row and column of the kernel the factor of what that tap reads."""


class Deformable(ABC):
    """A layer that learns where to read; `offsets` is the part of it that predicts where (and how strongly)."""

    offsets: nn.Module


def _must_divide(name: str, groups: int, *channels: int) -> None:
    if groups < 1 or any(count % groups for count in channels):
        raise UsageError(f"{name} is {groups}; it is a number that divides {' and '.join(map(str, channels))} channels.")


class _DeformableConv2d(nn.Conv2d, Deformable):
    """What the two versions share: the convolution that is deformed, and the one that predicts how."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel_size: int = 3,
        padding_mode: str = "zeros",
        bias: bool = True,
        groups: int = 1,
        offset_groups: int = 1,
        dilation: int = 1,
    ):
        one_of("padding_mode", padding_mode, PADDING_MODES)
        if kernel_size < 3 or kernel_size % 2 == 0:
            raise UsageError(f"The kernel size of a deformable convolution is {kernel_size}; it is 3, 5 or another odd number.")
        if dilation < 1:
            raise UsageError(f"dilation is {dilation}; it is 1 or more.")
        _must_divide("groups", groups, channels_in, channels_out)
        _must_divide("offset_groups", offset_groups, channels_in)
        super().__init__(channels_in, channels_out, kernel_size, groups=groups, bias=bias, dilation=dilation)
        self.border = padding_mode
        self.offsets = nn.Conv2d(channels_in, self.per_tap * offset_groups * kernel_size**2, kernel_size, dilation=dilation)
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.offsets.bias)

    @property
    @abstractmethod
    def per_tap(self) -> int:
        """How many numbers are predicted for each tap of each offset group."""

    @abstractmethod
    def _field(self, predicted: Tensor) -> tuple[Offsets, Modulation | None]:
        """What the predicted numbers mean."""

    def forward(self, x: Given) -> Filtered:
        """(N, C_in, H, W) to (N, C_out, H, W)."""
        check_map(type(self).__name__, x, 2, self.in_channels)
        reach = self.dilation[0] * (self.kernel_size[0] // 2)
        predicted = self.offsets(pad(x, (reach,) * 4, self.border))
        offsets, modulation = self._field(predicted.to(torch.promote_types(x.dtype, torch.float32)))
        return deform(x, offsets, self.weight, self.bias, self.border, self.dilation[0], modulation)


class DeformConv2d(_DeformableConv2d):
    """A convolution whose taps each move by a learned offset, at stride 1 and in any padding mode (arXiv 1703.06211).

    y(p) = sum_n w_n x(p + p_n + dp_n), read bilinearly (eq. 2 there). The offsets dp come from a convolution of the
    same kernel size, dilation and border on the same input, whose weights and bias start at zero: training starts from
    an ordinary convolution. `parameter_groups` gives it its own learning rate.

    Args:
        channels_in: C of the input.
        channels_out: C of the output.
        kernel_size: K, odd, 3 or more.
        padding_mode: one of `PADDING_MODES`; it holds for every position that an offset can lead to.
        bias: whether each output channel has one.
        groups: of channels that are convolved apart.
        offset_groups: of input channels that have offsets of their own.
        dilation: pixels between two taps.

    Raises:
        UsageError: K is even or under 3, a number of groups does not divide the channels, the dilation is under 1, or
            the padding mode is unknown.
    """

    per_tap = 2

    def _field(self, predicted: Tensor) -> tuple[Offsets, None]:
        return predicted, None


class ModulatedDeformConv2d(_DeformableConv2d):
    """`DeformConv2d` whose taps each also have a learned factor between 0 and 2 (arXiv 1811.11168).

    y(p) = sum_n w_n x(p + p_n + dp_n) m_n (eq. 1 there). The paper's factor is a sigmoid, which starts at 1/2 and so
    halves what every such layer passes on; here it is twice that, so that zeros predict exactly 1 and training starts
    from an ordinary convolution too.
    """

    per_tap = 3

    def _field(self, predicted: Tensor) -> tuple[Offsets, Modulation]:
        taps = predicted.shape[1] // 3
        return predicted[:, : 2 * taps], 2 * predicted[:, 2 * taps :].sigmoid()


def deform(
    x: Map,
    offsets: Offsets,
    weight: Tensor,
    bias: Tensor | None,
    padding_mode: str,
    dilation: int = 1,
    modulation: Modulation | None = None,
) -> Filtered:
    """A convolution of stride 1 whose taps read at given offsets from their places.

    It is computed in float32 at least, since half precision could not tell a position from its neighbour's, and
    returned in the precision of an ordinary convolution.

    Args:
        x: (N, C, H, W).
        offsets: (N, 2 * G * K * K, H, W) in pixels: (dy, dx) of the kernel's taps row by row, for each of G groups of
            channels; torchvision's order and ONNX's. A positive dy reads further down.
        weight: (C_out, C / groups, K, K).
        bias: (C_out,).
        padding_mode: how the map goes on beyond its border, however far out an offset leads.
        dilation: pixels between two taps.
        modulation: (N, G * K * K, H, W), a factor for each tap.
    """
    taps, device = weight.shape[-1], x.device.type
    wide, reach = torch.promote_types(x.dtype, torch.float32), dilation * (taps // 2)
    mixed = torch.is_autocast_enabled(device)  # asked first, since an exported graph would keep the switch
    with torch.autocast(device, enabled=False) if mixed else nullcontext():
        offsets = offsets.to(wide)
        if padding_mode != "zeros":
            offsets, reach = _folded(offsets, taps, dilation, padding_mode), reach - 1
            x_read = pad(x, (0, 2, 0, 2), padding_mode)
        else:
            x_read = x
        from torchvision.ops import deform_conv2d  # seconds to import, for which networks without it need not wait

        y = deform_conv2d(
            _to_planes(x_read).to(wide),
            offsets,
            weight.to(wide),
            None if bias is None else bias.to(wide),
            padding=reach,
            dilation=dilation,
            mask=None if modulation is None else modulation.to(wide),
        )
    y = y.contiguous(memory_format=torch.channels_last) if x.stride(1) == 1 else y
    return y.to(torch.get_autocast_dtype(device) if mixed and wide == torch.float32 else x.dtype)


def _folded(offsets: Offsets, taps: int, dilation: int, padding_mode: str) -> Offsets:
    """The offsets that lead to where the map's continuation in a padding mode repeats it.

    Positions come out between 0 and H (or W), so the map needs two more rows and columns at its end: one for the last
    pixel's fraction, one for a position that rounding has put at H. With them torchvision pads a pixel less in front,
    which keeps its output's size, and each of its taps begins a pixel further on.
    """
    height, width = offsets.shape[-2:]
    tap = dilation * torch.arange(-(taps // 2), taps // 2 + 1, device=offsets.device)
    tap = tap.repeat(offsets.shape[1] // (2 * taps**2))  # for each offset group anew
    row = tap.repeat_interleave(taps)[:, None, None] + torch.arange(height, device=offsets.device)[:, None]
    column = tap.repeat(taps)[:, None, None] + torch.arange(width, device=offsets.device)
    place = torch.stack(torch.broadcast_tensors(row, column), 1).flatten(0, 1)  # (2 * G * K * K, H, W)
    position = place + offsets
    down, right = _fold(position[:, 0::2], height, padding_mode), _fold(position[:, 1::2], width, padding_mode)
    return torch.stack((down, right), 2).flatten(1, 2) - (place + 1)


def _fold(position: Tensor, size: int | torch.SymInt, mode: str) -> Tensor:
    if mode == "replicate":
        return position.clamp(0, size - 1)
    if mode == "circular":
        return position % size
    period = max(2 * (size - 1), 1)  # a single row is repeated, so anywhere will do
    return torch.minimum(position % period, period - position % period)


class _ToPlanes(torch.autograd.Function):
    """torchvision's own layout for a channels_last map, whose gradient is channels_last again."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.contiguous()

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad.contiguous(memory_format=torch.channels_last)


def _to_planes(x: Tensor) -> Tensor:
    return _ToPlanes.apply(x) if x.stride(1) == 1 else x


def parameter_groups(module: nn.Module, learning_rate: float, offset_multiplier: float = 0.1) -> list[dict]:
    """A network's parameters for an optimiser of torch.optim, those that predict offsets at a learning rate of their own.

    An offset moves every tap of its pixel, so it is usually trained at a tenth of the rate (arXiv 1811.11168); the
    first paper has 1 for convolutions and 0.01 for the layers behind RoI pooling.

    Args:
        module: any tree of modules.
        learning_rate: of all other parameters.
        offset_multiplier: times that, for the `offsets` of every `Deformable` layer.

    Returns:
        `params` and `lr` of one or two groups; each parameter is in one of them.
    """
    predicting = {id(p) for layer in module.modules() if isinstance(layer, Deformable) for p in layer.offsets.parameters()}
    rest = [p for p in module.parameters() if id(p) not in predicting]
    offsets = [p for p in module.parameters() if id(p) in predicting]
    rates = (rest, learning_rate), (offsets, learning_rate * offset_multiplier)
    return [{"params": parameters, "lr": rate} for parameters, rate in rates if parameters]
