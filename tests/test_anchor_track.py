"""The tracker on synthetic camera walks: every window's true place is known, and the anchor stays on its scene point."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_anchor import photo

from unetlift.anchor import Tracker, landmark
from unetlift.errors import UsageError
from unetlift.shifts import Fraction, Shift, by_fraction, window

SCENES = ["astronaut.png", "coffee.png", "ihc.png", "hubble_deep_field.jpg"]
STRIDE = 32
SIDE = 160


def scene(name: str = "astronaut.png") -> NDArray[np.float32]:
    return photo(name, step=1)[0].numpy()


def show(scene: NDArray, places: list[tuple[int, int]], noise: float = 0.05, side: int = SIDE) -> Iterator[NDArray[np.float32]]:
    generator = np.random.default_rng(2)
    for top, left in places:
        view = scene[:, top : top + side, left : left + side]
        assert view.shape[1:] == (side, side)
        yield (view + generator.normal(0, noise, view.shape)).astype(np.float32)


def wander(frames: int, seed: int, start: tuple[int, int] = (120, 120), reach: int = 8) -> list[tuple[int, int]]:
    """A walk of up to `reach` pixels a frame, kept within 80 of where it began."""
    generator, places = np.random.default_rng(seed), [start]
    while len(places) < frames:
        step = generator.integers(-reach, reach, 2, endpoint=True)
        places.append(tuple(int(np.clip(a + s, b - 80, b + 80)) for a, s, b in zip(places[-1], step, start, strict=True)))
    return places


def scene_points(tracker: Tracker, frames: Iterator[NDArray], places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(found.y + top, found.x + left) for found, (top, left) in zip(map(tracker, frames), places, strict=True)]


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("seed", [0, 1])
def test_on_a_noisy_walk_the_anchor_stays_on_its_scene_point(name, seed):
    tracker, places = Tracker(), wander(40, seed)
    points = scene_points(tracker, show(scene(name), places), places)
    assert set(points) == {points[0]}
    assert {event.reason for event in tracker.events} <= {"start", "keyframe"}


@pytest.mark.parametrize("name", SCENES[:3])
@pytest.mark.parametrize("seed", [0, 1])
def test_small_frames_walk_too(name, seed):
    tracker, places = Tracker(), wander(40, seed, start=(90, 90))
    points = scene_points(tracker, show(scene(name), places, side=96), places)
    assert set(points) == {points[0]} and {event.reason for event in tracker.events} <= {"start", "keyframe"}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("step", [(4, 6), (0, 8), (7, 0), (5, 5)])
def test_when_the_keyframe_has_left_another_takes_over_and_nothing_flips(name, step):
    tracker, places = Tracker(), [(step[0] * k, step[1] * k) for k in range(28)]
    points = scene_points(tracker, show(scene(name), places), places)
    assert {(y % STRIDE, x % STRIDE) for y, x in points} == {(points[0][0] % STRIDE, points[0][1] % STRIDE)}
    reasons = [event.reason for event in tracker.events]
    assert reasons[0] == "start" and set(reasons[1:]) == {"keyframe"}


def test_the_anchor_may_leave_the_frame():
    tracker, places = Tracker(), [(100, 8 * k) for k in range(40)]
    *_, last = map(tracker, show(scene(), places))
    assert last.x < 0


@pytest.mark.parametrize(("before", "after"), [("astronaut.png", "ihc.png"), ("ihc.png", "coffee.png"), ("coffee.png", "astronaut.png")])
def test_a_cut_is_seen_at_its_frame_and_the_anchor_is_the_new_scenes(before, after):
    tracker, places = Tracker(), wander(12, 0)
    frames = [*show(scene(before), places[:7]), *show(scene(after), places[7:])]
    points = scene_points(tracker, iter(frames), places)
    assert [tuple(event) for event in tracker.events] == [(0, "start"), (7, "cut")]
    assert len(set(points[:7])) == len(set(points[7:])) == 1
    fresh = Tracker()(frames[7])
    assert (fresh.y + places[7][0], fresh.x + places[7][1]) == points[7]


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_cut_to_black_or_white_and_back_is_two_cuts(level):
    tracker, view = Tracker(), scene()[:, 100:260, 100:260]
    for frame in (view, view, np.full_like(view, level), np.full_like(view, level), view, view):
        tracker(frame)
    cuts = [event.frame for event in tracker.events if event.reason == "cut"]
    assert {2, 4} <= set(cuts) <= {2, 3, 4}


def test_another_size_is_another_scene():
    tracker, whole = Tracker(), scene()
    frames = [whole[:, :160, :160], whole[:, :160, :160], whole[:, :160, :176], whole[:, :160, :176]]
    answers = [tracker(frame) for frame in frames]
    assert [tuple(event) for event in tracker.events] == [(0, "start"), (2, "size")]
    assert answers[0][:2] == answers[1][:2] and answers[2][:2] == answers[3][:2]
    assert np.abs([answer.fraction for answer in answers]).max() < 0.02


@pytest.mark.parametrize("direction", [(0.1, 0), (0, -0.1), (0.1, 0.1)])
def test_motion_of_a_tenth_of_a_pixel_is_followed(direction):
    soft = cv2.GaussianBlur(scene().transpose(1, 2, 0), (0, 0), 1.0).transpose(2, 0, 1)
    whole = torch.from_numpy(np.ascontiguousarray(soft[:, 80:320, 100:340]))[None]
    tracker, places = Tracker(), []
    for k in range(40):
        exact = (direction[0] * k, direction[1] * k)
        down, right = (round(part) for part in exact)
        moved = by_fraction(whole, Fraction(exact[0] - down, exact[1] - right), "reflect")
        found = tracker(window(moved, Shift(down, right), 16)[0])
        places.append((found.y - exact[0], found.x - exact[1]))
    assert all(abs(y - places[0][0]) < 1 and abs(x - places[0][1]) < 1 for y, x in places)
    assert [event.reason for event in tracker.events] == ["start"]


def test_a_trembling_of_half_a_pixel_leaves_the_anchor_on_its_pixel():
    whole, tracker, generator = photo(step=2)[..., 20:200, 20:200], Tracker(), np.random.default_rng(0)
    found = set()
    for k in range(20):
        shift = Fraction(*generator.uniform(-0.5, 0.5, 2)) if k else Fraction(0, 0)
        found.add(tracker(window(by_fraction(whole, shift, "reflect"), Shift(0, 0), 8)[0])[:2])
    assert len(found) == 1


def test_the_first_frames_anchor_is_its_landmark_or_the_corner():
    view = scene()[:, 100:260, 100:260]
    assert Tracker()(view)[:3] == landmark(view)[:3]
    assert Tracker()(np.ones((3, 40, 40), np.float32))[:2] == (0, 0)


def test_two_trackers_know_nothing_of_each_other():
    places = wander(12, 3)
    alone = scene_points(Tracker(), show(scene(), places), places)
    one, other = Tracker(), Tracker()
    both = [(one(a), other(b)) for a, b in zip(show(scene(), places), show(scene("ihc.png"), places), strict=True)]
    assert [(a.y + top, a.x + left) for (a, _), (top, left) in zip(both, places, strict=True)] == alone


def test_tensors_and_arrays_are_followed_alike_and_stay_as_they_are():
    places = wander(8, 4)
    frames = list(show(scene(), places))
    before = [frame.copy() for frame in frames]
    one, other = Tracker(), Tracker()
    assert [one(frame) for frame in frames] == [other(torch.from_numpy(frame)) for frame in frames]
    assert all(np.array_equal(a, b) for a, b in zip(frames, before, strict=True))


@pytest.mark.parametrize("size", [(1, 1), (3, 600), (7, 9), (600, 2), (8, 300)])
def test_any_size_of_frame_is_taken(size):
    generator, tracker = np.random.default_rng(0), Tracker()
    frame = generator.random((1, *size), np.float32)
    answers = [tracker(frame) for _ in range(3)]
    assert all(found.y is not None for found in answers) and tracker.events[0] == (0, "start")


def test_values_that_are_not_finite_are_one_sentence():
    with pytest.raises(UsageError, match="not finite"):
        Tracker()(np.full((1, 40, 40), np.nan, np.float32))
