"""The computing behind the page: what every network says of a picture, and of the same picture moved."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from unetlift import images, inputs, stability
from unetlift.anchor import Anchored, Anchoring
from unetlift.checkpoint import CONFIG, WEIGHTS
from unetlift.config import NetworkConfig
from unetlift.errors import PictureError, UsageError
from unetlift.predict import Predictor, load_predictor
from unetlift.shifts import Shift
from unetlift.types import Map

SIDE = 256
"""Larger pictures are cut to their middle: five networks have to answer while somebody drags a slider."""
SMALLEST = 96
"""Below it the window, the margin and the largest shift leave too little to compare."""
REACH = 16
"""The largest shift of the sliders, and so the border that `crop` keeps for its window to move in."""
MARGIN = 16
DISTANCES = range(1, 9)
MAX_PIXELS = 2**25
"""Of an upload: 33 megapixels decode to 100 MB; what is beyond is refused by its header."""

ORDER = ("max+nearest", "max+unpool", "blur-3+bilinear", "lift+lift", "lift+lift@adaptive")


@dataclass(frozen=True)
class Network:
    """A network of the page, ready to run."""

    name: str
    config: NetworkConfig
    predictor: Predictor

    def asked(self, mode: str, anchor: bool) -> Anchored:
        """What answers for it under a mode, its grid anchored or not."""
        return self.predictor.anchored("landmark" if anchor else "none", "circular" if mode == "roll" else "reflect")


@dataclass(frozen=True)
class Scene:
    """A picture under a mode, with every network's answer before anything moves.

    Attributes:
        pixels: (H, W, C) floats.
        mode: `crop` or `roll`.
        stills: one answer a network.
        anchorings: one a network: what its grid was tied to.
        without: with anchoring, the same scene without it.
        left: set once its visitor looks at something else. Gradio's own `cancels` comes too late: its page
            sends it after the next event's answer, and so ends the curve that should stay.
    """

    pixels: NDArray[np.float32]
    mode: str
    stills: tuple[Map, ...]
    anchorings: tuple[Anchoring, ...]
    without: "Scene | None" = None
    left: Event = field(default_factory=Event)

    @property
    def anchored(self) -> bool:
        """Whether the networks' grids are tied to the picture."""
        return self.without is not None


@dataclass(frozen=True)
class Result:
    """One variant's answers to a picture and to the moved picture.

    Attributes:
        network: who answers.
        psnr: shift PSNR in dB, at most `stability.CEILING`.
        agreement: share of pixels whose most probable class stays.
        still: (H, W) labels.
        moved_back: (H, W) labels for the moved picture, moved back.
        difference: (H, W), the largest change of any class's probability, 0 to 1.
        valid: (H, W), where both answers show the same scene away from the frame.
        anchoring: what the grid was tied to in the moved picture.
        without: with anchoring, the shift PSNR of the same network without it.
    """

    network: Network
    psnr: float
    agreement: float
    still: NDArray[np.int64]
    moved_back: NDArray[np.int64]
    difference: NDArray[np.float32]
    valid: NDArray[np.bool_]
    anchoring: Anchoring
    without: float | None = None


def find(checkpoints: Path) -> tuple[Network, ...]:
    """Loads every model folder below `checkpoints`: the usual networks first, the steadiest last, then all others.

    Raises:
        UsageError: there are none, or one answers with pictures.
        ModelFolderError: one cannot be loaded.
    """
    folders = sorted(config.parent for config in checkpoints.rglob(CONFIG) if (config.parent / WEIGHTS).is_file())
    if not folders:
        raise UsageError(
            f"{checkpoints} holds no networks; train one with 'unetlift train --data DIR --out {checkpoints / 'NAME'}', "
            "or name a folder that holds model folders (config.json and model.safetensors)."
        )
    loaded = [(folder, load_predictor(folder, precision="float32")) for folder in folders]
    for folder, predictor in loaded:
        if predictor.info.answers != "labels":
            raise UsageError(f"{folder} answers with pictures ({predictor.info.task}), which the app does not show yet; move it elsewhere.")
    variants = [predictor.model.config.variant for _, predictor in loaded]
    networks = []
    for (folder, predictor), variant in zip(loaded, variants, strict=True):
        # Two trainings of one variant are told apart by where they lie.
        name = variant if variants.count(variant) == 1 else f"{variant} ({folder.relative_to(checkpoints)})"
        networks.append(Network(name, predictor.model.config, predictor))
    rank = {variant: place for place, variant in enumerate(ORDER)}
    return tuple(sorted(networks, key=lambda n: (rank.get(n.config.variant, len(ORDER)), n.name)))


def read_upload(path: Path) -> images.Picture:
    """Reads an uploaded file and removes it: what stays in the server's cache could be read by its other users.

    Raises:
        PictureError: with the file's name, but not its place on the server.
    """
    try:
        return images.read_picture(path, MAX_PIXELS)
    except PictureError as error:
        raise PictureError(str(error).replace(str(path), path.name)) from error
    finally:
        path.unlink(missing_ok=True)


def middle(picture: images.Picture) -> NDArray[np.float32]:
    """The middle of a picture, at most `SIDE` pixels high and wide, as floats.

    Raises:
        PictureError: it is smaller than `SMALLEST`, or holds values that are no numbers.
    """
    height, width = picture.shape[:2]
    if min(height, width) < SMALLEST:
        raise PictureError(f"The picture has {width} x {height} pixels; take one of at least {SMALLEST} x {SMALLEST}.")
    top, left = max(0, height - SIDE) // 2, max(0, width - SIDE) // 2
    pixels = images.to_float(picture[top : top + SIDE, left : left + SIDE])
    if not np.isfinite(pixels).all():
        raise PictureError("The picture holds values that are not finite numbers; replace them.")
    return pixels


@dataclass(frozen=True)
class Bench:
    """The networks side by side; it remembers nothing between calls, so one serves every visitor."""

    networks: tuple[Network, ...]

    @property
    def multiple(self) -> int:
        """Frames are cut to multiples of the largest stride, so that exactness can show."""
        return max(network.config.stride for network in self.networks)

    def begin(self, picture: images.Picture, mode: str, anchor: bool = False) -> Scene:
        """Asks every network about the picture as it stands; with anchoring, without it too."""
        pixels = middle(picture)
        without = self.begin(pixels, mode) if anchor else None
        stills, anchorings = [], []
        for network in self.networks:
            x = network.predictor.prepare(pixels)
            still, found = network.asked(mode, anchor).answer(stability.still_frame(x, mode, REACH, self.multiple))
            stills.append(still)
            anchorings += found
        # One visitor leaves both at once.
        return Scene(pixels, mode, tuple(stills), tuple(anchorings), without, without.left if without else Event())

    def frames(self, scene: Scene, shift: Shift) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the networks see, as (H, W, C) floats of 0..1: before and after the move."""
        x = inputs.to_tensor(scene.pixels, 0, 1)[None]
        still = stability.still_frame(x, scene.mode, REACH, self.multiple)
        moved = stability.moved_frame(x, shift, scene.mode, REACH, self.multiple)
        return still[0].permute(1, 2, 0).numpy(), moved[0].permute(1, 2, 0).numpy()

    def move(self, scene: Scene, shift: Shift) -> tuple[Result, ...]:
        """Asks every network about the moved picture and compares; with anchoring, without it too."""
        results = tuple(self._compare(network, still, scene, shift) for network, still in zip(self.networks, scene.stills, strict=True))
        if scene.without is None:
            return results
        return tuple(replace(r, without=other.psnr) for r, other in zip(results, self.move(scene.without, shift), strict=True))

    def _compare(self, network: Network, still: Map, scene: Scene, shift: Shift) -> Result:
        x = network.predictor.prepare(scene.pixels)
        ask = network.asked(scene.mode, scene.anchored)
        moved, (anchoring,) = ask.answer(stability.moved_frame(x, shift, scene.mode, REACH, self.multiple))
        comparison = stability.compare(still, moved, shift, scene.mode, MARGIN)
        change = (comparison.still - comparison.moved_back).abs().amax(1)
        return Result(
            network,
            comparison.psnr(),
            comparison.agreement(),
            comparison.still.argmax(1)[0].cpu().numpy(),
            comparison.moved_back.argmax(1)[0].cpu().numpy(),
            change[0].cpu().numpy(),
            comparison.valid.cpu().numpy(),
            anchoring,
        )

    def curves(self, scene: Scene) -> Iterator[dict[str, dict[int, float]]]:
        """Shift PSNR in dB by distance along the diagonal, one network more with every step, until the visitor has left the scene."""
        done: dict[str, dict[int, float]] = {}
        shifts = [Shift(distance, distance) for distance in DISTANCES]
        measure = partial(stability.measure, mode=scene.mode, max_shift=REACH, shifts=shifts, multiple=self.multiple, margin=MARGIN)
        for network in self.networks:
            report = measure(network.asked(scene.mode, scene.anchored), [network.predictor.prepare(scene.pixels)])
            if scene.left.is_set():
                return
            done = done | {network.name: report.by_shift()}
            yield done
