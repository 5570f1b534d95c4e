"""What is written of each picture: masks or pictures, and beside them probabilities, overlays, outlines, tables of objects."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetlift import images
from unetlift.batch import sinks
from unetlift.batch.sinks import Band, Sink
from unetlift.errors import PictureError, UsageError
from unetlift.images import Page
from unetlift.info import ModelInfo
from unetlift.objects import Objects
from unetlift.polygons import coco, geojson
from unetlift.predict.tiles import Planned, Submit

LARGE = 2**26
"""Pixels from which on answers are tiled TIFFs, written as they come: a PNG would have to be held whole."""

Stage = Callable[[Path], Path]
"""Gives the answer of a relative path a place to be written to until all of its picture's answers are there."""

Name = Callable[[str], Path]
"""The relative path of an answer with an ending."""

Places = Callable[[Page, dict[str, Band]], Iterator[tuple[str, Sink]]]
"""Each kind of answer to a picture with where it goes."""


@dataclass(frozen=True)
class Wanted:
    """What is to be written of each picture.

    Attributes:
        info: of the network.
        overlay: the picture tinted by class.
        probabilities: none, tiff or npz.
        polygons: none, geojson, coco or both.
        objects: a table of the connected components.
    """

    info: ModelInfo
    overlay: bool = False
    probabilities: str = "none"
    polygons: str = "none"
    objects: bool = False

    def check(self) -> None:
        """Raises UsageError where a network that answers with pictures is asked for what only labels have."""
        if self.info.answers == "pictures" and (self.overlay or self.describes):
            what = "overlay, probabilities, polygons and objects"
            raise UsageError(f"The network answers with pictures ({self.info.task}), which have no {what}; leave these out.")

    @property
    def describes(self) -> bool:
        """Whether more is wanted than masks and overlays, or pictures."""
        return self.objects or self.probabilities != "none" or self.polygons != "none"

    @property
    def nodata(self) -> int:
        """The label of pixels that hold no data."""
        if self.info.ignore_index is not None:
            return self.info.ignore_index
        return 255 if len(self.info.class_names) <= 255 else 65535

    @property
    def label_type(self) -> type:
        """Of the masks."""
        return np.uint8 if max(len(self.info.class_names) - 1, self.nodata) <= 255 else np.uint16

    def keep(self, dtype: Any) -> Callable[[NDArray[np.float32]], dict[str, Band]]:
        """What is kept of the (K, h, w) answer to a tile of a picture in a depth, as (h, w, k)."""
        if self.info.answers == "pictures":
            return lambda values: {"picture": images.from_float(np.ascontiguousarray(values.transpose(1, 2, 0)), dtype)}

        def labels(values: NDArray[np.float32]) -> dict[str, Band]:
            kept = {"labels": values.argmax(0)[..., None].astype(self.label_type)}
            return kept | ({"probabilities": values.transpose(1, 2, 0).astype(np.float16)} if self.probabilities != "none" else {})

        return labels


def write_page(page: Page, planned: Planned, submit: Submit, wanted: Wanted, places: Places) -> None:
    """Writes the answers to one picture band by band.

    Args:
        page: the picture.
        planned: how it is asked about.
        submit: runs the network.
        wanted: what is to be written.
        places: opens a sink for each kind of answer, once the first band tells what they are.
    """
    open_sinks: list[tuple[str, Sink]] = []
    top = 0
    try:
        for band in planned.bands(wanted.keep(page.dtype), submit):
            rows = next(iter(band.values())).shape[0]
            band = _completed(page, planned, band, top, rows, wanted)
            for opened in places(page, band) if top == 0 else ():
                open_sinks.append(opened)
            for kind, sink in open_sinks:
                sink.add(band[kind])
            top += rows
        for _, sink in open_sinks:
            sink.finish()
    except BaseException:
        for _, sink in open_sinks:
            sink.abandon()
        raise


def _completed(page: Page, planned: Planned, band: dict[str, Band], top: int, rows: int, wanted: Wanted) -> dict[str, Band]:
    """The band with the overlay, where there is to be one, and with pixels that hold no data marked."""
    labels, empty = band.get("labels"), planned.nodata(top, rows)
    overlay = {}
    if wanted.overlay and labels is not None:
        overlay["overlay"] = images.overlay(page.read(top, 0, rows, page.width), labels[..., 0], wanted.info.colours)
    if empty is not None:
        marks = {"labels": wanted.nodata, "picture": page.carried.nodata, "probabilities": np.nan}
        band = {kind: np.where(empty[..., None], np.asarray(marks[kind]).astype(values.dtype), values) for kind, values in band.items()}
    return band | overlay


@dataclass(frozen=True)
class Files:
    """Places of one picture's answers in files of their own.

    Attributes:
        wanted: what is to be written.
        name: of its answers.
        stage: where they are written.
    """

    wanted: Wanted
    name: Name
    stage: Stage

    def __call__(self, page: Page, band: dict[str, Band]) -> Iterator[tuple[str, Sink]]:
        """See `Places`."""
        large, georeferenced = page.height * page.width > LARGE, page.carried.transform is not None
        if "picture" in band:
            png = images.fits_png(band["picture"]) and not (large or georeferenced)
            path = self._to("pictures", ".png" if png else ".tif")
            yield "picture", sinks.picture_png(path) if png else self._tiff(path, page, band["picture"], nodata=page.carried.nodata)
            return
        as_tiff, small = large or georeferenced, self.wanted.label_type is np.uint8
        empty = {} if page.carried.nodata is None else {"nodata": self.wanted.nodata}
        if as_tiff or not small:
            palette = {"colours": self.wanted.info.colours} if small else {}
            yield "labels", self._tiff(self._to("masks", ".tif"), page, band["labels"], **empty, **palette)
        else:
            yield "labels", sinks.label_png(self._to("masks", ".png"), self.wanted.info.colours)
        if self.wanted.overlay:
            path = self._to("overlays", ".tif" if as_tiff else ".png")
            yield "overlay", self._tiff(path, page, band["overlay"]) if as_tiff else sinks.picture_png(path)
        if self.wanted.probabilities == "tiff":
            yield "probabilities", self._tiff(self._to("probabilities", ".tif"), page, band["probabilities"])
        if (large and self.wanted.probabilities == "npz") or (large and self.wanted.polygons != "none"):
            raise PictureError(f"{page.width} x {page.height} pixels are too many for npz files and outlines; up to {LARGE} can have them.")
        if self.wanted.probabilities == "npz":
            yield "probabilities", sinks.npz(self._to("probabilities", ".npz"))
        yield from self._descriptions(page)

    def _to(self, folder: str, suffix: str) -> Path:
        return self.stage(Path(folder) / self.name(suffix))

    def _tiff(self, path: Path, page: Page, band: Band, **how: Any) -> Sink:
        return sinks.tiff(path, (page.height, page.width, band.shape[2]), band.dtype, page.carried, **how)

    def _descriptions(self, page: Page) -> Iterator[tuple[str, Sink]]:
        """What is said of the labels in words and figures."""
        info, carried = self.wanted.info, page.carried
        empty = None if carried.nodata is None else self.wanted.nodata
        if self.wanted.objects:
            yield "labels", sinks.Table(self._to("objects", ".csv"), Objects(info.class_names, carried.transform, empty))
        if self.wanted.polygons in ("geojson", "both"):
            yield "labels", sinks.as_json(self._to("polygons", ".geojson"), lambda labels: geojson(labels, info, carried, empty))
        if self.wanted.polygons in ("coco", "both"):
            yield "labels", sinks.as_json(self._to("coco", ".json"), lambda labels: coco(labels, info, self.name("").as_posix(), empty))


class Clips:
    """Places of a video's answers in videos of their own; use it as a context manager.

    Args:
        wanted: what is to be written; masks, overlays and pictures can be.
        name: of its answers.
        stage: where they are written.
        rate: frames per second.
    """

    def __init__(self, wanted: Wanted, name: Name, stage: Stage, rate: Fraction):
        self.wanted, self.name, self.stage, self.rate = wanted, name, stage, rate
        self._open = ExitStack()
        self._writers: dict[str, Any] = {}

    def __enter__(self) -> "Clips":
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._open.__exit__(*error)

    def __call__(self, page: Page, band: dict[str, Band]) -> Iterator[tuple[str, Sink]]:
        """See `Places`."""
        for kind, (folder, stored) in CLIPS.items():
            if kind not in band:
                continue
            if kind not in self._writers:
                path = self.stage(Path(folder) / self.name(images.VIDEO_KINDS[stored].suffix))
                writer = images.VideoWriter(path, page.height, page.width, self.rate, stored)
                self._writers[kind] = self._open.enter_context(writer)
            yield kind, sinks.Frames(self._writers[kind], page.time)


CLIPS = {"labels": ("masks", "labels"), "overlay": ("overlays", "pictures"), "picture": ("pictures", "pictures")}
"""Of each kind of a video's answers the folder, and how videos of it are stored."""
