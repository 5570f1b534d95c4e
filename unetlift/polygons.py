"""What a label picture's objects are to others: GeoJSON (RFC 7946) with their outlines, and COCO."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetlift.errors import PictureError, UsageError
from unetlift.images import Carried
from unetlift.info import ModelInfo
from unetlift.objects import Numbers, Transform
from unetlift.outlines import Outline, Part, outlines

STEP = 64
"""Pixels between points of a long side that is taken to another map, where a straight side becomes a curve."""

DECIMALS = 9
"""Of degrees: a tenth of a millimetre."""


def geojson(labels: NDArray[np.integer], info: ModelInfo, carried: Carried = Carried(), ignore: int | None = None) -> dict[str, Any]:
    """A FeatureCollection with one feature an object: a Polygon, or a MultiPolygon of its 4-connected parts.

    Args:
        labels: class indices (H, W), 0 for the background.
        info: of the classes.
        carried: where it has a transform and a code of its map, positions are longitude and latitude (WGS84), cut at the
            antimeridian; else pixels from the picture's corner, x to the right and y down.
        ignore: a label that is of no class.

    Raises:
        UsageError: labels are of no class; or positions are to be on Earth, and rasterio is missing.
        PictureError: the map is unknown, or the picture does not lie on Earth.
    """
    found = outlines(labels, info.class_names, ignore)
    if carried.transform is None or carried.crs is None:
        geometries = [_geometry([[_closed(ring).tolist() for ring in part] for part in each.parts]) for each in found]
    else:
        geometries = _on_earth(found, carried.transform, carried.crs)
    features = []
    for each, geometry in zip((outline.object for outline in found), geometries, strict=True):
        colour = "#" + "".join(f"{value:02x}" for value in info.colours[each.class_index])
        properties = {"id": each.id, "class": each.class_index, "name": each.name, "colour": colour, "area": each.area}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def _closed(ring: np.ndarray) -> np.ndarray:
    return np.concatenate([ring, ring[:1]])


def _geometry(polygons: list[list[Any]]) -> dict[str, Any]:
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _on_earth(found: Sequence[Outline], transform: Transform, crs: Any) -> list[dict[str, Any]]:
    """The outlines' geometries in longitude and latitude."""
    try:
        from rasterio._err import CPLE_BaseError  # what GDAL says; rasterio has no public name for it
        from rasterio.errors import RasterioError
        from rasterio.warp import transform_geom
    except ImportError as error:
        raise UsageError("Polygons on a map need the package rasterio; run pip install unetlift[geo].") from error

    maps = [_geometry([[_on_map(ring, transform) for ring in part] for part in each.parts]) for each in found]
    try:
        earth = transform_geom(crs, "EPSG:4326", maps, precision=DECIMALS)
    except (RasterioError, CPLE_BaseError, ValueError) as error:
        raise PictureError(f"The picture's map {crs} cannot be taken to longitude and latitude ({str(error)[:120]}).") from error
    polygons = [each["coordinates"] if each["type"] == "MultiPolygon" else [each["coordinates"]] for each in earth]
    return [_geometry([[_turned(ring, outer=not i) for i, ring in enumerate(rings)] for rings in parts]) for parts in polygons]


def _on_map(ring: Numbers, transform: Transform) -> list[tuple[float, float]]:
    """A closed ring of pixels in the map's units, with points in between on long sides."""
    away = np.roll(ring, -1, axis=0) - ring
    pieces = -(-np.abs(away).max(axis=1) // STEP)
    share = (np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)) / np.repeat(pieces, pieces)
    column, row = (np.repeat(ring, pieces, axis=0) + share[:, None] * np.repeat(away, pieces, axis=0)).T
    a, b, c, d, e, f = transform
    points = _closed(np.stack([a * column + b * row + c, d * column + e * row + f], axis=1))
    if not np.abs(points).max() < 1e10:  # no map of the Earth is so large, and GDAL would turn about it for ever
        raise PictureError(f"The picture's transform {tuple(transform)} leads off every map; give one of finite numbers below 1e10.")
    return list(map(tuple, points.tolist()))


def _turned(ring: Sequence[tuple[float, ...]], outer: bool) -> list[list[float]]:
    """A closed ring of longitudes and latitudes, an outer one anticlockwise and a hole clockwise."""
    points = np.array(ring)[:, :2]
    if not (np.abs(points) <= (540, 90)).all():
        raise PictureError(f"The picture's map leads to longitude and latitude {points[0].tolist()}; latitudes go from -90 to 90.")
    x, y = (points - points[0]).T
    anticlockwise = (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0
    return points[:: 1 if anticlockwise == outer else -1].tolist()


def coco(labels: NDArray[np.integer], info: ModelInfo, file_name: str, ignore: int | None = None) -> dict[str, list[dict[str, Any]]]:
    """One picture's objects as COCO has them; polygons, or for objects with holes, which those lack, column-major run lengths.

    Args:
        labels: class indices (H, W), 0 for the background.
        info: of the classes; a category's id is its class index.
        file_name: of the picture, as the reader of the data set will find it.
        ignore: a label that is of no class.

    Raises:
        UsageError: labels are of no class.
    """
    height, width = labels.shape
    annotations = []
    for outline in outlines(labels, info.class_names, ignore):
        each = outline.object
        shape = {"segmentation": _segmentation(outline, height, width), "area": each.area}
        box = {"bbox": [each.left, each.top, each.width, each.height], "iscrowd": 0}
        annotations.append({"id": each.id, "image_id": 1, "category_id": each.class_index} | shape | box)
    image = {"id": 1, "file_name": file_name, "height": height, "width": width}
    categories = [{"id": index, "name": name} for index, name in enumerate(info.class_names) if index]
    return {"images": [image], "annotations": annotations, "categories": categories}


def _segmentation(outline: Outline, height: int, width: int) -> list[list[int]] | dict[str, list[int]]:
    if all(len(part) == 1 for part in outline.parts):
        return [part[0].ravel().tolist() for part in outline.parts]
    return {"counts": _run_lengths(list(chain.from_iterable(outline.parts)), height, width), "size": [height, width]}


def _run_lengths(rings: Part, height: int, width: int) -> list[int]:
    """Pixels outside, inside, outside, ... down one column after the other: both change where a ring's horizontal side is crossed."""
    flips = []
    for ring in rings:
        (left, right), y = np.sort([ring[:, 0], np.roll(ring[:, 0], -1)], axis=0), ring[:, 1]
        length = right - left
        column = np.repeat(left - np.cumsum(length) + length, length) + np.arange(length.sum())
        flips.append(column * height + np.repeat(y, length))
    where, times = np.unique(np.concatenate(flips), return_counts=True)
    where = where[times % 2 == 1]  # the foot of a column is the head of the next
    if where[-1] < height * width:
        where = np.append(where, height * width)
    return np.diff(where, prepend=0).tolist()


def merge_coco(parts: Iterable[dict[str, list[dict[str, Any]]]]) -> dict[str, list[dict[str, Any]]]:
    """Many pictures' COCO as one: pictures by name, whatever the order they come in, and both they and their objects numbered anew.

    Raises:
        UsageError: two parts have a picture of the same name, or different categories.
    """
    merged: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": []}
    found = []
    for number, part in enumerate(parts):
        if number and part["categories"] != merged["categories"]:
            raise UsageError(f"COCO with the categories {part['categories']} does not go with {merged['categories']}.")
        merged["categories"] = part["categories"]
        of_image = defaultdict(list)
        for each in part["annotations"]:
            of_image[each["image_id"]].append(each)
        found += [(image["file_name"], image, of_image[image["id"]]) for image in part["images"]]
    found.sort(key=lambda each: each[0])
    for (name, *_), (again, *_) in pairwise(found):
        if name == again:
            raise UsageError(f"COCO has the picture {name} twice; each may be there once.")
    for number, (_, image, annotations) in enumerate(found, start=1):
        merged["images"].append(image | {"id": number})
        first = len(merged["annotations"]) + 1
        merged["annotations"] += [each | {"id": first + place, "image_id": number} for place, each in enumerate(annotations)]
    return merged
