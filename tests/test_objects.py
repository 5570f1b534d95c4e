"""The table of objects is that of scikit-image and SciPy, however the picture was cut into bands."""

import csv
import tracemalloc
from io import StringIO

import numpy as np
import pytest
import scipy.ndimage
import skimage.measure
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from unetlift.errors import UsageError
from unetlift.objects import Object, Objects, csv_text

NAMES = ("background", "cell", "nucleus", "debris")
PICTURES = array_shapes(min_dims=2, max_dims=2, max_side=12).flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 3)))

often = settings(max_examples=150, deadline=None, derandomize=True)


def table(labels: np.ndarray, cuts: tuple[int, ...] = (), **how: object) -> list[Object]:
    found = Objects(NAMES, **how)
    for band in np.split(labels, sorted(cuts)):
        found.add(band)
    return found.table()


def spiral(size: int) -> np.ndarray:
    """One line that winds inwards and never touches itself."""
    labels, inside = np.zeros((size, size), np.uint8), 0
    while size - inside > inside + 1:
        low, high = inside, size - 1 - inside
        labels[low, max(low - 2, 0) : high + 1] = labels[low : high + 1, high] = labels[high, low : high + 1] = 1
        labels[low + 2 : high + 1, low] = 1
        inside += 2
    return labels


@often
@given(labels=PICTURES)
def test_as_scikit_image_measures(labels):
    numbered = skimage.measure.label(labels, background=0, connectivity=2)
    found = table(labels)
    for region, each in zip(skimage.measure.regionprops(numbered), found, strict=True):
        assert each.id == region.label and each.area == region.area
        assert (each.top, each.left, each.top + each.height, each.left + each.width) == region.bbox
        assert (each.y, each.x) == pytest.approx(region.centroid)
        assert each.class_index == labels[tuple(region.coords[0])] and each.name == NAMES[each.class_index]
        rows, columns = region.coords.T
        at_border = {0} & {*rows, *columns} or labels.shape[0] - 1 in rows or labels.shape[1] - 1 in columns
        assert each.touches_border == bool(at_border)


@often
@given(labels=PICTURES)
def test_as_scipy_counts(labels):
    counts = [scipy.ndimage.label(labels == index, np.ones((3, 3)))[1] for index in (1, 2, 3)]
    found = [each.class_index for each in table(labels)]
    assert [found.count(index) for index in (1, 2, 3)] == counts


@often
@given(labels=PICTURES, cuts=st.lists(st.integers(0, 12), max_size=6).map(tuple))
def test_any_bands_give_the_same_table(labels, cuts):
    assert table(labels, cuts) == table(labels)


@pytest.mark.parametrize("size", [1, 4, 101, 400])
@pytest.mark.parametrize("turn", [np.array, np.transpose, np.flipud])
def test_a_long_line_is_one_object(size, turn):
    labels = np.ascontiguousarray(turn(spiral(size)))
    (found,) = table(labels, (size // 2, size // 3)) if size > 1 else (None,)
    assert size == 1 or found.area == labels.sum()


def test_a_comb_joins_at_its_last_row():
    comb = np.zeros((50, 99), np.uint8)
    comb[:, ::2] = 1
    assert len(table(comb, tuple(range(50)))) == 50
    comb[-1] = 1
    (found,) = table(comb, tuple(range(50)))
    assert found.area == comb.sum() and found.touches_border


def test_classes_side_by_side_are_apart_and_corners_join():
    labels = np.array([[1, 2, 0, 0], [2, 1, 0, 3]], np.uint8)
    assert [(each.id, each.class_index, each.area) for each in table(labels)] == [(1, 1, 2), (2, 2, 2), (3, 3, 1)]


def test_what_is_to_be_ignored_is_nothing():
    labels = np.array([[255, 255, 1], [255, 1, 255]], np.uint8)
    (found,) = table(labels, ignore=255)
    assert found.area == 2
    with pytest.raises(UsageError, match=r"^A label is 255; the classes go from 0 to 3\.$"):
        table(labels)


def test_on_a_map():
    labels = np.zeros((5, 7), np.uint8)
    labels[1:3, 2:6] = 1
    (found,) = table(labels, transform=(0.5, 0.0, 1000.0, 0.0, -0.5, 2000.0))
    assert (found.y, found.x) == (1.5, 3.5)
    assert (found.map_area, found.map_x, found.map_y) == (2.0, 1002.0, 1999.0)
    (found,) = table(labels, transform=(0.0, 2.0, 10.0, 3.0, 0.0, 20.0))  # lying on its side
    assert (found.map_area, found.map_x, found.map_y) == (48.0, 14.0, 32.0)


def test_sums_do_not_run_over():
    """Of one object as tall as a slide, cut into bands."""
    found = Objects(NAMES)
    band = np.ones((2, 40_000), np.uint16)
    for _ in range(100):
        found.add(band)
    (one,) = found.table()
    assert (one.area, one.y, one.x) == (8_000_000, 99.5, 19_999.5)


def test_memory_does_not_grow_with_the_picture():
    rng = np.random.default_rng(0)
    dots = (rng.random((64, 4000)) < 1e-3).astype(np.uint8)

    def peak(bands: int) -> int:
        found = Objects(NAMES)
        tracemalloc.start()
        for _ in range(bands):
            found.add(dots)
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    few = peak(2)
    assert peak(20) - few < 18 * dots.sum() * 120  # bytes an object


def test_csv():
    labels = np.array([[1, 0, 0], [0, 0, 3], [0, 0, 3]], np.uint8)
    found = Objects(("", "a,b", "", 'the "other"'))
    found.add(labels)
    text = csv_text(found.table())
    assert text == (
        "id,class_index,name,area,y,x,top,left,height,width,touches_border,map_area,map_x,map_y\n"
        '1,1,"a,b",1,0.0,0.0,0,0,1,1,True,,,\n'
        '2,3,"the ""other""",2,1.5,2.0,1,2,2,1,True,,,\n'
    )
    assert [row["name"] for row in csv.DictReader(StringIO(text))] == ["a,b", 'the "other"']
    assert csv_text([]).count("\n") == 1


@pytest.mark.parametrize("empty", [np.zeros((0, 5), np.uint8), np.zeros((5, 0), np.uint8), np.zeros((5, 5), np.uint8)])
def test_nothing_has_no_objects(empty):
    assert table(empty) == [] and Objects(NAMES).table() == []


@pytest.mark.parametrize(
    ("bands", "sentence"),
    [
        ([np.zeros((2, 3), np.float32)], r"Labels are float32 of shape \(2, 3\); objects are found in whole numbers \(H, W\)\."),
        ([np.zeros((2, 3, 1), np.uint8)], r"Labels are uint8 of shape \(2, 3, 1\)"),
        ([np.full((2, 3), 4)], r"A label is 4; the classes go from 0 to 3\."),
        ([np.full((2, 3), -1)], r"A label is -1; the classes go from 0 to 3\."),
        ([np.zeros((2, 3), int), np.zeros((2, 4), int)], r"A band is 4 pixels wide; those before it were 3 wide\."),
    ],
)
def test_what_is_no_label_picture_is_refused(bands, sentence):
    found = Objects(NAMES)
    with pytest.raises(UsageError, match=sentence):
        for band in bands:
            found.add(band)
