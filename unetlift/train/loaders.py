"""The samples of a training, shared out among its processes."""

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
        return DataLoader(self.crops(), batch_sampler=steps, **self._reading())

    def val_dataloader(self) -> DataLoader:
        wholes = data.Wholes(self.pairs["val"], self.kind)
        share = data.Share(len(wholes), self.trainer.global_rank, self.trainer.world_size)
        return DataLoader(wholes, 1, sampler=share, **self._reading())  # pictures differ in size

    def _reading(self) -> dict:
        workers = self.config.machine.workers
        return {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": self.config.machine.device == "cuda"}


def make_kind(config: TrainConfig, info: ModelInfo, channels: int, out_channels: int) -> data.Kind:
    """How pairs are read: every process that reads keeps its share of the cache."""
    readers = 2 * max(1, config.machine.workers) * config.machine.devices  # for training, and for validation
    cache = data.Cache(int(config.machine.cache * GIGABYTE / readers))
    return data.KINDS[info.task](info, channels, out_channels, cache)
