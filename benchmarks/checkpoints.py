"""Trains, measures and packs the networks in checkpoints/: every variant with the same data, budget and seed.

    python data_scripts/dsb2018.py --to data/dsb2018
    python benchmarks/checkpoints.py train      # resumable; about ten minutes a variant on two cores
    python benchmarks/checkpoints.py measure    # test split: accuracy and shift stability
    python benchmarks/checkpoints.py pack       # checkpoints/, benchmarks/dsb2018.{md,json}, the table of docs/findings.md
"""

import hashlib
import json
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from unetlift import report
from unetlift.checkpoint import save
from unetlift.model import load
from unetlift.stability import CEILING

ROOT = Path(__file__).parent.parent
RUNS, DATA = Path("runs") / "dsb2018", Path("data") / "dsb2018"
BUDGET = {"width": "12", "depth": "4", "epochs": "30", "batch-size": "8", "crop": "128", "augment": "microscopy", "seed": "0"}
PICTURES, MAX_SHIFT = 40, 8

VARIANTS = {
    "max+nearest": {"down": "max", "up": "nearest"},
    "max+unpool": {"down": "max", "up": "unpool"},
    "blur-3+bilinear": {"down": "blur-3", "up": "bilinear"},
    "lift+lift": {"down": "lift", "up": "lift", "lift-penalty": "0.1"},
    "lift+lift@adaptive": {"down": "lift", "up": "lift", "phase": "adaptive", "padding-mode": "circular", "lift-penalty": "0.1"},
}

CARD = """---
license: mit
library_name: unetlift
tags: [image-segmentation, u-net, nuclei]
---

# {name}: nuclei, a small U-Net whose {pools}

Segments cell nuclei (background 0, nucleus 1) in fluorescence, stained and brightfield pictures.

    import unetlift
    model = unetlift.from_pretrained("checkpoints/{name}")

| | |
|---|---|
| network | {parameters:,} parameters, plain encoder, 4 levels, width 12, `{padding_mode}` padding |
| stride | {stride}: `Anchored(function, stride={stride})`, or `unetlift.anchored(model)`, ties its grid to the scene |
| input | RGB (grey is repeated), scaled to 0..1, minus {mean}, divided by {std}; any size |
| data | 2018 Data Science Bowl stage1_train (BBBC038v1, Broad Institute; corrected masks by K. Lopuhin), CC0 1.0 |
| split | train 462, val 69, test 83 pictures, ours: crops of one field never stand in two splits |
| data hash | sha256 {data_hash} |
| budget | 30 epochs of 128 x 128 crops (augmentation: microscopy), 8 a step, peak rate 0.003, CE + Dice, seed 0, bf16 |
| command | `{command}` |
| weights' licence | MIT |

## Measured on the test split

| test mIoU | nucleus IoU | roll mean / worst dB | crop mean / worst dB | crop label agreement |
|---:|---:|---:|---:|---:|
| {miou:.4f} | {nucleus:.4f} | {roll_mean} / {roll_worst} | {crop_mean} / {crop_worst} | {crop_agreement:.2f} % |

Shift PSNR of the class probabilities (R = 1) over shifts of 1 to {max_shift} pixels along a row, a column and the
diagonal, on {pictures} of the test pictures; crop leaves out 16 pixels along the frame. One seed: differences of a few
tenths are noise. Under roll, a network without circular padding is judged mostly by the seam that the roll makes.
"""

POOLS = {
    "max+nearest": "pools are the usual maximum and nearest neighbour: the baseline",
    "max+unpool": "upsampling puts values back where their maxima stood (SegNet)",
    "blur-3+bilinear": "pooling is blurred before it subsamples (BlurPool)",
    "lift+lift": "pooling is a learned wavelet that the decoder inverts (LiftPool)",
    "lift+lift@adaptive": "invertible pooling follows every circular shift exactly",
}


def command(name: str) -> list[str]:
    """The command that trains a variant."""
    flags = [f"--{key}={value}" for key, value in (BUDGET | VARIANTS[name]).items()]
    return ["unetlift", "train", f"--data={DATA}", f"--out={RUNS / name}", *flags]


def train() -> None:
    """Trains every variant that has not finished."""
    for name in VARIANTS:
        run = RUNS / name
        if not (run / "finished").exists():
            subprocess.run([*command(name), *(["--resume"] if run.exists() else [])], check=True)
            (run / "finished").touch()


def measure() -> None:
    """Scores every variant on the test split and measures the stability of all of them in one run."""
    folders = [RUNS / name / "best" for name in VARIANTS]
    for folder in folders:
        out = f"--json={folder.parent / 'test.json'}"
        subprocess.run(["unetlift", "evaluate", f"--model={folder}", f"--data={DATA}", "--precision=float32", out], check=True)
    models = [f"--model={folder}" for folder in folders]
    settings = [f"--pictures={PICTURES}", f"--max-shift={MAX_SHIFT}", f"--out={RUNS / 'stability'}"]
    subprocess.run(["unetlift", "stability", *models, f"--input={DATA / 'test' / 'images'}", *settings], check=True)


def data_hash() -> str:
    """Of every file's name and bytes."""
    digest = hashlib.sha256()
    for path in sorted(p for p in DATA.rglob("*") if p.is_file()):
        digest.update(path.relative_to(DATA).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def pack() -> None:
    """Writes model folders with cards, the table, and the copy in docs/findings.md."""
    measured = json.loads((RUNS / "stability" / "stability.json").read_text())["subjects"]
    digest, rows = data_hash(), []
    for subject in measured:
        name, roll, crop = subject["name"], subject["reports"]["roll"], subject["reports"]["crop"]
        accuracy = json.loads((RUNS / name / "test.json").read_text())
        model, info = load(RUNS / name / "best")
        row = {
            "name": name,
            "parameters": sum(p.numel() for p in model.parameters()),
            "padding_mode": subject["padding_mode"],
            "miou": accuracy["miou"],
            "nucleus": accuracy["iou"]["nucleus"],
            **{f"{mode}_{key}": r[key] for mode, r in (("roll", roll), ("crop", crop)) for key in ("mean", "worst", "agreement")},
            "command": " ".join(command(name)),
        }
        rows.append(row)
        shown = row | {key: report.decibels(row[key]) for key in row if key.endswith(("_mean", "_worst"))}
        shown |= {"crop_agreement": 100 * row["crop_agreement"], "pools": POOLS[name], "data_hash": digest}
        text = CARD.format(**shown, mean=info.mean, std=info.std, stride=model.config.stride, max_shift=MAX_SHIFT, pictures=PICTURES)
        save(model, ROOT / "checkpoints" / name, info, text)
    _write_tables(rows, digest)


def _write_tables(rows: list[dict], digest: str) -> None:
    head = "| variant | padding | test mIoU | nucleus IoU | roll mean / worst dB | crop mean / worst dB | crop label agreement |"
    lines = [head, "|---|---|---:|---:|---:|---:|---:|"]
    for r in rows:
        pairs = [f"{report.decibels(r[f'{m}_mean'])} / {report.decibels(r[f'{m}_worst'])}" for m in ("roll", "crop")]
        scores = [f"{r['miou']:.4f}", f"{r['nucleus']:.4f}", *pairs, f"{100 * r['crop_agreement']:.2f} %"]
        lines.append("| " + " | ".join([f"`{r['name']}`", r["padding_mode"], *scores]) + " |")
    table = "\n".join(lines) + "\n"
    versions = {name: version(name) for name in ("unetlift", "torch", "lightning", "albumentations", "segmentation-models-pytorch")}
    facts = {"python": platform.python_version(), "versions": versions, "data_sha256": digest, "psnr_ceiling": CEILING}
    facts |= {"pictures": PICTURES, "max_shift": MAX_SHIFT, "rows": rows}
    (ROOT / "benchmarks" / "dsb2018.json").write_text(json.dumps(facts, indent=2) + "\n")
    (ROOT / "benchmarks" / "dsb2018.md").write_text(f"# Nuclei (dsb2018), test split\n\n{__doc__}\n{table}")
    page = ROOT / "docs" / "findings.md"
    marked = re.sub(r"(<!-- table:dsb2018 -->\n).*?(<!-- end -->)", lambda m: m[1] + table + m[2], page.read_text(), flags=re.S)
    page.write_text(marked)


if __name__ == "__main__":
    {"train": train, "measure": measure, "pack": pack}[sys.argv[1]]()
