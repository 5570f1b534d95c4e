"""How far tiled answers are from whole ones, near the seams and elsewhere: networks by overlaps, blends and phases.

    python benchmarks/seams.py measure [NAME ...]   # 15 minutes on one core; into benchmarks/seams.json
    python benchmarks/seams.py tables               # benchmarks/seams.md of it

The pictures are mosaics of real ones, larger than the tiles and small enough to be asked about as a whole. They are mirrored
into their places, so that the mosaic has no edges that the pictures have not.
"""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from time import process_time

import numpy as np
import torch

from unetlift import images
from unetlift.images import ArrayPage
from unetlift.model import from_pretrained
from unetlift.predict import Predictor, Tiling, load_predictor
from unetlift.predict.seam import NEAR, Seam, seam
from unetlift.types import Map

ROOT = Path(__file__).parent.parent
RESULTS, TABLES = ROOT / "benchmarks" / "seams.json", ROOT / "benchmarks" / "seams.md"
DATA = ROOT / "data" / "dsb2018" / "test" / "images"
NAMES = ("max+nearest", "blur-3+bilinear", "lift+lift", "lift+lift@adaptive")
COLUMNS = ("overlap", "pixels", "tiles", "largest near", "elsewhere", "PSNR near", "elsewhere", "labels near", "elsewhere")
COLUMNS += ("seconds", "whole")
SIDE, TILE, MOSAICS = 1216, 640, 3


class EachForItself(torch.nn.Module):
    """A network that hides its phases, so that every tile chooses its own."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.hidden, self.config = [network], network.config

    def forward(self, x: Map) -> Map:
        """See the network."""
        return self.hidden[0](x)


def mosaics() -> list[np.ndarray]:
    """Test pictures of nuclei, put together to (1216, 1216, 3), each row and column of them mirrored in turn."""
    found, made = [path for path in images.picture_files(DATA) if images.size(path) == (256, 320)], []
    for number in range(MOSAICS):
        rows = []
        for row in range(5):
            line = [with_three(images.read_picture(found[(number * 20 + row * 4 + k) % len(found)])) for k in range(4)]
            line = [picture[:: 1 - 2 * (row % 2), :: 1 - 2 * (k % 2)] for k, picture in enumerate(line)]
            rows.append(np.concatenate(line, 1))
        made.append(np.ascontiguousarray(np.concatenate(rows)[:SIDE, :SIDE]))
    return made


def with_three(picture: np.ndarray) -> np.ndarray:
    """In colour, as the networks want it."""
    return images.with_channels(picture, 3, "A test picture")


def ways(predictor: Predictor) -> dict[str, Tiling]:
    """By overlap: none, half of the field, the field; and the same blended."""
    field = predictor.field().margin
    half = field // 2 // 16 * 16
    return {
        "0, centre": Tiling(tile=TILE, overlap=0),
        "half the field, centre": Tiling(tile=TILE, overlap=2 * half),
        "half the field, linear": Tiling(tile=TILE, overlap=2 * half, blend="linear"),
        "half the field, hann": Tiling(tile=TILE, overlap=2 * half, blend="hann"),
        "the field, centre": Tiling(tile=TILE, overlap=2 * field + 32 * ("adaptive" in predictor.model.config.variant)),
    }


def networks(name: str) -> dict[str, Predictor]:
    """A shipped network in float32; one with phases also as it was without deciding them once."""
    shipped = {name: load_predictor(ROOT / "checkpoints" / name, "cpu", "float32")}
    if "@" in name:
        whole = shipped[name]
        shipped[f"{name}, each tile for itself"] = whole.with_network(EachForItself(from_pretrained(ROOT / "checkpoints" / name)))
    return shipped


def row(predictor: Predictor, pages: list[ArrayPage], tiling: Tiling) -> dict[str, float]:
    """The figures of one network and tiling: the worst difference, and means over the mosaics."""
    found: list[Seam] = [seam(predictor, page, tiling, predictor.field().margin) for page in pages]
    values = {"overlap": tiling.overlap, "tiles": found[0].tiles}
    for part in ("near", "elsewhere"):
        parts = [getattr(one, part) for one in found]
        error = fmean(10 ** (-p.psnr / 10) for p in parts)
        values |= {f"{part} largest": max(p.largest for p in parts), f"{part} agreement": fmean(p.agreement for p in parts)}
        values[f"{part} psnr"] = None if error == 0 else float(-10 * np.log10(error))
    return values


def seconds(predictor: Predictor, page: ArrayPage, tiling: Tiling) -> dict[str, float]:
    """Of the processor, for one answer in tiles and one as a whole."""
    figures = {}
    for what, way in (("tiled seconds", tiling), ("whole seconds", Tiling(tile=SIDE))):
        begun = process_time()
        for _ in predictor.plan(page, way).bands(lambda values: {"labels": values.argmax(0)[..., None].astype(np.uint8)}):
            pass
        figures[what] = round(process_time() - begun, 2)
    return figures


def measure(names: list[str]) -> None:
    """Everything that is not there yet, and all seconds anew; each row is written as soon as it is there."""
    torch.set_num_threads(1)
    everything = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"fields": {}, "rows": {}}
    pages = [ArrayPage(picture) for picture in mosaics()]
    for name in names or NAMES:
        for kind, predictor in networks(name).items():
            everything["fields"][kind] = predictor.field()._asdict()
            for way, tiling in ways(predictor).items():
                key = f"{kind} | {way}"
                figures = everything["rows"].get(key) or row(predictor, pages, tiling)
                everything["rows"][key] = figures | seconds(predictor, pages[0], tiling)
                print(key, everything["rows"][key], flush=True)
                everything["versions"] = {"python": platform.python_version()} | {n: version(n) for n in ("unetlift", "torch", "numpy")}
                RESULTS.write_text(json.dumps(everything, indent=1) + "\n")


def tables() -> None:
    """benchmarks/seams.md."""
    everything = json.loads(RESULTS.read_text())
    lines = [
        "# Seams: tiled answers beside whole ones",
        "",
        f"{MOSAICS} mosaics of {SIDE} x {SIDE} pixels of test pictures of dsb2018, tiles of {TILE}, float32, one core; "
        f"`python benchmarks/seams.py`. Near a seam is within {NEAR} pixels. The field's margin along the border is left out. "
        "Largest: of all differences of probabilities. PSNR: in dB, range 1, of the mean squared error over the mosaics; same: "
        "no difference at all. Labels: share of pixels that keep theirs. Seconds: of the processor, in tiles and as a whole.",
        "",
        f"| network | {' | '.join(COLUMNS)} |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    for key, r in everything["rows"].items():
        kind, way = key.split(" | ")
        psnr = ["same" if r[f"{part} psnr"] is None else f"{r[f'{part} psnr']:.1f}" for part in ("near", "elsewhere")]
        cells = [kind, way, r["overlap"], r["tiles"], f"{r['near largest']:.1e}", f"{r['elsewhere largest']:.1e}", *psnr]
        cells += [f"{r['near agreement']:.5f}", f"{r['elsewhere agreement']:.5f}", f"{r['tiled seconds']:.1f}", f"{r['whole seconds']:.1f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "The fields, measured, in pixels: " + "; ".join(f"{k} {f['margin']}" for k, f in everything["fields"].items()) + "."]
    versions = ", ".join(f"{name} {number}" for name, number in everything["versions"].items())
    TABLES.write_text("\n".join([*lines, "", f"Measured with {versions}.", ""]))


if __name__ == "__main__":
    tables() if sys.argv[1] == "tables" else measure(sys.argv[2:])
