"""A folder of photographs and one large picture: `unetlift predict` beside a plain smp loop and beside file by file with Pillow.

    python data_scripts/camvid.py --to data/camvid
    python benchmarks/predict.py --photos data/camvid --write       # benchmarks/predict.{md,json}; nothing else should run

All run the same smp network with the same weights, as whole processes on files, in turn: of each the least of the rounds,
and the largest memory of the process. The plain loop is one of many notebooks: cv2.imread, tensor, network, cv2.imwrite.
File by file is how rembg goes through a folder: Pillow opens, the network answers, Pillow saves. Neither can take the large
picture as a whole, and cuts it into tiles without overlap, which leaves seams; `unetlift predict` overlaps them, which is
more work, and is also given the plain loop's tiles, to compare like with like.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SIDE, LARGE, TILE, ENCODER, CLASSES = 512, 8192, 1024, "resnet34", 3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SUFFIXES = ".png", ".jpg", ".jpeg"


# What is compared.


def network(folder: Path, bf16: bool) -> Callable[[Any], Any]:
    """RGB bytes (H, W, 3) to labels (H, W), as everybody writes it."""
    import numpy as np
    import segmentation_models_pytorch as smp
    import torch

    model = smp.from_pretrained(folder).eval()
    mean, std = torch.tensor(MEAN), torch.tensor(STD)

    def ask(picture: Any) -> Any:
        x = ((torch.from_numpy(picture).float() / 255 - mean) / std).permute(2, 0, 1)[None].contiguous()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return model(x)[0].argmax(0).byte().numpy()

    def tiled(picture: Any) -> Any:
        if max(picture.shape) <= TILE:
            return ask(picture)
        labels = np.empty(picture.shape[:2], np.uint8)
        for top in range(0, picture.shape[0], TILE):
            for left in range(0, picture.shape[1], TILE):
                part = slice(top, top + TILE), slice(left, left + TILE)
                labels[part] = ask(np.ascontiguousarray(picture[part]))
        return labels

    return tiled


def plain_loop(model: Path, pictures: Path, out: Path, bf16: bool) -> None:
    import cv2

    ask = network(model, bf16)
    for path in sorted(pictures.iterdir()):
        picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        cv2.imwrite(str(out / f"{path.stem}.png"), ask(picture))


def file_by_file(model: Path, pictures: Path, out: Path, bf16: bool) -> None:
    import numpy as np
    from PIL import Image

    ask = network(model, bf16)
    for path in sorted(pictures.iterdir()):
        with Image.open(path) as picture:
            mask = ask(np.array(picture.convert("RGB")))
        Image.fromarray(mask).save(out / f"{path.stem}.png")


PEERS = {"plain loop": plain_loop, "file by file": file_by_file}
OURS = {f"unetlift, {name}": [f"--backend={name}"] for name in ("torch", "onnx", "openvino")}
OURS["unetlift, torch, tiles as the plain loop's"] = [f"--tile={TILE}", "--overlap=0"]


def command(name: str, precision: str, folder: Path, pictures: Path, out: Path) -> list[str]:
    """The process of a peer, or of `unetlift predict`."""
    if name in PEERS:
        out.mkdir()
        places = ["--peer", name, "--model", folder / "smp", "--input", pictures, "--output", out]
        return [*map(str, [sys.executable, __file__, *places, "--precision", precision])]
    places = ["--model", folder / "ours", "--input", pictures, "--output", out, f"--precision={precision}", "--anchor=none"]  # as the peers
    return [*map(str, [sys.executable, "-m", "unetlift.cli", "predict", *places, *OURS[name]])]


# The pictures.


def photographs(source: Path, folder: Path, count: int) -> None:
    """So many squares of the photographs of a folder, in turn from each and spread over it, as JPEG."""
    import cv2

    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and not {"masks", "targets"} & set(path.parts))
    folder.mkdir()
    for number in range(count):
        picture = cv2.imread(str(found[number % len(found)]), cv2.IMREAD_COLOR)
        below, right = (max(0, SIDE - side) for side in picture.shape[:2])
        picture = cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REFLECT_101)
        step = 97 * (number // len(found))
        top, left = step % (picture.shape[0] - SIDE + 1), (2 * step) % (picture.shape[1] - SIDE + 1)
        cv2.imwrite(str(folder / f"{number:05}.jpg"), picture[top : top + SIDE, left : left + SIDE], [cv2.IMWRITE_JPEG_QUALITY, 92])


def mosaic(squares: Path, path: Path, side: int) -> None:
    """One picture made of all squares, over and over."""
    import cv2
    import numpy as np
    import tifffile

    found, across = sorted(squares.iterdir()), side // SIDE
    rows = [[cv2.imread(str(found[(row * across + column) % len(found)]))[..., ::-1] for column in range(across)] for row in range(across)]
    path.parent.mkdir()
    tifffile.imwrite(path, np.block([[[square] for square in row] for row in rows]), photometric="rgb", tile=(SIDE, SIDE))


def networks(folder: Path) -> None:
    """The same network as smp saves it and as a model folder of ours; its normalisations hold what they saw of noise."""
    import segmentation_models_pytorch as smp
    import torch

    from unetlift.config import PoolsConfig
    from unetlift.convert import convert_folder

    torch.manual_seed(0)
    model = smp.Unet(ENCODER, encoder_weights=None, classes=CLASSES)
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(2, 3, 128, 128))
    model.eval().save_pretrained(folder / "smp")
    convert_folder(str(folder / "smp"), str(folder / "ours"), PoolsConfig("stride"), MEAN, STD)


# Measuring.


def run(arguments: list[str]) -> dict[str, float]:
    """Seconds and the largest memory in bytes of a process, or how it failed."""
    begun = time.perf_counter()
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {said[-2000:]}")
    return {"seconds": time.perf_counter() - begun, "peak": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)}


def in_turn(subjects: dict[str, Callable[[], list[str]]], rounds: int) -> dict[str, dict[str, float]]:
    """Of each subject the least seconds and the largest peak; one after the other, over and over."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, begin in subjects.items():
            found[name].append(run(begin()))
            print(f"{name}: {found[name][-1]['seconds']:.1f} s, {found[name][-1]['peak'] / 2**20:.0f} MiB", file=sys.stderr, flush=True)
    return {
        name: {"seconds": min(r["seconds"] for r in runs), "peak": max(r["peak"] for r in runs), "all": [r["seconds"] for r in runs]}
        for name, runs in found.items()
    }


class Scratch:
    """A folder of outputs of which each is new."""

    def __init__(self, folder: Path):
        self.folder, self.count = folder, 0

    def process(self, name: str, precision: str, pictures: Path) -> list[str]:
        out = self.folder / f"out{self.count}"
        shutil.rmtree(out, ignore_errors=True)
        self.count += 1
        return command(name, precision, self.folder, pictures, self.folder / f"out{self.count}")


def agreement(folder: Path, pictures: Path, precision: str) -> float:
    """Share of pixels that `unetlift predict` labels as the plain loop does."""
    import numpy as np
    from PIL import Image

    labels = []
    for number, name in enumerate(("plain loop", "unetlift, torch")):
        out = folder / f"{precision}{number}"
        run(command(name, precision, folder, pictures, out))
        labels.append([np.array(Image.open(path)) for path in sorted(out.rglob("*.png"))])  # indices, of a palette too
    return sum(float((a == b).mean()) for a, b in zip(*labels, strict=True)) / len(labels[0])


def engines(folder: Path, rounds: int) -> dict[str, float]:
    """Milliseconds of one square, of the network alone: its layout, folding, precision, compiler and engine, in turn."""
    import torch

    from unetlift.model import load
    from unetlift.predict.backends import carried
    from unetlift.predict.fold import folded, narrowed

    last = partial(torch.Tensor.contiguous, memory_format=torch.channels_last)
    model, x = load(folder / "ours")[0].to(memory_format=torch.contiguous_format), torch.randn(1, 3, SIDE, SIDE)
    wide, fold = (m.to(memory_format=torch.channels_last) for m in (load(folder / "ours")[0], folded(model)))
    compiled, narrow = torch.compile(fold, dynamic=False), narrowed(fold, torch.bfloat16)
    runtime, vino, rough = carried(model, "onnx"), carried(model, "openvino", "float32"), carried(model, "openvino", "bf16")

    def autocast(ask: Callable[[], Any]) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return ask()

    ways: dict[str, Callable[[], Any]] = {
        "float32: eager": lambda: model(x),
        "float32: channels_last": lambda: wide(last(x)),
        "float32: channels_last, folded": lambda: fold(last(x)),
        "float32: the same, torch.compile": lambda: compiled(last(x)),
        "float32: onnxruntime": lambda: runtime(x),
        "float32: OpenVINO": lambda: vino(x),
        "bf16: eager": lambda: autocast(lambda: model(x)),
        "bf16: channels_last": lambda: autocast(lambda: wide(last(x))),
        "bf16: channels_last, folded": lambda: autocast(lambda: fold(last(x))),
        "bf16: the same, weights cast once": lambda: autocast(lambda: narrow(last(x))),
        "bf16: OpenVINO": lambda: rough(x),
    }
    least = dict.fromkeys(ways, float("inf"))
    with torch.inference_mode():
        for _ in range(3 + 3 * rounds):
            for name, ask in ways.items():
                begun = time.perf_counter()
                ask()
                least[name] = min(least[name], 1000 * (time.perf_counter() - begun))
    return least


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a process of its own: a child's peak begins with its parent's memory, which so stays small."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, with the figures by subject."""
    count, rounds, scratch = arguments.count, arguments.rounds, Scratch(folder)
    apart(networks, folder)
    places = {number: folder / f"photographs{number}" for number in (count // 10, count)}
    for number, place in places.items():
        apart(photographs, arguments.photos, place, number)
    sides = arguments.large // 4, arguments.large
    for side in sides:
        apart(mosaic, places[count], folder / f"large{side}" / "large.tif", side)
    tiny = folder / "tiny"
    tiny.mkdir()
    shutil.copy(next(places[count].iterdir()), tiny / "one.jpg")
    found: dict[str, Any] = {"engines": apart(engines, folder, rounds)}
    tried = {
        ("photographs", "float32"): [*PEERS, *list(OURS)[:3]],
        ("photographs", "bf16"): ["plain loop", "unetlift, torch", "unetlift, openvino"],
        ("large", "float32"): ["plain loop", "unetlift, torch", "unetlift, torch, tiles as the plain loop's", "unetlift, openvino"],
    }
    for (title, precision), names in tried.items():
        place = places[count] if title == "photographs" else folder / f"large{sides[-1]}"
        subjects = {name: partial(scratch.process, name, precision, place) for name in names}
        found[f"{title}, {precision}"] = in_turn(subjects, rounds)
    for precision in ("float32", "bf16"):
        found[f"same labels, {precision}"] = apart(agreement, folder, places[count // 10], precision)
    own = "unetlift, torch", "float32"
    fewer = {f"{count // 10} photographs": places[count // 10], f"{sides[0]} x {sides[0]}": folder / f"large{sides[0]}"}
    found["memory"] = in_turn({name: partial(scratch.process, *own, place) for name, place in fewer.items()}, 1)
    more = {f"{count} photographs": "photographs, float32", f"{sides[1]} x {sides[1]}": "large, float32"}
    found["memory"] |= {name: found[key][own[0]] for name, key in more.items()}
    start = {"import torch": lambda: [sys.executable, "-c", "import torch"], "one photograph": partial(scratch.process, *own, tiny)}
    start["unetlift predict --help"] = lambda: [sys.executable, "-m", "unetlift.cli", "predict", "--help"]
    found["start"] = in_turn(start, rounds + 2)
    return found


# The report.


def report(found: dict[str, Any], arguments: argparse.Namespace) -> str:
    lines = ["# Folders and large pictures", "", *__doc__.splitlines(), ""]
    how = f"{arguments.threads} threads, {arguments.rounds} rounds"
    lines += [f"smp.Unet with {ENCODER}, {how}. A run counts from its start, with all imports."]
    large = f"one picture of {arguments.large} x {arguments.large}"
    per = {"photographs": f"{arguments.count} photographs of {SIDE} x {SIDE}", "large": large}
    keys = [(f"{kind}, {precision}", f"{text}, {precision}") for precision in ("float32", "bf16") for kind, text in per.items()]
    for key, title in ((key, title) for key, title in keys if key in found):
        base = found[key]["plain loop"]["seconds"]
        lines += ["", f"**{title}**", "", "| | seconds | times the plain loop's throughput | peak MiB |", "|---|---:|---:|---:|"]
        lines += [f"| {n} | {r['seconds']:.1f} | {base / r['seconds']:.2f} | {r['peak'] / 2**20:.0f} |" for n, r in found[key].items()]
    same = " and ".join(f"{100 * found[f'same labels, {p}']:.3f} % in {p}" for p in ("float32", "bf16"))
    lines += ["", f"Of all pixels `unetlift predict` labels {same} as the plain loop does."]
    lines += ["", f"**The network alone, one {SIDE} x {SIDE}**", "", "| | ms | times eager |", "|---|---:|---:|"]
    base = {p: found["engines"][f"{p}: eager"] for p in ("float32", "bf16")}
    lines += [f"| {name} | {ms:.1f} | {base[name.split(':')[0]] / ms:.2f} |" for name, ms in found["engines"].items()]
    for key, title in (("memory", "Memory of `unetlift predict`"), ("start", "Starting")):
        lines += ["", f"**{title}**", "", "| | seconds | peak MiB |", "|---|---:|---:|"]
        lines += [f"| {name} | {r['seconds']:.2f} | {r['peak'] / 2**20:.0f} |" for name, r in found[key].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=ROOT / "data" / "camvid")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--large", type=int, default=LARGE)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--write", action="store_true")
    for name in ("--peer", "--model", "--input", "--output", "--precision"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        places = (Path(getattr(arguments, name)) for name in ("model", "input", "output"))
        PEERS[arguments.peer](*places, arguments.precision == "bf16")
        return
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["UNETLIFT_CACHE"] = f"{scratch}/cache"
        found = measure(Path(scratch), arguments)
    text = report(found, arguments)
    print(text)
    if arguments.write:
        from unetlift.checkpoint import write_atomically

        about = {"threads": arguments.threads, "count": arguments.count, "large": arguments.large}
        write_atomically(ROOT / "benchmarks" / "predict.json", lambda part: part.write_text(json.dumps(about | found, indent=1) + "\n"))
        write_atomically(ROOT / "benchmarks" / "predict.md", lambda part: part.write_text(text))


if __name__ == "__main__":
    main()
