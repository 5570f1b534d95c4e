"""Training on Lightning: one task, exactly resumable; the only room with Lightning."""

import logging
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassJaccardIndex

from unetlift import checkpoint, data, runs
from unetlift.commands import TrainConfig
from unetlift.config import ModelInfo
from unetlift.convs import parameter_groups
from unetlift.encoders.freeze import Freezable, groups_by_rate
from unetlift.errors import DataSetError, UsageError
from unetlift.losses import LIFT_WEIGHTS, lift_regularisers, segmentation_loss
from unetlift.model import UNet, load
from unetlift.predict import class_logits
from unetlift.runtime import choose_device, choose_precision

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it announces hardware that is absent, and a shop


class Segmentation(L.LightningModule):
    """A U-Net, its loss, its optimiser and its validation score."""

    def __init__(self, config: TrainConfig, model: Freezable, info: ModelInfo):
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
        loss = self.loss(class_logits(logits.float()), labels) + self.config.lift_penalty * penalties.sum()
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(images))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        images, labels = batch
        logits = self.model(images.contiguous(memory_format=torch.channels_last))
        self.miou(class_logits(logits).argmax(1), labels)
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
        card = runs.card(task.config, task.model.config.variant, epoch, score)
        checkpoint.save(task.model, runs.last(task.config), task.info, card)
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
    runs.check(config)
    splits = {split: data.list_pairs(Path(config.data), split, config.val_fraction) for split in ("train", "val")}
    model, info = _begin(config, splits["train"] + splits["val"])
    task = Segmentation(config, model, info)
    data.check(splits["train"] + splits["val"], info, model.config.in_channels)
    train_loader, val_loader = _loaders(config, model.config.in_channels, splits, info)
    run = runs.make(config)
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
    resume_from = run / runs.RESUME if runs.resumes(config) else None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # of course, when resuming
            warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")  # Lightning 2.6 under PyTorch 2.14
            warnings.filterwarnings("ignore", "Found .* in eval mode at the start of training")  # a frozen encoder is
            # weights_only=False: the file is this machine's own; docs/training.md says whom to trust
            trainer.fit(task, train_loader, val_loader, ckpt_path=resume_from, weights_only=False)
    except SystemExit as stop:  # how Lightning answers Ctrl-C
        raise KeyboardInterrupt from stop
    return run


def _callbacks(run: Path) -> list[Callback]:
    resume = ModelCheckpoint(
        run / runs.RESUME.parent, runs.RESUME.stem, save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=True
    )
    bar = [RichProgressBar(leave=False)] if sys.stderr.isatty() else []
    return [ModelFolders(run), resume, *bar]


def _loaders(
    config: TrainConfig, channels: int, splits: dict[str, list[data.Pair]], info: ModelInfo
) -> tuple[DataLoader, DataLoader]:
    crops = data.CropDataset(splits["train"], info, channels, config.crop, config.seed, config.augment)
    if len(crops) < config.batch_size:
        raise DataSetError(f"{config.data} has {len(crops)} training pictures, fewer than batch_size {config.batch_size}.")
    common = {"num_workers": config.workers, "persistent_workers": config.workers > 0}
    sampler = data.EpochSampler(len(crops), config.seed)
    whole = data.WholeDataset(splits["val"], info, channels)
    return (
        DataLoader(crops, config.batch_size, sampler=sampler, drop_last=True, **common),
        DataLoader(whole, 1, **common),  # pictures differ in size
    )


def _begin(config: TrainConfig, pairs: list[data.Pair]) -> tuple[Freezable, ModelInfo]:
    """The network to begin with, and what its inputs and outputs mean."""
    torch.manual_seed(config.seed)
    if runs.resumes(config):  # what the run began from need not be there any more
        model, info = load(runs.last(config))
    elif config.from_ is not None:
        model, info = _go_on_from(config, data.describe(Path(config.data), pairs))
    else:
        model, info = _begin_anew(config, data.describe(Path(config.data), pairs))
    if config.from_ is not None:
        runs.check_network(config, model.config)
    if config.freeze_encoder:
        model.freeze_encoder()
    return model.train(), info


def _begin_anew(config: TrainConfig, info: ModelInfo) -> tuple[UNet, ModelInfo]:
    network, weights = replace(config.network, classes=len(info.class_names)), config.encoder_weights
    model = UNet(weights, **vars(network)).to(memory_format=torch.channels_last)
    if weights is None:
        return model, info
    from unetlift.encoders.smp import preprocessing  # smp takes seconds to import, which our own encoder need not wait for

    mean, std = preprocessing(network.encoder, weights, network.in_channels)
    return model, replace(info, mean=mean, std=std)


def _go_on_from(config: TrainConfig, info: ModelInfo) -> tuple[Freezable, ModelInfo]:
    """A folder's network and normalisation, with the data set's classes."""
    model, kept = load(config.from_)
    fitting = replace(info, mean=kept.mean, std=kept.std)
    if config.new_head:
        model.renew_head(len(info.class_names))
        return model, fitting
    if not _named(info) and len(info.class_names) <= len(kept.class_names):
        return model, kept
    if info.class_names == kept.class_names or (not _named(kept) and len(info.class_names) == len(kept.class_names)):
        return model, fitting
    ours, theirs = ", ".join(info.class_names), ", ".join(kept.class_names)
    raise UsageError(f"{config.data} has the classes {ours}, but {config.from_} knows {theirs}; give --new-head to train a new last layer.")


def _named(info: ModelInfo) -> bool:
    return info.class_names != checkpoint.numbered(len(info.class_names)).class_names
