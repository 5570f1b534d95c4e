"""The same few validation pictures after each epoch, as the network of that epoch answers them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from unetlift import data, from_pretrained
from unetlift.checkpoint import numbered
from unetlift.config import NetworkConfig
from unetlift.info import DegradeConfig
from unetlift.predict import answer
from unetlift.recipe import MachineConfig, TrainConfig
from unetlift.report import tiles
from unetlift.train import make_trainer, prepare
from unetlift.train.previews import Previews


def _config(cells: Path, out: Path) -> TrainConfig:
    machine = MachineConfig(workers=0, device="cpu", precision="float32")
    network, degrade = NetworkConfig(depth=1, width=4), DegradeConfig(noise=25.0)
    return TrainConfig(str(cells), str(out), "restore", network=network, degrade=degrade, epochs=2, crop=32, machine=machine)


def _drawn(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.filterwarnings("ignore:.*does not have many workers")  # small data is read faster without
def test_a_training_draws_its_validation_after_each_epoch(cells: Path, tmp_path: Path) -> None:
    config = _config(cells, tmp_path / "run")
    training, loaders = prepare(config)
    trainer = make_trainer(config, tmp_path / "run")
    trainer.callbacks += [Previews(tmp_path / "two", 2), Previews(tmp_path / "all", 9), Previews(tmp_path / "none", 0)]
    trainer.fit(training, datamodule=loaders)
    names = ["epoch-0001.png", "epoch-0002.png"]
    assert [sorted(path.name for path in (tmp_path / folder).iterdir()) for folder in ("two", "all")] == [names, names]
    assert not (tmp_path / "none").exists()
    first, last = (_drawn(tmp_path / "two" / name) for name in names)
    assert first.shape == last.shape and (first != last).any()
    model, whole = from_pretrained(tmp_path / "run" / "last").eval(), _drawn(tmp_path / "all" / names[1])
    assert np.array_equal(whole[: len(last)], last) and 2 * len(whole) == 3 * len(last)
    x, target, _ = data.Wholes(loaders.pairs["val"], loaders.kind)[1]
    batch = x[None].contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        values = answer(training.info, batch, model(batch))[0]
    row = tiles.beside(tiles.draw(training.info, x, values, target))
    assert np.array_equal(last[len(last) // 2 :], row)


def _outputs(indices: list[int]) -> dict[str, torch.Tensor]:
    count = len(indices)
    x, output = torch.randn(count, 3, 40, 50), torch.randn(count, 2, 40, 50)
    return {"x": x, "output": output, "target": output.argmax(1), "index": torch.tensor(indices)}


def _epoch(previews: Previews, epoch: int, *batches: list[int], first: bool = True) -> None:
    trainer, training = SimpleNamespace(is_global_zero=first, current_epoch=epoch), SimpleNamespace(info=numbered(2))
    previews.on_validation_epoch_start(trainer, training)
    for number, indices in enumerate(batches):
        previews.on_validation_batch_end(trainer, training, _outputs(indices), None, number)
    previews.on_validation_epoch_end(trainer, training)


def test_an_epoch_again_rewrites_its_own_picture_alone(tmp_path: Path) -> None:
    folder = tmp_path / "previews"
    for epoch in (0, 1):
        _epoch(Previews(folder, 2), epoch, [0], [1], [2])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    _epoch(Previews(folder, 2), 1, [0], [1], [2])
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.keys() == after.keys() == {"epoch-0001.png", "epoch-0002.png"}
    assert [before[name] == after[name] for name in sorted(before)] == [True, False]


def test_an_epoch_that_was_cut_off_leaves_nothing_in_the_next(tmp_path: Path) -> None:
    previews = Previews(tmp_path, 2)
    trainer, training = SimpleNamespace(is_global_zero=True, current_epoch=0), SimpleNamespace(info=numbered(2))
    previews.on_validation_batch_end(trainer, training, _outputs([0, 1]), None, 0)
    _epoch(previews, 0, [0, 2, 1])
    _epoch(previews, 1, [0])
    tall, short = (_drawn(tmp_path / f"epoch-000{k}.png") for k in (1, 2))
    assert len(tall) == 2 * len(short)


def test_only_the_first_process_draws(tmp_path: Path) -> None:
    _epoch(Previews(tmp_path / "previews", 4), 0, [0], [1], first=False)
    assert not (tmp_path / "previews").exists()
