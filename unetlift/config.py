"""The frozen dataclasses that describe a network: constructor, JSON and flags at once."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

from unetlift.errors import UsageError, one_of

Config = TypeVar("Config")


def from_mapping(kind: type[Config], values: Mapping[str, Any], source: str) -> Config:
    """Builds a config, and those in it, from parsed JSON or YAML; an unknown key is an error that names `source` and the known keys."""
    known = [f.name for f in fields(kind)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise UsageError(f"{source} has the unknown key {unknown[0]!r}; the keys are {', '.join(known)}.")
    inner = {f.name: f.type for f in fields(kind) if is_dataclass(f.type) and isinstance(values.get(f.name), Mapping)}
    return kind(**values | {name: from_mapping(below, values[name], f"{name} in {source}") for name, below in inner.items()})


def at_least(minimum: float, config: Any, *names: str) -> None:
    """Raises UsageError unless the named fields are numbers from `minimum` on."""
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int | float) or isinstance(value, bool) or value < minimum:
            raise UsageError(f"{name} is {value!r}; it is a number from {minimum} on.")


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that rebuilds a network.

    Attributes:
        encoder: `plain`, a name of segmentation-models-pytorch, or `tu-` and a name of timm.
        depth: the number of downsamplings; an encoder of those has 5 at most.
        width: channels of the first level, doubled per level; with an encoder of those, the decoder's.
        stem: dense, or keep: such an encoder's first downsampling then strides as it is, which costs much less.
        down: the downsampler: max, avg, stride, lift, blur-K, conv-blur-K or avg-blur-K with K = 1 to 7.
        up: the upsampler: nearest, bilinear, transpose, unpool, lift, or blur-K.
        phase: `fixed` (the even grid), `adaptive` (each sample's own, of largest norm) or `learned` (its own, learned).
        padding_mode: zeros, reflect, replicate or circular, for every convolution, filter and lift.
        conv: the blocks' convolutions: conv (3x3), c2sp (2x2 with symmetric padding), deform or deform-v2 (deformable).
        deform_levels: so many of the deepest levels have the deformable ones, the others conv.
        activation: relu, filtered-relu or filtered-poly (free of aliasing, and slow).
        skips: whether the decoder also gets the encoder's features; without them (SegNet) it has what the pools hand on.
        in_channels: of the picture.
        classes: output channels.
        lift_start: the wavelet a lift is before training: haar, lazy or cdf53.
        lift_bands: what a lift sends down: LL, sum, or some of LL, LH, HL, HH joined by +.
        lift_kernel: size of the first convolution in P and U.
        lift_groups: of the second one; 0 is one a channel.
        lift_learned: whether P and U learn; otherwise a lift is the wavelet it starts as.
        lift_shared: whether rows and columns have the same P and U.
    """

    encoder: str = "plain"
    depth: int = 4
    width: int = 16
    down: str = "blur-3"
    up: str = "bilinear"
    phase: str = "fixed"
    padding_mode: str = "zeros"
    conv: str = "conv"
    deform_levels: int = 2
    activation: str = "relu"
    in_channels: int = 3
    classes: int = 2
    lift_start: str = "haar"
    lift_bands: str = "LL"
    lift_kernel: int = 3
    lift_groups: int = 1
    lift_learned: bool = True
    lift_shared: bool = True
    stem: str = "dense"
    skips: bool = True

    def __post_init__(self) -> None:
        one_of("stem", self.stem, ("dense", "keep"))
        at_least(1, self, "depth", "width", "in_channels", "classes", "lift_kernel")
        at_least(0, self, "deform_levels", "lift_groups")

    @property
    def variant(self) -> str:
        """`DOWN+UP` or `DOWN+UP@adaptive`, with a lift's bands, convolution, activation, encoder and `no-skips` if not the usual."""
        bands = f"({self.lift_bands})" if self.down == "lift" and self.lift_bands != "LL" else ""
        phase = f"@{self.phase}" if self.phase != "fixed" else ""
        options = (self.conv, "conv"), (self.activation, "relu"), (self.encoder, "plain")
        others = [name for name, usual in options if name != usual] + ["no-skips"] * (not self.skips)
        return "/".join([f"{self.down}{bands}+{self.up}{phase}", *others])

    @property
    def stride(self) -> int:
        """Sizes that are multiples of it divide evenly on every level."""
        return 2**self.depth


@dataclass(frozen=True)
class PoolsConfig:
    """What a network of segmentation-models-pytorch is given when it is converted.

    Attributes:
        down: the downsampler: stride (as it is), max, avg, lift, fourier or blur-K with K = 1 to 7.
        up: the upsampler of a Unet: nearest, bilinear, transpose, unpool, lift, fourier or blur-K; without it, the decoder stays as it is.
        phase: `fixed` (the even grid), `adaptive` (each sample's own, of largest norm) or `learned` (its own, learned).
        padding_mode: zeros (as it is), reflect, replicate or circular, for every convolution, filter and lift.
        stem: dense, or keep: the encoder's first downsampling then strides as it is, which costs much less.
        lift_start: the wavelet a lift is before training: haar, lazy or cdf53.
        lift_bands: what a lift sends down: LL, sum, or some of LL, LH, HL, HH joined by +.
        lift_kernel: size of the first convolution in P and U.
        lift_groups: of the second one; 0 is one a channel.
        lift_learned: whether P and U learn; otherwise a lift is the wavelet it starts as.
        lift_shared: whether rows and columns have the same P and U.
    """

    down: str = "stride"
    up: str | None = None
    phase: str = "fixed"
    padding_mode: str = "zeros"
    stem: str = "dense"
    lift_start: str = "haar"
    lift_bands: str = "LL"
    lift_kernel: int = 3
    lift_groups: int = 1
    lift_learned: bool = True
    lift_shared: bool = True

    def __post_init__(self) -> None:
        one_of("stem", self.stem, ("dense", "keep"))
        at_least(1, self, "lift_kernel")
        at_least(0, self, "lift_groups")


@dataclass(frozen=True)
class ConvertedConfig:
    """Everything that rebuilds a converted network.

    Attributes:
        architecture: the name of its class in segmentation-models-pytorch.
        options: what that class is made with, but for pretrained weights.
        pools: what it has been given.
    """

    architecture: str
    options: Mapping[str, Any]
    pools: PoolsConfig = PoolsConfig()

    def __post_init__(self) -> None:
        if not isinstance(name := self.options.get("encoder_name"), str):
            raise UsageError(f"The option encoder_name of {self.architecture} is {name!r}; it is a name, for example 'resnet34'.")
        if not isinstance(self.pools, PoolsConfig):
            raise UsageError(f"pools is {self.pools!r}; it holds down, up, phase and the like.")
        for name in ("encoder_depth", "in_channels", "classes"):
            if not isinstance(value := self.options.get(name), int) or value < 1:
                raise UsageError(f"The option {name} of {self.architecture} is {value!r}; it is a whole number from 1 on.")

    @property
    def encoder(self) -> str:
        """Its name."""
        return self.options["encoder_name"]

    @property
    def in_channels(self) -> int:
        """Of the picture."""
        return self.options["in_channels"]

    @property
    def classes(self) -> int:
        """Output channels; a single one tells one class from all else."""
        return self.options["classes"]

    @property
    def phase(self) -> str:
        """See `PoolsConfig`."""
        return self.pools.phase

    @property
    def padding_mode(self) -> str:
        """See `PoolsConfig`."""
        return self.pools.padding_mode

    @property
    def variant(self) -> str:
        """`DOWN+UP` or `DOWN+UP@adaptive`, where the way up is `own` if it has stayed, then architecture and encoder."""
        phase = f"@{self.phase}" if self.phase != "fixed" else ""
        return f"{self.pools.down}+{self.pools.up or 'own'}{phase}/{self.architecture}/{self.encoder}"

    @property
    def stride(self) -> int:
        """Sizes that are multiples of it divide evenly on every level; a dilated encoder's is smaller than its depth says."""
        return min(2 ** self.options["encoder_depth"], self.options.get("encoder_output_stride", 32))
