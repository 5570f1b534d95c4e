"""How little a function's output changes, other than by moving, when its input moves; `unetlift.stability(function, images)`."""

import sys
from types import ModuleType

from unetlift.stability.answers import KINDS, Function, Kind, as_values, find_kind
from unetlift.stability.figures import ALL, FIGURES, QUICK, figures_of
from unetlift.stability.frames import CEILING, Comparison, compare, decibels, middle, moved_frame, still_frame, trim
from unetlift.stability.hooks import hooked
from unetlift.stability.layers import LayerDistances, distances
from unetlift.stability.measure import SHIFTED, Conditions, compared, measure
from unetlift.stability.motion import measure_video
from unetlift.stability.records import MODES, Grid, Record, StabilityReport
from unetlift.stability.statistics import Interval, Paired, interval, paired, unlike

__all__ = [
    "ALL", "CEILING", "FIGURES", "KINDS", "MODES", "QUICK", "SHIFTED", "Comparison", "Conditions", "Function", "Grid", "Interval",
    "Kind", "LayerDistances", "Paired", "Record", "StabilityReport", "as_values", "compare", "compared", "decibels", "distances",
    "figures_of", "find_kind", "hooked", "interval", "measure", "measure_video", "middle", "moved_frame", "paired", "still_frame",
    "trim", "unlike",
]  # fmt: skip


class _Face(ModuleType):
    """Lets `unetlift.stability(function, images)` be the function although `unetlift.stability` is this package."""

    def __call__(self, *arguments, **keys) -> StabilityReport:
        return measure(*arguments, **keys)


sys.modules[__name__].__class__ = _Face
