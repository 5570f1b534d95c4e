"""A U-Net without skip connections, as SegNet: what the pools hand on alone tells the decoder where things were."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from conftest import ROOT, train
from test_exactness import network, noise

import unetlift
from unetlift import UNet, checkpoint
from unetlift.config import NetworkConfig

every_pair = pytest.mark.parametrize(("down", "up"), [("lift", "lift"), ("max", "unpool"), ("blur-3", "blur-3"), ("stride", "transpose")])
every_encoder = pytest.mark.parametrize("encoder", ["plain", "tu-mobilenetv3_small_050"])


def small(**settings) -> UNet:
    torch.manual_seed(0)
    return UNet(**{"depth": 2, "width": 4, "down": "lift", "up": "lift", "skips": False} | settings)


@every_pair
def test_an_adaptive_network_still_follows_every_roll(down: str, up: str) -> None:
    model = network(down, up, phase="adaptive", padding_mode="circular", skips=False)
    x, shifts = noise(1, 2, 16, 24), [(dy, dx) for dy in range(8) for dx in range(8)]
    with torch.no_grad():
        still, moved = model(x), model(torch.cat([x.roll(shift, (2, 3)) for shift in shifts]))
    expected = torch.cat([still.roll(shift, (2, 3)) for shift in shifts])
    assert (moved - expected).abs().max() < 1e-9 * (still.max() - still.min())


@every_pair
@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
def test_any_size_comes_back(down: str, up: str, padding_mode: str) -> None:
    model = small(down=down, up=up, padding_mode=padding_mode).eval()
    for height, width in [(16, 16), (9, 14), (5, 7)]:
        assert model(torch.randn(1, 3, height, width)).shape == (1, 2, height, width)


@every_encoder
def test_only_the_blocks_that_took_features_are_narrower(encoder: str) -> None:
    usual = small(encoder=encoder, skips=True)
    shapes, all_shapes = ({k: v.shape for k, v in model.state_dict().items()} for model in (small(encoder=encoder), usual))
    taken = {level: channels for level, channels in enumerate(usual.encoder.skips[:-1]) if channels}
    assert shapes.keys() == all_shapes.keys() and taken
    for level, channels in taken.items():
        name = f"blocks.{level}.0.weight"
        assert all_shapes.pop(name)[1] == shapes.pop(name)[1] + channels
    assert shapes == all_shapes


@every_encoder
def test_gradients_reach_every_parameter(encoder: str) -> None:
    model = small(encoder=encoder, down="lift")
    model(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert not [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.isfinite().all()]
    reached = {name.split(".")[0] for name, weight in model.named_parameters() if weight.grad.any()}
    assert reached >= {"encoder", "projections", "blocks", "head"}


@every_pair
def test_the_decoder_has_the_bottom_and_the_traces_alone(down: str, up: str) -> None:
    model, x = small(down=down, up=up).eval(), torch.randn(1, 3, 16, 16)
    answers = []
    for seen in (x, torch.randn(1, 3, 16, 16)):
        y, traces = model.encoder(x)[0][-1], model.encoder(seen)[1]
        for level in (1, 0):
            y = model.blocks[level](model.ups[level](model.projections[level](y), traces[level]))
        answers.append(model.head(y))
    torch.testing.assert_close(answers[0], model(x))
    torch.testing.assert_close(answers[0], model.features(x)["logits"].map)
    crosses = (answers[0] - answers[1]).abs().max() > 1e-3  # another picture's indices or bands make another answer
    assert crosses == (up in ("lift", "unpool"))


@every_encoder
def test_a_folder_keeps_it(encoder: str, tmp_path: Path) -> None:
    model, x = (thing.to(memory_format=torch.channels_last) for thing in (small(encoder=encoder).eval(), torch.randn(1, 3, 20, 24)))
    model.save_pretrained(tmp_path)
    again = unetlift.from_pretrained(tmp_path)
    assert again.config == model.config and torch.equal(model(x), again(x))


def test_a_folder_from_before_has_skips(tmp_path: Path) -> None:
    small(skips=True).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["network"].pop("skips") is True
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert unetlift.from_pretrained(tmp_path).config == small(skips=True).config
    assert all(checkpoint.read(folder)[0].skips for folder in (path.parent for path in (ROOT / "checkpoints").rglob("config.json")))


def test_the_variant_says_it() -> None:
    assert NetworkConfig(down="lift", up="lift", skips=False).variant == "lift+lift/no-skips"
    assert NetworkConfig("vgg11", down="max", up="unpool", phase="adaptive", skips=False).variant == "max+unpool@adaptive/vgg11/no-skips"
    assert NetworkConfig(down="lift", up="lift").variant == "lift+lift"


@pytest.mark.slow
def test_it_trains_from_the_command_line(cells: Path, tmp_path: Path) -> None:
    done = train(cells, tmp_path / "run", "--no-skips", "--epochs=1")
    assert done.returncode == 0, done.stderr
    best = unetlift.from_pretrained(tmp_path / "run" / "best").config
    assert asdict(best) == asdict(NetworkConfig(depth=2, width=4, down="lift", up="lift", skips=False))
