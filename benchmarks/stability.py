"""What `unetlift stability` says of the shipped networks, of a foreign one and of clips, and what it costs.

    python benchmarks/stability.py grid                     # every shift of up to 8 pixels; about 15 minutes on two cores
    python benchmarks/stability.py video --clips FOLDER     # flicker along real clips
    python benchmarks/stability.py foreign --model FILE     # an ONNX file beside the shipped ones
    python benchmarks/stability.py layers                   # how far apart the features of each layer are
    python benchmarks/stability.py memory                   # 100 and 1000 pictures
    python benchmarks/stability.py tables                   # benchmarks/stability.md of it all, and docs/heatmaps.png

Figures are kept in benchmarks/stability.json, each part with its command and versions.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
from predict import run  # noqa: E402

RESULTS, TABLES, PICTURE = ROOT / "benchmarks" / "stability.json", ROOT / "benchmarks" / "stability.md", ROOT / "docs" / "heatmaps.png"
NAMES = ("max+nearest", "max+unpool", "blur-3+bilinear", "lift+lift", "lift+lift@adaptive")
DATA = ROOT / "data" / "dsb2018" / "test" / "images"
PICTURES, MAX_SHIFT, COUNTS, LAYER_PICTURES = 3, 8, (100, 1000), 12

GRID = f"""Mean shift PSNR in dB over {PICTURES} test pictures of nuclei (224 x 224) at each of the {(2 * MAX_SHIFT + 1) ** 2 - 1} shifts
of up to {MAX_SHIFT} pixels: the least, the mean and the largest of a heat map. The networks' stride is 16."""
VIDEO = """PSNR between each frame's answer and the one before, moved along the scene's motion; `scene` is that of the frames themselves,
which noise, depth and moving things have cost already. The networks know nuclei: what they say of streets and trees means
nothing, but it should still hold."""
FOREIGN = "An ONNX file of a U-Net of segmentation-models-pytorch, trained on the same nuclei, beside ours under crop."
LAYERS = f"""Mean cosine distance x 1000 between the features of a moved picture, moved back, and those of the picture where it
was: {LAYER_PICTURES} test pictures (every seventh, at most 272 x 272), crop, 1 to {MAX_SHIFT} pixels along rows, columns and
the diagonal, 32 pixels of margin."""
MEMORY = "`unetlift stability --mode crop --max-shift 2` with `max+nearest` over pictures of 112 x 112 pixels."


def shipped() -> list[str]:
    """The flags that name the shipped networks."""
    return [flag for name in NAMES for flag in ("--model", str(ROOT / "checkpoints" / name))]


def asked(*flags: object) -> dict[str, Any]:
    """What `unetlift stability` wrote, with the line that was run."""
    with tempfile.TemporaryDirectory() as scratch:
        line = ["stability", *map(str, flags), "--cases=1"]
        subprocess.run([sys.executable, "-m", "unetlift.cli", *line, "--out", scratch], check=True, cwd=ROOT)
        found = json.loads((Path(scratch) / "stability.json").read_text())
    words = [_told(word) for word in line]
    return {"command": " ".join(["unetlift", *words]), "versions": versions(), "subjects": found["subjects"]}


def _told(word: str) -> str:
    """Without where this machine keeps it."""
    path = Path(word)
    inside = ROOT in path.parents
    return str(path.relative_to(ROOT)) if inside else path.name if path.is_absolute() else word


def versions() -> dict[str, str]:
    """Of what has a say in the figures."""
    packages = {name: version(name) for name in ("unetlift", "torch", "numpy")}
    return packages | {"python": platform.python_version(), "system": platform.platform()}


def grid(_: argparse.Namespace) -> dict[str, Any]:
    """Mean PSNR at every shift of the square, for each network and mode."""
    flags = [*shipped(), "--input", DATA, f"--pictures={PICTURES}", "--shifts=square", f"--max-shift={MAX_SHIFT}", "--size=224"]
    found = asked(*flags)
    return found | {"subjects": [_slim(subject) for subject in found["subjects"]]}


def _slim(subject: dict[str, Any]) -> dict[str, Any]:
    """Without every single comparison."""
    kept = ("mode", "max_shift", "range", "margin", "mean", "worst", "interval", "agreement", "grid")
    reports = {mode: {name: report[name] for name in kept if name in report} for mode, report in subject["reports"].items()}
    return {name: subject[name] for name in ("name", "anchor", "fingerprint", "seconds")} | {"reports": reports}


def video(arguments: argparse.Namespace) -> dict[str, Any]:
    """Mean and worst PSNR along each clip's motion, and the scene's own."""
    clips = [path for path in sorted(arguments.clips.iterdir()) if path.suffix == ".mp4" or any(path.glob("*.jpg"))]
    rows, command = [], ""
    for clip in clips:
        found = asked(*shipped(), "--input", clip, "--mode=video")
        command = found["command"]
        for s in found["subjects"]:
            (report,) = s["reports"].values()
            means = report["means"]
            kept = {name: means.get(name) for name in ("psnr", "agreement", "miou", "flicker", "scene", "correlation")}
            rows.append({"clip": clip.name, "name": s["name"], "worst": report["worst"], "frames": 1 + len(report["records"])} | kept)
            print(rows[-1], flush=True)
    return {"command": command, "versions": versions(), "rows": rows}


def foreign(arguments: argparse.Namespace) -> dict[str, Any]:
    """An ONNX file among ours, under crop."""
    flags = ["--model", arguments.model, *shipped(), "--input", DATA, f"--pictures={4 * PICTURES}", "--mode=crop", "--size=224"]
    told = [f"--answers={arguments.answers}", f"--stride={arguments.stride}"]
    told += [f"--{name}={value}" for name in ("mean", "std") for value in getattr(arguments, name)]
    found = asked(*flags, *told, "--anchor=none", "--anchor=landmark")
    return found | {"subjects": [_slim(subject) for subject in found["subjects"]]}


def layers(_: argparse.Namespace) -> dict[str, Any]:
    """Mean cosine distance of each layer, of maps brought to the picture's size by the nearest sample, and of interpolated ones."""
    from torch.nn import functional as F

    from unetlift import images
    from unetlift.predict import load_predictor
    from unetlift.stability import distances

    paths = images.picture_files(DATA)[::7][:LAYER_PICTURES]
    rows: dict[str, dict[str, float]] = {}
    for name in NAMES:
        network = load_predictor(ROOT / "checkpoints" / name, precision="float32")
        pictures = [network.prepare(images.read_picture(path))[..., :272, :272] for path in paths]
        smooth = lambda x, m=network.model: {  # noqa: E731
            key: F.interpolate(layer.map, x.shape[2:], mode="bilinear") for key, layer in m.features(x).items()
        }
        for words, features in ((name, network.model.features), (f"{name}, interpolated", smooth)):
            found = distances(features, pictures, "crop", MAX_SHIFT, multiple=16, margin=32)
            rows[words] = {layer: found.mean(layer) for layer in found.layers}
            print(words, rows[words], flush=True)
    return {"versions": versions(), "rows": rows}


def memory(_: argparse.Namespace) -> dict[str, Any]:
    """Seconds and peak over folders of 100 and of 1000 pictures."""
    from unetlift import images

    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for count in COUNTS:
            place = Path(scratch) / str(count)
            place.mkdir()
            for number, tile in zip(range(count), tiles(), strict=False):
                images.write_picture(place / f"{number:04}.png", images.with_channels(tile, 3, "A tile"))
            flags = ["--model", ROOT / "checkpoints" / NAMES[0], "--input", place, "--out", place / "out", "--mode=crop", "--max-shift=2"]
            result = run([*map(str, [sys.executable, "-m", "unetlift.cli", "stability", *flags])])
            rows.append({"pictures": count} | result)
            print(rows[-1], flush=True)
    return {"versions": versions(), "rows": rows}


def tiles() -> Any:
    """Pictures of 112 x 112 pixels, cut from the training pictures."""
    from unetlift import images

    while True:
        for path in images.picture_files(DATA.parent.parent / "train" / "images"):
            picture = images.read_picture(path)
            for top in range(0, picture.shape[0] - 111, 112):
                for left in range(0, picture.shape[1] - 111, 112):
                    yield np.ascontiguousarray(picture[top : top + 112, left : left + 112])


def tables(_: argparse.Namespace) -> None:
    """The Markdown of all that is in the JSON, and the picture of the heat maps."""
    found = json.loads(RESULTS.read_text())
    lines = ["# The stability lab's figures", "", *__doc__.splitlines(), ""]
    drawn = {"grid": _grid_lines, "video": _video_lines, "foreign": _foreign_lines, "layers": _layers_lines, "memory": _memory_lines}
    for name, draw in drawn.items():
        if name in found:
            lines += [*draw(found[name]), f"`{found[name]['command']}`" if "command" in found[name] else "", ""]
            lines += [", ".join(f"{key} {value}" for key, value in found[name]["versions"].items()) + ".", ""]
    TABLES.write_text("\n".join(lines).rstrip() + "\n")
    if "grid" in found:
        _draw(found["grid"])


def _moved(grid: dict[str, Any]) -> np.ndarray:
    values = np.array(grid["values"], float)
    values[grid["dys"].index(0), grid["dxs"].index(0)] = np.nan
    return values[~np.isnan(values)]


def _grid_lines(part: dict[str, Any]) -> list[str]:
    lines = ["## Every shift", "", *GRID.splitlines(), "", "| network | mode | least | mean | largest |", "|---|---|---:|---:|---:|"]
    for s in part["subjects"]:
        for mode, report in s["reports"].items():
            values = _moved(report["grid"])
            lines.append(f"| `{s['name']}` | {mode} | {values.min():.1f} | {values.mean():.1f} | {values.max():.1f} |")
    return [*lines, "", "![The heat maps](../docs/heatmaps.png)", ""]


def _video_lines(part: dict[str, Any]) -> list[str]:
    heads = "| clip | frames | scene dB | network | mean dB | worst dB | label agreement | flicker |"
    lines = ["## Flicker along clips", "", *VIDEO.splitlines(), "", heads, "|---|---:|---:|---|---:|---:|---:|---:|"]
    for r in part["rows"]:
        cells = f"{r['psnr']:.1f} | {r['worst']:.1f} | {100 * r['agreement']:.2f} % | {r['flicker']:.4f}"
        lines.append(f"| {r['clip']} | {r['frames']} | {r['scene']:.1f} | `{r['name']}` | {cells} |")
    return [*lines, ""]


def _foreign_lines(part: dict[str, Any]) -> list[str]:
    heads = "| model | anchor | mean dB | 95 % interval | worst dB | label agreement | seconds |"
    lines = ["## A foreign model", "", FOREIGN, "", heads, "|---|---|---:|---|---:|---:|---:|"]
    for s in part["subjects"]:
        r = s["reports"]["crop"]
        between = f"{r['interval']['low']:.1f} to {r['interval']['high']:.1f}"
        cells = f"{r['mean']:.1f} | {between} | {r['worst']:.1f} | {100 * r['agreement']:.2f} % | {s['seconds']:.3f}"
        lines.append(f"| `{s['name']}` | {s['anchor']} | {cells} |")
    return [*lines, ""]


def _layers_lines(part: dict[str, Any]) -> list[str]:
    names = list(part["rows"])
    lines = ["## Inside the networks", "", *LAYERS.splitlines(), "", f"| layer | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for layer in part["rows"][names[0]]:
        lines.append("| " + " | ".join([layer, *(f"{1000 * part['rows'][name][layer]:.2f}" for name in names)]) + " |")
    return [*lines, ""]


def _memory_lines(part: dict[str, Any]) -> list[str]:
    lines = ["## Folders of any size", "", MEMORY, "", "| pictures | seconds | peak MiB |", "|---:|---:|---:|"]
    return [*lines, *(f"| {r['pictures']} | {r['seconds']:.0f} | {r['peak'] / 2**20:.0f} |" for r in part["rows"]), ""]


def _draw(part: dict[str, Any]) -> None:
    from matplotlib.figure import Figure

    modes = list(part["subjects"][0]["reports"])
    figure = Figure(figsize=(2.5 * len(part["subjects"]) + 0.8, 2.9 * len(modes)), layout="constrained")
    rows = figure.subplots(len(modes), len(part["subjects"]), squeeze=False)
    for line, mode in zip(rows, modes, strict=True):
        shown = []
        for axes, s in zip(line, part["subjects"], strict=True):
            grid = s["reports"][mode]["grid"]
            values = np.array(grid["values"], float)
            values[grid["dys"].index(0), grid["dxs"].index(0)] = np.nan
            reach = grid["dys"][-1] + 0.5
            shown.append(axes.imshow(values, vmin=20, vmax=70, cmap="viridis", extent=(-reach, reach, reach, -reach)))
            least, most = np.nanmin(values), np.nanmax(values)
            axes.set_title(f"{s['name']}\n{mode}: " + ("exact" if least >= 160 else f"{least:.1f} to {most:.1f} dB"), fontsize=9)
            axes.set_xticks([-8, 0, 8])
            axes.set_yticks([-8, 0, 8])
        figure.colorbar(shown[-1], ax=line, label="shift PSNR in dB", shrink=0.8)
    figure.savefig(PICTURE, dpi=110)


PARTS = {"grid": grid, "video": video, "foreign": foreign, "layers": layers, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "tables"])
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--answers", default="logits")
    parser.add_argument("--stride", type=int, default=32)
    parser.add_argument("--mean", type=float, nargs="*", default=[])
    parser.add_argument("--std", type=float, nargs="*", default=[])
    arguments = parser.parse_args()
    if arguments.part != "tables":
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        kept[arguments.part] = PARTS[arguments.part](arguments)
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    tables(arguments)


if __name__ == "__main__":
    main()
