"""The frozen dataclasses that are constructor, JSON and command line at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from unetlift.errors import UsageError, one_of

Config = TypeVar("Config")

Precision = Literal["auto", "float32", "bf16"]
Device = Literal["auto", "cpu", "cuda", "mps"]


def from_mapping(kind: type[Config], values: Mapping[str, Any], source: str) -> Config:
    """Builds a config from parsed JSON or YAML; an unknown key is an error that names `source` and the known keys."""
    known = [f.name for f in fields(kind)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise UsageError(f"{source} has the unknown key {unknown[0]!r}; the keys are {', '.join(known)}.")
    return kind(**values)


def _at_least(minimum: float, config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int | float) or isinstance(value, bool) or value < minimum:
            raise UsageError(f"{name} is {value!r}; it is a number from {minimum} on.")


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that rebuilds a network.

    Attributes:
        encoder: `plain`; other encoders are not there yet.
        depth: the number of downsamplings.
        width: channels of the first level, doubled per level.
        down: the downsampler: max, avg, stride, lift, blur-K, conv-blur-K or avg-blur-K with K = 1 to 7.
        up: the upsampler: nearest, bilinear, transpose, unpool, lift, or blur-K.
        phase: `fixed` (the even grid) or `adaptive` (each sample's own).
        padding_mode: zeros, reflect, replicate or circular, for every convolution, filter and lift.
        in_channels: of the picture.
        classes: output channels.
        lift_start: the wavelet a lift is before training: haar, lazy or cdf53.
        lift_bands: what a lift sends down: LL, sum, or some of LL, LH, HL, HH joined by +.
        lift_kernel: size of the first convolution in P and U.
    """

    encoder: str = "plain"
    depth: int = 4
    width: int = 16
    down: str = "blur-3"
    up: str = "bilinear"
    phase: str = "fixed"
    padding_mode: str = "zeros"
    in_channels: int = 3
    classes: int = 2
    lift_start: str = "haar"
    lift_bands: str = "LL"
    lift_kernel: int = 3

    def __post_init__(self) -> None:
        one_of("encoder", self.encoder, ("plain",))
        _at_least(1, self, "depth", "width", "in_channels", "classes", "lift_kernel")

    @property
    def variant(self) -> str:
        """`DOWN+UP` or `DOWN+UP@adaptive`, with a lift's bands where they are not LL."""
        bands = f"({self.lift_bands})" if self.down == "lift" and self.lift_bands != "LL" else ""
        return f"{self.down}{bands}+{self.up}" + ("@adaptive" if self.phase == "adaptive" else "")

    @property
    def stride(self) -> int:
        """Sizes that are multiples of it divide evenly on every level."""
        return 2**self.depth


@dataclass(frozen=True)
class ModelInfo:
    """What a network's inputs and outputs mean.

    Attributes:
        class_names: one a class.
        colours: an (r, g, b) in 0 to 255 for each class.
        mean: subtracted from the picture scaled to 0..1, the same for every channel.
        std: what it is then divided by.
        ignore_index: the label that counts for nothing, or None.
    """

    class_names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    mean: float = 0.5
    std: float = 0.25
    ignore_index: int | None = None

    def __post_init__(self) -> None:
        if (given := len(self.colours)) != (wanted := len(self.class_names)):
            raise UsageError(f"{given} colours are given for {wanted} classes; give one each.")
        bad = [c for c in self.colours if len(c) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in c)]
        if bad:
            raise UsageError(f"The colour {bad[0]} is not three whole numbers from 0 to 255.")
        if not self.std > 0:
            raise UsageError(f"std is {self.std}; it is a number above 0.")


@dataclass(frozen=True)
class TrainConfig:
    """One training for segmentation.

    Attributes:
        data: the folder of pairs.
        out: the folder of the run; made anew unless `resume`.
        resume: go on from the run's last finished epoch.
        network: the network.
        epochs: passes over the training split.
        batch_size: crops a step.
        crop: side of the square training crop in pixels.
        learning_rate: the peak of the one-cycle schedule.
        weight_decay: of AdamW.
        loss: ce, dice, focal, or names joined by +.
        lift_penalty: weight of the lifting regularisers, as a share of the paper's 0.01 and 0.1.
        seed: of weights, order and augmentation.
        workers: processes that read pictures.
        precision: auto (bf16 where the processor has it), float32 or bf16.
        device: auto, cpu, cuda or mps.
        val_fraction: share of train taken for validation, by a hash of the name, where there is no val split.
    """

    data: str
    out: str
    resume: bool = False
    network: NetworkConfig = field(default_factory=NetworkConfig)
    epochs: int = 40
    batch_size: int = 8
    crop: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    loss: str = "ce+dice"
    lift_penalty: float = 0.1
    seed: int = 0
    workers: int = 1
    precision: Precision = "auto"
    device: Device = "auto"
    val_fraction: float = 0.15

    def __post_init__(self) -> None:
        _at_least(1, self, "epochs", "batch_size", "crop")
        _at_least(0, self, "learning_rate", "weight_decay", "lift_penalty", "seed", "workers")
        if not 0 < self.val_fraction < 1:
            raise UsageError(f"val_fraction is {self.val_fraction}; it lies between 0 and 1.")


@dataclass(frozen=True)
class PredictConfig:
    """One folder of pictures through one network.

    Attributes:
        model: the model folder.
        input: the folder of pictures, at any depth.
        output: an empty or new folder for masks/ and overlays/.
        overlay: also write the pictures tinted by class.
        precision: auto (bf16 where the processor has it), float32 or bf16.
        device: auto, cpu, cuda or mps.
    """

    model: str
    input: str
    output: str
    overlay: bool = False
    precision: Precision = "auto"
    device: Device = "auto"


@dataclass(frozen=True)
class EvaluateConfig:
    """The accuracy of one network on one split.

    Attributes:
        model: the model folder.
        data: the folder of pairs.
        split: train, val or test.
        json: a file for the figures, or none.
        precision: auto (bf16 where the processor has it), float32 or bf16.
        device: auto, cpu, cuda or mps.
    """

    model: str
    data: str
    split: Literal["train", "val", "test"] = "test"
    json: str | None = None
    precision: Precision = "auto"
    device: Device = "auto"


@dataclass(frozen=True)
class StabilityConfig:
    """The shift stability of some networks on a folder of pictures.

    Attributes:
        model: a model folder; give the flag again for each further network.
        input: the folder of pictures.
        out: a folder for stability.json, stability.md and stability.png.
        mode: roll (circular), crop (a window moves over the picture), or both.
        max_shift: in pixels.
        margin: pixels left out along the frame under crop.
        pictures: measure on so many pictures, spread evenly over the folder; 0 for all.
        device: auto, cpu, cuda or mps.
    """

    model: tuple[str, ...]
    input: str
    out: str
    mode: Literal["roll", "crop", "both"] = "both"
    max_shift: int = 8
    margin: int = 16
    pictures: int = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        _at_least(1, self, "max_shift")
        _at_least(0, self, "margin", "pictures")

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes to measure."""
        return ("roll", "crop") if self.mode == "both" else (self.mode,)


@dataclass(frozen=True)
class CheckConfig:
    """A data set to check: the folder of pairs, and the channels that the network will want."""

    data: str
    channels: int = 3


@dataclass(frozen=True)
class AppConfig:
    """The app.

    Attributes:
        checkpoints: a folder of model folders.
        host: the address to listen on.
        port: the port to listen on; by default the first free one from 7860 on.
    """

    checkpoints: str = "checkpoints"
    host: str = "127.0.0.1"
    port: int | None = None
