"""Times every pool of interest beside kornia's, timm's and PyTorch's own, in one run, and says which targets are met.

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
from torch.profiler import ProfilerActivity, profile

from unetlift.pools import BlurPool2d, LiftOptions, pool_pair

MAPS = (4, 32, 256, 256), (4, 128, 64, 64), (4, 256, 32, 32)
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PACKAGES = "unetlift", "torch", "kornia", "timm"
WAYS = {"forward": "forward", "both": "forward + backward"}

Pool = Callable[[Tensor], Tensor]


class Pooled(nn.Module):
    """A downsampler without its trace."""

    def __init__(self, down: nn.Module):
        super().__init__()
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        return self.down(x)[0]


class Pair(nn.Module):
    """Down and up again."""

    def __init__(self, down: nn.Module, up: nn.Module):
        super().__init__()
        self.down, self.up = down, up

    def forward(self, x: Tensor) -> Tensor:
        return self.up(*self.down(x))


def down(name: str, phase: str = "fixed", padding_mode: str = "zeros") -> Callable[[int], nn.Module]:
    return lambda channels: Pooled(pool_pair(name, "nearest", channels, phase, padding_mode)[0]).eval()


def pair(name: str, up: str, phase: str = "fixed", padding_mode: str = "zeros", **lift) -> Callable[[int], nn.Module]:
    return lambda channels: Pair(*pool_pair(name, up, channels, phase, padding_mode, LiftOptions(**lift))).eval()


def blur(size: int, padding_mode: str) -> Callable[[int], nn.Module]:
    return lambda channels: BlurPool2d(channels, size, padding_mode)


WAVELET, DEPTHWISE = {"learned": False}, {"groups": (0, 0)}

POOLS: dict[str, Callable[[int], Callable]] = {
    "torch avg_pool2d": lambda channels: lambda x: F.avg_pool2d(x, 2),
    "torch max_pool2d": lambda channels: lambda x: F.max_pool2d(x, 2),
    **{f"kornia BlurPool2D({k}), zeros": lambda channels, k=k: kornia.filters.BlurPool2D(k) for k in (3, 5)},
    **{f"timm BlurPool2d({k}), reflect": lambda channels, k=k: timm.layers.BlurPool2d(channels, k) for k in (3, 5)},
    **{f"BlurPool2d({k}), {mode}": blur(k, mode) for k in (3, 5) for mode in ("zeros", "reflect", "circular")},
    "kornia MaxBlurPool2D(3), zeros": lambda channels: kornia.filters.MaxBlurPool2D(3),
    **{f"blur-3, {mode}": down("blur-3", padding_mode=mode) for mode in ("zeros", "reflect", "circular")},
    "max, circular": down("max", padding_mode="circular"),
    "stride": down("stride"),
    "max, circular, adaptive": down("max", "adaptive", "circular"),
    "blur-3, circular, adaptive": down("blur-3", "adaptive", "circular"),
    "blur-3, circular, learned": down("blur-3", "learned", "circular"),
    "max + nearest": pair("max", "nearest"),
    "max + unpool": pair("max", "unpool"),
    "max + blur-3, reflect": pair("max", "blur-3", padding_mode="reflect"),
    "fourier + fourier": pair("fourier", "fourier"),
    "lift + lift, Haar": pair("lift", "lift", **WAVELET),
    "lift + lift, CDF 5/3": pair("lift", "lift", start="cdf53", **WAVELET),
    "lift + lift, learned depthwise": pair("lift", "lift", **DEPTHWISE),
    "lift + lift, learned": pair("lift", "lift"),
    "lift + lift, circular": pair("lift", "lift", padding_mode="circular"),
    "lift + lift, circular, adaptive": pair("lift", "lift", "adaptive", "circular"),
}

COMPILED = "max + nearest", "lift + lift, Haar", "lift + lift, learned depthwise", "lift + lift, learned", "BlurPool2d(3), reflect"

TARGETS: list[tuple[str, str, tuple[str, ...], str, float]] = [
    # what, of which pool, over which (the slowest), over what way, at most
    *[(f"BlurPool {k} over avg_pool2d or the floor", f"BlurPool2d({k}), {mode}", ("torch avg_pool2d", "floor"), "forward", most)
      for k, most in ((3, 1.2), (5, 1.5)) for mode in ("zeros", "reflect")],
    *[(f"BlurPool {k} over kornia's", f"BlurPool2d({k}), {mode}", (f"kornia BlurPool2D({k}), zeros",), "forward", 1.0)
      for k in (3, 5) for mode in ("zeros", "reflect")],
    *[(f"BlurPool {k} over timm's", f"BlurPool2d({k}), reflect", (f"timm BlurPool2d({k}), reflect",), "forward", 0.4) for k in (3, 5)],
    *[("lift + lift over max + nearest", f"lift + lift, {kind}", ("max + nearest",), "forward", 3.0)
      for kind in ("Haar", "CDF 5/3", "learned depthwise", "learned")],
    *[("lift + lift over max + nearest", f"lift + lift, {kind}", ("max + nearest",), "both", 3.0) for kind in ("Haar", "learned")],
    *[("adaptive over fixed", f"{name}, adaptive", (name,), way, 1.25)
      for name in ("max, circular", "blur-3, circular", "lift + lift, circular") for way in WAYS],
]  # fmt: skip


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


def peak_memory(run: Callable[[], object]) -> int:
    """The most bytes that a run held at once, beyond what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        run()
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def bandwidth(rounds: int) -> float:
    """Bytes a millisecond, reading and writing, beyond the caches."""
    source, target = torch.zeros(2**27, dtype=torch.uint8), torch.zeros(2**27, dtype=torch.uint8)
    return 2 * source.numel() / milliseconds({"copy": lambda: target.copy_(source)}, rounds)["copy"]


def measure(shape: tuple[int, ...], dtype: torch.dtype, layout: torch.memory_format, rounds: int) -> dict[str, dict]:
    """A row for each pool, and the floor that memory sets: a map read, a quarter of it written."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype).to(memory_format=layout)
    pools = {}
    for name, build in POOLS.items():
        pool = build(shape[1])
        pools[name] = pool.to(dtype).to(memory_format=layout) if isinstance(pool, nn.Module) else pool
    ahead = milliseconds({name: forward(pool, x) for name, pool in pools.items()}, rounds)
    both = milliseconds({name: forward_backward(pool, x) for name, pool in pools.items()}, max(3, rounds // 2))
    size = x.numel() * x.element_size()
    floor = 1.25 * size / bandwidth(rounds)
    rows = {"floor": {"forward": floor, "both": 2 * floor}}
    for name, pool in pools.items():
        memory = [peak_memory(run(pool, x)) / size for run in (forward, forward_backward)]
        rows[name] = {"forward": ahead[name], "both": both[name], "forward_memory": memory[0], "both_memory": memory[1]}
    return rows


def compiled(shape: tuple[int, ...], rounds: int) -> dict[str, dict]:
    """Eager beside compiled, forward in float32 and channels_last."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
    runs = {}
    for name in COMPILED:
        pool = POOLS[name](shape[1]).to(memory_format=torch.channels_last)
        torch._dynamo.reset()
        quick = torch.compile(pool, fullgraph=True)
        forward(quick, x)()
        runs |= {f"{name}, eager": forward(pool, x), f"{name}, compiled": forward(quick, x)}
    return {name: {"forward": value} for name, value in milliseconds(runs, rounds).items()}


def verdicts(results: list[dict]) -> list[str]:
    """The targets in channels_last, a column for each map and precision; what is above its target in bold."""
    cases = [result for result in results if result["layout"] == "channels_last"]
    lines = ["| target | pool | way | at most |" + "".join(f" {title(case)} |" for case in cases)]
    lines += ["|---|---|---|---|" + "---|" * len(cases)]
    for what, pool, others, way, most in TARGETS:
        cells = []
        for case in cases:
            ratio = case["rows"][pool][way] / max(case["rows"][other][way] for other in others)
            cells.append(f"{ratio:.2f}" if ratio <= most else f"**{ratio:.2f}**")
        lines.append(f"| {what} | `{pool}` | {WAYS[way]} | {most} | {' | '.join(cells)} |")
    return lines


def title(case: dict) -> str:
    return f"{case['dtype']} {'x'.join(map(str, case['shape']))}"


def as_markdown(results: list[dict], quick: list[dict], setting: dict) -> str:
    lines = ["# Time and memory of the pools", "", f"`{setting['command']}`", ""]
    lines += [", ".join(f"{key} {value}" for key, value in setting.items() if key != "command") + ".", ""]
    lines += ["## Against the targets", "", "Ratios of medians in one run, channels_last.", "", *verdicts(results), ""]
    lines += ["## Compiled", "", "Milliseconds, forward, float32, channels_last; *to max*: times the eager max + nearest.", ""]
    lines += ["| pool |" + "".join(f" {'x'.join(map(str, case['shape']))} | to max |" for case in quick), "|---|" + "---|---|" * len(quick)]
    for name in quick[0]["rows"] if quick else ():
        cells = [(case["rows"][name]["forward"], case["rows"]["max + nearest, eager"]["forward"]) for case in quick]
        lines += [f"| {name} |" + "".join(f" {time:.2f} | {time / most:.2f} |" for time, most in cells)]
    lines += ["", "## Everything", "", "Milliseconds, median of rounds in turns; *memory*: the most that was held at once, in input maps."]
    lines += ["The floor is a map read and a quarter of it written, at the speed of a copy of 128 MB.", ""]
    for case in results:
        lines += [f"### {title(case)}, {case['layout']}", ""]
        lines += ["| pool | forward | memory | forward + backward | memory |", "|---|---|---|---|---|"]
        for name, row in case["rows"].items():
            memory = [f"{row[key]:.2f}" if key in row else "" for key in ("forward_memory", "both_memory")]
            lines += [f"| {name} | {row['forward']:.2f} | {memory[0]} | {row['both']:.2f} | {memory[1]} |"]
        lines += [""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="timed rounds (default: 15)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch (default: its own)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    setting = {"command": " ".join(["python", "benchmarks/pools.py", *sys.argv[1:]]), "rounds": arguments.rounds}
    setting |= {"threads": arguments.threads, "python": platform.python_version(), "machine": platform.machine()}
    setting |= {package: importlib.metadata.version(package) for package in PACKAGES}
    results = []
    for layout in LAYOUTS:
        for dtype in DTYPES:
            for shape in MAPS:
                rows = measure(shape, DTYPES[dtype], LAYOUTS[layout], arguments.rounds)
                results.append({"dtype": dtype, "shape": shape, "layout": layout, "rows": rows})
                print(f"{title(results[-1])}, {layout}: measured", flush=True)
    quick = [{"shape": shape, "rows": compiled(shape, arguments.rounds)} for shape in MAPS[:2]]
    table = as_markdown(results, quick, setting)
    print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(setting | {"results": results, "compiled": quick}, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(table)


if __name__ == "__main__":
    main()
