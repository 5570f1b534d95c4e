"""Training with an encoder of others: its normalisation, its weights, frozen or at a rate of their own."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import unetlift
from unetlift import transforms
from unetlift.config import ModelInfo
from unetlift.errors import ModelFolderError, UsageError
from unetlift.model import load
from unetlift.predict import Predictor, load_predictor

TWO = {"class_names": ("ground", "cell"), "colours": ((0, 0, 0), (9, 8, 7))}


def test_a_channel_can_have_a_normalisation_of_its_own(tmp_path: Path) -> None:
    info = ModelInfo(**TWO, mean=(0.25, 0.5, 0.75), std=(0.5, 0.25, 1.0))
    unetlift.UNet(depth=1, width=4).save_pretrained(tmp_path, info)
    assert load(tmp_path)[1] == info
    picture = np.full((2, 3, 3), 255, np.uint8)
    x = load_predictor(tmp_path, "cpu").prepare(picture)
    assert x[0, :, 0, 0].tolist() == [1.5, 2.0, 0.25]
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_one_number_for_all_channels_gives_the_bits_it_always_gave() -> None:
    pixels = np.random.default_rng(0).random((5, 7, 3), dtype=np.float32)
    before = (pixels - np.float32(0.5)) / np.float32(0.25)
    assert np.array_equal(transforms.to_tensor(pixels, 0.5, 0.25).permute(1, 2, 0).numpy(), before)
    assert np.array_equal(transforms.to_tensor(pixels, (0.5,) * 3, (0.25,) * 3).permute(1, 2, 0).numpy(), before)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"std": 0}, r"std is 0; it is a number above 0, or one a channel\."),
        ({"std": (1.0, -1.0, 1.0)}, r"std is \(1\.0, -1\.0, 1\.0\); it is a number above 0"),
        ({"mean": "grey"}, r"mean is grey; it is a number, or one a channel\."),
        ({"mean": (0.5, float("nan"))}, r"mean is \(0\.5, nan\); it is a number"),
    ],
)
def test_a_normalisation_that_is_none_is_refused(values: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        ModelInfo(**TWO, **values)


def test_a_normalisation_has_a_number_for_every_channel(tmp_path: Path) -> None:
    info = ModelInfo(**TWO, std=(0.5, 0.5))
    model = unetlift.UNet(depth=1, width=4)
    sentence = r"std has 2 numbers for 3 channels; give one each, or one for all\."
    with pytest.raises(UsageError, match=sentence):
        Predictor(model, info, 3, "cpu")
    with pytest.raises(UsageError, match=sentence):
        model.save_pretrained(tmp_path, info)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["info"]["std"] = [0.5, 0.5]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFolderError, match=sentence):
        load(tmp_path)
