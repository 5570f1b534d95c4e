"""Draws benchmarks/anchor.md from benchmarks/anchor.json, and the figure of docs/anchoring.md.

    python benchmarks/anchor.py tables
    python benchmarks/anchor_tables.py      # docs/anchoring.png
"""

import json
import re

import torch
from anchor import DATA, MARGIN, MAX_SHIFT, NAMES, RESULTS, ROOT, STRIDE, network
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unetlift import images, stability
from unetlift.anchor import landmark
from unetlift.report import decibels
from unetlift.shifts import Shift

Row = dict[str, float]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def crop_table(rows: dict[str, Row]) -> str:
    """Every network, every way."""
    head = ["network", "anchor", "mean dB", "median", "5th percentile", "worst", "label agreement %", "flips %"]
    body = []
    for key in sorted(rows, key=lambda key: NAMES.index(key.split(" | ")[0])):
        row, (name, way) = rows[key], key.split(" | ")
        figures = [decibels(row[key]) for key in ("mean", "median", "p5", "worst")]
        flips = "" if way in ("none", "known motion") else _percent(row["flips"])
        body.append([f"`{name}`", way, *figures, f"{100 * row['agreement']:.2f}", flips])
    return _table(head, body)


def gains_table(rows: dict[str, Row]) -> str:
    """What a landmark adds."""
    head = ["network", "mean dB", "with a landmark", "gain", "5th percentile", "with a landmark", "gain"]
    body = []
    for name in NAMES:
        without, anchored = rows[f"{name} | none"], rows[f"{name} | landmark"]
        cells = [[f"{w[k]:.1f}", f"{a[k]:.1f}", f"{a[k] - w[k]:+.1f}"] for w, a in ((without, anchored),) for k in ("mean", "p5")]
        body.append([f"`{name}`", *cells[0], *cells[1]])
    return _table(head, body)


def study_table(rows: dict[str, Row], accuracy: dict[str, Row]) -> str:
    """Roll, sub-pixel shifts and accuracy."""
    head = ["network", "anchor", "test mIoU", "roll mean / worst", "sub-pixel mean / 5th percentile / worst"]
    body = []
    for name in NAMES:
        for anchor in ("none", "landmark", "subpixel"):
            roll, part = rows.get(f"{name} | roll | {anchor}"), rows[f"{name} | subpixel | {anchor}"]
            rolled = f"{decibels(roll['mean'])} / {decibels(roll['worst'])}" if roll else ""
            moved = " / ".join(decibels(part[key]) for key in ("mean", "p5", "worst"))
            body.append([f"`{name}`", anchor, f"{accuracy[f'{name} | {anchor}']['miou']:.4f}", rolled, moved])
    return _table(head, body)


def flips_table(rows: dict[str, dict[str, dict]]) -> str:
    """Detectors and rules: percent of pairs, by data set."""
    first = next(iter(rows.values()))
    body, bounds = [], {}
    for key, row in rows.items():
        method, name = key.split(" | ")
        bounds[name] = row["shifts"]
        cells = [_percent(cell["flips"]) for cell in row["shifts"].values()]
        body.append([name, method, *cells, *[_percent(share) for share in row["changes"].values()]])
    for name, cells in bounds.items():
        body.append([name, "**half the bound**", *[_percent(cell["bound"] / 2) for cell in cells.values()], *[""] * len(first["changes"])])
    body.sort(key=lambda line: line[0])
    return _table(["data", "detector and rule", *first["shifts"], *first["changes"]], body)


def video_table(rows: dict[str, Row]) -> str:
    """Flicker by sequence, network and mode."""
    modes = ("none", "landmark", "track", "subpixel", "track-subpixel")
    body = []
    for title in dict.fromkeys(key.split(" | ")[0] for key in rows):
        body.append([title, "the pictures themselves", f"{rows[f'{title} | the pictures themselves']['mean']:.2f}", *[""] * 4])
        for name in dict.fromkeys(key.split(" | ")[1] for key in rows if key.startswith(title) and key.count("|") == 2):
            found = [rows[f"{title} | {name} | {mode}"] for mode in modes]
            body.append([title, f"`{name}`", *[f"{row['mean']:.2f} ({100 * row['agreement']:.2f} %)" for row in found]])
    return _table(["sequence", "answer of", *modes], body)


def walks_table(rows: dict[str, dict[str, int]]) -> str:
    """Flips a frame in sequences whose motion is known."""
    body = [[name, str(r["frames"]), *[f"{100 * r[way] / r['frames']:.2f}" for way in ("landmark", "track")]] for name, r in rows.items()]
    return _table(["pictures", "frames", "landmark, flips a frame %", "track, flips a frame %"], body)


def cost_table(rows: dict[str, Row]) -> str:
    """Milliseconds, and shares of the network's own time."""
    body = []
    for job in rows["float32"]:
        cells = [f"{rows[p][job]:.2f} ({100 * rows[p][job] / rows[p]['network']:.1f} %)" for p in ("float32", "bf16")]
        body.append([job, *cells])
    return _table(["at 512 x 512, 2 threads", "float32 ms (of the network)", "bf16 ms (of the network)"], body)


def write() -> None:
    """Fills the marked tables of benchmarks/anchor.md and docs/anchoring.md."""
    results = json.loads(RESULTS.read_text())
    tables = {
        "gains": gains_table(results["crop"]),
        "crop": crop_table(results["crop"]),
        "study": study_table(results["study"], results["accuracy"]),
        "flips": flips_table(results["flips"]["rows"]),
        "video": video_table(results["video"]),
        "walks": walks_table(results["walks"]),
        "cost": cost_table(results["cost"]),
    }
    for path in (ROOT / "benchmarks" / "anchor.md", ROOT / "docs" / "anchoring.md", ROOT / "README.md"):
        text = path.read_text()
        for name, table in tables.items():
            text = re.sub(rf"(<!-- table:anchor-{name} -->\n).*?(<!-- end -->)", lambda m, t=table: m[1] + t + m[2], text, flags=re.S)
        path.write_text(text)


SHIFT = Shift(3, 5)


def figure() -> None:
    """One picture before and after it moved, under a grid fixed to the frame's corner and one fixed to a landmark."""
    predictor = network("max+nearest")
    path = images.picture_files(DATA / "test" / "images")[30]
    x = predictor.prepare(images.read_picture(path)[:160, :160])
    frames = [stability.moved_frame(x, shift, "crop", MAX_SHIFT, STRIDE) for shift in (Shift(0, 0), SHIFT)]
    drawing = Figure(figsize=(10.5, 7.4), layout="constrained")
    axes = drawing.subplots(2, 3)
    for row, anchor, title in ((0, "none", "grid at the frame's corner"), (1, "landmark", "grid at a landmark")):
        ask = predictor.anchored(anchor)
        answers = [ask(frame) for frame in frames]
        points = [landmark(frame[0]) for frame in frames]
        for column, (frame, point) in enumerate(zip(frames, points, strict=True)):
            start = (point.y % STRIDE, point.x % STRIDE) if anchor == "landmark" else (0, 0)
            words = "before" if column == 0 else f"moved by {SHIFT.dy} down, {SHIFT.dx} right"
            _draw(axes[row, column], frame, start, point, f"{title}: {words}")
        comparison = stability.compare(*answers, SHIFT, "crop", MARGIN)
        change = torch.where(comparison.valid, (comparison.still - comparison.moved_back).abs().amax(1)[0], torch.nan)
        axes[row, 2].imshow(change, cmap="inferno", vmin=0, vmax=0.2)
        axes[row, 2].set_title(f"change of the answer: {comparison.psnr():.1f} dB", fontsize=10)
        axes[row, 2].set_axis_off()
    drawing.savefig(ROOT / "docs" / "anchoring.png", dpi=100)


def _draw(axes: Axes, frame: torch.Tensor, start: tuple[int, int], point: tuple, title: str) -> None:
    height, width = frame.shape[2:]
    axes.imshow((frame[0] * 0.25 + 0.5).clamp(0, 1).permute(1, 2, 0))
    for first, size, line in ((start[0], height, axes.axhline), (start[1], width, axes.axvline)):
        for at in range(first, size, STRIDE):
            line(at, color="#35d0ba", linewidth=0.7)
    axes.plot(point[1], point[0], marker="o", markersize=9, markerfacecolor="none", markeredgecolor="#ff5c5c", markeredgewidth=1.8)
    axes.set_title(title, fontsize=10)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_axis_off()


if __name__ == "__main__":
    figure()
