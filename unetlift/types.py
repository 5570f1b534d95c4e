"""Names for the shapes that the tensor code passes around."""

from jaxtyping import Float, Int, Shaped
from torch import Tensor

Map = Float[Tensor, "n c h w"]
"""A batch of pictures, features or logits."""

Field = Float[Tensor, "n c *size"]
"""The same along one, two or three axes: signals, maps, volumes."""

Given = Shaped[Tensor, "..."]
"""What a caller hands in, before it has been checked."""

Band = Float[Tensor, "n c *half"]
"""A batch of features at half the size of its `Field`."""

Output = Float[Tensor, "n k h w"]
"""What a network makes of a `Map`: its own number of channels, the same size."""

Features = Float[Tensor, "n _ _ _"]
"""Features of some level: as many samples, any channels and size."""

Indices = Int[Tensor, "n c h2 w2"]
"""Flat positions of the 2x2 maxima in the plane they were taken from, as `torch.nn.functional.max_pool2d` counts them."""

Phase = Int[Tensor, "n axes"]
"""Offset of each sample's sampling grid along each axis (row, column), 0 or 1; up to 3 where two halvings are one."""

Votes = Float[Tensor, "n phases"]
"""A weight for each of the 2, 4 or 8 phases, in the order of `Phase` read as a binary number."""
