"""A trained network of segmentation-models-pytorch with our pools in its encoder (arXiv 1904.11486, 2011.14214)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from os import PathLike

import torch
from segmentation_models_pytorch.encoders import TimmUniversalEncoder
from torch import nn

from unetlift import checkpoint
from unetlift.config import ConvertedConfig, PoolsConfig
from unetlift.convert.decoder import UnetWayUp, fill_in, roll_below, set_decoder_borders, unet_widths
from unetlift.convert.source import ARCHITECTURES, check_remade, describe, make
from unetlift.convs import PADDING_MODES
from unetlift.encoders import lift_options
from unetlift.encoders.assemble import ENCODER_DOWNS, check_step
from unetlift.encoders.flow import Flow, follow
from unetlift.encoders.freeze import Freezable
from unetlift.encoders.grid import fill_up
from unetlift.encoders.layers import Layer, encoder_layers, offset_at
from unetlift.encoders.levels import Step, steps_of
from unetlift.encoders.pooled import Pooling, is_native, raised_channels, rebuild
from unetlift.encoders.smp import Timm
from unetlift.errors import UsageError, check_map, one_of
from unetlift.info import ModelInfo
from unetlift.pools import CORNER, PHASES, UPS, Down, LiftOptions, Trace, Up, lone_down, lone_up, pool_pair, ups_for
from unetlift.pools.phase import RULES, AdaptiveUp
from unetlift.types import Features, Given, Output


class Converted(Freezable):
    """A network of smp with other pools; any height and width goes in and comes out.

    Its encoder's weights lie under `encoder.body`, its decoder's and head's under their own names.

    Args:
        network: of smp; it is used up.
        config: its architecture and options, and the pools.

    Raises:
        UsageError: a name is unknown, or the encoder cannot take the pools.
    """

    def __init__(self, network: nn.Module, config: ConvertedConfig):
        super().__init__()
        self.config, pools = config, config.pools
        own = set(network.modules())
        body = Timm(network.encoder) if isinstance(network.encoder, TimmUniversalEncoder) else network.encoder
        one_of("padding_mode", pools.padding_mode, PADDING_MODES)
        one_of("phase", pools.phase, PHASES)
        makers = _Makers(config)
        flow = follow(body, config.in_channels, config.options["encoder_depth"])
        steps = steps_of(flow, config.stride.bit_length() - 1)
        for step in steps:
            check_step(config.encoder, step, makers.pooling, makers.up)
        self.decoder, self.segmentation_head = network.decoder, network.segmentation_head
        widths = unet_widths(self.decoder, flow.channels(flow.features[-1])) if pools.up else []
        ups, raised = makers.way_up(flow, steps, widths) if pools.up else ([], [])
        self.encoder = rebuild(flow, steps, makers.pooling)
        if pools.padding_mode != "zeros":
            set_decoder_borders(self.decoder, pools.padding_mode)
            set_decoder_borders(self.segmentation_head, pools.padding_mode)
        if pools.up is not None:
            ups = [makers.shared[level] if up is None else up for level, up in enumerate(ups)]
            ups = ups if pools.phase == "fixed" else [AdaptiveUp(up) for up in ups]
            self.decoder = UnetWayUp(self.decoder, widths, ups, raised)
        for module in self.modules():
            module.training = module.training if module in own else network.training
        takes_all = not ARCHITECTURES[config.architecture].requires_divisible_input_shape
        self.multiple = 1 if takes_all and pools.phase == "fixed" else config.stride

    def forward(self, x: Given) -> Output:
        """(N, in_channels, H, W) to logits (N, classes, H, W)."""
        return self.with_traces(x)[0]

    def with_traces(self, x: Given) -> tuple[Output, list[Trace]]:
        """The logits and, from the top, what the encoder's downsamplers said."""
        check_map("The network", x, 2, self.config.in_channels)
        height, width = x.shape[2:]
        x = fill_up(x, self.multiple)
        features, traces = self.encoder(x)
        logits = self._answer(self._decode(x, features, traces), traces)
        return logits if self.multiple == 1 else logits[..., :height, :width], traces

    def features(self, x: Given) -> dict[str, Layer]:
        """`encoder 0`, ..., `bottom`, `decoder` (what the head reads) and `logits`; see `UNet.features`.

        The maps are those of the picture filled up to a multiple of the stride.
        """
        check_map("The network", x, 2, self.config.in_channels)
        x = fill_up(x, self.multiple)
        features, traces = self.encoder(x)
        decoded = self._decode(x, features, traces)
        own_way = None if self.config.pools.up else offset_at(traces, len(traces))  # smp's decoder works on the deepest grid
        decoder = Layer(decoded, round(x.shape[2] / decoded.shape[2]), own_way)
        return encoder_layers(features, traces) | {"decoder": decoder, "logits": Layer(self._answer(decoded, traces), 1)}

    def _decode(self, x: Features, features: list[Features | None], traces: list[Trace]) -> Features:
        features = fill_in(x, features)
        if self.config.pools.up is None:
            return self.decoder([roll_below(feature, traces, level, -1) for level, feature in enumerate(features)])
        return self.decoder(features, traces)

    def _answer(self, decoded: Features, traces: list[Trace]) -> Output:
        logits = self.segmentation_head(decoded)
        return roll_below(logits, traces, 0, 1) if self.config.pools.up is None else logits

    def renew_head(self, classes: int) -> None:
        """A new last layer, for other classes."""
        old, options = self.segmentation_head[0], dict(self.config.options) | {"classes": classes}
        new = nn.Conv2d(old.in_channels, classes, old.kernel_size, padding=old.padding).to(old.weight, memory_format=torch.channels_last)
        if self.config.padding_mode != "zeros":
            set_decoder_borders(new, self.config.padding_mode)
        self.config, self.segmentation_head[0] = replace(self.config, options=options), new

    def on_fixed_grid(self) -> Converted:
        """The network with fixed phases, sharing these weights; a network without adaptive phases is itself.

        Its sizes go on being filled up, as they are with phases.
        """
        if self.config.phase == "fixed":
            return self
        twin = deepcopy(self, {id(tensor): tensor for tensor in (*self.parameters(), *self.buffers())})
        twin.config = replace(self.config, pools=replace(self.config.pools, phase="fixed"))
        twin.encoder.stay_on_even_grid()
        if isinstance(twin.decoder, UnetWayUp):
            twin.decoder.stay_on_even_grid()
        return twin

    def save_pretrained(
        self, folder: str | PathLike[str], info: ModelInfo | None = None, card: str | None = None, precision: str = "float32"
    ) -> None:
        """Writes a model folder; see `UNet.save_pretrained`."""
        checkpoint.save(self, folder, info, card, precision)


def from_smp(
    model: nn.Module,
    down: str = "stride",
    up: str | None = None,
    phase: str = "fixed",
    padding_mode: str = "zeros",
    stem: str = "dense",
    lift: LiftOptions = LiftOptions(),
) -> Converted:
    """A copy of a trained network of segmentation-models-pytorch that pools otherwise, with its weights.

    With `down="stride"` and `phase="fixed"` its outputs are the original's, to the bit.

    Args:
        model: an smp.Unet, UnetPlusPlus, Linknet, MAnet, FPN, DeepLabV3Plus or the like; it stays as it is.
        down: stride (as it is), max, avg, lift, fourier or blur-K. What is trained stays; where pictures are blurred,
            the layers behind want fine-tuning.
        up: None leaves the decoder as it is. An smp.Unet also takes nearest, bilinear, transpose, unpool, lift, fourier
            or blur-K, which replaces its interpolation.
        phase: fixed, adaptive or learned.
        padding_mode: zeros (as it is), reflect, replicate or circular, of encoder, decoder and head.
        stem: dense, or keep: the encoder's first downsampling strides as it is.
        lift: how a `lift` is made.

    Returns:
        The network, with every module in the mode that it was in, on the same device.

    Raises:
        UsageError: the network cannot be converted, a name is unknown, or the two do not go together.
    """
    if lift.groups[0] != 0:
        raise UsageError(f"lift has {lift.groups[0]} groups in its first convolution; a network's has one a channel, which is 0.")
    bands = "LL" if lift.bands == "low" else lift.bands
    options = dict(lift_start=lift.start, lift_bands=bands, lift_kernel=lift.kernel_size, lift_groups=lift.groups[1])
    pools = PoolsConfig(down, up, phase, padding_mode, stem, **options, lift_learned=lift.learned, lift_shared=lift.shared)
    return convert(model, pools)


def convert(model: nn.Module, pools: PoolsConfig) -> Converted:
    """See `from_smp`."""
    config = ConvertedConfig(*describe(model), pools)
    check_remade(model, config)
    converted = Converted(deepcopy(model), config)
    if not any(parameter.requires_grad for parameter in model.encoder.parameters()):
        converted.freeze_encoder()
    like = next(model.parameters())
    return converted.to(like.device, like.dtype)


def build(config: ConvertedConfig) -> Converted:
    """The network of a config, with random weights.

    Raises:
        UsageError: see `Converted`; or smp does not know the architecture, an option, or its value.
    """
    return Converted(make(config.architecture, config.options), config)


class _Makers:
    """Makes a network's downsamplers and upsamplers, and keeps each upsampler that shares tensors with its downsampler."""

    def __init__(self, config: ConvertedConfig):
        self.config, self.pools = config, config.pools
        pools = config.pools
        self.lift = lift_options(pools)
        one_of(f"Downsampler of {config.encoder}", pools.down, ENCODER_DOWNS)
        self.down = f"avg-{pools.down}" if pools.down.startswith("blur") else pools.down
        self.up, self.shared = pools.up or ups_for(self.down, self.lift)[0], {}
        if pools.up is not None:
            self._check_up()
        self.needs = UPS[self.up].needs if pools.up else None
        rule = (lambda channels: RULES[pools.phase](channels, 2, pools.padding_mode)) if pools.phase in RULES else None
        self.pooling = Pooling(
            pools.down, pools.padding_mode, pools.stem == "keep", None, self.needs == "indices", self._main, self._other, rule,
            rounds_up=pools.up is not None,
        )  # fmt: skip

    def _check_up(self) -> None:
        pools = self.pools
        one_of("Upsampler", pools.up, UPS)
        if self.config.architecture != "Unet":
            raise UsageError(f"A {self.config.architecture} keeps its own way up; up is {pools.up!r}, which smp.Unet alone takes.")
        if pools.up not in ups_for(self.down, self.lift):
            served = ", ".join(ups_for(self.down, self.lift))
            raise UsageError(f"{pools.down} cannot serve the upsampler {pools.up}; it serves {served}, or none for smp's own.")

    def way_up(self, flow: Flow, steps: list[Step], widths: list[int]) -> tuple[list[Up | None], list[int | None]]:
        """From the top, the upsampler of every level, and the channels that it works on if it does not take the decoder's.

        None stands for one that comes with its downsampler. A step that strides as it is has no sub-bands: there maps are
        raised as smp's Unet does.
        """
        ups, raised = [], []
        for step in steps:
            up = "nearest" if self.needs == "bands" and is_native(step, self.pooling) else self.up
            channels = raised_channels(flow, step, self.pooling) if UPS[up].needs else None
            for level in range(step.level, step.level + step.halvings):
                raised.append(channels)
                ups.append(lone_up(up, channels or widths[level], self.pools.padding_mode) if UPS[up].needs != "bands" else None)
        return ups, raised

    def _main(self, level: int, channels: int, ahead: float) -> Down:
        """On the grid that the trained operator has, which is the even pixels'."""
        grid = UPS[self.up].grid or CORNER
        down, up = pool_pair(self.down, self.up, channels, "fixed", self.pools.padding_mode, self.lift, grid)
        if self.needs == "bands":
            self.shared[level] = up
        return down

    def _other(self, channels: int, grid: float) -> Down:
        return lone_down(self.down, channels, CORNER, self.pools.padding_mode, self.lift)
