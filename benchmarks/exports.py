"""Compiles and exports every pair of pools and every kind of network, and compares each with eager PyTorch.

    python benchmarks/exports.py --json benchmarks/exports.json --markdown benchmarks/exports.md
    python benchmarks/exports.py --cover --json /tmp/some.json
    python benchmarks/exports.py --only 'blur-3*' --ways inductor onnx --json /tmp/some.json

Every cell is written to the JSON file at once, and one that is there already is not computed again: a run that was
stopped goes on where it was. An error is the largest difference in parts of the range of eager's answers.
"""

import argparse
import importlib.metadata
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.export import Dim

from unetlift import UNet
from unetlift.convs import ACTIVATIONS, CONVS, PADDING_MODES
from unetlift.errors import UsageError
from unetlift.export import difference, to_onnx
from unetlift.pools import DOWNS, PHASES, UPS, pool_pair, ups_for

CHANNELS = 3
TRACED = (2, CHANNELS, 32, 48)
CHECKED = (2, CHANNELS, 37, 50), (1, CHANNELS, 64, 48)
OTHERS = (2, CHANNELS, 41, 41), (2, CHANNELS, 30, 33), (2, CHANNELS, 56, 40), (3, CHANNELS, 29, 64)
"""More shapes, for which a compiled module may not be compiled again: both axes odd, one odd, none, another batch. A batch
of one is not among them: PyTorch compiles that for itself."""

TOLERANCE = 1e-5
PACKAGES = "unetlift", "torch", "torchvision", "onnx", "onnxscript", "onnxruntime"


class Pair(nn.Module):
    """A downsampler and its upsampler: there and back."""

    def __init__(self, down: str, up: str, phase: str, padding_mode: str):
        super().__init__()
        self.down, self.up = pool_pair(down, up, CHANNELS, phase, padding_mode)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(*self.down(x))


# What is compared: names and how to build them.

Builders = dict[str, Callable[[], nn.Module]]


def pair(down: str, up: str, phase: str, padding_mode: str) -> tuple[str, Callable[[], nn.Module]]:
    return f"{down}+{up}@{phase}, {padding_mode}", lambda: Pair(down, up, phase, padding_mode)


def every_pair() -> Builders:
    """All pairs on a fixed grid, the padding modes in turn; every downsampler and every upsampler under each other phase."""
    modes = cycle(PADDING_MODES)
    rows = [(down, up, PHASES[0]) for down in DOWNS for up in ups_for(down)]
    for phase in PHASES[1:]:
        rows += [(down, ups_for(down)[-1], phase) for down in DOWNS]
        rows += [("max", up, phase) for up in ups_for("max")]
    return dict(pair(*row, next(modes)) for row in dict.fromkeys(rows))


def covering_pairs() -> Builders:
    """The fewest pairs in which every family of either kind, every phase and every padding mode appears."""
    downs = [name for name in DOWNS if shown(name)]
    ups = [name for name in UPS if shown(name)]
    phases, modes, rows, missing = cycle(PHASES), cycle(PADDING_MODES), [], list(ups)
    for down in downs:
        up = next((up for up in missing if up in ups_for(down)), ups_for(down)[0])
        missing = [name for name in missing if name != up]
        rows.append((down, up))
    rows += [(next(down for down in downs if up in ups_for(down)), up) for up in missing]
    return dict(pair(*row, next(phases), next(modes)) for row in rows)


def shown(name: str) -> bool:
    """One filter of a family stands for all, an odd and an even one for BlurPool itself."""
    prefix, _, size = name.rpartition("-")
    return not size.isdigit() or size == "3" or (prefix == "blur" and size == "4")


def networks() -> Builders:
    """Small whole U-Nets: every convolution, activation and phase, and the pairs that people use."""
    settings: list[dict[str, Any]] = [{"down": "max", "up": "nearest", "conv": conv, "padding_mode": "zeros"} for conv in CONVS]
    settings += [{"down": "blur-3", "up": "bilinear", "conv": conv, "padding_mode": "reflect"} for conv in CONVS]
    settings += [{"down": "max", "up": "nearest", "activation": name, "padding_mode": "circular"} for name in ACTIVATIONS]
    settings += [{"down": "lift", "up": "lift", "phase": phase, "padding_mode": "circular"} for phase in PHASES]
    settings += [{"down": "blur-3", "up": "blur-3", "phase": phase, "padding_mode": "circular"} for phase in PHASES]
    settings += [{"down": "max", "up": "unpool", "padding_mode": "replicate"}, {"down": "fourier", "up": "fourier"}]
    return {_network_name(each): lambda each=each: UNet(depth=2, width=4, deform_levels=2, **each) for each in settings}


def _network_name(settings: dict[str, Any]) -> str:
    extras = [settings[key] for key in ("conv", "activation", "padding_mode") if key in settings]
    return f"UNet {settings['down']}+{settings['up']}@{settings.get('phase', 'fixed')}, " + ", ".join(extras or ["zeros"])


def prepared(build: Callable[[], nn.Module]) -> nn.Module:
    """In eval mode; what starts at zero (a lift's corrections, deformable offsets) is made random, or it would prove nothing."""
    torch.manual_seed(0)
    module = build().eval()
    for weight in module.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.2)
    return module


# The ways, each from a module to a cell.

Cell = dict[str, Any]


def noise(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def compiled(module: nn.Module, backend: str, dynamic: bool | None) -> Cell:
    """`again` counts the graphs made after the first shape; where sizes become dynamic by themselves, after the third."""
    function, counter = _counted(module, backend, dynamic)
    for shape in (TRACED,) if dynamic else (TRACED, CHECKED[0], (3, *CHECKED[0][1:])):
        function(noise(shape))
    graphs = counter.frame_count
    errors = [difference(module(x), function(x)) for x in map(noise, (CHECKED[0], *OTHERS))]
    return {"error": max(errors), "again": counter.frame_count - graphs}


def trained(module: nn.Module) -> Cell:
    """The gradients of input and weights, in training mode; phases that are sampled get the same random numbers."""
    function, counter = _counted(module.train(), "aot_eager", True)
    errors, graphs = [], []
    for shape in (TRACED, CHECKED[0], *OTHERS):
        errors += map(difference, _gradients(module, module, shape), _gradients(module, function, shape))
        graphs.append(counter.frame_count)
    return {"error": max(errors), "again": graphs[-1] - graphs[0]}


def _counted(module: nn.Module, backend: str, dynamic: bool | None) -> tuple[Callable, CompileCounterWithBackend]:
    torch._dynamo.reset()
    counter = CompileCounterWithBackend(backend)
    return torch.compile(module, fullgraph=True, dynamic=dynamic, backend=counter), counter


def _gradients(module: nn.Module, function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> list[Tensor]:
    torch.manual_seed(1)
    x = noise(shape).requires_grad_()
    with torch.enable_grad():
        y = function(x)
        return list(torch.autograd.grad((y * noise(tuple(y.shape))).sum(), (x, *module.parameters()), materialize_grads=True))


def exported(module: nn.Module) -> Cell:
    free = {axis: Dim.DYNAMIC for axis in (0, 2, 3)}  # raises where a size would become a constant
    program = torch.export.export(module, (noise(TRACED),), dynamic_shapes=(free,)).module()
    return {"error": max(difference(module(x), program(x)) for x in map(noise, (*CHECKED, *OTHERS)))}


def in_onnxruntime(module: nn.Module) -> Cell:
    with tempfile.TemporaryDirectory() as folder:
        report = to_onnx(module, Path(folder) / "network.onnx", noise(TRACED), tolerance=float("inf"))
        session = onnxruntime.InferenceSession(report.path, providers=["CPUExecutionProvider"])
    answers = ((module(x), torch.from_numpy(session.run(None, {"input": x.numpy()})[0])) for x in map(noise, (*CHECKED, *OTHERS)))
    return {"error": max(*report.errors, *(difference(own, other) for own, other in answers)), "size": report.size}


WAYS: dict[str, Callable[[nn.Module], Cell]] = {
    "inductor": lambda module: compiled(module, "inductor", True),
    "automatic": lambda module: compiled(module, "aot_eager", None),  # dynamic sizes found by torch.compile itself
    "graph": lambda module: compiled(module, "aot_eager", True),  # the same graph, run operator by operator
    "train": trained,
    "export": exported,
    "onnx": in_onnxruntime,
}
USUAL = "inductor", "export", "onnx"


def cell(way: str, build: Callable[[], nn.Module]) -> Cell:
    begin = time.perf_counter()
    try:
        with torch.no_grad():
            found = WAYS[way](prepared(build))
    except UsageError as error:
        found = {"refused": str(error)}
    except Exception as error:  # a row that fails must not hide the others
        found = {"failed": f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]}
    return found | {"seconds": round(time.perf_counter() - begin, 1)}


# The table.


def conditions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "machine": platform.machine(), "threads": str(torch.get_num_threads()), **versions}


def cells(builders: Builders, ways: list[str], known: dict[str, dict[str, Cell]]) -> Iterator[None]:
    """Fills `known`, and stops after each new cell."""
    for name, build in builders.items():
        for way in ways:
            if way in known.setdefault(name, {}):
                continue
            known[name][way] = cell(way, build)
            print(f"{name:45} {way:9} {shown_cell(known[name][way])}", flush=True)
            yield


def shown_cell(found: Cell | None) -> str:
    if found is None:
        return ""
    if "error" not in found:
        return "refused: " + found["refused"] if "refused" in found else "FAILED: " + found["failed"]
    again = f", compiled again {found['again']} times" if found.get("again") else ""
    return f"{found['error']:.0e}{again}"


def markdown(results: dict[str, dict[str, Cell]], ways: list[str], about: dict[str, str], command: str) -> str:
    lines = ["# Compiled and exported, against eager", "", f"`{command}`", ""]
    lines += [", ".join(f"{key} {value}" for key, value in about.items()) + ".", ""]
    lines += [
        f"The largest difference in parts of the range of eager's answers, in float32; the tolerance is {TOLERANCE:g}. Traced at",
        f"{TRACED}, compared at {', '.join(map(str, (CHECKED[0], *OTHERS)))}; *export* and *onnx*",
        f"also at {CHECKED[1]}, a batch for which PyTorch compiles once more. *inductor* is torch.compile with fullgraph and",
        "dynamic sizes, *export* torch.export, *onnx* a file run in onnxruntime. Nothing was compiled again for any of these",
        "shapes unless the entry says so.",
        "",
    ]
    whole = {name: row for name, row in results.items() if name.startswith("UNet")}
    lines += ["## Networks", "", f"| {' | '.join(['network', *ways])} |", f"|{'|'.join(['---', *['---:'] * len(ways)])}|"]
    lines += [f"| {' | '.join([f'`{name}`', *[shown_cell(row.get(way)) for way in ways]])} |" for name, row in whole.items()]
    lines += ["", "## Pairs of pools", "", "The worst of each downsampler's pairs; the JSON file has every one.", ""]
    lines += [f"| {' | '.join(['downsampler', 'pairs', *ways])} |", f"|{'|'.join(['---', '---:', *['---:'] * len(ways)])}|"]
    pairs = sorted((name for name in results if name not in whole), key=lambda name: name.split("+")[0])
    for down, group in groupby(pairs, key=lambda name: name.split("+")[0]):
        rows = [results[name] for name in group]
        worst = [shown_cell(worst_of([row[way] for row in rows if way in row])) for way in ways]
        lines.append(f"| {' | '.join([f'`{down}`', str(len(rows)), *worst])} |")
    return "\n".join(lines) + "\n"


def worst_of(found: list[Cell]) -> Cell | None:
    return max(found, key=lambda each: (each.get("again", 0), each.get("error", float("inf"))), default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=["*"], help="patterns of names")
    parser.add_argument("--ways", nargs="*", default=list(USUAL), choices=list(WAYS))
    parser.add_argument("--cover", action="store_true", help="of the pairs only a few, in which every family appears")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    builders = networks() | (covering_pairs() if options.cover else every_pair())
    builders = {name: build for name, build in builders.items() if any(fnmatch(name, each) for each in options.only)}
    command = " ".join(["python", "benchmarks/exports.py", *sys.argv[1:]])
    results = json.loads(options.json.read_text())["results"] if options.json.exists() else {}
    for _ in cells(builders, options.ways, results):
        document = {"command": command, **conditions(), "tolerance": TOLERANCE, "results": results}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown(results, options.ways, conditions(), command))


if __name__ == "__main__":
    main()
