"""Times every pool of interest beside kornia's, timm's and PyTorch's own, in one run.

    python benchmarks/pools.py --json benchmarks/pools.json --markdown benchmarks/pools.md

All pools take turns, round after round, so that a busy machine slows them alike; the figure is the median round.
"""

import argparse
import importlib.metadata
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import kornia
import timm.layers
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift.pools import pool_pair
from unetlift.pools.base import CENTRE, CORNER
from unetlift.pools.blur import BlurDown

MAPS = (8, 32, 128, 128), (8, 64, 64, 64)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PACKAGES = "unetlift", "torch", "kornia", "timm"

Pool = Callable[[Tensor], Tensor]


def blur(operator: str, size: int, padding_mode: str) -> Callable[[int], nn.Module]:
    grid = CENTRE if operator == "max" else CORNER
    return lambda channels: Pooled(BlurDown(operator, size, channels, grid, padding_mode))


def down(name: str, phase: str = "fixed", padding_mode: str = "zeros") -> Callable[[int], nn.Module]:
    return lambda channels: Pooled(pool_pair(name, "nearest", channels, phase, padding_mode)[0]).eval()


def up(name: str, padding_mode: str = "reflect") -> Callable[[int], nn.Module]:
    """An upsampler behind max pooling: the pair's time."""
    return lambda channels: Pair(*pool_pair("max", name, channels, "fixed", padding_mode))


class Pooled(nn.Module):
    """A downsampler without its trace."""

    def __init__(self, down: nn.Module):
        super().__init__()
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        return self.down(x)[0]


class Pair(nn.Module):
    def __init__(self, down: nn.Module, up: nn.Module):
        super().__init__()
        self.down, self.up = down, up

    def forward(self, x: Tensor) -> Tensor:
        return self.up(*self.down(x))


POOLS: dict[str, Callable[[int], Callable]] = {
    "torch max_pool2d": lambda channels: lambda x: F.max_pool2d(x, 2),
    "kornia BlurPool2D(3), zeros": lambda channels: kornia.filters.BlurPool2D(3),
    "kornia BlurPool2D(5), zeros": lambda channels: kornia.filters.BlurPool2D(5),
    "kornia MaxBlurPool2D(3), zeros": lambda channels: kornia.filters.MaxBlurPool2D(3),
    "timm BlurPool2d(3), reflect": lambda channels: timm.layers.BlurPool2d(channels, 3),
    "timm BlurPool2d(5), reflect": lambda channels: timm.layers.BlurPool2d(channels, 5),
    "avg-blur-3, zeros": blur("avg", 3, "zeros"),
    "avg-blur-3, reflect": blur("avg", 3, "reflect"),
    "avg-blur-3, circular": blur("avg", 3, "circular"),
    "avg-blur-5, reflect": blur("avg", 5, "reflect"),
    "blur-3, zeros": blur("max", 3, "zeros"),
    "blur-3, reflect": blur("max", 3, "reflect"),
    "max": down("max"),
    "stride": down("stride"),
    "lift": down("lift"),
    "max, circular": down("max", padding_mode="circular"),
    "max, circular, adaptive": down("max", "adaptive", "circular"),
    "blur-3, circular": down("blur-3", padding_mode="circular"),
    "blur-3, circular, adaptive": down("blur-3", "adaptive", "circular"),
    "lift, circular": down("lift", padding_mode="circular"),
    "lift, circular, adaptive": down("lift", "adaptive", "circular"),
    "max + nearest": up("nearest"),
    "max + bilinear": up("bilinear"),
    "max + unpool": up("unpool"),
    "max + blur-3, reflect": up("blur-3"),
    "max + blur-4, reflect": up("blur-4"),
}


def rival(name: str) -> str:
    """What a pool's time is divided by, besides max pooling: kornia's of the same filter, or the same pool unadapted."""
    if name.endswith(", adaptive"):
        return name.removesuffix(", adaptive")
    if "BlurPool2d(" in name or "avg-blur-" in name:
        return f"kornia BlurPool2D({5 if '5' in name.partition(',')[0] else 3}), zeros"
    if name.startswith("blur-3") and "circular" not in name:
        return "kornia MaxBlurPool2D(3), zeros"
    return ""


def milliseconds(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median time of each, taken in turns; two rounds warm up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 2):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            times[name].append(1000 * (time.perf_counter() - begin))
    return {name: statistics.median(values[2:]) for name, values in times.items()}


def forward(pool: Pool, x: Tensor) -> Callable[[], object]:
    def run() -> None:
        with torch.inference_mode():
            pool(x)

    return run


def forward_backward(pool: Pool, x: Tensor) -> Callable[[], object]:
    x = x.clone().requires_grad_()
    gradient = torch.ones_like(pool(x))
    return lambda: torch.autograd.grad(pool(x), x, gradient)


def measure(shape: tuple[int, ...], dtype: torch.dtype, rounds: int) -> list[dict]:
    """A row for each pool, and before them the floor that memory sets: a map read, a quarter of it written."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype).to(memory_format=torch.channels_last)
    pools = {}
    for name, build in POOLS.items():
        pool = build(shape[1])
        pools[name] = pool.to(dtype).to(memory_format=torch.channels_last) if isinstance(pool, nn.Module) else pool
    source, target = torch.zeros(2**26, dtype=torch.uint8), torch.zeros(2**26, dtype=torch.uint8)  # beyond the caches
    ahead = milliseconds({"copy": lambda: target.copy_(source)} | {n: forward(p, x) for n, p in pools.items()}, rounds)
    both = milliseconds({name: forward_backward(pool, x) for name, pool in pools.items()}, rounds)
    bandwidth = 2 * source.numel() / ahead.pop("copy") / 1e6  # GB/s, reading and writing
    bytes_moved = 1.25 * x.numel() * x.element_size()
    floor = bytes_moved / bandwidth / 1e6
    rows = [{"pool": f"memory floor at {bandwidth:.0f} GB/s", "forward": floor, "forward_backward": 2 * floor}]
    for name in pools:
        rows.append({"pool": name, "forward": ahead[name], "forward_backward": both[name], "rival": rival(name)})
    for row in rows:
        for way, times in (("forward", ahead), ("forward_backward", both)):
            row[f"{way}_to_max"] = row[way] / times["torch max_pool2d"]
            if row.get("rival"):
                row[f"{way}_to_rival"] = row[way] / times[row["rival"]]
    return rows


def as_markdown(results: list[dict], setting: dict) -> str:
    lines = ["# Time of the pools", "", f"`{setting['command']}`", ""]
    lines += [", ".join(f"{key} {value}" for key, value in setting.items() if key != "command") + ".", ""]
    lines += ["Milliseconds, median of rounds in turns, channels_last. *to max*: times the time of `max_pool2d`; *to rival*: times"]
    lines += ["kornia's zero-padded pool of the same filter or, for an adaptive pool, the same pool with a fixed phase.", ""]
    for result in results:
        lines += [f"## {result['dtype']}, {'x'.join(map(str, result['shape']))}", ""]
        lines += ["| pool | forward | to max | to rival | forward + backward | to max | to rival |", "|---|---|---|---|---|---|---|"]
        for row in result["rows"]:
            cells = []
            for way in ("forward", "forward_backward"):
                rival_ratio = row.get(f"{way}_to_rival")
                cells += [f"{row[way]:.2f}", f"{row[f'{way}_to_max']:.2f}", f"{rival_ratio:.2f}" if rival_ratio else ""]
            lines += [f"| {row['pool']} | {' | '.join(cells)} |"]
        lines += [""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=31, help="timed rounds (default: 31)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch (default: its own)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    setting = {"command": " ".join(["python", "benchmarks/pools.py", *sys.argv[1:]]), "rounds": arguments.rounds}
    setting |= {"threads": arguments.threads, "python": platform.python_version(), "machine": platform.machine()}
    setting |= {package: importlib.metadata.version(package) for package in PACKAGES}
    cases = [(name, shape) for name in DTYPES for shape in MAPS]
    results = [{"dtype": name, "shape": shape, "rows": measure(shape, DTYPES[name], arguments.rounds)} for name, shape in cases]
    table = as_markdown(results, setting)
    print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(setting | {"results": results}, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(table)


if __name__ == "__main__":
    main()
