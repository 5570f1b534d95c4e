"""How sure a figure is: intervals over pictures, and two functions beside each other on the same pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from unetlift.errors import UsageError
from unetlift.stability.records import StabilityReport

RESAMPLES = 9999


@dataclass(frozen=True)
class Interval:
    """A mean over pictures, and where the mean of other such pictures would lie.

    Attributes:
        mean: over the pictures.
        low: end of the interval; NaN with fewer than two pictures.
        high: likewise.
        confidence: of the interval.
        count: of pictures.
    """

    mean: float
    low: float
    high: float
    confidence: float
    count: int


@dataclass(frozen=True)
class Paired:
    """A figure of one function less that of another, picture by picture.

    Attributes:
        difference: its mean, with an interval.
        p_value: two-sided, of the sign-flip permutation test (were both alike, each difference could as well have the other sign);
            NaN with fewer than two pictures.
        larger: share of the pictures on which the first has the larger figure.
    """

    difference: Interval
    p_value: float
    larger: float


def interval(values: Sequence[float], confidence: float = 0.95, seed: int = 0) -> Interval:
    """The mean of one value a picture, with its percentile bootstrap interval (Efron 1979) over pictures.

    Shifts of one picture are no new evidence: give the mean over its shifts.

    Raises:
        UsageError: there are no values.
    """
    if not len(values):
        raise UsageError("There are no values to take the mean of; give at least one.")
    low = high = float("nan")
    if len(values) > 1:
        from scipy import stats  # takes a second to import

        rng = np.random.default_rng(seed)
        drawn = stats.bootstrap((np.asarray(values, float),), np.mean, confidence_level=confidence, n_resamples=RESAMPLES,
                                method="percentile", rng=rng, batch=256)  # fmt: skip
        low, high = (float(value) for value in drawn.confidence_interval)
    return Interval(fmean(values), low, high, confidence, len(values))


def paired(first: StabilityReport, second: StabilityReport, name: str = "psnr", seed: int = 0) -> Paired:
    """A figure of two functions measured on the same pictures under the same conditions.

    Raises:
        UsageError: the conditions or the pictures are not the same, or a report has no such figure.
    """
    if (what := unlike(first, second)) is not None:
        raise UsageError(f"The reports differ in {what}: {getattr(first, what)!r} and {getattr(second, what)!r}; measure both alike.")
    one, other = first.by_image(name), second.by_image(name)
    if set(one) != set(other) or not one:
        raise UsageError(f"The reports have {len(one)} and {len(other)} pictures with {name!r}; measure the same ones.")
    differences = np.array([one[image] - other[image] for image in one])
    return Paired(interval(differences, seed=seed), _p_value(differences, seed), float((differences > 0).mean()))


def unlike(first: StabilityReport, second: StabilityReport) -> str | None:
    """The first condition in which two reports differ, so that their figures are not comparable; None where they are."""
    alike = ("mode", "kind", "max_shift", "range", "margin", "names", "resampling")
    same = {first.kind, second.kind} == {"logits", "probabilities"}  # a softmax has made them the same
    return next((what for what in alike if getattr(first, what) != getattr(second, what) and not (same and what == "kind")), None)


def _p_value(differences: np.ndarray, seed: int) -> float:
    if len(differences) < 2:
        return float("nan")
    from scipy import stats

    rng = np.random.default_rng(seed)
    test = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=RESAMPLES, rng=rng, batch=256)
    return float(test.pvalue)


def intervals(reports: Mapping[str, StabilityReport], name: str = "psnr", seed: int = 0) -> dict[str, Interval]:
    """Of one figure by mode, where a report has it."""
    return {mode: interval(list(values.values()), seed=seed) for mode, report in reports.items() if (values := report.by_image(name))}
