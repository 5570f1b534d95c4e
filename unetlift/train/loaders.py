"""The samples of a training, shared out among its processes."""

import signal
from typing import final

import lightning as L
from torch.utils.data import DataLoader

from unetlift import data
from unetlift.info import ModelInfo
from unetlift.recipe import TrainConfig

GIGABYTE = 10**9


@final
class Loaders(L.LightningDataModule):
    """Crops to train on and whole pictures to validate on.

    Attributes:
        pairs: by split.
        place: the epoch, and the step in it, at which the training begins or goes on.
    """

    def __init__(self, config: TrainConfig, kind: data.Kind, pairs: dict[str, list[data.Pair]]):
        super().__init__()
        self.config, self.kind, self.pairs = config, kind, pairs
        self.place = (0, 0)
        self.readers: list[DataLoader] = []

    def crops(self) -> data.Crops:
        """What is trained on."""
        crop = data.Crop(self.config.crop, self.config.augment, self.config.balanced)
        return data.Crops(self.pairs["train"], self.kind, crop, self.config.seed)

    def steps(self, rank: int, world: int) -> data.Steps:
        """The batches of one of so many processes."""
        return data.Steps(len(self.pairs["train"]), self.config.batch_size, self.config.seed, rank, world)

    def train_dataloader(self) -> DataLoader:
        steps = self.steps(self.trainer.global_rank, self.trainer.world_size)
        steps.go_on(*self.place)
        return self._reading(DataLoader(self.crops(), batch_sampler=steps, **self._how()))

    def val_dataloader(self) -> DataLoader:
        wholes = data.Wholes(self.pairs["val"], self.kind)
        share = data.Share(len(wholes), self.trainer.global_rank, self.trainer.world_size)
        return self._reading(DataLoader(wholes, 1, sampler=share, **self._how()))  # pictures differ in size

    def close(self) -> None:
        """Ends the processes that read, which an error would leave behind, deaf as they are."""
        for reader in self.readers:
            if reader._iterator is not None:  # PyTorch has no other name for what holds them
                reader._iterator._shutdown_workers()

    def _reading(self, loader: DataLoader) -> DataLoader:
        self.readers.append(loader)
        return loader

    def _how(self) -> dict:
        workers = self.config.machine.workers
        kept = {"persistent_workers": True, "worker_init_fn": _hear_nothing} if workers else {}
        return {"num_workers": workers, "pin_memory": self.config.machine.device == "cuda", **kept}


def _hear_nothing(worker: int) -> None:
    """A terminal and SLURM tell every process to stop; the readers are needed for the step that is under way.

    When the training has died they end by themselves; otherwise `Loaders.close` ends them.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def make_kind(config: TrainConfig, info: ModelInfo, channels: int, out_channels: int) -> data.Kind:
    """How pairs are read: every process that reads keeps its share of the cache."""
    readers = 2 * max(1, config.machine.workers) * config.machine.devices  # for training, and for validation
    cache = data.Cache(int(config.machine.cache * GIGABYTE / readers))
    return data.KINDS[info.task](info, channels, out_channels, cache)
