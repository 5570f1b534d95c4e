"""Decides how one picture is asked about: at once or in tiles, where these lie, and what is to be known of the answer."""

from math import ceil
from typing import TYPE_CHECKING

from unetlift.anchor import Anchored, Anchoring
from unetlift.errors import PictureError, UsageError
from unetlift.images import Page
from unetlift.pools.told import rules_of
from unetlift.predict.field import FARTHEST
from unetlift.predict.source import Source
from unetlift.predict.tiles import Grid, Planned, Tiled, Whole
from unetlift.predict.views import Views
from unetlift.shifts import LOBES, Fraction
from unetlift.tiling import Cut, Tiling, choose_cut

if TYPE_CHECKING:
    from unetlift.predict.predictor import Predictor


def plan(page: Page, tiling: Tiling, ask: Anchored, name: object) -> Planned:
    """See `Predictor.plan`; `ask` is what `Predictor.anchored` gave."""
    predictor: Predictor = ask.function
    nodata = page.carried.nodata
    source = Source(page, lambda picture: predictor.normalise(picture, name, nodata))
    try:
        if tiling.is_whole(page.height, page.width):
            return Whole(page, ask, source.window(0, 0, page.height, page.width).to(predictor.device))
        anchoring = _find(page, ask, source)
    except UsageError as error:
        raise PictureError(f"{name}: {error}") from error
    return _tiled(page, tiling, ask, anchoring, source)


def _find(page: Page, ask: Anchored, source: Source) -> Anchoring:
    if ask.mode.startswith("track") and page.windowed:
        raise UsageError("A picture that is read in parts cannot be followed through a sequence; take the anchor landmark.")
    return ask.find_in_strips(lambda top, bottom: source.window(top, 0, bottom - top, page.width)[0], page.height, page.width)


def _tiled(page: Page, tiling: Tiling, ask: Anchored, anchoring: Anchoring, source: Source) -> Tiled:
    predictor: Predictor = ask.function
    config, fraction = predictor.model.config, ask.fraction(anchoring.anchor)
    stride, adaptive = config.stride, bool(rules_of(predictor.model))
    # A phase moves what lies at a tile's border by less than a stride, and what is resampled reaches farther.
    more = stride * (adaptive + (ceil(LOBES / stride) if any(fraction) else 0))
    measured = tiling.overlap is None or tiling.blend != "centre"
    views = predictor.views
    if adaptive and views != Views():
        raise UsageError("Phases of a picture in tiles are decided once, for one view of it; leave out flips, scales and spin.")
    field = ceil(predictor.field().margin / min(views.scales)) + more + views.reach if measured else 0
    cut = choose_cut(tiling, stride, field, ask.around)
    circular = config.padding_mode == "circular"
    anchor = anchoring.anchor[:2] if anchoring.anchor else None
    grid = Grid(page.height, page.width, cut, stride, anchor, ask, circular)
    moved = Source(page, source.prepare, Fraction(-fraction[0], -fraction[1]))
    notes = [*_field_notes(predictor, cut)] if measured else []
    if circular and not anchor and grid.placed != grid.size:
        notes.append(f"The network takes a picture for a torus, and its stride {stride} does not divide it: tiles differ near its border.")
    if config.phase != "fixed" and not adaptive:
        notes.append("Each tile chooses its own phases, which shows at the seams.")
    return Tiled(page, ask, anchoring, moved, grid, tiling.blend, tuple(notes))


def _field_notes(predictor: "Predictor", cut: Cut) -> list[str]:
    field = predictor.field()
    if field.exact is not None:
        return []
    return [
        f"The network sees farther than {FARTHEST} pixels: beyond the margin of {(cut.overlap - cut.ramp) // 2} its tiles' answers "
        f"differed from a whole picture's by up to {field.rest:.2g} on noise."
    ]
