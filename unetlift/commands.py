"""The frozen dataclasses that are the flags of the commands, one a command."""

from dataclasses import dataclass
from math import inf, isnan
from typing import Literal

from unetlift.config import PoolsConfig, at_least
from unetlift.errors import UsageError, one_of
from unetlift.info import TASKS, DegradeConfig, Task

Precision = Literal["auto", "float32", "bf16"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Anchor = Literal["none", "landmark", "subpixel", "track", "track-subpixel"]
Placing = Literal["reflect", "replicate", "surround"]


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
class EvaluateConfig:
    """The accuracy of one network on one split.

    Attributes:
        model: the model folder.
        data: the folder of pairs.
        split: train, val or test.
        anchor: what the sampling grid is tied to: none (the frame's corner), landmark (as `unetlift predict` does) or subpixel.
        placing: what an anchor puts around a picture: reflect (mirrored), replicate (outermost pixels repeated) or surround (the same,
            at least 32 on every side).
        json: a file for the figures, or none.
        precision: auto (bf16 where the processor has it), float32 or bf16.
        device: auto, cpu, cuda or mps.
    """

    model: str
    data: str
    split: Literal["train", "val", "test"] = "test"
    anchor: Literal["none", "landmark", "subpixel"] = "none"
    placing: Placing = "surround"
    json: str | None = None
    precision: Precision = "auto"
    device: Device = "auto"


@dataclass(frozen=True)
class StabilityConfig:
    """The stability of some models on a folder of pictures, or on a video.

    Attributes:
        model: a model folder of unetlift or of segmentation-models-pytorch, an ONNX file, with --trust a TorchScript (.pt) or exported
            (.pt2) file, or your own module:function; give the flag again for each further model.
        input: the folder of pictures; under video a clip, a folder of clips, or the folder of a clip's frames.
        out: a folder for the report: stability.html, .json, .csv, .md and .png. What was measured before with the same pictures, models
            and conditions is not measured again.
        mode: roll (circular), crop (a window moves over the picture), subpixel (by eighths), both: roll and crop, or video.
        shifts: star (along rows, columns and the diagonal), square (every shift there is, for heat maps) or random.
        count: of random shifts.
        anchor: none, landmark, subpixel, track or track-subpixel; give the flag again to measure every network with each (without it:
            none). Under roll pictures are rolled into place, otherwise padded.
        placing: what an anchor puts around a picture: reflect, replicate or surround.
        spin: also measure every network, without an anchor, by the mean over N x N shifts of its grid (cycle spinning), N from 2 on;
            give the flag again for each further N.
        max_shift: in pixels.
        margin: pixels left out along the frame, but for roll.
        pictures: measure on so many pictures, spread evenly over the folder; 0 for all.
        size: measure on the middle of each picture, so many pixels high and wide; 0 for the whole of it.
        truth: a folder with the masks, or the pictures, that the answers should be, by the pictures' names.
        layers: also measure how far apart the features of every layer are (PyTorch models).
        resampling: for parts of a pixel: lanczos, bicubic or fourier.
        range: R, the nominal range of the answers: 1 for probabilities and for pictures of 0..1.
        answers: of foreign models: auto (by the look of the first one), probabilities, labels, logits or pictures.
        mean: of the pictures of 0..1 that foreign models take: once, or once a channel.
        std: likewise.
        channels: of the pictures that foreign models take; 0: what the model says, or 3.
        stride: of foreign models; frames are cut to multiples of it, and anchors need it.
        trust: load files that can run code: only your own.
        cases: so many of the worst cases are drawn for each model and mode.
        fail_under: end with exit code 1 where a model's mean is below so many dB; nothing is compared without it.
        seed: of random shifts.
        device: auto, cpu, cuda or mps.
    """

    model: tuple[str, ...]
    input: str
    out: str
    mode: Literal["roll", "crop", "subpixel", "both", "video"] = "both"
    shifts: Literal["star", "square", "random"] = "star"
    count: int = 24
    anchor: tuple[Anchor, ...] = ()
    placing: Placing = "surround"
    spin: tuple[int, ...] = ()
    max_shift: int = 8
    margin: int = 16
    pictures: int = 0
    size: int = 0
    truth: str | None = None
    layers: bool = False
    resampling: Literal["lanczos", "bicubic", "fourier"] = "lanczos"
    range: float = 1.0
    answers: Literal["auto", "probabilities", "labels", "logits", "pictures"] = "auto"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    channels: int = 0
    stride: int = 1
    trust: bool = False
    cases: int = 3
    fail_under: float | None = None
    seed: int = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        at_least(1, self, "max_shift", "count", "stride")
        at_least(0, self, "channels", "margin", "pictures", "size", "cases", "seed")
        if not self.model:
            raise UsageError("--model is missing; give a model folder, an ONNX file or module:function.")
        if not 0 < self.range < inf:
            raise UsageError(f"range is {self.range}; it is a number above 0.")
        if self.seed >= 2**63:
            raise UsageError(f"seed is {self.seed}; it is a number below 2 to the power of 63.")
        if self.fail_under is not None and isnan(self.fail_under):
            raise UsageError("fail_under is nan, which nothing is below; it is a number of dB.")
        if min(self.spin, default=2) < 2:
            raise UsageError(f"spin is {min(self.spin)}; it is 2 or more: without the flag nothing is spun.")
        if self.mode == "video" and (self.spin or self.layers or self.truth):
            raise UsageError("Under --mode video there is no --spin, --layers or --truth; measure these on pictures.")

    @property
    def ways(self) -> tuple[tuple[str, int], ...]:
        """How to ask every network, one after the other: what its grid is tied to, and over how many shifts it is spun."""
        return *((anchor, 1) for anchor in self.anchor or ("none",)), *(("none", spin) for spin in self.spin)

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes to measure."""
        return ("roll", "crop") if self.mode == "both" else (self.mode,)


@dataclass(frozen=True)
class CheckConfig:
    """A data set to check.

    Attributes:
        data: its folder; the flag may be left out: unetlift data check DIR.
        task: segment (pictures and masks), translate (pictures and those they are to become) or restore (photographs alone).
        channels: that the network will take; without it, any that fit each other.
        val_fraction: share of train taken for validation, by a hash of the name, where there is no val split.
    """

    data: str
    task: Task = "segment"
    channels: int | None = None
    val_fraction: float = 0.15

    def __post_init__(self) -> None:
        one_of("task", self.task, TASKS)
        at_least(1, self, *(["channels"] if self.channels is not None else []))
        _check_fraction(self.val_fraction)


@dataclass(frozen=True)
class SheetConfig:
    """A picture of what a network would be trained on.

    Attributes:
        data: the data set's folder; the flag may be left out: unetlift data sheet DIR.
        out: a new PNG file.
        task: segment (pictures and masks), translate (pictures and those they are to become) or restore (photographs alone).
        channels: that the network will take.
        crop: side of the square training crop in pixels.
        augment: none, light (left and right swapped, brightness), strong, microscopy (also turned and upside down) or aerial.
        balanced: a crop's middle is of each class as often as of any other.
        degrade: what is done to the photographs that are to be restored.
        seed: of the augmentation.
        epoch: of the training that begins with 0.
        count: of samples, spread evenly over the training pictures.
        val_fraction: share of train taken for validation, by a hash of the name, where there is no val split.
    """

    data: str
    out: str
    task: Task = "segment"
    channels: int = 3
    crop: int = 128
    augment: str = "light"
    balanced: bool = False
    degrade: DegradeConfig = DegradeConfig()
    seed: int = 0
    epoch: int = 0
    count: int = 16
    val_fraction: float = 0.15

    def __post_init__(self) -> None:
        one_of("task", self.task, TASKS)
        at_least(1, self, "channels", "crop", "count")
        at_least(0, self, "seed", "epoch")
        _check_fraction(self.val_fraction)


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise UsageError(f"val_fraction is {fraction}; it lies between 0 and 1.")


@dataclass(frozen=True)
class AppConfig:
    """The app.

    Attributes:
        checkpoints: a folder of model folders.
        host: the address to listen on; one that other machines can reach wants --passwords.
        port: the port to listen on; by default the first free one from 7860 on.
        passwords: a file with a line USER:PASSWORD for each who may come in.
    """

    checkpoints: str = "checkpoints"
    host: str = "127.0.0.1"
    port: int | None = None
    passwords: str | None = None
