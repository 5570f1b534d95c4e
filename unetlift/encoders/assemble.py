"""An encoder of segmentation-models-pytorch or timm with our pools in it, and the upsamplers that take their traces."""

from torch import nn

from unetlift.config import NetworkConfig
from unetlift.encoders.flow import follow
from unetlift.encoders.levels import Step, steps_of
from unetlift.encoders.pooled import PooledEncoder, Pooling, is_native, raised_channels, rebuild
from unetlift.errors import UsageError, one_of
from unetlift.pools import CORNER, DOWNS, PHASES, UPS, Down, LiftOptions, Up, lone_down, lone_up, pool_pair, ups_for
from unetlift.pools.lifting import STARTS
from unetlift.pools.phase import RULES, AdaptiveUp

DEEPEST = 5

ENCODER_DOWNS = tuple(name for name in DOWNS if not name.startswith(("conv-blur", "avg-blur")))
"""An encoder brings its own operators, so that what stands between them and a blur has no name of its own."""


def pooled_encoder(body: nn.Module, config: NetworkConfig, lift: LiftOptions) -> tuple[PooledEncoder, list[Up], list[int]]:
    """Puts pools into an encoder.

    Args:
        body: the encoder, changed in place: (N, C, H, W) to a list of features.
        config: the network.
        lift: how a `lift` is made.

    Returns:
        The encoder, the upsampler of each level from the top, and the channels that each of them works on.

    Raises:
        UsageError: the encoder has not that depth, or cannot take the downsampler or the phase.
    """
    if config.depth > DEEPEST:
        raise UsageError(f"depth is {config.depth}; {config.encoder} has 1 to {DEEPEST}.")
    one_of(f"Downsampler of {config.encoder}", config.down, ENCODER_DOWNS)
    one_of("Upsampler", config.up, UPS)
    one_of("phase", config.phase, PHASES)
    if config.up not in ups_for(config.down, lift):
        raise UsageError(f"{config.down} cannot serve the upsampler {config.up}; it serves {', '.join(ups_for(config.down, lift))}.")
    flow = follow(body, config.in_channels, config.depth)
    steps = steps_of(flow, config.depth)
    levels = _Levels(config, lift)
    pooling = levels.pooling()
    raised, ups = [], []
    for step in steps:
        native = is_native(step, pooling)
        check_step(config.encoder, step, pooling, config.up)
        for level in range(step.level, step.level + step.halvings):
            up = "bilinear" if native and UPS[config.up].needs == "bands" else config.up
            channels = raised_channels(flow, step, pooling) if UPS[up].needs else config.width * 2**level
            raised.append(channels)
            ups.append(lone_up(up, channels, config.padding_mode) if UPS[up].needs != "bands" else None)
    encoder = rebuild(flow, steps, pooling)
    ups = [levels.ups[level] if up is None else up for level, up in enumerate(ups)]
    return encoder, ups if config.phase == "fixed" else [AdaptiveUp(up) for up in ups], raised


def check_step(encoder: str, step: Step, pooling: Pooling, up: str) -> None:
    """Raises UsageError unless a step of an encoder can be pooled so, for an upsampler."""
    native = pooling.is_native(step)
    if not native and step.reason:
        raise UsageError(f"{encoder} cannot pool with {pooling.down}: {step.reason}; it takes stride.")
    if native and step.halvings > 1 and pooling.indices:
        raise UsageError(f"{encoder} steps over 4 pixels at once: {up} has no maxima to return to; take another pair.")


class _Levels:
    """Makes the downsamplers, and keeps each upsampler that shares tensors with its downsampler."""

    def __init__(self, config: NetworkConfig, lift: LiftOptions):
        self.config, self.lift = config, lift
        self.down = f"avg-{config.down}" if config.down.startswith("blur") else config.down
        self.ups: dict[int, Up] = {}

    def pooling(self) -> Pooling:
        config, up = self.config, UPS[self.config.up]
        grid = up.grid if up.grid is not None else STARTS[self.lift.start][2]
        rule = (lambda channels: RULES[config.phase](channels, 2, config.padding_mode)) if config.phase != "fixed" else None
        indices = up.needs == "indices"
        return Pooling(config.down, config.padding_mode, config.stem == "keep", grid, indices, self._main, self._other, rule)

    def _main(self, level: int, channels: int, ahead: float) -> Down:
        down, up = pool_pair(self.down, self.config.up, channels, "fixed", self.config.padding_mode, self.lift, ahead)
        if UPS[self.config.up].needs == "bands":
            self.ups[level] = up
        return down

    def _other(self, channels: int, grid: float) -> Down:
        return lone_down(self.down, channels, max(grid, CORNER), self.config.padding_mode, self.lift)
