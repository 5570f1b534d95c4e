"""The frozen dataclasses that are the flags of the commands, one a command."""

from dataclasses import dataclass
from typing import Literal

from unetlift.config import NetworkConfig, PoolsConfig, at_least
from unetlift.errors import UsageError

Precision = Literal["auto", "float32", "bf16"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Anchor = Literal["none", "landmark", "subpixel", "track", "track-subpixel"]

USUAL = NetworkConfig()
"""The network where none is given; known by its identity, since one may be given that is equal."""

PRETRAINED_RATE = 0.1
"""What has been trained for long moves less than what begins."""


@dataclass(frozen=True)
class TrainConfig:
    """One training for segmentation.

    Attributes:
        data: the folder of pairs.
        out: the folder of the run; made anew unless `resume`.
        resume: go on from the run's last finished epoch.
        from_: a model folder to go on from: its network, which the flags of networks must not contradict, and its normalisation.
        new_head: with another last layer than that folder's, for other classes.
        encoder_weights: pretrained ones to begin with: a local .safetensors or .pth file, or a name that smp downloads; pictures are then
            normalised as these expect it.
        freeze_encoder: the encoder's own weights and running statistics stay as they are.
        encoder_rate: learning rate of the encoder's own weights, as a share of the others'; unless given, 0.1 with encoder_weights and
            1 without.
        network: the network.
        epochs: passes over the training split.
        batch_size: crops a step.
        crop: side of the square training crop in pixels.
        augment: none, light (left and right swapped, brightness), strong, microscopy (also turned and upside down) or aerial.
        learning_rate: the peak of the one-cycle schedule.
        weight_decay: of AdamW.
        offset_rate: learning rate of a deformable convolution's offsets, as a share of the others'.
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
    from_: str | None = None
    new_head: bool = False
    encoder_weights: str | None = None
    freeze_encoder: bool = False
    encoder_rate: float | None = None
    network: NetworkConfig = USUAL
    epochs: int = 40
    batch_size: int = 8
    crop: int = 128
    augment: str = "light"
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    offset_rate: float = 0.1
    loss: str = "ce+dice"
    lift_penalty: float = 0.1
    seed: int = 0
    workers: int = 1
    precision: Precision = "auto"
    device: Device = "auto"
    val_fraction: float = 0.15

    def __post_init__(self) -> None:
        at_least(1, self, "epochs", "batch_size", "crop")
        at_least(0, self, "learning_rate", "weight_decay", "offset_rate", "lift_penalty", "seed", "workers")
        if not 0 < self.val_fraction < 1:
            raise UsageError(f"val_fraction is {self.val_fraction}; it lies between 0 and 1.")
        if self.encoder_rate is not None:
            at_least(0, self, "encoder_rate")

    @property
    def encoder_share(self) -> float:
        """Of the learning rate, for the encoder's own weights."""
        return self.encoder_rate if self.encoder_rate is not None else 1.0 if self.encoder_weights is None else PRETRAINED_RATE


@dataclass(frozen=True)
class ConvertConfig:
    """One trained network of segmentation-models-pytorch to convert.

    Attributes:
        from_: the folder that smp's save_pretrained has written.
        to: an empty or new folder for the converted network.
        pools: what it is given.
        mean: of the pictures it was trained on, scaled to 0..1: once, or once a channel; without it, its encoder's usual one.
        std: likewise.
    """

    from_: str
    to: str
    pools: PoolsConfig = PoolsConfig()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True)
class PredictConfig:
    """One folder of pictures through one network.

    Attributes:
        model: the model folder.
        input: the folder of pictures, at any depth.
        output: an empty or new folder for masks/ and overlays/.
        overlay: also write the pictures tinted by class.
        anchor: what the sampling grid is tied to: none (the frame's corner), landmark, subpixel, or track and
            track-subpixel, which take the pictures, in the order of their names, for the frames of one sequence.
        precision: auto (bf16 where the processor has it), float32 or bf16.
        device: auto, cpu, cuda or mps.
    """

    model: str
    input: str
    output: str
    overlay: bool = False
    anchor: Anchor = "none"
    precision: Precision = "auto"
    device: Device = "auto"


@dataclass(frozen=True)
class EvaluateConfig:
    """The accuracy of one network on one split.

    Attributes:
        model: the model folder.
        data: the folder of pairs.
        split: train, val or test.
        anchor: what the sampling grid is tied to: none (the frame's corner), landmark or subpixel.
        json: a file for the figures, or none.
        precision: auto (bf16 where the processor has it), float32 or bf16.
        device: auto, cpu, cuda or mps.
    """

    model: str
    data: str
    split: Literal["train", "val", "test"] = "test"
    anchor: Literal["none", "landmark", "subpixel"] = "none"
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
        mode: roll (circular), crop (a window moves over the picture), subpixel (by eighths), or both: roll and crop.
        anchor: none, landmark, subpixel, track or track-subpixel; give the flag again to measure every network with each (without it:
            none). Under roll pictures are rolled into place, otherwise padded.
        max_shift: in pixels.
        margin: pixels left out along the frame under crop.
        pictures: measure on so many pictures, spread evenly over the folder; 0 for all.
        device: auto, cpu, cuda or mps.
    """

    model: tuple[str, ...]
    input: str
    out: str
    mode: Literal["roll", "crop", "subpixel", "both"] = "both"
    anchor: tuple[Anchor, ...] = ()
    max_shift: int = 8
    margin: int = 16
    pictures: int = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        at_least(1, self, "max_shift")
        at_least(0, self, "margin", "pictures")

    @property
    def anchors(self) -> tuple[str, ...]:
        """What to tie every network's grid to, one after the other."""
        return self.anchor or ("none",)

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
