"""The frozen dataclasses that describe a training: constructor, YAML and flags at once."""

from dataclasses import dataclass
from typing import Literal

from unetlift.commands import Device, Precision
from unetlift.config import NetworkConfig, at_least
from unetlift.errors import UsageError, one_of
from unetlift.info import TASKS, DegradeConfig, Task

USUAL = NetworkConfig()
"""The network where none is given; known by its identity, since one may be given that is equal."""

PRETRAINED_RATE = 0.1
"""What has been trained for long moves less than what begins."""

SCHEDULES = ("onecycle", "cosine", "poly", "constant")
LOGGERS = ("tensorboard", "wandb", "mlflow")
USUAL_LOSS: dict[Task, str] = {"segment": "ce+dice", "translate": "l1", "restore": "l1"}


@dataclass(frozen=True)
class OptimiserConfig:
    """How weights move.

    Attributes:
        learning_rate: the highest of the schedule, or `auto`: a short search on copies of the network finds one.
        schedule: onecycle (up for its first 30 %), cosine, poly (power 0.9) or constant.
        warmup: share of all steps over which the rate of the other three rises.
        weight_decay: of AdamW.
        offset_rate: learning rate of a deformable convolution's offsets, as a share of the others'.
        clip: the longest gradient over all weights; 0 leaves it as it is.
        ema: decay of a moving average of the weights, which is then what is judged and kept, for example 0.999; 0 keeps none.
        accumulate: a step's samples are computed in so many parts, which needs less memory.
    """

    learning_rate: float | Literal["auto"] = 3e-3
    schedule: str = "onecycle"
    warmup: float = 0.0
    weight_decay: float = 1e-4
    offset_rate: float = 0.1
    clip: float = 0.0
    ema: float = 0.0
    accumulate: int = 1

    def __post_init__(self) -> None:
        one_of("schedule", self.schedule, SCHEDULES)
        at_least(0, self, "weight_decay", "offset_rate", "clip", *(["learning_rate"] if self.learning_rate != "auto" else []))
        at_least(1, self, "accumulate")
        for name in ("warmup", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it lies from 0 to below 1.")


@dataclass(frozen=True)
class MachineConfig:
    """What a training runs on, and how.

    Attributes:
        workers: processes that read pictures, for each device.
        cache: gigabytes of decoded pictures kept in memory, of all processes together.
        precision: auto (bf16 where the processor has it), float32 or bf16.
        device: auto, cpu, cuda or mps.
        devices: how many of a machine's.
        nodes: how many machines.
        strategy: of Lightning, for example ddp; auto chooses by the number of devices.
        sync_batchnorm: batch statistics are those of all devices together.
        compile: the network is compiled first, which takes minutes and makes the steps quicker.
        deterministic: an operation without a reproducible form is an error.
    """

    workers: int = 1
    cache: float = 1.0
    precision: Precision = "auto"
    device: Device = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    sync_batchnorm: bool = False
    compile: bool = False
    deterministic: bool = False

    def __post_init__(self) -> None:
        at_least(0, self, "workers", "cache")
        at_least(1, self, "devices", "nodes")

    @property
    def processes(self) -> int:
        """How many train together."""
        return self.devices * self.nodes


@dataclass(frozen=True)
class TrainConfig:
    """One training.

    Attributes:
        data: the data set's folder.
        out: the folder of the run; made anew unless `resume`.
        task: segment (pictures and masks), translate (pictures and those they are to become) or restore (photographs alone).
        resume: go on where the run has stopped.
        dry_run: check the data, do one step, say what memory and an epoch's time will be, and write nothing.
        from_: a model folder to go on from: its network, which the flags of networks must not contradict, and its normalisation.
        new_head: with another last layer than that folder's, for other classes.
        encoder_weights: pretrained ones to begin with: a local .safetensors or .pth file, or a name that smp downloads; pictures are then
            normalised as these expect it.
        freeze_encoder: the encoder's own weights and running statistics stay as they are.
        encoder_rate: learning rate of the encoder's own weights, as a share of the others'; unless given, 0.1 with encoder_weights and
            1 without.
        network: the network.
        epochs: passes over the training split.
        batch_size: samples a step of each device.
        crop: side of the square training crop in pixels.
        augment: none, light (left and right swapped, brightness), strong, microscopy (also turned and upside down) or aerial.
        balanced: a crop's middle is of each class as often as of any other.
        loss: segment: ce, dice, focal, jaccard, lovasz, tversky; else l1, l2, charbonnier; or some joined by +, as in 0.5*ce+dice.
            Unless given, ce+dice or l1.
        class_weights: none, or auto: what is rare counts more.
        lift_penalty: weight of the lifting regularisers, as a share of the paper's 0.01 and 0.1.
        consistency: weight of the penalty on an answer that changes when the window moves.
        max_shift: pixels by which it moves for that at most.
        degrade: what is done to the photographs that are to be restored.
        residual: the network answers with what is to be added to its input.
        adversary: none, or a PatchGAN beside the loss (pix2pix): lsgan or bce.
        adversary_weight: how much more the loss counts than the adversary.
        optimiser: how weights move.
        patience: stop after so many epochs without a better score; 0 never does.
        seed: of weights, order and augmentation.
        val_fraction: share of train taken for validation, by a hash of the name, where there is no val split.
        save_minutes: a training that is killed loses no more than this.
        previews: validation pictures drawn after each epoch.
        logger: beside metrics.csv: tensorboard, wandb or mlflow; give the flag again for another.
        report: at the end the best network is measured on all splits, and report.html says how it is.
        machine: what it runs on.
    """

    data: str
    out: str
    task: Task = "segment"
    resume: bool = False
    dry_run: bool = False
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
    balanced: bool = False
    loss: str | None = None
    class_weights: Literal["none", "auto"] = "none"
    lift_penalty: float = 0.0
    consistency: float = 0.0
    max_shift: int = 8
    degrade: DegradeConfig = DegradeConfig()
    residual: bool = False
    adversary: Literal["none", "lsgan", "bce"] = "none"
    adversary_weight: float = 100.0
    optimiser: OptimiserConfig = OptimiserConfig()
    patience: int = 0
    seed: int = 0
    val_fraction: float = 0.15
    save_minutes: float = 10.0
    previews: int = 4
    logger: tuple[str, ...] = ()
    report: bool = True
    machine: MachineConfig = MachineConfig()

    def __post_init__(self) -> None:
        one_of("task", self.task, TASKS)
        one_of("class_weights", self.class_weights, ("none", "auto"))
        one_of("adversary", self.adversary, ("none", "lsgan", "bce"))
        at_least(1, self, "epochs", "batch_size", "crop", "max_shift")
        at_least(0, self, "lift_penalty", "consistency", "adversary_weight", "seed", "patience", "save_minutes", "previews")
        for name in self.logger:
            one_of("logger", name, LOGGERS)
        if self.consistency and self.crop <= 3 * self.max_shift:
            raise UsageError(f"max_shift is {self.max_shift}; it is below a third of the crop of {self.crop} pixels.")
        if not 0 < self.val_fraction < 1:
            raise UsageError(f"val_fraction is {self.val_fraction}; it lies between 0 and 1.")
        if self.encoder_rate is not None:
            at_least(0, self, "encoder_rate")
        if self.optimiser.learning_rate == "auto" and self.machine.processes > 1:
            raise UsageError("learning_rate is 'auto', which one process alone can find; give the number that it says.")
        if self.batch_size % self.optimiser.accumulate:
            raise UsageError(f"accumulate is {self.optimiser.accumulate}; it divides batch_size {self.batch_size} evenly.")

    @property
    def losses(self) -> str:
        """The names of the losses."""
        return self.loss if self.loss is not None else USUAL_LOSS[self.task]

    @property
    def encoder_share(self) -> float:
        """Of the learning rate, for the encoder's own weights."""
        return self.encoder_rate if self.encoder_rate is not None else 1.0 if self.encoder_weights is None else PRETRAINED_RATE
