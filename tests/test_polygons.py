"""Outlines, GeoJSON and COCO hold exactly the objects' pixels, as other programs fill them."""

import json
import sys
from itertools import pairwise

import numpy as np
import pytest
import rasterio.features
import rasterio.warp
import skimage.measure
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from rasterio.transform import Affine

from unetlift.errors import PictureError, UsageError
from unetlift.images.page import Carried
from unetlift.info import ModelInfo
from unetlift.outlines import outlines
from unetlift.polygons import coco, geojson, merge_coco

INFO = ModelInfo(("background", "cell", "nucleus"), ((0, 0, 0), (255, 128, 0), (0, 1, 255)))
UTM = Carried(transform=(0.5, 0.0, 400_000.0, 0.0, -0.5, 5_500_000.0), crs=32633)

PICTURES = array_shapes(min_dims=2, max_dims=2, max_side=9).flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 2)))

often = settings(max_examples=200, deadline=None, derandomize=True)

RING = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]], np.uint8)
PINCHED = {
    "two pixels at a corner": [[1, 0], [0, 1]],
    "and the other way": [[0, 1], [1, 0]],
    "a hole that opens at a corner": [[1, 1, 1], [1, 0, 1], [1, 1, 0]],
    "two holes that meet": [[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]],
    "two holes that meet the other way": [[1, 1, 1, 1], [1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 1]],
    "a ring of diagonals": [[0, 1, 0], [1, 0, 1], [0, 1, 0]],
    "a chess board": np.indices((6, 7)).sum(0) % 2,
    "a ring about a point": [[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]],
    "two classes in one another": [[1, 2, 1], [2, 1, 2], [1, 2, 1]],
}


def numbered(labels: np.ndarray) -> np.ndarray:
    """What scikit-image says the objects are."""
    return skimage.measure.label(labels, background=0, connectivity=2)


def filled(collection: dict, shape: tuple[int, int], transform: Affine | None = None) -> np.ndarray:
    """What GDAL makes of a FeatureCollection: the features' ids."""
    shapes = [(feature["geometry"], feature["properties"]["id"]) for feature in collection["features"]]
    how = {"out_shape": shape, "dtype": "int32", "transform": transform or Affine.identity()}
    return rasterio.features.rasterize(shapes, **how) if shapes else np.zeros(shape, np.int32)


def polygons(geometry: dict) -> list:
    return geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]


def area(ring: list) -> float:
    """Of a closed ring; positive where it runs anticlockwise."""
    x, y = (np.array(ring) - ring[0]).T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) / 2


def check_rings(geometry: dict) -> float:
    """RFC 7946, and rings that never come back to a point. Returns the area."""
    total = 0.0
    for polygon in polygons(geometry):
        for number, ring in enumerate(polygon):
            assert ring[0] == ring[-1] and len(ring) >= 5
            assert len({tuple(point) for point in ring}) == len(ring) - 1
            assert (area(ring) > 0) == (number == 0)
            total += area(ring)
    return total


@often
@given(labels=PICTURES)
def test_filled_again_it_is_the_mask(labels):
    collection = geojson(labels, INFO)
    np.testing.assert_array_equal(filled(collection, labels.shape), numbered(labels))
    for feature in collection["features"]:
        assert check_rings(feature["geometry"]) == feature["properties"]["area"]


@pytest.mark.parametrize("labels", PINCHED.values(), ids=PINCHED)
def test_pixels_that_meet_at_corners(labels):
    labels = np.array(labels, np.uint8)
    collection = geojson(labels, INFO)
    np.testing.assert_array_equal(filled(collection, labels.shape), numbered(labels))
    assert sum(check_rings(feature["geometry"]) for feature in collection["features"]) == (labels > 0).sum()


@often
@given(labels=PICTURES)
def test_parts_are_those_of_gdal(labels):
    of_gdal = [shape for shape, value in rasterio.features.shapes(labels, connectivity=4) if value]
    parts = [part for each in outlines(labels, INFO.class_names) for part in each.parts]
    assert len(parts) == len(of_gdal)
    corners = sorted(sum(area(ring) for ring in shape["coordinates"]) for shape in of_gdal)
    assert sorted(-sum(area([*ring.tolist(), ring[0].tolist()]) for ring in part) for part in parts) == corners  # which runs the other way


def test_a_ring_by_hand():
    (found,) = geojson(RING, INFO)["features"]
    assert found == {
        "type": "Feature",
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[0, 0], [4, 0], [4, 3], [0, 3], [0, 0]], [[1, 1], [1, 2], [3, 2], [3, 1], [1, 1]]],
        },
        "properties": {"id": 1, "class": 1, "name": "cell", "colour": "#ff8000", "area": 10},
    }


def test_an_object_of_two_corners_is_two_polygons():
    (found,) = geojson(np.array([[1, 0], [0, 1]], np.uint8), INFO)["features"]
    assert found["geometry"]["type"] == "MultiPolygon" and len(found["geometry"]["coordinates"]) == 2


def test_a_large_mask_is_filled_again():
    """Thousands of objects in classes that touch; the time is that of the test suite."""
    rng = np.random.default_rng(0)
    rough = rng.random((120, 120))
    labels = np.digitize(np.kron(rough, np.ones((8, 8))) + 0.3 * rng.random((960, 960)), [0.7, 1.0]).astype(np.uint8)
    collection = geojson(labels, INFO)
    assert len(collection["features"]) > 3000
    np.testing.assert_array_equal(filled(collection, labels.shape), numbered(labels))


@pytest.mark.parametrize(
    "carried",
    [
        UTM,
        Carried(transform=(0.4, 0.3, 400_000.0, 0.3, -0.4, 5_500_000.0), crs=32633),  # turned
        Carried(transform=(2.0, 0.0, 400_000.0, 0.0, 2.0, 5_500_000.0), crs=32633),  # south up
        Carried(transform=(1e-5, 0.0, 13.0, 0.0, -1e-5, 52.0), crs=4326),
        Carried(transform=(30.0, 0.0, -1.3e7, 0.0, -30.0, 4e6), crs=3857),
    ],
)
def test_on_earth(carried):
    rng = np.random.default_rng(1)
    labels = np.kron(rng.integers(0, 3, (4, 3)), np.ones((150, 130))).astype(np.uint8)
    labels[rng.random(labels.shape) < 1e-3] = 0
    collection = geojson(labels, INFO, carried)
    a, b, c, d, e, f = (~Affine(*carried.transform))[:6]
    for feature in collection["features"]:
        check_rings(feature["geometry"])
        for polygon in polygons(feature["geometry"]):
            for number, ring in enumerate(polygon):
                xs, ys = rasterio.warp.transform("EPSG:4326", f"EPSG:{carried.crs}", *zip(*ring, strict=True))
                polygon[number] = [(a * x + b * y + c, d * x + e * y + f) for x, y in zip(xs, ys, strict=True)]
    np.testing.assert_array_equal(filled(collection, labels.shape), numbered(labels))


def test_long_sides_bend_with_the_map():
    """One object, a square of 100 km: its northern side bulges by hundreds of metres in longitude and latitude."""
    (found,) = geojson(np.ones((1000, 1000), np.uint8), INFO, Carried(transform=(100.0, 0, 6e5, 0, -100.0, 7e6), crs=32633))["features"]
    (ring,) = found["geometry"]["coordinates"]
    between = (np.array(ring)[:-1] + ring[1:]) / 2
    x, y = map(np.array, rasterio.warp.transform("EPSG:4326", "EPSG:32633", *between.T))
    away = np.minimum.reduce([abs(x - 6e5), abs(x - 7e5), abs(y - 7e6), abs(y - 6.9e6)])
    assert len(ring) == 4 * 16 + 1 and away.max() < 5  # metres, of pixels of 100


def test_across_the_antimeridian():
    carried = Carried(transform=(10.0, 0.0, 815_000.0, 0.0, -10.0, 8_000_000.0), crs=32760)
    labels = np.zeros((300, 500), np.uint8)
    labels[10:290, 10:490] = 1
    labels[100:110, 20:480] = 0
    (found,) = geojson(labels, INFO, carried)["features"]
    assert found["geometry"]["type"] == "MultiPolygon"
    for polygon in polygons(found["geometry"]):
        longitudes = np.array(polygon[0])[:, 0]
        assert (np.abs(longitudes) <= 180).all() and np.ptp(longitudes) < 1
        assert area(polygon[0]) > 0


def test_a_picture_without_a_map_is_in_pixels():
    labels = np.ones((2, 3), np.uint8)
    assert geojson(labels, INFO, Carried(transform=UTM.transform)) == geojson(labels, INFO) == geojson(labels, INFO, Carried(crs=32633))


@pytest.mark.parametrize(
    ("transform", "crs", "sentence"),
    [
        ((1.0, 0, 0, 0, 1.0, 0), 1, r"map 1 cannot be taken to longitude and latitude \("),
        ((1e12, 0, 0, 0, 1e12, 0), 3857, r"transform .* leads off every map; give one of finite numbers below 1e10\."),
        ((float("nan"), 0, 0, 0, 1.0, 0), 3857, "leads off every map"),
        ((1.0, 0, 1e9, 0, 1.0, 0), 32633, "cannot be taken to longitude and latitude"),
        ((1.0, 0, 0, 0, 1.0, 89.5), 4326, r"leads to longitude and latitude \[0\.0, 89\.5\]; latitudes go from -90 to 90\."),
    ],
)
def test_what_does_not_lie_on_earth(transform, crs, sentence):
    with pytest.raises(PictureError, match=sentence):
        geojson(np.ones((2, 3), np.uint8), INFO, Carried(transform=transform, crs=crs))


def test_without_rasterio(monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio.warp", None)
    with pytest.raises(UsageError, match=r"Polygons on a map need the package rasterio; run pip install unetlift\[geo\]\."):
        geojson(np.ones((2, 3), np.uint8), INFO, UTM)


# COCO -------------------------------------------------------------------------------------------------------------------------------


def from_counts(counts: list[int], height: int, width: int) -> np.ndarray:
    """Uncompressed run lengths as COCO decodes them: column after column, outside first."""
    flat = np.repeat(np.arange(len(counts)) % 2, counts)
    return flat.reshape(width, height).T.astype(bool)


def from_polygon(points: list[float], height: int, width: int) -> np.ndarray:
    """A polygon as COCO's own program fills it (rleFrPoly of its maskApi.c, line by line)."""
    scale = 5.0
    xs, ys = ([int(scale * value + 0.5) for value in points[axis::2]] for axis in (0, 1))
    along = []
    for x, y, x_end, y_end in zip(xs, ys, xs[1:] + xs[:1], ys[1:] + ys[:1], strict=True):
        dx, dy = abs(x_end - x), abs(y_end - y)
        if dx >= dy:
            step, slope = (1 if x_end >= x else -1), (y_end - y) / max(dx, 1)
            along += [(x + step * d, int(y + slope * d + 0.5)) for d in range(dx + 1)]
        else:
            step, slope = (1 if y_end >= y else -1), (x_end - x) / dy
            along += [(int(x + slope * d + 0.5), y + step * d) for d in range(dy + 1)]
    flips = []
    for (u_before, v_before), (u, v) in pairwise(along):
        if u == u_before:
            continue
        x = ((min(u, u_before) if u < u_before else u - 1) + 0.5) / scale - 0.5
        if x != int(x) or not 0 <= x <= width - 1:
            continue
        y = min(max((min(v, v_before) + 0.5) / scale - 0.5, 0), height)
        flips.append(int(x) * height + int(np.ceil(y)))
    return from_counts(np.diff(sorted([*flips, height * width]), prepend=0).tolist(), height, width)


def decoded(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    if isinstance(segmentation, dict):
        assert segmentation["size"] == [height, width]
        return from_counts(segmentation["counts"], height, width)
    return np.any([from_polygon(points, height, width) for points in segmentation], axis=0)


@often
@given(labels=PICTURES)
def test_coco_decodes_to_the_objects(labels):
    said, objects = coco(labels, INFO, "a.png"), numbered(labels)
    assert said["images"] == [{"id": 1, "file_name": "a.png", "height": labels.shape[0], "width": labels.shape[1]}]
    assert [each["id"] for each in said["annotations"]] == list(range(1, objects.max() + 1))
    for each in said["annotations"]:
        mask = objects == each["id"]
        np.testing.assert_array_equal(decoded(each["segmentation"], *labels.shape), mask)
        left, top, width, height = each["bbox"]
        assert mask[top : top + height, left : left + width].sum() == mask.sum() == each["area"]
        assert (labels[mask] == each["category_id"]).all() and (each["image_id"], each["iscrowd"]) == (1, 0)
        counts = each["segmentation"]["counts"] if isinstance(each["segmentation"], dict) else [0, 1]
        assert all(counts[1:]), "no run but the first is empty"


def test_coco_of_a_ring_by_hand():
    said = coco(np.pad(RING, ((0, 0), (1, 0))), INFO, "a.png")
    assert said["annotations"][0]["segmentation"] == {"counts": [3, 4, 1, 2, 1, 4], "size": [3, 5]}
    assert said["categories"] == [{"id": 1, "name": "cell"}, {"id": 2, "name": "nucleus"}]
    assert json.loads(json.dumps(said)) == said


def test_what_is_to_be_ignored_has_no_outline():
    labels = np.array([[255, 1], [255, 255]], np.uint8)
    assert len(geojson(labels, INFO, ignore=255)["features"]) == len(coco(labels, INFO, "a", ignore=255)["annotations"]) == 1
    with pytest.raises(UsageError, match="A label is 255; the classes go from 0 to 2"):
        geojson(labels, INFO)


@pytest.mark.parametrize("empty", [np.zeros((0, 5), np.uint8), np.zeros((5, 0), np.uint8), np.zeros((5, 5), np.uint8)])
def test_nothing_has_no_outlines(empty):
    assert geojson(empty, INFO)["features"] == geojson(empty, INFO, UTM)["features"] == coco(empty, INFO, "a")["annotations"] == []


def test_parts_are_merged_in_any_order_and_any_grouping():
    rng = np.random.default_rng(0)
    parts = [coco(rng.integers(0, 3, (5, 6)), INFO, name) for name in ("b/x.png", "a.png", "c.png", "b.png")]
    whole = merge_coco(parts)
    assert merge_coco(parts[::-1]) == merge_coco([merge_coco(parts[2:]), merge_coco(parts[:2])]) == merge_coco(iter(parts)) == whole
    assert [image["file_name"] for image in whole["images"]] == ["a.png", "b.png", "b/x.png", "c.png"]
    assert [image["id"] for image in whole["images"]] == [1, 2, 3, 4]
    assert [each["id"] for each in whole["annotations"]] == list(range(1, sum(len(part["annotations"]) for part in parts) + 1))
    of_first = [each | {"id": 0} for each in parts[1]["annotations"]]
    assert [each | {"id": 0} for each in whole["annotations"] if each["image_id"] == 1] == of_first
    assert merge_coco([]) == {"images": [], "annotations": [], "categories": []}


def test_parts_that_contradict_each_other_are_refused():
    part = coco(RING, INFO, "a.png")
    with pytest.raises(UsageError, match=r"COCO has the picture a\.png twice; each may be there once\."):
        merge_coco([part, part])
    other = coco(RING, ModelInfo(("sky", "road"), ((0, 0, 0), (1, 1, 1))), "b.png")
    with pytest.raises(UsageError, match="does not go with"):
        merge_coco([part, other])
