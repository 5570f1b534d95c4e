"""Tiles say what the whole picture says: every pool, padding and anchor, any size, also from a file that is read in parts."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import torch
from test_exactness import network as random_network
from torch import Tensor, nn

from unetlift import UNet
from unetlift.anchor import TILED, landmark
from unetlift.anchor.place import SURROUND
from unetlift.anchor.strips import landmark_in_strips
from unetlift.config import NetworkConfig
from unetlift.encoders.freeze import Freezable
from unetlift.errors import PictureError, UsageError
from unetlift.images import ArrayPage, Carried
from unetlift.info import ModelInfo
from unetlift.predict import Predictor, Tiling
from unetlift.predict.field import FARTHEST
from unetlift.predict.seam import seam

FIELD = 64  # of three levels: 46 pixels of convolutions, and what pools reach farther
CUT, FARTHER = Tiling(tile=200, overlap=2 * FIELD), Tiling(tile=224, overlap=176)


class Wide(Freezable):
    """A network that computes in double precision, so that nothing but what it sees makes a difference."""

    def __init__(self, network: UNet):
        super().__init__()
        self.network, self.config = network.double(), network.config

    @property
    def encoder(self) -> nn.Module:
        return self.network.encoder

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.double())

    def on_fixed_grid(self) -> "Wide":
        return Wide(self.network.on_fixed_grid())


def info(classes: int, **options) -> ModelInfo:
    return ModelInfo(tuple(f"class {k}" for k in range(classes)), ((0, 0, 0),) * classes, **options)


def predictor_of(network: nn.Module) -> Predictor:
    return Predictor(network, info(network.config.classes), network.config.in_channels, "cpu", "float32")


@cache
def predictor(down: str = "max", up: str = "nearest", **settings) -> Predictor:
    return predictor_of(Wide(random_network(down, up, **settings)))


def scene(height: int, width: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    """Blobs, edges and noise, (H, W, C) in 8 bit."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    picture = rng.normal(90, 25, (height, width, channels))
    for _ in range(40):
        y, x, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(3, 30)
        picture[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] += rng.uniform(-60, 80, channels)
    return np.clip(picture, 0, 255).astype(np.uint8)


class Windows(ArrayPage):
    """A page that is read part by part; remembers the largest."""

    def __init__(self, pixels: np.ndarray, **options):
        super().__init__(pixels, **options)
        self.windowed, self.largest = True, 0

    def _window(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        self.largest = max(self.largest, height * width)
        return super()._window(top, left, height, width)


def everything(values: np.ndarray) -> dict[str, np.ndarray]:
    return {"values": values.transpose(1, 2, 0)}


def joined(planned, **options) -> np.ndarray:
    return np.concatenate([band["values"] for band in planned.bands(everything, **options)]).transpose(2, 0, 1)


EVERY_FAMILY = [("max", "nearest"), ("max", "unpool"), ("avg", "bilinear"), ("stride", "transpose"), ("blur-3", "blur-3")]
EVERY_FAMILY += [("blur-4", "unpool"), ("conv-blur-4", "bilinear"), ("avg-blur-5", "blur-5"), ("lift", "lift")]
EVERY_FAMILY = [(*pair, "zeros") for pair in EVERY_FAMILY]
EVERY_FAMILY += [("max", "nearest", "reflect"), ("blur-3", "blur-3", "replicate"), ("lift", "lift", "reflect")]


@pytest.mark.parametrize(("down", "up", "padding_mode"), EVERY_FAMILY)
def test_with_the_fields_overlap_tiles_say_what_the_whole_says_up_to_its_borders(down, up, padding_mode):
    asked, picture = predictor(down, up, padding_mode=padding_mode), scene(285, 241)
    cut = FARTHER if down in ("lift", "conv-blur-4") else CUT
    whole, tiled = asked.predict(picture).values, asked.predict(picture, tiling=cut).values
    assert asked.plan(ArrayPage(picture), cut).tiles >= 4
    assert whole.shape == tiled.shape and np.abs(whole - tiled).max() < 1e-6


@pytest.mark.parametrize(("size", "border"), [((288, 240), 0), ((285, 241), 88)])
@pytest.mark.parametrize(("down", "up"), [("max", "nearest"), ("blur-3", "blur-3"), ("lift", "lift")])
def test_a_torus_is_cut_without_a_border(down, up, size, border):
    """Where the stride divides it; otherwise tiles differ from the whole near its border, and the plan says so."""
    asked, picture = predictor(down, up, padding_mode="circular"), scene(*size)
    cut = Tiling(tile=264, overlap=176) if down == "lift" else CUT
    off = np.abs(asked.predict(picture).values - asked.predict(picture, tiling=cut).values)
    assert off[:, border : size[0] - border, border : size[1] - border].max() < 1e-6
    assert any("torus" in note for note in asked.plan(ArrayPage(picture), cut).notes) == bool(border)


@pytest.mark.parametrize("blend", ["linear", "hann"])
def test_blending_beyond_the_field_changes_nothing(blend):
    asked, picture = predictor("blur-3", "bilinear"), scene(285, 241)
    cut = Tiling(tile=224, overlap=2 * 48 + 32, blend=blend)  # its field is 46 pixels
    assert np.abs(asked.predict(picture).values - asked.predict(picture, tiling=cut).values).max() < 1e-6


def test_without_overlap_tiles_differ_and_more_overlap_helps():
    """Or the law above would say nothing."""
    asked, page = predictor(), ArrayPage(scene(285, 241))
    worst = [seam(asked, page, Tiling(tile=144, overlap=overlap)).near.largest for overlap in (0, 32, 96)]
    assert worst[0] > 0.01 and worst[1] < worst[0] and worst[2] < 1e-6


def test_blending_lessens_a_step_at_the_seam():
    asked, picture = predictor(), scene(285, 241)
    steps = []
    for blend in ("centre", "hann"):
        cut = Tiling(tile=128, overlap=32, blend=blend)
        at = asked.plan(ArrayPage(picture), cut).seams[1][0]
        off = asked.predict(picture, tiling=cut).values - asked.predict(picture).values
        steps.append(np.abs(off[:, :, at] - off[:, :, at - 1]).mean())
    assert steps[1] < 0.7 * steps[0]


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_measured_field_is_the_theoretical_one(depth):
    """Two convolutions a level reach a pixel of their level each; a pool of 2 x 2 spoils what one of its pixels is spoilt of."""
    torch.manual_seed(0)
    asked = predictor_of(UNet(depth=depth, width=4, down="max", up="nearest", in_channels=1, classes=2))
    spoilt = 2
    for _ in range(depth):
        spoilt = -(-spoilt // 2) + 2
    for _ in range(depth):
        spoilt = 2 * spoilt + 2
    found, stride = asked.field(), 2**depth
    assert found.exact == found.margin == -(-spoilt // stride) * stride and found.rest < 1e-6


def test_what_sees_everything_has_no_exact_margin_and_says_so():
    class Mean(nn.Module):
        config = NetworkConfig(depth=1, width=1, in_channels=1, classes=2)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat((x, x.mean((2, 3), keepdim=True).expand_as(x)), 1)

    asked = predictor_of(Mean())
    assert asked.field().exact is None and asked.field().margin <= FARTHEST
    (note,) = asked.plan(ArrayPage(scene(600, 600, 1)), Tiling(whole=0, tile=576)).notes
    assert "sees farther than 256 pixels" in note


@pytest.mark.parametrize(
    ("mode", "placing"),
    [
        *(("landmark", placing) for placing in TILED),
        *(("subpixel", "reflect"), ("subpixel", "surround"), ("track", "reflect"), ("track-subpixel", "replicate")),
    ],
)
def test_one_anchor_holds_all_tiles(mode, placing):
    asked = predictor("blur-3", "bilinear")
    for seed, size in ((0, (285, 241)), (3, (250, 260))):
        picture, asks = scene(*size, seed=seed), [asked.anchored(mode, placing) for _ in range(2)]
        for frame in (picture, np.roll(picture, (3, 5), (0, 1))) if mode.startswith("track") else (picture,):
            whole, tiled = (asked.predict(frame, ask=ask, tiling=cut) for ask, cut in zip(asks, (Tiling(), CUT), strict=True))
            assert whole.anchoring == tiled.anchoring and whole.anchoring.anchor is not None
            assert np.abs(whole.values - tiled.values).max() < 1e-6


@pytest.mark.parametrize("size", range(250, 290, 6))
def test_no_tile_lies_in_what_surrounds_a_picture(size):
    asked, picture = predictor("blur-3", "bilinear"), scene(size, 160)
    around = asked.anchored("landmark", "surround")
    whole, exact = (asked.predict(picture, ask=around, tiling=tiling).values for tiling in (Tiling(), CUT))
    assert np.abs(whole - exact).max() < 1e-6
    for tiling in (Tiling(tile=160, overlap=0), Tiling(tile=160, overlap=64, blend="hann")):
        assert asked.predict(picture, ask=around, tiling=tiling).values.shape == whole.shape


def test_tiles_too_small_for_what_surrounds_a_picture_are_one_sentence():
    asked = predictor("blur-3", "bilinear")
    enough = 4 * (SURROUND + asked.model.config.stride)
    with pytest.raises(UsageError, match=f"tile is 64, but 32 pixels are put around pictures: give {enough} or more"):
        asked.predict(scene(285, 241), ask=asked.anchored("landmark", "surround"), tiling=Tiling(tile=64, overlap=0))


def test_motion_of_a_page_that_is_read_in_parts_cannot_be_followed():
    asked, page = predictor(), Windows(scene(285, 241))
    with pytest.raises(PictureError, match=r"a\.tif: A picture that is read in parts cannot be followed"):
        asked.plan(page, CUT, asked.anchored("track"), "a.tif")


def test_a_rolled_picture_is_wanted_as_a_whole():
    asked = predictor()
    with pytest.raises(PictureError, match="The placing 'circular' wants the picture as a whole"):
        asked.predict(scene(285, 241), ask=asked.anchored("landmark", "circular"), tiling=CUT)


@pytest.mark.parametrize("pixels", [300, 1000, 5000, 10**6])
@pytest.mark.parametrize(("height", "width"), [(61, 97), (200, 33), (9, 300), (8, 50)])
def test_the_landmark_found_in_strips_is_the_pictures(height, width, pixels):
    for seed in range(4):
        x = torch.from_numpy(scene(height, width, 3, seed)).permute(2, 0, 1).float() / 255 - 0.5
        assert landmark_in_strips(lambda top, bottom, x=x: x[:, top:bottom], height, width, pixels) == landmark(x)


def test_equal_landmarks_and_flat_pictures_are_alike_in_strips():
    tiled = torch.from_numpy(scene(32, 32, 1)).permute(2, 0, 1).float().tile(1, 4, 4)
    for x in (tiled, torch.ones(1, 64, 64)):
        assert landmark_in_strips(lambda top, bottom, x=x: x[:, top:bottom], *x.shape[1:], 700) == landmark(x)


class TestBands:
    def test_they_come_from_top_to_bottom_and_hold_what_is_kept(self):
        asked, picture = predictor(), scene(285, 241)

        def kept(values: np.ndarray) -> dict[str, np.ndarray]:
            return {"labels": values.argmax(0)[..., None].astype(np.uint8), "half": values.transpose(1, 2, 0).astype(np.float16)}

        bands = list(asked.plan(ArrayPage(picture), CUT).bands(kept))
        assert len(bands) > 1 and all(band["labels"].shape[1:] == (241, 1) and band["half"].shape[1:] == (241, 3) for band in bands)
        whole = asked.predict(picture)
        assert (np.concatenate([band["labels"] for band in bands])[..., 0] == whole.labels).mean() > 0.9999
        assert bands[0]["half"].dtype == np.float16

    def test_a_page_is_never_read_as_a_whole(self):
        asked, page = predictor(), Windows(scene(1200, 96))
        joined(asked.plan(page, Tiling(tile=192, overlap=96)))
        assert page.largest == 192 * 96

    def test_tiles_are_handed_over_before_answers_are_taken(self):
        taken, given = [], []

        class Late(Future):
            def result(self, timeout=None):
                taken.append(len(given))
                return super().result(timeout)

        def submit(function, x):
            given.append(x.shape)
            future = Late()
            future.set_result(function(x))
            return future

        asked, picture = predictor(), scene(285, 241)
        planned = asked.plan(ArrayPage(picture), CUT)
        values = joined(planned, submit=submit)
        assert taken[0] > 1 and len(given) == planned.tiles and all(len(shape) == 4 and shape[0] == 1 for shape in given)
        assert np.array_equal(values, asked.predict(picture, tiling=CUT).values)

    def test_networks_may_run_in_other_threads_and_their_errors_arrive(self):
        asked, picture = predictor("lift", "lift", phase="adaptive"), scene(285, 241)
        with ThreadPoolExecutor(3) as threads:
            values = joined(asked.plan(ArrayPage(picture), CUT), submit=threads.submit)
            assert np.array_equal(values, asked.predict(picture, tiling=CUT).values)

            def fails(function, x):
                return threads.submit(lambda: (_ for _ in ()).throw(RuntimeError("out of memory")))

            with pytest.raises(RuntimeError, match="out of memory"):
                joined(asked.plan(ArrayPage(picture), CUT), submit=fails)

    def test_files_share_their_function_where_nothing_is_decided(self):
        asked, functions = predictor(), set()
        for seed in (0, 1):
            joined(asked.plan(ArrayPage(scene(250, 241, seed=seed)), CUT), submit=lambda f, x: (functions.add(f), done(f(x)))[1])
        assert functions == {asked}


def done(answer: Tensor) -> Future:
    future = Future()
    future.set_result(answer)
    return future


def test_threads_share_one_predictor_and_measure_its_field_once():
    asked = predictor_of(random_network("max", "nearest").float())
    pictures = [scene(600 + 8 * k, 300, seed=k) for k in range(4)]
    with ThreadPoolExecutor(4) as threads:
        values = list(threads.map(lambda picture: asked.predict(picture, tiling=Tiling(tile=256)).values, pictures))
        fields = set(threads.map(lambda _: id(asked.field()), range(8)))
    assert len(fields) == 1 and asked.anchored("landmark").function.field() is asked.field()
    for picture, found in zip(pictures, values, strict=True):
        assert np.array_equal(found, asked.predict(picture, tiling=Tiling(tile=256)).values)


class TestNodata:
    @pytest.fixture
    def hole(self) -> np.ndarray:
        picture = scene(285, 241).astype(np.float32) / 255
        picture[100:140, 30:200] = np.nan
        return picture

    @pytest.mark.parametrize("cut", [Tiling(), CUT])
    @pytest.mark.parametrize("anchor", ["none", "landmark"])
    def test_what_holds_nothing_is_the_mean(self, hole, cut, anchor):
        asked = predictor()
        filled = np.where(np.isnan(hole), np.float32(0.5), hole)
        ask = asked.anchored(anchor)
        planned = asked.plan(Windows(hole, carried=Carried(nodata=np.nan)), cut, ask)
        np.testing.assert_array_equal(joined(planned), asked.predict(filled, ask=ask, tiling=cut).values)
        assert np.array_equal(planned.nodata(90, 60), np.isnan(hole[90:150, :, 0]))

    def test_it_is_what_every_channel_says(self):
        picture = scene(40, 40)
        picture[3, 4], picture[5, 6] = (0, 0), (0, 9)
        planned = predictor().plan(ArrayPage(picture, carried=Carried(nodata=0.0)))
        assert planned.nodata(3, 1)[0, 4] and not planned.nodata(5, 1)[0, 6]
        assert predictor().plan(ArrayPage(picture)).nodata(0, 40) is None
        assert not predictor().plan(ArrayPage(picture, carried=Carried(nodata=-9999.0))).nodata(0, 40).any()

    @pytest.mark.parametrize("cut", [Tiling(), CUT])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_other_values_that_are_not_finite_are_one_sentence(self, hole, cut, value):
        hole[100, 100] = value
        with pytest.raises(PictureError, match=r"b\.tif: The picture holds values that are not finite"):
            joined(predictor().plan(ArrayPage(hole, carried=Carried(nodata=-1.0)), cut, name="b.tif"))


def test_a_small_tile_is_one_sentence():
    with pytest.raises(UsageError, match="tile is 64, but the network's field asks for an overlap"):
        predictor().predict(scene(285, 241), tiling=Tiling(tile=64))


def test_other_channels_are_one_sentence():
    with pytest.raises(PictureError, match=r"c\.png has 3 channels; the network wants 2"):
        joined(predictor().plan(ArrayPage(scene(285, 241, 3)), CUT, name="c.png"))


def test_the_seam_of_one_tile_is_one_sentence():
    with pytest.raises(UsageError, match="A picture of 40 x 30 is one tile"):
        seam(predictor(), ArrayPage(scene(30, 40)), Tiling())
