"""Times U-Nets with every pool beside smp.Unet with the same encoder, in one run: a training step and inference.

    python benchmarks/unet.py --json benchmarks/unet.json --markdown benchmarks/unet.md

Networks of one encoder take turns, round after round, so that a busy machine slows them alike; the figure is the
median round. All are in channels_last, smp's too. The plain encoder, which smp has not, stands beside its own
max + nearest.
"""

import argparse
import importlib.metadata
import json
import platform
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from pools import milliseconds, peak_memory
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift import UNet

SIZE, BATCH, CLASSES = 256, 4, 11
ENCODERS = {"plain": {"depth": 4}, "resnet18": {"depth": 5}, "mobilenet_v2": {"depth": 5}}
PEER = "smp.Unet"
PACKAGES = "unetlift", "torch", "segmentation-models-pytorch"

CIRCULAR = {"padding_mode": "circular"}
ADAPTIVE = {**CIRCULAR, "phase": "adaptive"}
DEPTHWISE = {"lift_groups": 0}

PAIRS = {
    "stride+nearest": {"down": "stride", "up": "nearest"},
    "max+nearest": {"down": "max", "up": "nearest"},
    "max+unpool": {"down": "max", "up": "unpool"},
    "avg+bilinear": {"down": "avg", "up": "bilinear"},
    "blur-3+bilinear": {"down": "blur-3", "up": "bilinear"},
    "lift+lift": {"down": "lift", "up": "lift"},
    "lift+lift, depthwise": {"down": "lift", "up": "lift", **DEPTHWISE},
    "lift+lift, Haar": {"down": "lift", "up": "lift", "lift_learned": False},
}
PHASED = {
    name + kind: PAIRS[name] | options
    for name in ("stride+nearest", "blur-3+bilinear", "lift+lift, depthwise")
    for kind, options in ((", circular", CIRCULAR), (", adaptive", ADAPTIVE))
}
KEPT = {f"{name}, stem kept": options | {"stem": "keep"} for name, options in PAIRS.items() if name != "stride+nearest"}
VARIANTS = PAIRS | KEPT | PHASED

CHEAP = ("max+nearest", 1.0), ("avg+bilinear", 1.0), ("blur-3+bilinear", 1.15)

TARGETS: list[tuple[str, str, str, float]] = [
    # variant, over, where the encoder is, at most
    *[(f"{name}, stem kept", PEER, "not plain", most) for name, most in CHEAP],
    *[(f"{name}, stem kept", PEER, "not plain", 1.4) for name in ("lift+lift", "lift+lift, depthwise", "lift+lift, Haar")],
    *[(name, PEER, "any", most) for name, most in (*CHEAP, ("lift+lift", 1.4))],
    *[(f"{name}, adaptive", f"{name}, circular", "any", 1.1) for name in ("stride+nearest", "blur-3+bilinear", "lift+lift, depthwise")],
]  # fmt: skip


def networks(encoder: str, settings: dict) -> dict[str, nn.Module]:
    """The peer first."""
    found: dict[str, nn.Module] = {}
    if encoder != "plain":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[PEER] = smp.Unet(encoder, encoder_weights=None, classes=CLASSES)
    for name, options in VARIANTS.items():
        if encoder != "plain" or "stem" not in options:
            found[name] = UNet(encoder=encoder, classes=CLASSES, **settings, **options)
    if encoder == "plain":
        found = {PEER: UNet(classes=CLASSES, **settings, **PAIRS["max+nearest"]), **found}
    return {name: network.to(memory_format=torch.channels_last) for name, network in found.items()}


def training_step(network: nn.Module, x: Tensor, labels: Tensor, dtype: torch.dtype) -> Callable[[], object]:
    optimizer = torch.optim.SGD(network.parameters(), 1e-3)

    def run() -> None:
        network.train()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = F.cross_entropy(network(x).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def inference(network: nn.Module, x: Tensor, dtype: torch.dtype) -> Callable[[], object]:
    def run() -> None:
        network.eval()
        with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            network(x)

    return run


def measure(encoder: str, settings: dict, dtype: torch.dtype, rounds: int) -> dict[str, dict]:
    """A row for each network: milliseconds and megabytes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((BATCH, 3, SIZE, SIZE), generator=generator).to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (BATCH, SIZE, SIZE), generator=generator)
    torch.manual_seed(0)
    found = networks(encoder, settings)
    ways = {
        "train": {name: training_step(network, x, labels, dtype) for name, network in found.items()},
        "infer": {name: inference(network, x, dtype) for name, network in found.items()},
    }
    rows: dict[str, dict] = {name: {"parameters": sum(p.numel() for p in network.parameters())} for name, network in found.items()}
    for way, runs in ways.items():
        for name, value in milliseconds(runs, rounds).items():
            rows[name][way] = value
        for name, run in runs.items():
            rows[name][f"{way}_memory"] = peak_memory(run) / 2**20
    return rows


def verdicts(results: list[dict]) -> list[str]:
    """Ratios against the targets; what is above its target in bold."""
    columns = [(result, way) for result in results for way in ("train", "infer")]
    lines = ["| variant | over | at most |" + "".join(f" {r['encoder']} {r['dtype']} {way} |" for r, way in columns)]
    lines += ["|---|---|---|" + "---|" * len(columns)]
    for variant, over, where, most in TARGETS:
        cells = []
        for result, way in columns:
            rows = result["rows"]
            if variant not in rows or (where == "not plain" and result["encoder"] == "plain"):
                cells.append("")
                continue
            ratio = rows[variant][way] / rows[over][way]
            cells.append(f"{ratio:.2f}" if ratio <= most else f"**{ratio:.2f}**")
        lines.append(f"| {variant} | {over} | {most} | {' | '.join(cells)} |")
    return lines


def as_markdown(results: list[dict], setting: dict) -> str:
    lines = ["# Time and memory of U-Nets with encoders", "", f"`{setting['command']}`", ""]
    lines += [", ".join(f"{key} {value}" for key, value in setting.items() if key != "command") + ".", ""]
    lines += [f"{BATCH} pictures of {SIZE} x {SIZE}, {CLASSES} classes, channels_last, random weights, SGD. The peer of the plain encoder "
              "is its own max+nearest.", "", "## Against the targets", "", *verdicts(results), ""]  # fmt: skip
    for result in results:
        peer = result["rows"][PEER]
        lines += [f"## {result['encoder']}, {result['dtype']}", ""]
        lines += ["| network | parameters | training step ms | ratio | peak MB | inference ms | ratio | peak MB |", "|---" * 8 + "|"]
        for name, row in result["rows"].items():
            cells = [f"{row[way]:.0f} | {row[way] / peer[way]:.2f} | {row[way + '_memory']:.0f}" for way in ("train", "infer")]
            lines += [f"| {name} | {row['parameters'] / 1e6:.2f} M | {' | '.join(cells)} |"]
        lines += [""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default: 5)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch (default: its own)")
    parser.add_argument("--encoder", choices=ENCODERS, action="append", help="only this one; give it again for more")
    parser.add_argument("--bfloat16", action="store_true", help="also under autocast to bfloat16")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    setting = {"command": " ".join(["python", "benchmarks/unet.py", *sys.argv[1:]]), "rounds": arguments.rounds}
    setting |= {"threads": arguments.threads, "python": platform.python_version(), "machine": platform.machine()}
    setting |= {package: importlib.metadata.version(package) for package in PACKAGES}
    results = []
    for encoder in arguments.encoder or ENCODERS:
        for dtype in [torch.float32, torch.bfloat16][: 1 + arguments.bfloat16]:
            rows = measure(encoder, ENCODERS[encoder], dtype, arguments.rounds)
            results.append({"encoder": encoder, "dtype": str(dtype).removeprefix("torch."), "rows": rows})
            print(f"{encoder}, {dtype}: measured", flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(setting | {"results": results}, indent=1) + "\n")
    table = as_markdown(results, setting)
    print(table)
    if arguments.markdown:
        arguments.markdown.write_text(table + "\n")


if __name__ == "__main__":
    main()
