"""Grid anchoring: any network's sampling grid tied to the scene instead of the frame's corner, from outside."""

from unetlift.anchor.landmark import Landmark, landmark
from unetlift.anchor.place import PLACINGS, Frame, Placement, align
from unetlift.anchor.track import Event, Tracker
from unetlift.anchor.wrap import MODES, TILED, Anchored, Anchoring

__all__ = [
    "MODES",
    "PLACINGS",
    "TILED",
    "Anchored",
    "Anchoring",
    "Event",
    "Frame",
    "Landmark",
    "Placement",
    "Tracker",
    "align",
    "landmark",
]
