"""Which networks benchmarks/moving.py asks, in which ways, and in what order."""

from dataclasses import dataclass

from moving_anchors import Around
from moving_rules import RULES

SHIPPED = ("blur-3+bilinear", "max+nearest", "lift+lift", "lift+lift@adaptive")
TRAINED = ("blur-3+bilinear-consistency", "blur-3+bilinear-consistency-3")
LEARNED = "blur-3+bilinear@learned"
"""Of benchmarks/gallery.py: measured when they are trained."""
OWN = "the trained rule"
"""The phases that a network was trained to choose."""


@dataclass(frozen=True)
class Way:
    """How a network is asked.

    Attributes:
        anchor: a name in `ANCHORS`.
        around: what is put around a picture.
        rule: a name in `RULES`, which then chooses the phases, or `OWN`; otherwise the network is on its even grid.
    """

    anchor: str = "none"
    around: Around = Around()
    rule: str | None = None

    @property
    def title(self) -> str:
        """For people, and by which it is stored."""
        wide = f", {self.around.wide} px of {self.around.border}" if self.around.wide else ""
        border = f", {self.around.border}" if not self.around.wide and self.around.border != "reflect" else ""
        return f"{self.anchor}{border}{wide}" + (f", phases by {self.rule}" if self.rule else "")


REPLICATE, WIDE = Around("replicate"), Around("replicate", 32)
PLAIN = ("blur-3+bilinear", "lift+lift", "max+nearest")
FIRST = [Way("none", WIDE), Way("landmark", WIDE), Way("vote", WIDE), Way("known motion", WIDE), Way("blend of 3", WIDE)]
THEN = [Way(anchor, REPLICATE) for anchor in ("landmark", "vote", "blend of 2", "blend of 3", "known motion", "middle", "track")]
AROUND = (Around("replicate", 16), Around("replicate", 48), Around("reflect", 32), Around("median", 32))
WIDTHS = [Way("landmark", around) for around in AROUND]
SPINS = [Way("spin by 8"), Way("landmark, spin by 8", WIDE)]
LIKELY = ("high-passed, tapered", "tapered", "largest norm")
TRIED = [
    *(("lift+lift@adaptive", Way(rule=rule)) for rule in dict.fromkeys((*LIKELY, *RULES))),
    *((name, way) for name in (*PLAIN, *TRAINED) for way in (Way(), *FIRST)),
    *((LEARNED, way) for way in (Way(rule=OWN), *FIRST)),
    *(("blur-3+bilinear", Way(rule=rule)) for rule in LIKELY),
    *((name, way) for way in (*THEN, *WIDTHS, *SPINS) for name in PLAIN),
    *((name, way) for name in TRAINED for way in THEN[2:4]),
]
"""In the order in which they are measured."""
FINALISTS = [
    *(("blur-3+bilinear", way) for way in (Way(), FIRST[1], THEN[0], Way("track", WIDE), FIRST[0])),
    *(("lift+lift", way) for way in (FIRST[1], Way(), THEN[0])),
    *(("lift+lift@adaptive", Way(rule=rule)) for rule in (LIKELY[2], LIKELY[0])),
    *(("max+nearest", way) for way in (Way(), FIRST[1], THEN[0])),
    *(("blur-3+bilinear", FIRST[4]), ("lift+lift", Way("track", WIDE))),
    *((name, way) for way in (Way(), FIRST[1]) for name in TRAINED),
    *((LEARNED, way) for way in (Way(rule=OWN), FIRST[1])),
    ("max+nearest", SPINS[0]),
]
BORDERS = [
    *((name, Way("landmark", around)) for around in (Around(), REPLICATE, WIDE, *AROUND) for name in PLAIN[:2]),
    *((name, way) for way in (Way(), FIRST[0]) for name in PLAIN[:2]),
    *((PLAIN[0], Way(anchor, WIDE)) for anchor in ("vote", "track", "blend of 3", "known motion")),
]
"""What is put around a picture is chosen on pictures that it is not judged by."""
