"""The samples of a training: crops that depend on nothing but seed, epoch and index, in an order that can be gone on with."""

from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from unetlift import transforms
from unetlift.data.folder import Pair
from unetlift.data.kinds import Crop, Kind

Sample = tuple[Tensor, Tensor, int]
"""Input, target, and which pair it is of."""


@final
class Crops(Dataset):
    """Augmented training crops; the key is (epoch, index), so a crop depends on nothing else."""

    def __init__(self, pairs: list[Pair], kind: Kind, crop: Crop, seed: int):
        self.pairs, self.kind, self.how, self.seed = pairs, kind, crop, seed
        self.transform = transforms.training_transform(crop.size, crop.preset)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        seed = transforms.sample_seed(self.seed, epoch, index)
        return *self.kind.crop(self.pairs[index], seed, self.how, self.transform), index


@final
class Wholes(Dataset):
    """Whole pictures; what is made of one depends on its index alone, so that every validation sees the same."""

    def __init__(self, pairs: list[Pair], kind: Kind):
        self.pairs, self.kind = pairs, kind

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        return *self.kind.whole(self.pairs[index], transforms.sample_seed(0, 0, index)), index


@final
class Steps(Sampler[list[tuple[int, int]]]):
    """The batches of one process: a new order every epoch, from seed and epoch alone, whatever the number of processes.

    Every step of all processes together takes the next `batch_size * world` samples; what is too few for a step is left to
    the epochs to come.

    Args:
        length: of the data set.
        batch_size: of each process.
        seed: of the order.
        rank: which of the processes this is.
        world: how many there are.
    """

    def __init__(self, length: int, batch_size: int, seed: int, rank: int = 0, world: int = 1):
        self.length, self.batch_size, self.seed, self.rank, self.world = length, batch_size, seed, rank, world
        self.epoch, self.first = 0, 0

    @property
    def sampler(self) -> "Steps":
        """Where Lightning looks for somebody to tell the epoch to."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Called by the training loop."""
        if epoch != self.epoch:
            self.go_on(epoch, 0)

    def go_on(self, epoch: int, first: int) -> None:
        """Begins epoch `epoch` at its step number `first`."""
        self.epoch, self.first = epoch, first

    def __len__(self) -> int:
        return self.length // (self.batch_size * self.world)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = torch.Generator().manual_seed(transforms.sample_seed(self.seed, self.epoch, -1))
        order = torch.randperm(self.length, generator=generator).tolist()
        for step in range(self.first, len(self)):
            begin = (step * self.world + self.rank) * self.batch_size
            yield [(self.epoch, index) for index in order[begin : begin + self.batch_size]]


@final
class Share(Sampler[int]):
    """Every picture once among all processes, none twice: this one's are every `world`-th."""

    def __init__(self, length: int, rank: int = 0, world: int = 1):
        self.indices = range(rank, length, world)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
