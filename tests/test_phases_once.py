"""Phases that are chosen once for a picture: its tiles take the whole picture's, and then say what it says."""

from functools import cache

import numpy as np
import pytest
import torch
from encoder_cases import QUICK, calibrated
from encoder_cases import network as encoder_network
from test_exactness import network as random_network
from test_tiles import Wide, joined, predictor_of, scene
from torch import nn

from unetlift import UNet
from unetlift.images import ArrayPage
from unetlift.pools.phase import LargestNorm, LearnedPhase, PhaseRule, phase_of
from unetlift.pools.told import Told, Wanted, rules_of, told
from unetlift.predict import Predictor, Tiling
from unetlift.predict.tiles import at_once

FIELD = 48  # of two levels, and what a phase moves
CUT = Tiling(tile=124, overlap=2 * FIELD)


@cache
def predictor(down: str, up: str, **settings) -> Predictor:
    """Of two levels, in double precision."""
    torch.manual_seed(0)
    model = UNet(depth=2, width=4, down=down, up=up, in_channels=2, classes=3, **settings).double()
    x = torch.from_numpy(scene(144, 124, seed=9)).permute(2, 0, 1)[None].double() / 64 - 2
    return predictor_of(Wide(calibrated(model, torch.cat([x, x.flip(3)]))))


def decided(planned) -> list[tuple[int, ...]]:
    return [rule.phase for rule in planned._decided(at_once).model.modules() if isinstance(rule, Told)]


def chosen(network: UNet, x: torch.Tensor) -> list[tuple[int, ...]]:
    """By the whole picture: every rule's, in the order of its being asked."""
    found, rules = [], [module for module in network.modules() if isinstance(module, PhaseRule)]
    handles = [rule.register_forward_hook(lambda _, __, result: found.append(tuple(result[0][0].tolist()))) for rule in rules]
    with torch.inference_mode():
        network(x)
    for handle in handles:
        handle.remove()
    return found


PAIRS = [("max", "nearest"), ("max", "unpool"), ("avg", "bilinear"), ("stride", "transpose"), ("blur-3", "blur-3"), ("lift", "lift")]
LATER = [pytest.param(*pair, "adaptive", marks=pytest.mark.slow) for pair in PAIRS[:3]]
CASES = [(*pair, "adaptive") for pair in PAIRS[3:]] + [("max", "nearest", "learned"), ("lift", "lift", "learned"), *LATER]


@pytest.mark.parametrize(("down", "up", "phase"), CASES)
def test_tiles_of_a_torus_say_what_the_whole_says_everywhere(down, up, phase):
    asked, picture = predictor(down, up, phase=phase, padding_mode="circular"), scene(144, 160)
    planned = asked.plan(ArrayPage(picture), CUT)
    phases = decided(planned)
    assert phases == chosen(asked.model, asked.prepare(picture)) and len(phases) == 2
    assert np.abs(joined(planned) - asked.predict(picture).values).max() < 1e-6 and planned.tiles > 1


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "circular"])
@pytest.mark.parametrize(("down", "up"), [("max", "nearest"), ("blur-3", "bilinear")])
def test_tiles_of_any_size_say_what_the_whole_says_away_from_its_borders(down, up, padding_mode):
    """A phase rolls a map, so that borders are the whole picture's affair, and the phases of a torus that does not close too."""
    asked, picture = predictor(down, up, phase="adaptive", padding_mode=padding_mode), scene(147, 161)
    planned = asked.plan(ArrayPage(picture), CUT)
    phases, x = decided(planned), asked.prepare(picture)
    assert phases == chosen(asked.model, x) or padding_mode == "circular"
    whole = asked.with_network(told(asked.model, phases))(x)[0].numpy()
    off = np.abs(joined(planned) - whole)[:, FIELD:-FIELD, FIELD:-FIELD]
    assert off.max() < 1e-6 and off.size > 1000


def test_tiles_that_choose_for_themselves_do_not_meet():
    """Or the above would say nothing: the same tiles, asked one by one, take different phases."""
    asked, picture = predictor("lift", "lift", phase="adaptive", padding_mode="circular"), scene(288, 240)
    parts = [chosen(asked.model, asked.prepare(picture[y : y + 72, x : x + 60])) for y in range(0, 288, 72) for x in range(0, 240, 60)]
    assert any(part != parts[0] for part in parts)


@pytest.mark.parametrize("name", [QUICK[0], *[pytest.param(name, marks=pytest.mark.slow) for name in QUICK[1:]]])
@pytest.mark.parametrize("down", ["max", pytest.param("lift", marks=pytest.mark.slow)])
def test_the_phases_of_any_encoder_are_the_whole_pictures(name, down):
    """Two halvings at once included. Squeeze-and-excitation goes by the mean of whatever it is given, so its values are a tile's own."""
    model = encoder_network(name, f"{down}+{'lift' if down == 'lift' else 'nearest'}@adaptive", padding_mode="circular", depth=2)
    picture = scene(192, 160, 3)
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].double() / 64 - 2
    asked = predictor_of(Wide(calibrated(model.double(), torch.cat([x, x.flip(3)]))))
    planned = asked.plan(ArrayPage(picture), Tiling(tile=128, overlap=80))
    phases = decided(planned)
    assert phases == chosen(asked.model, asked.prepare(picture)) and len(phases) == rules_of(model) == 2
    assert planned.tiles > 1
    if "mobilenetv3" not in name:
        assert np.abs(joined(planned) - asked.predict(picture).values).max() < 1e-4


@pytest.mark.parametrize("rule", [LargestNorm(), LearnedPhase(3, 2, "circular").double()])
def test_the_choice_is_that_of_the_largest_sum_of_evidence(rule):
    torch.manual_seed(1)
    x = torch.randn(16, 3, 6, 10, dtype=torch.float64)
    evidence = rule.eval().evidence(x)
    assert evidence.shape == (16, 2, 2, 3, 5)
    assert torch.equal(phase_of(evidence.sum((3, 4)).flatten(1).argmax(1), 2), rule(x)[0])


def test_energies_are_those_of_the_phases_own_pixels():
    x = torch.zeros(1, 2, 4, 4)
    x[0, :, 1, 2] = 3.0  # of the phase (1, 0), in the first row and second column of its component
    evidence = LargestNorm().evidence(x)
    assert evidence[0, 1, 0, 0, 1].item() == pytest.approx(18) and evidence.sum().item() == pytest.approx(18)


class TestTold:
    def test_a_told_network_takes_what_it_is_told_and_shares_its_weights(self):
        model, x = random_network("blur-3", "bilinear", phase="adaptive"), torch.randn(2, 2, 24, 16, dtype=torch.float64)
        with torch.no_grad():
            before = model(x)
            twin = told(model, [(0, 0)] * 3)
            assert torch.equal(twin(x), model.on_fixed_grid()(x)) and torch.equal(model(x), before)
            traces = told(model, [(1, 0), (0, 1), (1, 1)]).with_traces(x)[1]
        assert [trace.phase.tolist() for trace in traces] == [[[1, 0]] * 2, [[0, 1]] * 2, [[1, 1]] * 2]
        assert {p.data_ptr() for p in twin.parameters()} == {p.data_ptr() for p in model.parameters()}

    @pytest.mark.parametrize("known", [0, 1, 2])
    def test_what_is_not_told_is_asked_level_by_level(self, known):
        model, x = random_network("max", "nearest", phase="adaptive"), torch.randn(1, 2, 24, 16, dtype=torch.float64)
        with torch.no_grad(), pytest.raises(Wanted) as wanted:
            told(model, [(0, 0)] * known)(x)
        half = 2 ** (known + 1)
        assert wanted.value.evidence.shape == (1, 2, 2, 24 // half, 16 // half)

    def test_a_network_without_phases_has_no_rules(self):
        assert rules_of(random_network("max", "nearest")) == 0
        assert rules_of(random_network("max", "nearest", phase="learned")) == 3


def test_an_anchor_leaves_nothing_to_decide():
    asked = predictor("lift", "lift", phase="adaptive", padding_mode="circular")
    planned = asked.plan(ArrayPage(scene(144, 160)), CUT, asked.anchored("landmark"))
    assert decided(planned) == [] and planned.anchoring.anchor is not None


def test_a_network_whose_phases_cannot_be_told_says_so():
    class Session(nn.Module):
        config = random_network("max", "nearest", phase="adaptive").config

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :1].expand(-1, 3, -1, -1)

    planned = predictor_of(Session()).plan(ArrayPage(scene(300, 240)), Tiling(tile=200, overlap=64))
    assert planned.notes == ("Each tile chooses its own phases, which shows at the seams.",)
