"""Training with an encoder of others: its normalisation, its weights, frozen or at a rate of their own."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import unetlift
from unetlift import inputs, runs
from unetlift.convs import parameter_groups
from unetlift.encoders.freeze import groups_by_rate
from unetlift.encoders.smp import preprocessing
from unetlift.errors import ModelFolderError, UsageError
from unetlift.info import ModelInfo
from unetlift.model import load
from unetlift.pools import Down
from unetlift.predict import Predictor, load_predictor
from unetlift.recipe import TrainConfig

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
    assert np.array_equal(inputs.to_tensor(pixels, 0.5, 0.25).permute(1, 2, 0).numpy(), before)
    assert np.array_equal(inputs.to_tensor(pixels, (0.5,) * 3, (0.25,) * 3).permute(1, 2, 0).numpy(), before)


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


ENCODERS = [
    {"encoder": "plain", "down": "lift", "up": "lift"},
    {"encoder": "plain", "down": "conv-blur-3", "up": "bilinear", "conv": "deform"},
    {"encoder": "tu-test_resnet", "down": "lift", "up": "lift", "phase": "adaptive"},
    {"encoder": "tu-test_resnet", "down": "blur-3", "up": "bilinear"},
    {"encoder": "efficientnet-b0", "down": "max", "up": "unpool", "depth": 3},
]


def _network(**network) -> unetlift.UNet:
    """With running statistics of something that it has seen."""
    torch.manual_seed(0)
    model = unetlift.UNet(**{"depth": 2, "width": 4} | network)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    model(torch.randn(4, 3, 32, 32))
    for norm in norms:
        norm.momentum = 0.1
    return model


@pytest.mark.parametrize("network", ENCODERS, ids=lambda network: "/".join(str(value) for value in network.values()))
def test_a_frozen_encoder_holds_still_and_the_rest_learns(network: dict) -> None:
    model = _network(**network).eval()
    model.freeze_encoder()
    assert not any(module.training for module in model.modules())
    model.train()
    x = torch.randn(2, 3, 29, 34)
    assert torch.equal(model(x), model(x))
    pools = {id(p) for module in model.encoder.modules() if isinstance(module, Down) for p in module.parameters()}
    still = {name for name, p in model.encoder.named_parameters() if id(p) not in pools}
    still = {f"encoder.{name}" for name in still | {name for name, _ in model.encoder.named_buffers()}}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), 0.1)
    for _ in range(2):  # the first convolution of a lift has no gradient before the second has left zero
        model(x).square().mean().backward()
        optimizer.step()
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before if name in still)
    learned = [name for name, p in model.named_parameters() if name not in still]
    assert all(not torch.equal(after[name], before[name]) for name in learned)
    assert any(name.startswith("encoder.") for name in learned) == bool(pools)


def test_a_frozen_encoder_computes_as_in_eval_mode() -> None:
    model = _network(encoder="efficientnet-b0", depth=3, down="stride", up="bilinear")
    x = torch.randn(2, 3, 32, 32)
    model.train()
    noisy = [model.encoder(x)[0][-1] for _ in range(2)]
    assert not torch.equal(*noisy)  # drop connect
    still = model.eval().encoder(x)[0][-1]
    model.freeze_encoder()
    assert torch.equal(model.train().encoder(x)[0][-1], still)


def test_an_encoder_thaws() -> None:
    model = _network(encoder="tu-test_resnet", down="lift", up="lift")
    model.freeze_encoder()
    model.unfreeze_encoder()
    assert all(module.training for module in model.modules()) and all(p.requires_grad for p in model.parameters())
    model.eval()
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("network", ENCODERS, ids=lambda network: "/".join(str(value) for value in network.values()))
def test_every_parameter_is_in_one_group_at_its_rate(network: dict) -> None:
    model = _network(**network)
    groups = groups_by_rate(model.encoder, parameter_groups(model, 1.0, 0.5), 0.25)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert sorted(rates) == sorted(id(p) for p in model.parameters())
    assert sum(len(group["params"]) for group in groups) == len(rates)
    pools = {id(p) for module in model.encoder.modules() if isinstance(module, Down) for p in module.parameters()}
    encoders = {id(p) for p in model.encoder.parameters()} - pools
    for name, parameter in model.named_parameters():
        wanted = (0.25 if id(parameter) in encoders else 1.0) * (0.5 if ".offsets." in name else 1.0)
        assert rates[id(parameter)] == wanted, name
    model.freeze_encoder()
    groups = groups_by_rate(model.encoder, groups, 0.25)
    assert {id(p) for group in groups for p in group["params"]} == set(rates) - encoders


def test_pretrained_encoders_learn_slower_unless_told_otherwise() -> None:
    assert TrainConfig("data", "out").encoder_share == 1.0
    assert TrainConfig("data", "out", encoder_weights="imagenet").encoder_share == 0.1
    assert TrainConfig("data", "out", encoder_weights="imagenet", encoder_rate=0.0).encoder_share == 0.0


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"freeze_encoder": True}, "freeze_encoder would keep an encoder that has learned nothing; give --encoder-weights or --from"),
        ({"freeze_encoder": True, "encoder_weights": "imagenet", "encoder_rate": 0.1}, "encoder_rate is 0.1, but freeze_encoder leaves"),
        ({"from_": "folder", "encoder_weights": "imagenet"}, "encoder_weights is 'imagenet', but the network of --from has its own"),
        ({"new_head": True}, "new_head is for the network of --from"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values: dict, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=sentence):
        runs.check(TrainConfig("data", str(tmp_path / "out"), **values))


def test_an_encoder_does_not_learn_backwards() -> None:
    with pytest.raises(UsageError, match=r"encoder_rate is -0\.1; it is a number from 0 on"):
        TrainConfig("data", "out", encoder_rate=-0.1)


def test_plain_encoders_have_no_weights_to_begin_with() -> None:
    with pytest.raises(UsageError, match="encoder_weights is 'imagenet'; the encoder plain has none"):
        unetlift.UNet("imagenet")


@pytest.mark.parametrize(
    ("name", "weights", "mean", "std"),
    [
        ("tu-tf_efficientnet_lite0", "any name", (0.5,) * 3, (0.5,) * 3),
        ("tu-resnet18.fb_swsl_ig1b_ft_in1k", "mine.pth", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("resnet18", "mine.pth", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
def test_pictures_are_normalised_as_the_weights_expect(name: str, weights: str, mean: tuple, std: tuple) -> None:
    assert preprocessing(name, weights, 3) == (mean, std)
    assert preprocessing(name, weights, 5) == ((*mean, *mean[:2]), (*std, *std[:2]))
    one = preprocessing(name, weights, 1)
    assert one == (pytest.approx((sum(mean) / 3,)), pytest.approx((sum(std) / 3,)))
