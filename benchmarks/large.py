"""Peak memory of `unetlift predict` over pictures of growing size: tiled TIFFs in, tiled TIFFs out.

    python benchmarks/large.py --write       # benchmarks/large.{md,json}; about ten minutes on two cores

The pictures repeat one tile of noise and blobs, so that a large one is quickly made; what they show does not matter to memory.
The wide strips show what a whole picture of that width needs with a shipped network, since memory grows with a row of tiles and
not with their number; the squares show it in full for a small network, which is done in minutes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
from predict import run  # noqa: E402

TILE = 512
SHIPPED = ROOT / "checkpoints" / "blur-3+bilinear"
SMALL = "import sys, torch; from unetlift import UNet; torch.manual_seed(0); UNet(depth=2, width=4).save_pretrained(sys.argv[1])"
SIZES = {"small": ((2048, 2048), (8192, 8192), (40000, 40000)), "shipped": ((2048, 2048), (2048, 40000), (4096, 40000))}
"""Height and width, by network."""


def bands(height: int, width: int) -> Iterator[Any]:
    """Rows of a picture that repeats one tile."""
    import numpy as np

    tile = np.random.default_rng(0).integers(0, 256, (TILE, TILE, 3), dtype=np.uint8)
    tile[100:300, 100:300] = 200
    row = np.tile(tile, (1, -(-width // TILE), 1))[:, :width]
    for top in range(0, height, TILE):
        yield row[: min(TILE, height - top)]


def measure(folder: Path) -> list[dict[str, Any]]:
    """Seconds and peak of each run."""
    subprocess.run([sys.executable, "-c", SMALL, folder / "small"], check=True)
    found = []
    for name, sizes in SIZES.items():
        for height, width in sizes:
            place = folder / f"{name}{height}x{width}"
            place.mkdir()
            write = [sys.executable, __file__, "--make", place / "a.tif", "--height", height, "--width", width]
            subprocess.run([*map(str, write)], check=True)
            model = SHIPPED if name == "shipped" else folder / "small"
            flags = ["--model", model, "--input", place, "--output", folder / f"out{len(found)}", "--anchor=none"]
            result = run([*map(str, [sys.executable, "-m", "unetlift.cli", "predict", *flags])])
            found.append({"network": name, "height": height, "width": width} | result)
            print(found[-1], file=sys.stderr, flush=True)
            (place / "a.tif").unlink()
    return found


def report(found: list[dict[str, Any]]) -> str:
    lines = ["# Memory and the size of a picture", "", *__doc__.splitlines(), ""]
    lines += ["| network | picture | million pixels | seconds | peak MiB |", "|---|---|---:|---:|---:|"]
    for r in found:
        name = SHIPPED.name if r["network"] == "shipped" else "blur-3+bilinear of depth 2, width 4"
        size = r["height"] * r["width"] / 1e6
        lines.append(f"| {name} | {r['width']} x {r['height']} | {size:.0f} | {r['seconds']:.0f} | {r['peak'] / 2**20:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    for name in ("--height", "--width"):
        parser.add_argument(name, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        from unetlift.images import write_tiff

        write_tiff(arguments.make, bands(arguments.height, arguments.width), arguments.height, arguments.width, 3, "uint8")
        return
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(Path(scratch))
    print(text := report(found))
    if arguments.write:
        from unetlift.checkpoint import write_atomically

        about = {"runs": found, "seconds": time.perf_counter() - begun}
        write_atomically(ROOT / "benchmarks" / "large.json", lambda part: part.write_text(json.dumps(about, indent=1) + "\n"))
        write_atomically(ROOT / "benchmarks" / "large.md", lambda part: part.write_text(text))


if __name__ == "__main__":
    main()
