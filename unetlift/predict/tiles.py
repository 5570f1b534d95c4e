"""Asks a network about a picture of any size, tile by tile, and hands its answer back from top to bottom."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unetlift.anchor import Anchored, Anchoring
from unetlift.anchor.place import BORDERS, lead, trail
from unetlift.pools.told import rules_of
from unetlift.predict.once import Where, decide_phases
from unetlift.predict.source import Source, beyond, missing
from unetlift.shifts import Fraction, by_fraction
from unetlift.tiling import Cut, Piece, pieces, ramp
from unetlift.types import Map

if TYPE_CHECKING:
    from unetlift.images import Page
    from unetlift.predict.predictor import Predictor

Function = Callable[[Map], Map]
Submit = Callable[[Function, Map], Future]
"""Hands a function and its (1, C, h, w) input to whoever runs networks."""

Values = NDArray[np.float32]
"""(K, h, w) probabilities or brightnesses."""

Keep = Callable[[Values], dict[str, NDArray]]
"""What is kept of them: any number of (h, w, k) arrays by name."""

AHEAD = 4
"""Tiles that are handed over before the first one's answer is wanted."""
BLOCK = 2**26
"""Bytes of prepared pixels that are read at once, so that a file laid out in rows is not decoded anew for every tile."""


def at_once(function: Function, x: Map) -> Future:
    """Runs the function here and now."""
    future: Future = Future()
    try:
        future.set_result(function(x))
    except Exception as error:  # it is the caller's, who asks for the result
        future.set_exception(error)
    return future


class Grid:
    """Where the tiles of a picture lie, on the grid that its anchor asks for.

    Args:
        height: of the picture.
        width: of the picture.
        cut: the tiles' sizes.
        stride: of the network.
        anchor: its row and column in the picture, or None.
        ask: how pictures are placed about their anchors.
        wraps: whether the network takes a picture for a torus: tiles do too, filled up to where the stride divides it.
    """

    def __init__(self, height: int, width: int, cut: Cut, stride: int, anchor: tuple[int, int] | None, ask: Anchored, wraps: bool):
        self.size, self.before, self.border = (height, width), (0, 0), "replicate"
        if anchor:
            self.before, self.border = tuple(lead(at, ask.stride, ask.placing) for at in anchor), BORDERS[ask.placing]
            lengths = [size + before for size, before in zip(self.size, self.before, strict=True)]
            filled = [length + trail(length, ask.multiple or ask.stride, ask.placing) for length in lengths]
        else:
            filled = [_filled(size, stride) if wraps and size > cut.side else size for size in self.size]
        self.placed = tuple(filled)
        self.wraps = tuple(wraps and length % stride == 0 for length in self.placed)
        self.rows, self.columns = (pieces(length, cut, stride, wrap) for length, wrap in zip(self.placed, self.wraps, strict=True))

    def index(self, axis: int, first: int, last: int) -> NDArray[np.int64]:
        """Which rows (axis 0) or columns of the picture lie from one place of the grid up to another."""
        places = np.arange(first, last)
        if self.wraps[axis]:
            places %= self.placed[axis]
        return beyond(places - self.before[axis], self.size[axis], self.border)

    def within(self, axis: int, piece: Piece) -> Piece:
        """A tile's extent, where the picture alone counts."""
        return piece.within(self.before[axis], self.before[axis] + self.size[axis])


def _filled(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


class Planned(ABC):
    """A picture that is about to be asked about.

    Attributes:
        anchoring: what it is anchored to, or why it is not.
        tiles: how many parts it is asked about in.
        side: the longest of a part, in pixels.
        notes: what is to be known of the answer, a sentence each.
    """

    def __init__(self, page: "Page", anchoring: Anchoring, tiles: int, side: int, notes: tuple[str, ...]):
        self._page, self.anchoring, self.tiles, self.side, self.notes = page, anchoring, tiles, side, notes

    @abstractmethod
    def bands(self, keep: Keep, submit: Submit = at_once) -> Iterator[dict[str, NDArray]]:
        """What is kept of the answer, from top to bottom: (rows, W, k) arrays over the picture's full width.

        Args:
            keep: called with (K, h, w) parts of the answer, of which no two overlap.
            submit: runs the network; some tiles are handed to it before the first one's answer is taken.

        Raises:
            PictureError: a part of the picture cannot be read, or holds values that are not finite.
        """

    def nodata(self, top: int, rows: int) -> NDArray[np.bool_] | None:
        """Where so many rows from `top` on hold nothing, (rows, W), by reading them again; None where the file names no such value."""
        if self._page.carried.nodata is None:
            return None
        return missing(self._page.read(top, 0, rows, self._page.width), self._page.carried.nodata)


class Tiled(Planned):
    """A picture that is asked about in tiles, of which a few are in memory.

    Args:
        page: the picture.
        ask: the predictor, anchored or not.
        anchoring: what the picture is anchored to.
        source: its pixels.
        grid: where the tiles lie.
        blend: how they join.
        notes: what is to be known of the answer.
    """

    def __init__(self, page: "Page", ask: Anchored, anchoring: Anchoring, source: Source, grid: Grid, blend: str, notes: tuple[str, ...]):
        side = max(piece.last - piece.first for piece in (*grid.rows, *grid.columns))
        super().__init__(page, anchoring, len(grid.rows) * len(grid.columns), side, notes)
        self._predictor: Predictor = ask.function
        self._source, self._grid, self._blend = source, grid, blend
        self._back = Fraction(*ask.fraction(anchoring.anchor))

    def bands(self, keep: Keep, submit: Submit = at_once) -> Iterator[dict[str, NDArray]]:
        """See `Planned`; a band is a row of tiles."""
        decided = self._decided(submit)
        above: dict[int, Values] = {}
        for row, answers in groupby(self._ask(decided, submit), lambda answer: answer[0][0]):
            band: dict[str, NDArray] = {}
            for part, left in self._beside(row, answers):
                part = self._join(part, row.before, above.get(left), 1)
                end = part.shape[1] - row.after
                above[left] = part[:, end:].copy() if row.after else part[:, end:]
                for name, kept in keep(part[:, :end]).items():
                    if name not in band:
                        band[name] = np.empty((end, self._page.width, kept.shape[2]), kept.dtype)
                    band[name][:, left : left + kept.shape[1]] = kept
            yield band

    @property
    def seams(self) -> tuple[list[int], list[int]]:
        """The rows and the columns of the picture where a tile's own part begins behind another's."""
        grid = self._grid
        return tuple([piece.own[0] - grid.before[axis] for piece in parts[1:]] for axis, parts in enumerate((grid.rows, grid.columns)))

    def _beside(self, row: Piece, answers: Iterator[tuple[Where, Map]]) -> Iterator[tuple[Values, int]]:
        """A row of tiles' answers where they count, each joined with the one to its left, and the column where it begins."""
        tail = None
        for (_, column), answer in answers:
            part = self._join(self._counted(answer, row, column), column.before, tail, 2)
            end = part.shape[2] - column.after
            tail = part[:, :, end:]
            yield part[:, :, :end], self._grid.within(1, column).start - self._grid.before[1]

    def _counted(self, answer: Map, row: Piece, column: Piece) -> Values:
        """The part of a tile's answer that counts, moved back by parts of a pixel."""
        grid, firsts = self._grid, []
        for axis, piece in enumerate((row, column)):
            firsts.append(max(piece.first, grid.before[axis]))
            last = min(piece.last, grid.before[axis] + grid.size[axis])
            answer = answer.narrow(axis + 2, firsts[axis] - piece.first, last - firsts[axis])
        if any(self._back):  # only now: the frame's own border is mirrored, as it is for the whole picture
            answer = by_fraction(answer, self._back, "reflect")
        for axis, piece in enumerate((row, column)):
            kept = grid.within(axis, piece)
            answer = answer.narrow(axis + 2, kept.start - firsts[axis], kept.stop - kept.start)
        return np.ascontiguousarray(answer[0].cpu().numpy())

    def _join(self, part: Values, length: int, tail: Values | None, axis: int) -> Values:
        """Passes over from the tile before to this one, over so many rows (axis 1) or columns (axis 2)."""
        if not length:
            return part
        weights = ramp(length, self._blend).reshape(-1, *[1] * (2 - axis))
        head = part[(slice(None),) * axis + (slice(0, length),)]
        head *= weights
        head += tail * (1 - weights)
        return part

    def _ask(self, function: Function, submit: Submit) -> Iterator[tuple[Where, Map]]:
        """The function's answers to every tile, row by row."""
        waiting: deque[tuple[Where, Future]] = deque()
        for where, x in self._tiles():
            waiting.append((where, submit(function, x.to(self._predictor.device))))
            if len(waiting) > AHEAD:
                where, future = waiting.popleft()
                yield where, future.result()
        while waiting:
            where, future = waiting.popleft()
            yield where, future.result()

    def _tiles(self) -> Iterator[tuple[Where, Map]]:
        """Every tile's input; as many neighbours as `BLOCK` holds are read at once."""
        grid, channels = self._grid, self._predictor.channels
        together = max(1, BLOCK // (4 * channels * self.side**2))
        for row in grid.rows:
            rows = grid.index(0, row.first, row.last)
            for number in range(0, len(grid.columns), together):
                group = grid.columns[number : number + together]
                block = self._source.gather(rows, grid.index(1, group[0].first, group[-1].last))
                for column in group:
                    yield (row, column), block[..., column.first - group[0].first : column.last - group[0].first]

    def _decided(self, submit: Submit) -> Function:
        """The predictor, with the phases of this picture; where none are to be decided itself, so that files share batches."""
        predictor = self._predictor
        if not rules_of(predictor.model):
            return predictor
        network = decide_phases(predictor.model, self._grid.size, predictor.run, lambda function: self._ask(function, submit))
        return predictor.with_network(network)


class Whole(Planned):
    """A picture that is asked about at once; it is in memory from the beginning on."""

    def __init__(self, page: "Page", ask: Anchored, x: Map):
        super().__init__(page, ask.find(x[0]), 1, max(page.height, page.width), ())
        self._function = ask.function
        self._placed, self._placement = ask.place(x, self.anchoring.anchor)

    def bands(self, keep: Keep, submit: Submit = at_once) -> Iterator[dict[str, NDArray]]:
        """See `Planned`; there is one band."""
        answer = submit(self._function, self._placed).result()
        answer = answer if self._placement is None else self._placement.restore(answer)
        yield keep(np.ascontiguousarray(answer[0].cpu().numpy()))
