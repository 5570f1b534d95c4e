"""What Detail takes apart: a picture, or one channel of a network's features."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from unetlift import inputs
from unetlift.demo.networks import Network
from unetlift.demo.pictures import seen_by
from unetlift.encoders import PlainEncoder
from unetlift.errors import UsageError, one_of
from unetlift.model import UNet
from unetlift.pools.lift import LiftDown
from unetlift.pools.lifting import AnyLifting
from unetlift.pools.phase import on_even_grid
from unetlift.types import Map

PICTURE = "the picture"
"""The source that is no network."""


@dataclass(frozen=True)
class Source:
    """What is taken apart.

    Attributes:
        x: (1, C, H, W) in float64: rounding stays far below what a figure shows.
        shown: the channels that are shown and measured; a trained lift mixes all of them.
        lowest: of the shown channels' nominal range.
        output_range: R of every PSNR: 1 for pictures, the largest value less the smallest for features, 1 if they are all the same.
        own: the trained lift of this level, in float64; None where there is none.
    """

    x: Map
    shown: slice
    lowest: float
    output_range: float
    own: AnyLifting | None = None


def channels_of(network: Network) -> dict[int, int]:
    """The number of channels of every level of a network's encoder that has features and a pool below; empty if it is not a `UNet`."""
    model = network.predictor.model
    if not isinstance(model, UNet):
        return {}
    return {level: channels for level, channels in enumerate(model.encoder.skips[:-1]) if channels}


def own_lift(network: Network, level: int) -> AnyLifting | None:
    """The trained P and U of a level of a network, whatever its phase; None where it pools otherwise."""
    encoder = getattr(network.predictor.model, "encoder", None)
    down = on_even_grid(encoder.downs[level]) if isinstance(encoder, PlainEncoder) else None
    return down.lifting if isinstance(down, LiftDown) else None


def of_picture(pixels: NDArray[np.float32]) -> Source:
    """(H, W, C) floats of 0..1, of which the first three channels, or the first, are taken."""
    x = inputs.to_tensor(pixels[..., : 3 if pixels.shape[2] >= 3 else 1], 0, 1)[None].double()
    return Source(x, slice(None), 0.0, 1.0)


def of_features(network: Network, pixels: NDArray[np.float32], level: int, channel: int) -> Source:
    """One channel of what a network's encoder makes of a picture.

    Raises:
        UsageError: the network has no such level or channel.
        PictureError: the picture's channels are not the network's.
    """
    known = channels_of(network)
    one_of(f"The level of {network.name}", level, known)
    if channel not in range(known[level]):
        raise UsageError(f"The channel {channel!r} is unknown; level {level} of {network.name} has the channels 0 to {known[level] - 1}.")
    model = network.predictor.model
    with torch.inference_mode():
        features, _ = model.encoder(network.predictor.prepare(seen_by(network, pixels)))
        x = features[int(level)].cpu().double()
    shown = slice(int(channel), int(channel) + 1)
    lowest, highest = x[:, shown].min().item(), x[:, shown].max().item()
    own = own_lift(network, int(level))
    return Source(x, shown, lowest, highest - lowest or 1.0, own and deepcopy(own).cpu().double())


def find_source(networks: Sequence[Network], pixels: NDArray[np.float32], name: str, level: int, channel: int) -> Source:
    """`PICTURE`, or the features of the network of that name.

    Raises:
        UsageError: the name, the level or the channel is unknown.
        PictureError: the picture's channels are not the network's.
    """
    named = {network.name: network for network in networks if channels_of(network)}
    one_of("The source", name, (PICTURE, *named))
    return of_picture(pixels) if name == PICTURE else of_features(named[name], pixels, level, channel)
