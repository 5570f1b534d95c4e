"""What anybody's function answers with, brought to maps that can be compared."""

from collections.abc import Callable
from math import isfinite
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetlift.errors import UsageError
from unetlift.types import Given, Map

Kind = Literal["probabilities", "labels", "logits", "pictures"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Class probabilities (N, K, H, W), or (N, K) of whole pictures; labels (N, H, W); logits, which a softmax makes probabilities
(a lone one a sigmoid); pictures (N, C, H, W), nominally 0 to R."""

SUM_TOLERANCE = 1e-2
"""By which the probabilities of a pixel may miss 1, in half precision too."""
OVERSHOOT = 0.5
"""By which a picture may leave 0 to R before it is taken for something else."""

Function = Callable[[Map], Given]
"""(1, C, H, W) pictures to what it makes of them."""


def ask(function: Function, x: Map) -> Tensor:
    """What a function says of (1, C, H, W), which it may change as it likes.

    Raises:
        UsageError: it is neither a tensor nor an array of real numbers, or not of the picture's size.
    """
    with torch.inference_mode():
        output = function(x.clone())
    if isinstance(output, np.ndarray):
        output = torch.from_numpy(np.array(output))
    if not isinstance(output, Tensor) or output.is_complex():
        said = output.dtype if isinstance(output, Tensor) else type(output).__name__
        raise UsageError(f"The function answered with {said}; it is a tensor or an array of real numbers.")
    if output.ndim < 2 or len(output) != len(x):
        raise UsageError(f"The function answered one picture with {tuple(output.shape)}; it is (1, K, H, W), (1, H, W) or (1, K).")
    whole = output.ndim == 2 or output.shape[-2:] == (1, 1)
    if not whole and output.shape[-2:] != x.shape[2:]:
        (height, width), (rows, columns) = x.shape[2:], output.shape[-2:]
        raise UsageError(f"The function answered a frame of {width} x {height} with {columns} x {rows}; both have one size.")
    return output


def find_kind(output: Given, output_range: float = 1.0) -> Kind:
    """What an answer is by the look of it.

    Raises:
        UsageError: it is neither labels, probabilities nor a picture of that range; logits have to be told.
    """
    if output.ndim == 3 or (output.ndim == 4 and output.shape[1] == 1 and not output.is_floating_point()):
        return "labels"
    low, high = (value.item() for value in output.float().aminmax())
    if not isfinite(high - low):
        raise UsageError("The function answered with values that are not finite numbers.")
    shares = output.shape[1] > 1 and low >= -SUM_TOLERANCE and high <= 1 + SUM_TOLERANCE
    if shares and (output.float().sum(1) - 1).abs().max() <= SUM_TOLERANCE:
        return "probabilities"
    slack = OVERSHOOT * output_range
    if output.ndim == 4 and low >= -slack and high <= output_range + slack:
        return "pictures"
    told = "say what the answers are: logits, probabilities, or pictures with their range"
    raise UsageError(f"The answers go from {low:.3g} to {high:.3g}, neither probabilities nor pictures of 0 to {output_range:g}; {told}.")


def as_values(output: Given, kind: Kind) -> Map:
    """An answer as (N, K, H, W) floats: probabilities, labels as numbers of one channel, or pictures.

    Raises:
        UsageError: the answer has not the axes of its kind, or holds values that are no numbers.
    """
    axes = {"labels": (3, 4), "pictures": (4,)}.get(kind, (2, 4))
    if output.ndim not in axes or 0 in output.shape:
        wanted = {"labels": "(N, H, W)", "pictures": "(N, C, H, W)"}.get(kind, "(N, K, H, W) or (N, K)")
        raise UsageError(f"The function answered {kind} of shape {tuple(output.shape)}; they are {wanted}.")
    if kind == "labels":
        return (output if output.ndim == 4 else output[:, None]).double()
    values = output.float() if output.dtype is not torch.float64 else output
    if not values.isfinite().all():
        raise UsageError(f"The function answered {kind} with values that are not finite numbers.")
    values = values if values.ndim == 4 else values[..., None, None]
    if kind == "logits":
        both = torch.cat((torch.zeros_like(values), values), 1) if values.shape[1] == 1 else values
        return both.softmax(1)
    return values


def labels_of(values: Map, kind: Kind) -> Tensor:
    """(N, H, W) of whole numbers: the most probable class, or the label itself."""
    return values[:, 0].long() if kind == "labels" else values.argmax(1)


def over_arrays(function: Callable[[NDArray], NDArray], dtype: np.dtype) -> Function:
    """A function of (H, W, C) arrays as one of (1, C, H, W) tensors.

    Args:
        function: its answer is (H, W) of whole numbers (labels), (H, W) or (H, W, K) of floats, uint8 pictures, or (K,) for the
            whole picture.
        dtype: of the arrays it takes; whole numbers are rounded, and stay in their range.
    """
    whole = np.issubdtype(dtype, np.integer)

    def ask(x: Map) -> Tensor:
        pixels = x[0].permute(1, 2, 0).cpu().numpy()
        if whole:
            pixels = np.rint(pixels).clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
        answer = np.asarray(function(np.ascontiguousarray(pixels.astype(dtype))))
        answer = answer.astype(answer.dtype.newbyteorder("="), copy=False)
        if answer.dtype == np.bool_:
            answer = answer.astype(np.int64)
        if np.issubdtype(answer.dtype, np.integer) and answer.ndim == 2:
            return torch.from_numpy(answer.astype(np.int64))[None]
        if answer.dtype == np.uint8:
            answer = answer.astype(np.float32) / 255
        if not np.issubdtype(answer.dtype, np.floating) or answer.ndim not in (1, 2, 3):
            wanted = "(H, W) labels, (H, W, K) floats or uint8, or (K,) floats"
            raise UsageError(f"The function answered with {answer.dtype} of shape {answer.shape}; it is {wanted}.")
        answer = torch.from_numpy(np.ascontiguousarray(answer))
        return answer[None] if answer.ndim == 1 else torch.atleast_3d(answer).permute(2, 0, 1)[None]

    return ask
