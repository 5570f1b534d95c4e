"""Along a clip whose motion is known: what is measured of functions whose stability is known."""

import math
from collections.abc import Iterable, Iterator

import pytest
import torch
from test_anchor import photo
from torch import Tensor
from torch.nn import functional as F

from unetlift.anchor.track import SAME_SCENE
from unetlift.errors import UsageError
from unetlift.shifts import Fraction, by_fraction, split
from unetlift.stability import CEILING, Conditions
from unetlift.stability.motion import Follower, along, measure_video
from unetlift.stability.registration import find_motion

SCENES = ["astronaut.png", "coffee.png", "ihc.png", "hubble_deep_field.jpg"]
WHOLE = [(3, -2), (0, 5), (-7, 1), (11, 9)]
PARTS = [(0.5, 0.0), (0.25, 0.5), (-0.75, 0.25), (2.5, -1.25), (-3.125, 0.5)]


def pan(steps: Iterable[tuple[float, float]], name: str = "astronaut.png", side: int = 160, noise: float = 0.0) -> Iterator[Tensor]:
    """A window on a photograph whose content moves by each of the steps; parts of a pixel are resampled once."""
    scene, generator = photo(name, step=1)[..., :288, :288], torch.Generator().manual_seed(0)
    y = x = 0.0
    for dy, dx in [(0, 0), *steps]:
        y, x = y + dy, x + dx
        (down, right), rest = split(Fraction(y, x))
        top, left = 100 - down, 100 - right
        view = by_fraction(scene, rest, "reflect", "fourier")[..., top : top + side, left : left + side]
        assert view.shape[2:] == (side, side)
        yield view + noise * torch.randn(view.shape, generator=generator) if noise else view.clone()


def same(x: Tensor) -> Tensor:
    return x


def jumpy(x: Tensor) -> Tensor:
    """Reads one pixel of every 2x2 block."""
    return F.interpolate(x[..., ::2, ::2], scale_factor=2)


def classes(x: Tensor) -> Tensor:
    """Three classes by brightness, as probabilities."""
    return (torch.cat((-x.mean(1, True), x.mean(1, True) - 0.5, x.amax(1, True)), 1) * 8).softmax(1)


@pytest.mark.parametrize("name", SCENES)
def test_along_a_pan_by_whole_pixels_the_motion_and_the_answers_are_exact(name):
    report = measure_video(same, pan(WHOLE, name), figures=("psnr",))
    assert [(r.dy, r.dx) for r in report.records] == WHOLE and [r.image for r in report.records] == [1, 2, 3, 4]
    assert report.mean == report.worst == CEILING
    for record in report.records:
        assert record.figures["scene"] == CEILING and record.figures["flicker"] == 0 and record.figures["correlation"] > 0.99


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("side", [96, 160])
def test_motion_by_parts_of_a_pixel_is_found_to_a_hundredth(name, side):
    frames = list(pan(PARTS, name, side))
    for (dy, dx), before, after in zip(PARTS, frames, frames[1:], strict=False):
        motion = find_motion(before, after)
        assert (motion.dy, motion.dx) == pytest.approx((dy, dx), abs=0.01)


@pytest.mark.parametrize("name", SCENES)
def test_under_noise_it_is_found_to_a_tenth(name):
    frames = list(pan(PARTS + WHOLE, name, noise=0.05))
    for (dy, dx), before, after in zip(PARTS + WHOLE, frames, frames[1:], strict=False):
        motion = find_motion(before, after)
        assert (motion.dy, motion.dx) == pytest.approx((dy, dx), abs=0.1)


def test_motion_is_that_of_the_whole_frame_not_of_what_goes_on_in_its_middle():
    """The middle is still, which is all that phase correlation is given here."""
    scene, frames = photo(step=1), []
    for k in range(2):
        frame = scene[..., 10 : 490, 10 - 3 * k + 3 : 490 - 3 * k + 3].clone()
        frame[..., 170:310, 170:310] = photo("ihc.png", step=1)[..., :140, :140]
        frames.append(frame)
    motion = find_motion(*frames)
    assert (motion.dy, motion.dx) == pytest.approx((0, 3), abs=0.2)


def test_along_parts_of_a_pixel_the_identity_costs_what_the_scene_does():
    report = measure_video(same, pan(PARTS), figures=("psnr",))
    assert all(record.psnr == record.figures["scene"] < CEILING for record in report.records)
    assert report.worst > 30 and report.resampling == "lanczos"


@pytest.mark.parametrize("steps", [[(0.5, 0.5)] * 4, [(1, 1)] * 4])
def test_subsampling_flickers_below_the_scene(steps):
    report = measure_video(jumpy, pan(steps), multiple=2)
    calm = measure_video(same, pan(steps), multiple=2)
    for record, other in zip(report.records, calm.records, strict=True):
        assert record.psnr < record.figures["scene"] - 5 and record.figures["flicker"] > 2 * other.figures["flicker"]
        assert record.figures["scene"] == other.figures["scene"]


def test_subsampling_is_stable_along_even_steps_alone():
    report = measure_video(jumpy, pan([(2, 4), (1, 2), (-2, 0), (0, 3)]), multiple=2)
    assert [record.psnr == CEILING for record in report.records] == [True, False, True, False]


def test_a_clip_that_stands_still_has_no_flicker_whatever_the_network():
    from unetlift import UNet

    torch.manual_seed(0)
    network, frames = UNet(depth=2, width=4, classes=3, down="max", up="nearest"), list(pan([(0, 0), (1, 1), (1, 0)]))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # one pass then gives every level its say; untrained, the deep ones hardly count
    with torch.no_grad():
        network(frames[0])
    network.eval()
    still, *moving = measure_video(lambda x: network(x).softmax(1), frames, multiple=4).records
    assert still.psnr == CEILING and still.agreement == 1 and still.figures["flicker"] == still.distance == 0
    assert all(record.psnr < 60 and record.figures["scene"] == CEILING for record in moving)


def test_a_cut_gives_no_record():
    frames = [*pan([(1, 2)]), *pan([(2, 1), (0, 0)], "ihc.png"), torch.full((1, 3, 160, 160), 0.5), *pan([(3, 3)], "coffee.png", 96)]
    follower = Follower(same, Conditions(figures=("psnr",)))
    records = [record for record in map(follower, frames) if record]
    assert follower.cuts == [2, 5, 6] and [record.image for record in records] == [1, 3, 4, 7]
    report = measure_video(same, frames, figures=("psnr",))
    assert len(report.names) - 1 - len(report.records) == 3
    assert all(record.figures["correlation"] >= SAME_SCENE for record in report.records)


def test_the_figures_are_the_formulas():
    """Each answer is a little brighter than the one before."""
    answers = iter(range(10))
    report = measure_video(lambda x: x + 0.01 * next(answers), pan([(2, 3), (1, 0)]), output_range=2.0, answers="pictures")
    for record in report.records:
        assert record.psnr == pytest.approx(10 * math.log10(4 / 0.01**2), abs=1e-3)
        assert record.figures["flicker"] == pytest.approx(0.005, rel=1e-4)
        assert record.figures["max_error"] == pytest.approx(0.01, rel=1e-3) and record.figures["scene"] == CEILING


def test_class_probabilities_have_their_figures():
    report = measure_video(classes, pan(WHOLE), classes=("dark", "middle", "bright"))
    assert report.kind == "probabilities" and report.agreement == 1 and report.means["miou"] == 1 and report.means["decision"] == 1


def test_logits_are_compared_as_what_they_mean():
    def logits(x: Tensor) -> Tensor:
        return 20 * x - 10

    report = measure_video(logits, pan(PARTS), answers="logits")
    meant = measure_video(lambda x: logits(x).softmax(1), pan(PARTS))
    assert report.mean == meant.mean and report.agreement == meant.agreement < 1


def test_labels_move_by_whole_pixels_and_so_does_the_scene_beside_them():
    def labels(x: Tensor) -> Tensor:
        return classes(x).argmax(1)

    report = measure_video(labels, pan([(0, 0.25), (0, 2.0), (0.25, -1.75)]), margin=8)
    assert report.kind == "labels" and report.resampling == "nearest" and report.margin == 8
    assert report.records[1].agreement == 1 and report.records[1].figures["scene"] == CEILING
    for record in report.records:
        assert record.figures["flicker"] == pytest.approx(1 - record.agreement) and record.figures["flicker"] < 0.1
    frames = list(pan([(0, 0.25)]))
    inner = slice(8, -8)
    difference = frames[0] - frames[1]
    assert report.records[0].figures["scene"] == pytest.approx(-10 * difference[..., inner, inner].square().mean().log10().item(), abs=1e-3)
    assert report.records[0].agreement == pytest.approx((labels(frames[0]) == labels(frames[1]))[..., inner, inner].double().mean().item())


def test_an_answer_to_the_whole_picture_does_not_move():
    report = measure_video(lambda x: classes(x).mean((2, 3)), pan(WHOLE))
    assert report.agreement == 1 and report.mean > 20


def test_what_is_compared_is_what_both_frames_show_less_the_margin():
    follower = Follower(same, Conditions(margin=16))
    records = [follower(frame) for frame in pan([(5, -3)])]
    assert records[0] is None and (records[1].dy, records[1].dx) == (5, -3)
    rows, columns = follower.comparison.valid.nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20 + 5, 139, 20, 139 - 3) and follower.margin == 20
    assert torch.equal(follower.comparison.still[..., rows, columns], follower.comparison.moved_back[..., rows, columns])


def test_an_error_at_the_frame_counts_without_a_margin_alone():
    def dark_border(x: Tensor) -> Tensor:
        return F.pad(x[..., 9:-9, 9:-9], (9, 9, 9, 9))

    assert measure_video(dark_border, pan(WHOLE), margin=8).worst == CEILING  # and 4 that the resampling reaches
    assert measure_video(dark_border, pan(WHOLE), margin=0).worst < 30


def test_the_scene_is_measured_on_pixels_however_frames_were_prepared():
    prepared = [(frame - 0.5) / 0.25 for frame in pan(PARTS)]
    report = measure_video(lambda x: x * 0.25 + 0.5, prepared, looks=lambda x: x * 0.25 + 0.5)
    assert all(record.psnr == record.figures["scene"] for record in report.records)
    bare = measure_video(lambda x: x * 0.25 + 0.5, prepared)
    assert bare.means["scene"] == pytest.approx(report.means["scene"] - 20 * math.log10(4), abs=1e-2)


def test_a_clip_without_an_end_is_followed_and_each_frame_is_asked_once():
    asked = []

    def counting(x: Tensor) -> Tensor:
        asked.append(x.shape)
        return x

    frames = list(pan([(1, 0)]))
    endless = (frames[number % 2] for number in iter(int, 1) for number in (0, 1))
    records = along(counting, endless, Conditions(figures=("psnr",), multiple=32))
    found = [next(records) for _ in range(5)]
    assert [(r.image, r.dy) for r in found] == [(1, 1), (2, -1), (3, 1), (4, -1), (5, 1)]
    assert asked == [(1, 3, 160, 160)] * 6


def test_frames_are_cut_to_multiples():
    sizes = set()
    measure_video(lambda x: sizes.add(tuple(x.shape[2:])) or x, pan([(1, 1)], side=150), multiple=32)
    assert sizes == {(128, 128)}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"margin": -1}, "margin is -1"),
        ({"multiple": 0}, "multiple is 0"),
        ({"output_range": 0}, "output_range is 0"),
        ({"figures": ("speed",)}, "figure 'speed' is unknown"),
        ({"answers": "words"}, "answers 'words' is unknown"),
        ({"margin": 90}, "A margin of 94 pixels leaves nothing of a 160 x 160 frame"),
        ({"multiple": 512}, "smaller than the network's stride 512"),
    ],
)
def test_what_cannot_be_measured_is_told(keys, words):
    with pytest.raises(UsageError, match=words):
        measure_video(same, pan([(1, 1)]), **keys)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([], "No two neighbours of 0 frames"),
        (list(pan([])), "No two neighbours of 1 frames"),
        ([torch.rand(1, 3, 24, 24)] * 3, "No two neighbours of 3 frames"),
        ([torch.rand(2, 3, 64, 64)], "2 frames at once"),
        ([torch.rand(3, 64, 64)], r"shape \(3, 64, 64\)"),
        ([torch.full((1, 3, 64, 64), math.nan)] * 2, "not finite"),
    ],
)
def test_frames_that_are_no_clip_are_told(frames, words):
    with pytest.raises(UsageError, match=words):
        measure_video(same, frames, answers="pictures")


def test_an_answer_of_another_size_is_told():
    with pytest.raises(UsageError, match="answered a frame of 160 x 160 with 80 x 80"):
        measure_video(lambda x: x[..., ::2, ::2], pan([(1, 1)]))
