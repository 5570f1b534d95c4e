"""Any function from pictures to answers, its sampling grid tied to the scene instead of the frame's corner."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetlift.anchor.landmark import Landmark, landmark
from unetlift.anchor.place import BORDERS, PLACINGS, SURROUND, Frame, Placement, align
from unetlift.anchor.strips import brightness_in_strips, landmark_in_strips
from unetlift.anchor.track import Event, Tracker
from unetlift.errors import UsageError, one_of

TILED = tuple(placing for placing in BORDERS if placing != "context")
"""The placings of pictures that come in tiles."""
MODES = ("none", "landmark", "subpixel", "track", "track-subpixel")

Pictures = TypeVar("Pictures", Tensor, NDArray[np.floating])


class Anchoring(NamedTuple):
    """What one picture was anchored to, and a word where nothing could be found, or where a tracker began anew."""

    anchor: Landmark | None
    note: str | None


class Anchored:
    """A function whose answer moves with its input: the grid is tied to a landmark of the picture, or to the scene.

    The function itself is neither changed nor called more often. It may be a torch module, an ONNX session's run, or
    anything else that takes (N, C, H, W) floats and answers with as many rows and columns.

        steady = Anchored(network, stride=32)
        output = steady(pictures)

    Args:
        function: tensors to tensors, or arrays to arrays.
        stride: of the function: the product of its downsampling steps.
        mode: `none` passes everything through; `landmark` ties the grid to the most salient point of each picture;
            `subpixel` also resamples the picture so that the point falls on the grid to a part of a pixel, and the
            answer back; `track` takes the pictures as the frames of one sequence and follows their motion;
            `track-subpixel` does both.
        placing: `reflect`, `replicate` or `context` put the fewest pixels around the picture that align it;
            `surround` puts more; `circular` rolls it, so that the function sees the very same array for every roll of a
            picture.
        multiple: what height and width have to be multiples of; by default the stride.

    Raises:
        UsageError: the mode or placing is unknown, or the stride is below 1.
    """

    def __init__(
        self,
        function: Callable[[Pictures], Pictures],
        stride: int,
        mode: str = "landmark",
        placing: str = "reflect",
        multiple: int | None = None,
    ):
        one_of("anchor", mode, MODES)
        one_of("placing", placing, PLACINGS)
        if not all(isinstance(value, int) and value >= 1 for value in (stride, stride if multiple is None else multiple)):
            raise UsageError(f"stride is {stride} and multiple {multiple}; both are whole numbers from 1 on.")
        self.function, self.stride, self.mode, self.placing, self.multiple = function, stride, mode, placing, multiple
        self._tracker = Tracker()

    def __call__(self, pictures: Pictures, frame: Frame | None = None, anchor: Landmark | None = None) -> Pictures:
        """The function's answer to (N, C, H, W) pictures, each placed on its own grid.

        Args:
            pictures: floats; they stay as they are.
            frame: with the placing `context`, the window of the pictures that the answer is wanted for.
            anchor: that of all pictures; by default each picture's own is looked for. Tiles of one picture share one.

        Raises:
            UsageError: the pictures hold values that are not finite, or the answer has another size.
        """
        return self.answer(pictures, frame, anchor)[0]

    def answer(
        self, pictures: Pictures, frame: Frame | None = None, anchor: Landmark | None = None
    ) -> tuple[Pictures, list[Anchoring]]:
        """The answer, and what each picture was anchored to."""
        if self.mode == "none" or not len(pictures):
            return self.function(pictures), [Anchoring(None, None)] * len(pictures)
        arrays = not isinstance(pictures, Tensor)
        batch = torch.from_numpy(np.array(pictures)) if arrays else pictures  # a copy: arrays may be read-only
        anchorings = [Anchoring(anchor, None) if anchor else self.find(picture) for picture in batch]
        # One by one: each has its own size once placed, and none may depend on its neighbours in the batch.
        answers = [self._ask(picture, found.anchor, frame, arrays) for picture, found in zip(batch.split(1), anchorings, strict=True)]
        joined = torch.cat(answers)
        return (joined.numpy() if arrays else joined), anchorings

    @property
    def around(self) -> int:
        """How many pixels are put around a picture at least."""
        return SURROUND if self.placing == "surround" and self.mode != "none" else 0

    @property
    def events(self) -> tuple[Event, ...]:
        """With `track`: when the anchor was chosen anew, or its keyframe changed."""
        return tuple(self._tracker.events)

    def find(self, picture: Tensor) -> Anchoring:
        """The anchor of one picture, (C, H, W); `track` takes it for the next frame.

        Raises:
            UsageError: the picture holds values that are not finite.
        """
        if self.mode == "none":
            return Anchoring(None, None)
        if self.mode.startswith("track"):
            anchor, last = self._tracker(picture), self.events[-1]
            anew = last.frame == self._tracker.frame and last.reason in ("cut", "size")
            return Anchoring(anchor, f"chosen anew at frame {last.frame} ({last.reason})" if anew else None)
        border = "wrap" if self.placing == "circular" else "inside"
        height, width = picture.shape[-2:]
        return self._too_small(height, width) or _told(landmark(picture, border))

    def find_in_strips(self, read: Callable[[int, int], Tensor], height: int, width: int) -> Anchoring:
        """The same anchor of a picture that is never in memory as a whole, except its brightness with `track`.

        Args:
            read: the rows from one up to another, as (C, rows, W).
            height: of the picture.
            width: of the picture.

        Raises:
            UsageError: the picture holds values that are not finite; or the placing wants it as a whole.
        """
        if self.mode == "none":
            return Anchoring(None, None)
        if self.placing not in TILED:
            raise UsageError(f"The placing {self.placing!r} wants the picture as a whole; {', '.join(TILED)} go with tiles.")
        if self.mode.startswith("track"):
            return self.find(brightness_in_strips(read, height, width))
        return self._too_small(height, width) or _told(landmark_in_strips(read, height, width))

    def place(self, picture: Tensor, anchor: Landmark | None, frame: Frame | None = None) -> tuple[Tensor, Placement | None]:
        """One picture (1, C, H, W) on its own grid, and how to move an answer back; None where it stays."""
        if anchor is None:
            return (picture if frame is None else frame.cut(picture)).clone(), None
        fraction = self.fraction(anchor)
        return align(picture, anchor[:2], self.stride, self.placing, frame=frame, multiple=self.multiple, fraction=fraction)

    def fraction(self, anchor: Landmark | None) -> tuple[float, float]:
        """The parts of a pixel that a picture is moved by, beyond whole ones."""
        return anchor.fraction if anchor and self.mode.endswith("subpixel") else (0.0, 0.0)

    def _too_small(self, height: int, width: int) -> Anchoring | None:
        if self.placing == "circular" or min(height, width) >= self.stride:
            return None
        return Anchoring(None, f"a picture of {width} x {height} is smaller than the stride {self.stride}; it is not anchored")

    def _ask(self, picture: Tensor, anchor: Landmark | None, frame: Frame | None, arrays: bool) -> Tensor:
        placed, placement = self.place(picture, anchor, frame)
        answer = torch.from_numpy(np.array(self.function(placed.numpy()))) if arrays else self.function(placed)
        return placement.restore(answer) if placement else answer


def _told(found: Landmark | None) -> Anchoring:
    return Anchoring(found, None if found else "no landmark was found; the picture is not anchored")
