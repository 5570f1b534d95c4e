"""The frozen dataclass that is the flags of `unetlift predict`."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from unetlift.commands import Anchor, Device, Placing, Precision
from unetlift.config import at_least
from unetlift.errors import UsageError


@dataclass(frozen=True)
class PredictConfig:
    """One folder of pictures, of any format and size, through one network.

    Attributes:
        output: a new folder for the answers, or that of an earlier run, which then goes on: what is done, by the
            pictures' content, network and settings, is not done again.
        model: the model folder.
        input: the folder of pictures and videos, at any depth, or a single file.
        overlay: also write the pictures tinted by class.
        probabilities: also write them as 16-bit floats: none, tiff or npz.
        polygons: also write the outlines of all objects: none, geojson, coco or both.
        objects: also write a table of all objects: class, area, centre, box.
        anchor: what the sampling grid is tied to: none (the frame's corner), landmark, subpixel, or track and
            track-subpixel, which follow the frames of a video, or take pictures, in the order of their names, for one.
        placing: what an anchor puts around a picture: reflect (mirrored), replicate (outermost pixels repeated) or surround
            (the same, at least 32 on every side).
        tile: side of the tiles that large pictures are cut into, in pixels; 0 chooses it, and asks about pictures of up to
            2 million pixels as a whole.
        overlap: of tiles in pixels; without it, as far as the network is measured to look.
        blend: where tiles meet: centre (each pixel from one tile), linear or hann (mixed).
        flips: mean over mirrored pictures: none, horizontal, four or eight (with quarter turns).
        scales: mean over the picture at these sizes.
        spin: mean over N x N shifts of the sampling grid (cycle spinning); 1 is none.
        batch: tiles or pictures of one size that the network is given at a time; more than one pays on GPUs.
        workers: pictures at a time, one of which the network works at while others are read and written.
        engine: local, or ray: a cluster that shares the folders.
        shard: I/N: only the I-th of N parts; without it as SLURM_ARRAY_TASK_ID or RANK say.
        merge: only make one manifest and one summary of those of all shards in the output folder.
        watch: go on, and answer pictures as they arrive.
        fail_fast: stop at the first picture that fails.
        max_failures: stop once so many pictures have failed.
        backend: torch, onnx or openvino.
        precision: auto (bf16 where the processor has it), float32 or bf16.
        device: auto, cpu, cuda or mps.
    """

    output: str
    model: str | None = None
    input: str | None = None
    overlay: bool = False
    probabilities: Literal["none", "tiff", "npz"] = "none"
    polygons: Literal["none", "geojson", "coco", "both"] = "none"
    objects: bool = False
    anchor: Anchor = "landmark"
    placing: Placing = "surround"
    tile: int = 0
    overlap: int | None = None
    blend: Literal["centre", "linear", "hann"] = "centre"
    flips: Literal["none", "horizontal", "four", "eight"] = "none"
    scales: tuple[float, ...] = (1.0,)
    spin: int = 1
    batch: int = 1
    workers: int = 2
    engine: Literal["local", "ray"] = "local"
    shard: str | None = None
    merge: bool = False
    watch: bool = False
    fail_fast: bool = False
    max_failures: int | None = None
    backend: Literal["torch", "onnx", "openvino"] = "torch"
    precision: Precision = "auto"
    device: Device = "auto"

    SHAPING: ClassVar[tuple[str, ...]] = (
        *("overlay", "probabilities", "polygons", "objects", "anchor", "placing", "tile", "overlap", "blend"),
        *("flips", "scales", "spin", "backend"),
    )
    """What the answers depend on; the rest only decides who makes them, and when."""

    def __post_init__(self) -> None:
        at_least(0, self, "tile", *(["overlap"] if self.overlap is not None else []))
        at_least(1, self, "spin", "batch", "workers", *(["max_failures"] if self.max_failures is not None else []))
        missing = [name for name in ("model", "input") if getattr(self, name) is None]
        if missing and not self.merge:
            raise UsageError(f"--{missing[0]} is missing; give the {'model folder' if missing[0] == 'model' else 'folder of pictures'}.")
        self._check_together()

    def _check_together(self) -> None:
        """What excludes each other."""
        one_after_another = self.anchor.startswith("track")
        if one_after_another and (self.shard or self.engine == "ray" or self.watch):
            raise UsageError(f"anchor {self.anchor!r} follows one sequence in order; it goes with no shard, engine ray or watch.")
        if self.engine == "ray" and (self.shard or self.watch):
            raise UsageError("The engine ray shares the pictures out itself; it goes with no shard or watch.")

    @property
    def most_failures(self) -> int | None:
        """So many failures end the run."""
        return 1 if self.fail_fast else self.max_failures
