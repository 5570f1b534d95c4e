"""Anchoring around a function: what it leaves alone, what it passes through, what it refuses."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import skimage
import tifffile
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from unetlift import cli, shifts
from unetlift.anchor import MODES, PLACINGS, Anchored, Frame, Landmark, Tracker
from unetlift.errors import UsageError
from unetlift.images import read_picture

STRIDE = 8
ROLLS = [(0, 1), (1, 0), (3, 5), (-1, -1), (8, 8), (7, -13), (16, -32), (31, 63), (-47, 21), (500, -333), (64, 17), (-5, 1001)]


@cache
def photo(name: str = "astronaut.png", step: int = 4) -> Tensor:
    """A real photograph as (1, 3, H, W) of 0..1, every `step`-th pixel of it."""
    picture = read_picture(Path(skimage.__file__).parent / "data" / name)[::step, ::step]
    pixels = torch.from_numpy(picture / 255.0).float().permute(2, 0, 1)[None]
    return pixels.expand(1, 3, -1, -1).contiguous()


def blocks(x: Tensor) -> Tensor:
    """Sees one pixel of every block of 8 x 8: as unstable as can be."""
    height, width = x.shape[-2:]
    return F.interpolate(x[..., ::STRIDE, ::STRIDE], scale_factor=STRIDE)[..., :height, :width]


def blocks_of_arrays(x: NDArray) -> NDArray:
    assert isinstance(x, np.ndarray)
    return x[..., ::STRIDE, ::STRIDE].repeat(STRIDE, -2).repeat(STRIDE, -1)[..., : x.shape[-2], : x.shape[-1]]


def where_it_sees(x: Tensor) -> Tensor:
    """Adds each pixel's place: nothing but the very same array gets the very same answer."""
    return x + torch.arange(float(x[0, 0].numel())).reshape(x.shape[-2:])


def follows(function, x: Tensor, roll: tuple[int, int]) -> bool:
    return torch.equal(function(x.roll(roll, (2, 3))), function(x).roll(roll, (2, 3)))


ANCHORINGS = [(mode, placing) for mode in MODES for placing in PLACINGS if mode != "none"]
every_anchoring = pytest.mark.parametrize(("mode", "placing"), ANCHORINGS)


def whole(x: Tensor | NDArray, placing: str) -> Frame | None:
    """The frame that `context` wants."""
    return Frame(0, 0, *x.shape[-2:]) if placing == "context" else None


@pytest.mark.parametrize("roll", ROLLS)
@pytest.mark.parametrize("mode", ["landmark", "subpixel"])
def test_what_depends_on_every_pixels_place_follows_every_roll(roll, mode):
    x = photo()[..., :120, :104]
    assert follows(Anchored(where_it_sees, STRIDE, mode, "circular"), x, roll)
    assert not follows(where_it_sees, x, roll)


AWKWARD = {
    "colours of one brightness": lambda noise: torch.cat((noise, -noise), 1),
    "little contrast on much light": lambda noise: 1000 + 0.1 * noise,
    "no larger than the smoothing reaches": lambda noise: noise[..., :8, :8],
    "equal in float32 alone": lambda noise: noise[..., :8, :8].tile(4, 4).double() + 1e-12 * noise.double(),
}


@pytest.mark.parametrize("kind", AWKWARD)
def test_pictures_without_a_bright_spot_follow_rolls_too(kind):
    x = AWKWARD[kind](torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert all(follows(Anchored(where_it_sees, STRIDE, placing="circular"), x, roll) for roll in ROLLS)


def test_whole_pixel_windows_of_one_scene_are_seen_on_one_grid():
    scene = photo(step=2)[..., :160, :168]
    for dy, dx in [(0, 1), (3, -5), (-7, 8), (8, 8)]:
        still, moved = (shifts.window(scene, shifts.Shift(*by), 8) for by in ((0, 0), (dy, dx)))
        expected, valid = shifts.translate(Anchored(blocks, STRIDE)(still), shifts.Shift(dy, dx))
        valid = shifts.without_margin(valid, 8 + STRIDE)
        assert torch.equal(Anchored(blocks, STRIDE)(moved)[..., valid], expected[..., valid])
        assert torch.equal(blocks(moved)[..., valid], shifts.translate(blocks(still), shifts.Shift(dy, dx)).map[..., valid]) == (
            dy % STRIDE == dx % STRIDE == 0
        )


@pytest.mark.parametrize(
    ("x", "note"),
    [
        (torch.full((1, 3, 24, 32), 0.5), "no landmark was found; the picture is not anchored"),
        (photo()[..., :7, :40], "a picture of 40 x 7 is smaller than the stride 8; it is not anchored"),
        (photo()[..., :8, :8], "no landmark was found; the picture is not anchored"),
    ],
    ids=["constant", "smaller than the stride", "too small for a landmark"],
)
def test_a_picture_without_landmark_passes_through_and_says_so(x, note):
    answer, (anchoring,) = Anchored(blocks, STRIDE).answer(x)
    assert torch.equal(answer, blocks(x)) and anchoring == (None, note)


def test_a_picture_with_landmark_says_where_and_no_more():
    x = photo()
    _, (anchoring,) = Anchored(blocks, STRIDE).answer(x)
    assert isinstance(anchoring.anchor, Landmark) and anchoring.note is None


def test_track_notes_where_the_anchor_is_a_new_one():
    steady = Anchored(blocks, STRIDE, "track")
    notes = [steady.answer(x)[1][0].note for x in (photo(), photo(), photo("ihc.png"))]
    assert notes == [None, None, "chosen anew at frame 2 (cut)"]
    assert [tuple(event) for event in steady.events] == [(0, "start"), (2, "cut")]


@every_anchoring
def test_a_batch_gets_the_answers_of_its_pictures(mode, placing):
    batch = torch.cat([photo()[..., :96, :88], photo("ihc.png")[..., :96, :88], torch.ones(1, 3, 96, 88), photo()[..., 9:105, 3:91]])
    frame, steady = whole(batch, placing), Anchored(blocks, STRIDE, mode, placing)
    answer = Anchored(blocks, STRIDE, mode, placing)(batch, frame)
    assert torch.equal(answer, torch.cat([steady(x, frame) for x in batch.split(1)]))
    if not mode.startswith("track"):  # whose batch is a piece of the sequence
        assert torch.equal(answer.flip(0), steady(batch.flip(0), frame))


def test_an_empty_batch_gets_an_empty_answer():
    assert Anchored(blocks, STRIDE)(photo()[:0]).shape == photo()[:0].shape


@every_anchoring
def test_arrays_get_the_answers_of_tensors_as_arrays(mode, placing):
    x = photo()[..., :90, :81]
    answer = Anchored(blocks_of_arrays, STRIDE, mode, placing)(x.numpy(), whole(x, placing))
    assert isinstance(answer, np.ndarray) and answer.dtype == np.float32
    assert np.array_equal(answer, Anchored(blocks, STRIDE, mode, placing)(x, whole(x, placing)).numpy())


def test_a_reversed_array_may_be_the_answer():
    with_stride = Anchored(lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1], STRIDE)
    x = photo().numpy()
    assert np.array_equal(with_stride(x), x)


def test_a_read_only_array_is_a_picture_too():
    x = photo().numpy().copy()
    x.flags.writeable = False
    assert np.array_equal(Anchored(blocks_of_arrays, STRIDE)(x), Anchored(blocks, STRIDE)(photo()).numpy())


def write(x):
    x[...] = -1
    return x


@every_anchoring
@pytest.mark.parametrize("arrays", [False, True])
def test_the_callers_pictures_stay_as_they_are_whatever_the_function_writes(mode, placing, arrays):
    x = photo()[..., :64, :64].clone()
    before = x.clone()
    Anchored(write, STRIDE, mode, placing)(x.numpy() if arrays else x, whole(x, placing))
    assert torch.equal(x, before)


@pytest.mark.parametrize("mode", ["landmark", "subpixel"])
@pytest.mark.parametrize("arrays", [False, True])
@pytest.mark.parametrize("x", [torch.ones(1, 3, 24, 24), photo()[..., :6, :6]], ids=["constant", "tiny"])
def test_pictures_that_are_not_anchored_stay_as_they_are_too(x, mode, arrays):
    before, x = x, x.clone()
    Anchored(write, STRIDE, mode)(x.numpy() if arrays else x)
    assert torch.equal(x, before)


@every_anchoring
def test_layouts_change_nothing(mode, placing):
    x = photo()[..., :71, :90]
    answer = Anchored(blocks, STRIDE, mode, placing)(x.contiguous(memory_format=torch.channels_last), whole(x, placing))
    assert torch.equal(answer, Anchored(blocks, STRIDE, mode, placing)(x, whole(x, placing)))


def test_tiles_that_share_an_anchor_are_pieces_of_one_answer():
    x, steady = photo()[..., :96, :104], Anchored(blocks, STRIDE, placing="context")
    anchor = Tracker()(x[0])
    whole = steady(x, Frame(0, 0, 96, 104), anchor)
    for top, left in ((0, 0), (17, 30), (41, 55)):
        frame = Frame(top, left, 40, 44)
        inner = frame.cut(whole)[..., STRIDE:, STRIDE:]  # a frame's first rows see what is mirrored at the picture's border
        assert torch.equal(steady(x, frame, anchor)[..., STRIDE:, STRIDE:], inner)


@pytest.mark.parametrize("placing", PLACINGS)
@pytest.mark.parametrize("factor", [2, 0.5])
def test_an_answer_of_another_size_is_one_sentence(placing, factor):
    resizing = Anchored(lambda x: F.interpolate(x, scale_factor=factor), STRIDE, placing=placing)
    with pytest.raises(UsageError, match=r"^The function answered .* size\.$"):
        resizing(photo(), whole(photo(), placing))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"mode": "corner"}, f"anchor 'corner' is unknown; it is one of {', '.join(MODES)}"),
        ({"placing": "zeros"}, "placing 'zeros' is unknown; it is one of reflect, replicate, surround, context, circular"),
        ({"stride": 0}, "stride is 0 and multiple None; both are whole numbers from 1 on"),
        ({"multiple": -8}, "stride is 8 and multiple -8; both are whole numbers from 1 on"),
        ({"multiple": 0}, "stride is 8 and multiple 0; both are whole numbers from 1 on"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        Anchored(blocks, **{"stride": STRIDE} | arguments)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("mode", ["landmark", "track", "subpixel"])
def test_values_that_are_not_finite_are_one_sentence(value, mode):
    x = photo().clone()
    x[0, 1, 5, 5] = value
    with pytest.raises(UsageError, match="not finite numbers; replace them"):
        Anchored(blocks, STRIDE, mode)(x)


@pytest.mark.parametrize("mode", ["landmark", "track"])
def test_a_picture_that_cannot_be_anchored_stops_nothing_but_itself(mode, model_folder, tmp_path, capsys):
    bad, good = np.full((32, 40, 3), np.nan, np.float32), np.random.default_rng(0).random((32, 40, 3), np.float32)
    (tmp_path / "in").mkdir()
    for name, pixels in {"a": good, "b": bad, "c": good}.items():
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", pixels, photometric="rgb")
    flags = [f"--model={model_folder}", f"--input={tmp_path / 'in'}", f"--output={tmp_path / 'out'}", f"--anchor={mode}"]
    with pytest.raises(SystemExit) as stop:
        cli.main(["predict", *flags])
    assert stop.value.code == 1
    assert f"{tmp_path / 'in' / 'b.tif'}: The picture holds values that are not finite" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == ["a.tif.png", "c.tif.png"]
