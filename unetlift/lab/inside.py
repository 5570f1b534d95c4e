"""How far apart the features inside a network are, on a few of the pictures."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from unetlift import images
from unetlift.errors import UsageError
from unetlift.lab.asked import Asked
from unetlift.stability import Conditions, LayerDistances, distances, hooked

if TYPE_CHECKING:
    from unetlift.lab.pictures import Subject

PICTURES = 8
"""Features of every layer cost far more than answers, and their means need few pictures."""


def layers_of(one: Asked, conditions: Conditions, subjects: Sequence["Subject"]) -> LayerDistances | None:
    """Of a network asked plainly; None for other ways, which move its features about.

    Raises:
        UsageError: the model is not made of PyTorch modules.
    """
    if one.anchor != "none" or one.spin > 1:
        return None
    count = min(PICTURES, len(subjects))
    chosen = [subjects[k * len(subjects) // count] for k in range(count)]
    pictures = (one.model.prepare(images.read_picture(subject.path), subject.path) for subject in chosen)
    how = {"shifts": conditions.shifts, "multiple": conditions.multiple, "margin": conditions.margin, "resampling": conditions.resampling}
    cut = (conditions.fit(picture) for picture in pictures)
    return distances(_features(one), cut, conditions.mode, conditions.max_shift, **how)


def _features(one: Asked) -> Callable:
    module = one.model.module
    if module is None:
        raise UsageError(f"{one.model.source} is no PyTorch module whose layers could be seen; leave --layers out.")
    return getattr(module, "features", None) if one.model.predictor is not None and hasattr(module, "features") else hooked(module)
