"""Packs the gallery's networks whose data may be passed on, in float16 where that is near: into checkpoints/TASK."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from gallery_measure import inputs
from gallery_runs import SHIPPED, TASKS, TELLING, Run, data_hash
from gallery_tables import pair, score
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label

from unetlift.checkpoint import save
from unetlift.demo.examples import nuclei
from unetlift.demo.networks import EXAMPLES
from unetlift.images import write_picture
from unetlift.model import load
from unetlift.predict import load_predictor
from unetlift.report import decibels
from unetlift.stability import CEILING

sys.path.insert(0, str(Path(__file__).parent.parent / "data_scripts"))
from dsb2018 import coloured

NEAR = 60.0
"""Decibels: answers of float16 weights that lie as near to those of float32 are shipped."""
LARGEST = 4 * 2**20
"""Bytes that a network's weights may have."""


@dataclass(frozen=True)
class Shipment:
    """Where a task's networks go, and what their cards say."""

    folder: str
    tags: str
    title: str
    does: str
    data: str
    licences: str


SHIPMENTS = {
    "photos": Shipment(
        "denoise",
        "image-restoration, denoising, u-net",
        "denoising",
        "Takes noise of sigma 25 (of 255) out of colour photographs; the network answers with what is to be added.",
        "eight of eleven openly licensed photographs, scaled down by averaging; tested on CBSD68 and Set14, which it never saw",
        "Photographs: CC0 1.0 and CC BY 4.0, by file:",
    ),
    "microscopy": Shipment(
        "microscopy",
        "image-to-image, microscopy, u-net",
        "microscopy from masks",
        "Makes a fluorescence-like picture of a map of nuclei: background (0, 0, 0), nuclei (240, 228, 66), and their rims (0, 114, 178).",
        "2018 Data Science Bowl stage1_train (BBBC038v1, Broad Institute; corrected masks by K. Lopuhin), CC0 1.0; the split of the nuclei",
        "Data: CC0 1.0.",
    ),
}

CARD = """---
license: mit
library_name: unetlift
tags: [{tags}]
---

# {variant}: {title}

{does}

    import unetlift
    model = unetlift.from_pretrained("checkpoints/{folder}/{variant}")

| | |
|---|---|
| network | {parameters:,} parameters, plain encoder, {depth} levels, width {width}, `{padding}` padding |
| weights | {precision}; answers lie {near} dB or more from those of float32 |
| stride | {stride}: `unetlift.anchored(model)` ties its grid to the scene |
| input | RGB, scaled to 0..1, minus {mean}, divided by {std}; any size |
| data | {data} |
| data hash | sha256 {hash} |
| command | `{command}` |
| weights' licence | MIT |

## Measured on test pictures

| {tests} | roll mean / worst dB | crop mean / worst dB | crop with a landmark |
|{dashes}---:|---:|---:|
| {scores} | {roll} | {crop} | {landmark} |

Shift PSNR of the answers (R = 1) over shifts of 1 to 8 pixels, on 8 of the test pictures; the protocol, and all other
variants, are in docs/findings.md. One seed. Under roll, a network without circular padding is judged mostly by the seam.

## Licences

{licences}
"""


def ship(runs: dict[str, dict], root: Path) -> None:
    """Writes every model folder whose run is measured, still there, and small enough; halves those of the nuclei that are not."""
    lighten(root)
    draw_map(root / "checkpoints" / SHIPMENTS["microscopy"].folder / EXAMPLES)
    for task, shipment in SHIPMENTS.items():
        for run in (Run(task, variant) for variant in TELLING):
            if run.name in runs and run.trained:  # a clone has the figures, and not what they are of
                print(run.name, *_ship(run, shipment, runs[run.name], root))


def draw_map(folder: Path) -> None:
    """The app's drawn nuclei as a map, for networks that want one."""
    light = gaussian(nuclei()[..., 0] / 255, 1.5)
    folder.mkdir(parents=True, exist_ok=True)
    write_picture(folder / "map of nuclei.png", coloured(label(light > threshold_otsu(light))))


def lighten(root: Path) -> None:
    """Puts float16 weights where what is shipped of the nuclei is larger than `LARGEST`."""
    for run in (Run("nuclei", variant) for variant in SHIPPED):
        folder = root / run.best
        if (folder / "model.safetensors").stat().st_size <= LARGEST:
            continue
        near = nearness(run)
        if near < NEAR:
            raise SystemExit(f"{folder}: answers of float16 weights lie {near:.1f} dB from those of float32; {NEAR:g} are asked for.")
        model, info = load(folder)
        said = f"| weights | float16; answers lie {decibels(near)} dB or more from those of float32, which the figures below are of |"
        card = (folder / "README.md").read_text().replace("\n| stride |", f"\n{said}\n| stride |", 1)
        save(model, folder, info, card, "float16")
        print(run.name, "float16", near)


def _ship(run: Run, shipment: Shipment, row: dict, root: Path) -> tuple[str, float]:
    model, info = load(run.best)
    near = nearness(run)
    precision = "float16" if near >= NEAR else "float32"
    if precision == "float32" and (run.best / "model.safetensors").stat().st_size > LARGEST:
        return "stays out: float16 answers otherwise, float32 is too large", near
    tests, spec = TASKS[run.task].tests, TASKS[run.task]
    config, flags = model.config, {"precision": precision, "near": decibels(near if near >= NEAR else CEILING)}
    card = CARD.format(
        **vars(shipment) | {"licences": _licences(run, shipment)}, **flags,
        variant=run.variant, parameters=sum(p.numel() for p in model.parameters()),
        depth=config.depth, width=config.width, padding=config.padding_mode,
        stride=config.stride, mean=info.mean, std=info.std, hash=data_hash(spec.data), command=row["command"],
        tests=" | ".join(f"{test}, PSNR in dB" for test in tests), dashes="---:|" * len(tests),
        scores=" | ".join(f"{score(row, run.task, test):.{spec.decimals}f}" for test in tests),
        roll=pair(row, "roll, none"), crop=pair(row, "crop, none"), landmark=pair(row, "crop, landmark"),
    )  # fmt: skip
    save(model, root / "checkpoints" / shipment.folder / run.variant, info, card, precision)
    return precision, near


def nearness(run: Run) -> float:
    """The lowest PSNR, over test pictures, of answers with float16 weights beside those with float32."""
    model, info = load(run.best)
    with tempfile.TemporaryDirectory() as folder:
        save(model, folder, info, precision="float16")
        one, other = (load_predictor(path, "cpu", "float32") for path in (run.best, folder))
    pictures = inputs(one, Path(next(iter(TASKS[run.task].tests.values()))))
    errors = [(one(x) - other(x)).square().mean() for x in pictures]
    return float(-10 * torch.stack(errors).max().log10())


def _licences(run: Run, shipment: Shipment) -> str:
    attribution = TASKS[run.task].data / "ATTRIBUTION.md"
    table = [line for line in attribution.read_text().splitlines() if line.startswith("|")] if attribution.exists() else []
    return "\n".join([shipment.licences, *([""] if table else []), *table])
