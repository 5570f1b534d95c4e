"""What papers, and this project, claim of pools; held against the gallery's figures, picture by picture."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from gallery_runs import SKIPS, TASKS, Run

Runs = dict[str, dict[str, Any]]
Difference = tuple[float, float, float]
"""The mean over pictures and seeds, and the ends of its 95 % interval."""
DRAWS = 9999
TOLERANCE = {"psnr": 0.1, "miou": 0.005}
"""What counts as equal quality."""


@dataclass(frozen=True)
class Comparison:
    """A figure of one variant less that of another, on the same pictures.

    Attributes:
        task: a name in `TASKS`.
        one: a variant, and `|` and an anchor, where there is any.
        other: likewise.
        figure: quality, roll, crop, subpixel or variation.
        wish: more, less, or kept (no more is lost than `TOLERANCE`).
    """

    task: str
    one: str
    other: str
    figure: str
    wish: str

    def seeds(self, runs: Runs) -> list[int]:
        """Those that both variants were trained with."""
        names = name_of(self.one), name_of(self.other)
        return [seed for seed in range(3) if all(Run(self.task, name, seed).name in runs for name in names)]

    def difference(self, runs: Runs) -> Difference | None:
        """Mean, and its 95 % bootstrap interval over seeds and pictures, both drawn anew; None where a run is missing.

        Three seeds are few: an interval that they widen is still somewhat narrow. A picture that has no score is left out.
        """
        one, other = ([self._figures(runs, variant, seed) for seed in self.seeds(runs)] for variant in (self.one, self.other))
        if not one:
            return None
        gains = np.array(one, float) - np.array(other, float)  # (seeds, pictures), NaN where there is no score
        gains = gains[:, np.isfinite(gains).all(0)]
        rng = np.random.default_rng(0)
        seeds, pictures = (rng.multinomial(n, np.full(n, 1 / n), DRAWS) / n for n in gains.shape)
        low, high = np.percentile((seeds @ gains * pictures).sum(1), (2.5, 97.5))
        return float(gains.mean()), float(low), float(high)

    def holds(self, low: float, high: float) -> bool | None:
        """What the interval says: True, False (it is the opposite), or None: the pictures do not decide."""
        if self.wish == "less":
            low, high = -high, -low
        bar = -TOLERANCE[TASKS[self.task].score] if self.wish == "kept" else 0.0
        return True if low > bar else False if high < bar else None

    def _figures(self, runs: Runs, variant: str, seed: int) -> list[float | None]:
        row, anchor = runs[Run(self.task, name_of(variant), seed).name], variant.partition(" | ")[2] or "none"
        if self.figure == "quality":
            return row["quality"][f"{next(iter(TASKS[self.task].tests))}, {anchor}"]["each"]
        if self.figure == "variation":
            return row["stability"][f"crop, {anchor}"]["variation_by_image"]
        return row["stability"][f"{self.figure}, {anchor}"]["by_image"]


def name_of(variant: str) -> str:
    """Without its anchor."""
    return variant.partition(" | ")[0]


@dataclass(frozen=True)
class Claim:
    """A sentence and what would show it."""

    text: str
    comparisons: tuple[Comparison, ...]

    def shown(self, found: dict[Comparison, Difference]) -> list[tuple[Comparison, bool | None]]:
        """The comparisons that there are runs for, and what they say."""
        return [(comparison, comparison.holds(*found[comparison][1:])) for comparison in self.comparisons if comparison in found]

    def verdict(self, found: dict[Comparison, Difference]) -> str:
        """confirmed where every comparison says so, opposite where every one says the opposite."""
        held = [says for _, says in self.shown(found)]
        if not held:
            return "not measured"
        if len(set(held)) == 1 and held[0] is not None:
            return "**confirmed**" if held[0] else "**opposite**"
        counts = (f"{held.count(value)} {word}" for value, word in ((True, "for"), (False, "against"), (None, "open")) if value in held)
        return f"**not confirmed** ({', '.join(counts)})"


def differences(claims: Sequence[Claim], runs: Runs) -> dict[Comparison, Difference]:
    """Of every comparison that there are runs for."""
    found = {comparison: comparison.difference(runs) for claim in claims for comparison in claim.comparisons}
    return {comparison: difference for comparison, difference in found.items() if difference is not None}


def _each(tasks: str, one: str, other: str, **wishes: str) -> Iterator[Comparison]:
    for task in tasks.split():
        for figure, wish in wishes.items():
            yield Comparison(task, one, other, figure, wish)


PICTURES, CLASSES = "denoise sr4 facades pix2pix photos microscopy", "nuclei streets"
EVERY = f"{PICTURES} {CLASSES}"
ADAPTIVE = ("lift+lift", "blur-3+bilinear", "max+nearest")
ANCHORED = (*ADAPTIVE, "max+unpool", "stride+transpose", "fourier+fourier/filtered")
each: Callable[..., tuple[Comparison, ...]] = lambda *args, **wishes: tuple(_each(*args, **wishes))  # noqa: E731
kept = partial(each, quality="kept")


def _better(than: str, skips: str = "") -> Iterator[Comparison]:
    """A lift segments better than another pair, on the small networks of the starts too."""
    yield from each(CLASSES, f"lift+lift{skips}", f"{than}{skips}", quality="more")
    yield from each("start", f"lift+lift, haar, 0{skips}", f"{than}{skips}", quality="more")


CLAIMS = [
    Claim(
        "BlurPool holds stiller under crop in image-to-image work",
        each(PICTURES, "blur-3+bilinear", "max+nearest", crop="more"),
    ),
    Claim("... and keeps the quality", kept(PICTURES, "blur-3+bilinear", "max+nearest")),
    Claim("The same of segmentation: stiller", each(CLASSES, "blur-3+bilinear", "max+nearest", crop="more")),
    Claim("... and as good", kept(CLASSES, "blur-3+bilinear", "max+nearest")),
    Claim(
        "A larger filter holds stiller",
        each(EVERY, "blur-3+bilinear", "blur-2+bilinear", crop="more") + each(EVERY, "blur-5+bilinear", "blur-3+bilinear", crop="more"),
    ),
    Claim(
        "... and is blurrier (less total variation)",
        each(PICTURES, "blur-3+bilinear", "blur-2+bilinear", variation="less")
        + each(PICTURES, "blur-5+bilinear", "blur-3+bilinear", variation="less"),
    ),
    Claim("LiftUpPool brings back detail that MaxUnpool loses, beside skips", each(PICTURES, "lift+lift", "max+unpool", quality="more")),
    Claim("... and without skips", each(PICTURES, "lift+lift, no skips", "max+unpool, no skips", quality="more")),
    Claim(
        "LiftPool segments better, beside skips",
        tuple(c for name in ("max+nearest", "max+unpool") for c in _better(name)),
    ),
    Claim("... and without skips, in SegNet's shape", tuple(_better("max+unpool", ", no skips"))),
    Claim(
        "A lift is better without skips",
        each(EVERY, "lift+lift, no skips", "lift+lift", quality="more")
        + each("start", "lift+lift, haar, 0, no skips", "lift+lift, haar, 0", quality="more"),
    ),
    Claim(
        "A lift needs its regularisers",
        each(EVERY, "lift+lift, penalty 0.1", "lift+lift", quality="more")
        + tuple(c for skips in SKIPS for c in each("start", f"lift+lift, haar, 0.1{skips}", f"lift+lift, haar, 0{skips}", quality="more")),
    ),
    Claim("The sum of the sub-bands is better than LL", each(EVERY, "lift(sum)+lift", "lift+lift", quality="more")),
    Claim(
        "The adaptive phase is exact under roll",
        tuple(c for name in ADAPTIVE for c in each("denoise nuclei", f"{name}@adaptive", f"{name}, circular", roll="more")),
    ),
    Claim(
        "... at no cost in quality (beside the same padding)",
        tuple(c for name in ADAPTIVE for c in kept("denoise nuclei", f"{name}@adaptive", f"{name}, circular")),
    ),
    Claim(
        "A landmark holds any network stiller under crop",
        tuple(c for name in ANCHORED for c in each(EVERY, f"{name} | landmark", name, crop="more")),
    ),
    Claim(
        "... at no cost in quality",
        tuple(c for name in ANCHORED for c in kept(EVERY, f"{name} | landmark", name)),
    ),
    Claim("C2sp is as good as 3x3, with fewer parameters", kept("denoise nuclei start", "max+nearest/c2sp", "max+nearest")),
    Claim("Deformable convolution raises mIoU", each("start nuclei", "max+nearest/deform", "max+nearest", quality="more")),
]
