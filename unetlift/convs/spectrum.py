"""A map, signal or volume resampled by its spectrum: the ideal low-pass, by which features follow sub-pixel shifts (arXiv 2303.08085)."""

from contextlib import nullcontext
from math import pi, prod

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from unetlift.types import Field

Resampled = Float[Tensor, "n c *new_size"]
Spectrum = Complex[Tensor, "n c *_"]
Filter = Float[Tensor, "new old"]


def format_of(x: Field) -> torch.memory_format:
    """The channels_last of x's axes, or `contiguous_format`; asked by stride, since a cropped map counts as neither."""
    if x.ndim == 3 or x.stride(1) != 1 or x.stride(-1) == 1:
        return torch.contiguous_format
    return torch.channels_last if x.ndim == 4 else torch.channels_last_3d


def resample(x: Field, size: tuple[int, ...], half_pixels: int = 0, memory_format: torch.memory_format | None = None) -> Resampled:
    """Samples the periodic, band-limited function that a map stands for on a grid of another size.

    The frequencies that both grids can hold go over, all others are dropped: an ideal low-pass on the way to a coarser
    grid, trigonometric interpolation on the way to a finer one. Where an even size has a Nyquist frequency, that one is
    dropped too. Its wave rises and falls from pixel to pixel, and moved by half a pixel its samples are all zero: it
    cannot follow a shift. A constant stays itself.

    The work is done in float32 at least. Eager code takes the real FFT; a compiled or exported graph, where complex
    numbers are ill served, the same filter as one real matrix an axis.

    Args:
        x: (N, C, *size), one, two or three axes of any size.
        size: of the result, any.
        half_pixels: how far along every axis the first output lies behind the first input, in halves of x's pixels.
        memory_format: of the result; by default that of x.

    Returns:
        (N, C, *size) of x's dtype.
    """
    memory_format = format_of(x) if memory_format is None else memory_format
    if torch.compiler.is_compiling():
        return _by_matrices(_wide(x), size, half_pixels).to(x.dtype).contiguous(memory_format=memory_format)
    return _Resample.apply(x, size, (half_pixels / 2,) * len(size), memory_format)


def sample_at(x: Field, offsets: tuple[float, ...]) -> Field:
    """The same function sampled `offsets` of its pixels further along each axis, any parts of a pixel; in eager code, without gradients."""
    with torch.no_grad():
        return _by_fft(_wide(x), tuple(x.shape[2:]), offsets).to(x.dtype)


class _Resample(torch.autograd.Function):
    """The adjoint of resampling n samples as m is resampling m as n, times m/n; the gradient has its map's format."""

    @staticmethod
    def forward(ctx, x: Tensor, size: tuple[int, ...], shift: tuple[float, ...], memory_format: torch.memory_format) -> Tensor:
        ctx.size, ctx.format = tuple(x.shape[2:]), format_of(x)
        ctx.gain = prod(size) / prod(ctx.size)
        ctx.shift = tuple(-by * new / old for by, new, old in zip(shift, size, ctx.size, strict=True))
        return _by_fft(_wide(x), size, shift).to(x.dtype).contiguous(memory_format=memory_format)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return ctx.gain * _Resample.apply(grad, ctx.size, ctx.shift, ctx.format), None, None, None


def _wide(x: Field) -> Field:
    """PyTorch has no FFT of bfloat16."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _by_fft(x: Field, size: tuple[int, ...], shift: tuple[float, ...]) -> Resampled:
    """`shift` in pixels of x; in the spectrum it is an exact phase ramp."""
    axes = tuple(range(2, x.ndim))
    spectrum = _refit(torch.fft.rfftn(x, dim=axes, norm="forward"), tuple(x.shape[2:]), size)
    for axis, new, by in zip(axes, size, shift, strict=True):
        if by:
            frequencies = torch.fft.fftfreq(new, 1 / new, dtype=x.dtype, device=x.device)[: spectrum.shape[axis]]
            angle = frequencies * (2 * pi * by / x.shape[axis])
            spectrum = spectrum * torch.polar(torch.ones_like(angle), angle).unflatten(0, (-1, *[1] * (axes[-1] - axis)))
    return torch.fft.irfftn(spectrum, s=size, dim=axes, norm="forward")


def _refit(spectrum: Spectrum, old: tuple[int, ...], new: tuple[int, ...]) -> Spectrum:
    """The frequencies below both Nyquist frequencies, where the new size has them.

    The last axis holds 0, 1, .., and irfftn adds those that are missing; the others also, from their end, -1, -2, ...
    """
    *highest, last = ((min(pair) - 1) // 2 for pair in zip(old, new, strict=True))
    spectrum = spectrum[..., : last + 1]
    for axis, high in enumerate(highest, 2):
        below, above = spectrum.narrow(axis, 0, high + 1), spectrum.narrow(axis, old[axis - 2] - high, high)
        between = list(spectrum.shape)
        between[axis] = new[axis - 2] - 2 * high - 1
        spectrum = torch.cat((below, spectrum.new_zeros(between), above), axis)
    return spectrum


def _by_matrices(x: Field, size: tuple[int, ...], half_pixels: int) -> Resampled:
    """The same for a graph, whose sizes may be symbols: axis after axis every output is a weighted sum of the inputs."""
    mixed = torch.is_autocast_enabled(x.device.type)  # asked first, since an exported graph would keep the switch
    with torch.autocast(x.device.type, enabled=False) if mixed else nullcontext():
        for axis, new in enumerate(size, 2):
            x = (x.movedim(axis, -1) @ _dirichlet(new, x.shape[axis], half_pixels, x).T).movedim(-1, axis)
        return x


def _dirichlet(new: int, old: int, half_pixels: int, like: Field) -> Filter:
    """What each input weighs in each output along an axis: sin(F pi d) / (old sin(pi d)) of their distance d in periods.

    F counts the frequencies kept, both signs and zero: the kernel is the sum of their waves. Distances are counted in
    whole parts of a period and brought into half a period about zero while they are integers, so that no sine is taken
    of a large or nearly cancelled number.
    """
    frequencies = 2 * ((torch.sym_min(new, old) - 1) // 2) + 1
    period = torch.full((1,), 2 * new * old, device=like.device)  # a tensor, since ONNX has no remainder by a symbol
    outputs = torch.arange(new, device=like.device)[:, None] * (2 * old) + half_pixels * new
    distance = _nearest(outputs - torch.arange(old, device=like.device) * (2 * new), period)
    swing, unit = _nearest(distance * frequencies, 2 * period), pi / (2 * new * old)
    here = distance == 0
    below = torch.where(here, 1.0, torch.sin(distance.to(like.dtype) * unit))
    return torch.where(here, 1.0 * frequencies, torch.sin(swing.to(like.dtype) * unit) / below) / old


def _nearest(distance: Tensor, period: Tensor) -> Tensor:
    """The same distance in periods, between minus half a period and half a period."""
    half = period // 2
    return (distance + half) % period - half
