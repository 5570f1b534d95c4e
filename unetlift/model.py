"""The U, read aloud: down with traces, up with the same traces, skips in between or none (arXiv 1505.04597, 1511.00561)."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from typing import Any

import torch
from torch import nn

from unetlift import checkpoint
from unetlift.anchor import Anchored
from unetlift.config import ConvertedConfig, NetworkConfig
from unetlift.encoders import PlainEncoder, lift_options
from unetlift.encoders.freeze import Freezable
from unetlift.encoders.layers import Layer, encoder_layers, offset_at
from unetlift.encoders.plain import Block, BlockKind
from unetlift.errors import UsageError, check_map
from unetlift.info import ModelInfo
from unetlift.pools import Trace, pool_pair
from unetlift.pools.phase import on_even_grid
from unetlift.pools.told import share
from unetlift.types import Features, Given, Output


class UNet(Freezable):
    """A U-Net with a chosen pair of pools on every level; any height and width goes in and comes out.

    Args:
        encoder_weights: what an encoder of smp or timm begins with: a name that is downloaded, such as `imagenet`, a
            local .safetensors or .pth file, or None for random weights. A model folder does not name them.
        **network: the fields of `NetworkConfig`, for example
            `UNet(depth=4, width=16, down="lift", up="lift", phase="adaptive", padding_mode="circular", classes=11)` or
            `UNet(encoder="resnet34", encoder_weights="imagenet", depth=5, down="blur-3", up="bilinear", classes=11)`.

    Raises:
        UsageError: a name or number is unknown, down cannot serve up, the encoder cannot take them, or the weights
            cannot be had or do not fit.
    """

    def __init__(self, encoder_weights: str | None = None, **network: Any):
        super().__init__()
        self.config = config = NetworkConfig(**network)
        lift = lift_options(config)
        kinds = block_kinds(config)
        widths = [config.width * 2**level for level in range(config.depth + 1)]
        if config.encoder == "plain":
            if encoder_weights is not None:
                raise UsageError(f"encoder_weights is {encoder_weights!r}; the encoder plain has none: name one of smp or timm.")
            pairs = [pool_pair(config.down, config.up, c, config.phase, config.padding_mode, lift) for c in widths[:-1]]
            downs, ups = zip(*pairs, strict=True)
            self.encoder, raised = PlainEncoder([config.in_channels, *widths], list(downs), kinds), widths[:-1]
        else:
            # seconds to import, which the plain encoder need not wait for
            from unetlift.encoders.assemble import pooled_encoder
            from unetlift.encoders.smp import make_encoder

            body = make_encoder(config.encoder, config.in_channels, encoder_weights)
            self.encoder, ups, raised = pooled_encoder(body, config, lift)
        below = [*widths[1:-1], self.encoder.skips[-1]]
        self.projections = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(below, raised, strict=True))
        self.ups = nn.ModuleList(ups)
        joined = [a + b if config.skips else a for a, b in zip(raised, self.encoder.skips, strict=False)]
        self.blocks = nn.ModuleList(Block(a, b, kind) for a, b, kind in zip(joined, widths, kinds, strict=False))
        self.head = nn.Conv2d(widths[0], config.classes, 1)

    def forward(self, x: Given) -> Output:
        """(N, in_channels, H, W) to logits (N, classes, H, W)."""
        return self.with_traces(x)[0]

    def with_traces(self, x: Given) -> tuple[Output, list[Trace]]:
        """The logits and, from the top, what each downsampler handed to its upsampler."""
        check_map("The network", x, 2, self.config.in_channels)
        features, traces = self.encoder(x)
        y = features.pop()
        for level in reversed(range(len(traces))):
            y = self._raise(y, level, features[level], traces[level])
        return self.head(y), traces

    def features(self, x: Given) -> dict[str, Layer]:
        """What every level makes of (N, in_channels, H, W), in the order in which it is computed.

        Returns:
            `encoder 0` at the picture's size, `encoder 1` at half of it, ..., `bottom`, ..., `decoder 1`, `decoder 0` and
            `logits`: each a map, its stride and, with adaptive phases, where on the picture it lies.
        """
        check_map("The network", x, 2, self.config.in_channels)
        features, traces = self.encoder(x)
        layers, y = encoder_layers(features, traces), features[-1]
        for level in reversed(range(len(traces))):
            y = self._raise(y, level, features[level], traces[level])
            layers[f"decoder {level}"] = Layer(y, 2**level, offset_at(traces, level))
        return layers | {"logits": Layer(self.head(y), 1)}

    def _raise(self, y: Features, level: int, skip: Features | None, trace: Trace) -> Features:
        """What comes from below a level to what leaves it."""
        raised = self.ups[level](self.projections[level](y), trace)
        return self.blocks[level](torch.cat((skip, raised), 1) if skip is not None and self.config.skips else raised)

    def renew_head(self, classes: int) -> None:
        """A new last layer, for other classes."""
        self.config = replace(self.config, classes=classes)
        self.head = nn.Conv2d(self.config.width, classes, 1).to(self.head.weight, memory_format=torch.channels_last)

    def on_fixed_grid(self) -> UNet:
        """The network with fixed phases, sharing these weights; a network without adaptive phases is itself.

        An anchor decides where the grid lies, once for all levels; phases would decide it again on each of them, by
        norms that whatever enters the frame can turn.
        """
        if self.config.phase == "fixed":
            return self
        twin = share(self)
        twin.config = replace(self.config, phase="fixed")
        twin.encoder.stay_on_even_grid()
        twin.ups = nn.ModuleList(on_even_grid(up) for up in twin.ups)
        return twin

    def save_pretrained(
        self, folder: str | PathLike[str], info: ModelInfo | None = None, card: str | None = None, precision: str = "float32"
    ) -> None:
        """Writes a model folder (config.json, model.safetensors, README.md), each file whole or not at all.

        Args:
            folder: made if it is missing; files of other names in it stay.
            info: what inputs and outputs mean; by default numbered classes.
            card: the text of README.md; by default a short one.
            precision: float32, or float16: half the space, rounded to 11 bits. Either is read into float32.

        Raises:
            UsageError: the precision is unknown, or does not hold a weight.
        """
        checkpoint.save(self, folder, info, card, precision)


def block_kinds(config: NetworkConfig) -> list[BlockKind]:
    """Of each level from the top: a deformable convolution has the deepest levels alone, as in its paper, others all."""
    first = config.depth + 1 - config.deform_levels if config.conv.startswith("deform") else 0
    chosen, above = (BlockKind(conv, config.activation, config.padding_mode) for conv in (config.conv, "conv"))
    return [chosen if level >= first else above for level in range(config.depth + 1)]


def anchored(model: Freezable, mode: str = "landmark", placing: str = "reflect") -> Anchored:
    """The network with its sampling grid tied to the scene; see `unetlift.anchor.Anchored`.

    Adaptive phases give way to the anchor, except where the picture is rolled into place, which settles them too.

    Args:
        model: a `UNet` or `Converted`; it stays as it is, and its weights are shared.
        mode: none, landmark, subpixel, track or track-subpixel.
        placing: reflect, replicate, context or circular.
    """
    network = model if mode == "none" or placing == "circular" else model.on_fixed_grid()
    return Anchored(network, model.config.stride, mode, placing)


def from_pretrained(folder: str | PathLike[str]) -> Freezable:
    """The network of a model folder, a `UNet` or a `Converted`, on the CPU, in eval mode and channels_last.

    Raises:
        ModelFolderError: a file is missing, damaged, or not of this kind.
    """
    return load(folder)[0]


def load(folder: str | PathLike[str]) -> tuple[Freezable, ModelInfo]:
    """The network of a model folder and what its inputs and outputs mean."""
    config, info, weights = checkpoint.read(folder)
    model = _build(config)
    checkpoint.assign(model, weights, folder)
    return model.eval().to(memory_format=torch.channels_last), info


def _build(config: NetworkConfig | ConvertedConfig) -> Freezable:
    if isinstance(config, NetworkConfig):
        return UNet(**vars(config))
    from unetlift.convert import build  # smp takes seconds to import, which our own encoder need not wait for

    return build(config)
