"""Training on Lightning: one task, exactly resumable; the only room with Lightning."""

import json
import logging
import sys
import time
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassJaccardIndex

from unetlift import checkpoint, data
from unetlift.commands import TrainConfig
from unetlift.config import ModelInfo
from unetlift.convs import parameter_groups
from unetlift.encoders.freeze import groups_by_rate
from unetlift.errors import DataSetError, UsageError
from unetlift.losses import LIFT_WEIGHTS, lift_regularisers, segmentation_loss
from unetlift.model import UNet, load
from unetlift.runtime import choose_device, choose_precision

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it announces hardware that is absent, and a shop

RESUME = Path("resume") / "last.ckpt"


class Segmentation(L.LightningModule):
    """A U-Net, its loss, its optimiser and its validation score."""

    def __init__(self, config: TrainConfig, model: UNet, info: ModelInfo):
        super().__init__()
        self.config, self.info = config, info
        self.model = model
        self.loss = segmentation_loss(config.loss, info.ignore_index)
        self.miou = MulticlassJaccardIndex(len(info.class_names), ignore_index=info.ignore_index)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        images, labels = batch
        torch.manual_seed(self.config.seed + self.global_step)  # a learned phase samples the same in a resumed run
        logits, traces = self.model.with_traces(images.contiguous(memory_format=torch.channels_last))
        penalties = lift_regularisers(traces).to(logits.device) * torch.tensor(LIFT_WEIGHTS, device=logits.device)
        loss = self.loss(logits.float(), labels) + self.config.lift_penalty * penalties.sum()
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(images))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        images, labels = batch
        logits = self.model(images.contiguous(memory_format=torch.channels_last))
        self.miou(logits.argmax(1), labels)
        self.log("val_miou", self.miou, on_epoch=True, prog_bar=True, batch_size=len(images))

    def configure_optimizers(self) -> dict:
        config = self.config
        groups = parameter_groups(self.model, config.learning_rate, config.offset_rate)
        groups = groups_by_rate(self.model.encoder, groups, config.encoder_share)
        optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [group["lr"] for group in groups], total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class ModelFolders(Callback):
    """Keeps RUN/last and RUN/best as model folders, and says a line an epoch where there is no progress bar."""

    def __init__(self, run: Path):
        self.run, self.best, self.began = run, -1.0, time.monotonic()

    def on_train_epoch_start(self, trainer: L.Trainer, task: Segmentation) -> None:
        self.began = time.monotonic()

    def on_validation_end(self, trainer: L.Trainer, task: Segmentation) -> None:
        score = float(trainer.callback_metrics["val_miou"])
        epoch = trainer.current_epoch + 1
        card = run_card(task.config, task.model.config.variant, epoch, score)
        checkpoint.save(task.model, self.run / "last", task.info, card)
        if score > self.best:
            self.best = score
            checkpoint.save(task.model, self.run / "best", task.info, card)

    def on_train_epoch_end(self, trainer: L.Trainer, task: Segmentation) -> None:
        if trainer.progress_bar_callback is None:
            metrics, seconds = trainer.callback_metrics, time.monotonic() - self.began
            line = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: loss {float(metrics['train_loss']):.4f}"
            print(f"{line}, val mIoU {float(metrics['val_miou']):.4f}, best {self.best:.4f}, {seconds:.1f} s", flush=True)

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.best = state["best"]


def run_card(config: TrainConfig, variant: str, epoch: int, score: float) -> str:
    """README.md of a run's model folder."""
    return (
        f"# {variant}\n\nA U-Net trained with unetlift on the folder `{Path(config.data).name}`: epoch {epoch} of {config.epochs}, "
        f"{config.batch_size} crops of {config.crop} pixels a step, loss {config.loss}, seed {config.seed}.\n\n"
        f"Validation mIoU: {score:.4f}.\n\nLoad it with `unetlift.from_pretrained(folder)`.\n"
    )


def train(config: TrainConfig) -> Path:
    """Trains a network on a folder of pairs.

    Args:
        config: the run; with `resume` it goes on from the last finished epoch, bit for bit as if never stopped.

    Returns:
        The run's folder: best/ and last/ (model folders), metrics/ (CSV), config.json, resume/.

    Raises:
        UsageError: a name or number is wrong, or `out` holds another run.
        DataSetError, PictureError: the data set cannot be used, naming the file.
    """
    device = choose_device(config.device)
    dtype = choose_precision(config.precision, device)
    _check_run(config)
    splits = {split: data.list_pairs(Path(config.data), split, config.val_fraction) for split in ("train", "val")}
    model, info = _begin(config, data.describe(Path(config.data), splits["train"] + splits["val"]))
    if config.freeze_encoder:
        model.freeze_encoder()
    task = Segmentation(config, model, info)
    data.check(splits["train"] + splits["val"], info, model.config.in_channels)
    train_loader, val_loader = _loaders(config, splits, info)
    run = _open_run(config)
    trainer = L.Trainer(
        accelerator=device.type,
        devices=1,
        max_epochs=config.epochs,
        precision="bf16-mixed" if dtype is torch.bfloat16 else "32-true",
        logger=CSVLogger(run, name="metrics"),
        callbacks=_callbacks(run),
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
    resume_from = run / RESUME if _resumes(config) else None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # of course, when resuming
            warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")  # Lightning 2.6 under PyTorch 2.14
            # weights_only=False: the file is this machine's own; docs/training.md says whom to trust
            trainer.fit(task, train_loader, val_loader, ckpt_path=resume_from, weights_only=False)
    except SystemExit as stop:  # how Lightning answers Ctrl-C
        raise KeyboardInterrupt from stop
    return run


def _callbacks(run: Path) -> list[Callback]:
    resume = ModelCheckpoint(
        run / RESUME.parent, RESUME.stem, save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=True
    )
    bar = [RichProgressBar(leave=False)] if sys.stderr.isatty() else []
    return [ModelFolders(run), resume, *bar]


def _loaders(
    config: TrainConfig, splits: dict[str, list[data.Pair]], info: ModelInfo
) -> tuple[DataLoader, DataLoader]:
    channels = config.network.in_channels
    crops = data.CropDataset(splits["train"], info, channels, config.crop, config.seed)
    if len(crops) < config.batch_size:
        raise DataSetError(f"{config.data} has {len(crops)} training pictures, fewer than batch_size {config.batch_size}.")
    common = {"num_workers": config.workers, "persistent_workers": config.workers > 0}
    sampler = data.EpochSampler(len(crops), config.seed)
    whole = data.WholeDataset(splits["val"], info, channels)
    return (
        DataLoader(crops, config.batch_size, sampler=sampler, drop_last=True, **common),
        DataLoader(whole, 1, **common),  # pictures differ in size
    )


def _resumes(config: TrainConfig) -> bool:
    return config.resume and (Path(config.out) / RESUME).exists()


def _begin(config: TrainConfig, info: ModelInfo) -> tuple[UNet, ModelInfo]:
    """The network to begin with, and what its inputs and outputs mean."""
    torch.manual_seed(config.seed)
    if _resumes(config):  # without the pretrained weights, which need not be there any more
        model, kept = load(Path(config.out) / "last")
        return model.train(), replace(info, mean=kept.mean, std=kept.std)
    network, weights = replace(config.network, classes=len(info.class_names)), config.encoder_weights
    model = UNet(weights, **vars(network)).to(memory_format=torch.channels_last)
    if weights is not None:
        from unetlift.encoders.smp import preprocessing  # smp takes seconds to import, which our own encoder need not wait for

        mean, std = preprocessing(network.encoder, weights, network.in_channels)
        info = replace(info, mean=mean, std=std)
    return model, info


def _settings(config: TrainConfig) -> dict[str, Any]:
    """What makes a run the run that it is."""
    return {key: value for key, value in asdict(config).items() if key not in ("out", "resume", "workers", "device")}


def _check_run(config: TrainConfig) -> None:
    """Raises UsageError if the run's folder holds another run than the one to resume."""
    run, now = Path(config.out), _settings(config)
    path = run / "config.json"
    if run.exists() and not config.resume and any(run.iterdir()):
        raise UsageError(f"{run} exists already; give another --out, or --resume to go on with it.")
    if config.resume and path.exists():
        then = json.loads(path.read_text())
        changed = [key for key in now if now[key] != then.get(key)]
        if changed:
            key = changed[0]
            was = f"{run} was begun with {key} {then.get(key)!r}, not {now[key]!r}"
            raise UsageError(f"{was}; resume with the same, or give another --out.")
    elif config.resume and run.exists() and any(run.iterdir()):
        raise UsageError(f"{run} holds no run to resume (config.json is missing); give another --out.")


def _open_run(config: TrainConfig) -> Path:
    """Makes the run's folder."""
    run = Path(config.out)
    run.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_settings(config), indent=2) + "\n"
    checkpoint.write_atomically(run / "config.json", lambda part: part.write_text(text))
    return run
