"""What a visitor of the first tab looks at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetlift.demo.compare import Move, Result, Scene


@dataclass(frozen=True)
class View:
    """A picture, what the networks say of it, and of the same picture moved.

    Attributes:
        task: whose networks are asked.
        picture: (H, W, C) floats, as it was chosen, whatever the task makes of it.
        scene: what the networks say of it.
        move: by which it was moved last.
        frames: what the networks see, before and after.
        results: of the move.
    """

    task: str
    picture: NDArray[np.float32]
    scene: Scene
    move: Move
    frames: tuple[NDArray[np.float32], NDArray[np.float32]]
    results: tuple[Result, ...]
