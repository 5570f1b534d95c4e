"""Every system beside an independent reference or its own law: the largest error of each, in float64.

    python benchmarks/references.py --markdown benchmarks/references.md
"""

import argparse
import importlib.metadata
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import kornia
import numpy as np
import pywt
import scipy.signal
import timm.layers
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

import unetlift
from unetlift.convs import DeformConv2d, ModulatedDeformConv2d, SymmetricConv2d, deform_roi_pool, ps_deform_roi_pool
from unetlift.pools import BlurPool2d, LiftOptions, lift_pair, pool_pair
from unetlift.pools.base import CENTRE
from unetlift.pools.blur import BlurDown
from unetlift.pools.lift import band_names

PACKAGES = "unetlift", "torch", "torchvision", "kornia", "timm", "PyWavelets", "scipy", "numpy"


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_weights(*modules: nn.Module, scale: float = 0.5) -> None:
    generator = torch.Generator().manual_seed(3)
    for module in modules:
        module.double().eval()
        for weight in module.parameters():
            weight.data = scale * torch.randn(weight.shape, generator=generator, dtype=torch.float64)


def apart(ours: Tensor, theirs: Tensor) -> float:
    return (ours - theirs).abs().max().item()


def blur_kornia(size: int) -> float:
    """kornia's filter begins a window earlier where it is even."""
    ours, theirs = BlurPool2d(3, size).double()(noise(2, 3, 20, 24)), kornia.filters.BlurPool2D(size)(noise(2, 3, 20, 24))
    return apart(ours[..., 2:-2, 2:-2], theirs[..., 2:8, 2:10])


def blur_timm(size: int) -> float:
    return apart(BlurPool2d(3, size).double()(noise(2, 3, 20, 24)), timm.layers.BlurPool2d(3, size, 2).double()(noise(2, 3, 20, 24)))


def max_blur_kornia(size: int) -> float:
    ours = BlurDown("max", size, 3, CENTRE, "reflect").double()(noise(2, 3, 20, 24))[0]
    return apart(ours[..., 2:-2, 2:-2], kornia.filters.MaxBlurPool2D(size)(noise(2, 3, 20, 24))[..., 2:8, 2:10])


def wavelet(axes: int, start: str, name: str) -> float:
    x = noise(1, 1, *(8, 12, 10)[:axes])
    y, trace = lift_pair(1, axes, padding_mode="circular", lift=LiftOptions(start, learned=False))[0](x)
    theirs, worst = pywt.dwtn(x[0, 0].numpy(), name, mode="periodization"), 0.0
    for band, ours in zip(band_names(axes), (y, *trace.bands), strict=True):
        scale = 2 ** (-band.count("L") / 2) * (-(2 ** (1 / 2))) ** band.count("H")
        worst = max(worst, apart(ours[0, 0], torch.from_numpy(scale * theirs[band[::-1].replace("L", "a").replace("H", "d")])))
    return worst


def reconstruction(axes: int, phase: str) -> float:
    down, up = lift_pair(4, axes, phase, "reflect", LiftOptions(kernel_size=5, shared=False))
    random_weights(down, up)
    sizes = ([7, 9, 5][:axes], [8, 6, 4][:axes], [1, 3, 2][:axes])
    return max(apart(up(*down(x)), x) for x in (noise(2, 4, *size) for size in sizes))


def aps() -> float:
    x = noise(16, 3, 6, 4)
    y, _ = pool_pair("avg-blur-1", "blur-1", 3, "adaptive", "circular")[0].double()(x)
    kept = [max((s[:, i::2, j::2] for i, j in product((0, 1), repeat=2)), key=np.linalg.norm) for s in x.numpy()]
    return apart(y, torch.from_numpy(np.stack(kept)))


def follows_rolls(down: str, up: str, phase: str) -> float:
    pools = pool_pair(down, up, 3, phase, "circular")
    random_weights(*pools)
    x = noise(1, 3, 8, 6)
    still, rolls = pools[1](*pools[0](x)), product(range(8), range(6))
    return max(apart(pools[1](*pools[0](x.roll(by, (2, 3)))), still.roll(by, (2, 3))) for by in rolls)


def unpool() -> float:
    x = noise(2, 3, 8, 6)
    pools = pool_pair("max", "unpool", 3)
    return apart(pools[1](*pools[0](x)), nn.MaxUnpool2d(2)(*F.max_pool2d(x, 2, return_indices=True)))


def fourier_scipy() -> float:
    """Odd sizes up, where no Nyquist frequency is in play."""
    y = noise(1, 2, 9, 7)
    theirs = scipy.signal.resample(scipy.signal.resample(y.numpy(), 18, axis=2), 14, axis=3)
    return apart(pool_pair("max", "fourier", 2)[1](y, unetlift.pools.Trace(size=(18, 14))), torch.from_numpy(theirs))


def c2sp(kernel_size: int) -> float:
    conv, x = SymmetricConv2d(8, 5, kernel_size).double(), noise(2, 8, 7, 9)
    less, more = kernel_size // 2 - 1, kernel_size // 2
    sides = [(more, less, more, less), (less, more, less, more), (less, more, more, less), (more, less, less, more)]
    parts = [F.pad(part, side) for part, side in zip(x.split(2, 1), sides, strict=True)]
    return apart(conv(x), F.conv2d(torch.cat(parts, 1), conv.weight, conv.bias))


def deform(modulated: bool) -> float:
    ours = (ModulatedDeformConv2d if modulated else DeformConv2d)(4, 6)
    random_weights(ours)
    x, predicted = noise(2, 4, 9, 7), ours.offsets(F.pad(noise(2, 4, 9, 7), (1, 1, 1, 1)))
    mask = 2 * predicted[:, 18:].sigmoid() if modulated else None
    return apart(ours(x), torchvision.ops.deform_conv2d(x, predicted[:, :18], ours.weight, ours.bias, padding=1, mask=mask))


def roi(position_sensitive: bool) -> float:
    x, boxes = noise(2, 18, 12, 14), torch.tensor([[0, 1.3, 2.1, 9.4, 8.8], [1, -3.0, 0.2, 6.1, 15.5]], dtype=torch.float64)
    none = torch.zeros(2, 2, 3, 3, dtype=torch.float64)
    if position_sensitive:
        return apart(ps_deform_roi_pool(x, boxes, none, 3), torchvision.ops.ps_roi_align(x, boxes, 3, sampling_ratio=2))
    return apart(deform_roi_pool(x, boxes, none, 3), torchvision.ops.roi_align(x, boxes, 3, sampling_ratio=2, aligned=True))


def antialiased(build: Callable[[], nn.Module]) -> float:
    torch.manual_seed(0)
    network, x = build().double().eval(), noise(1, 3, 75, 66)
    expected = network(x)
    return apart(unetlift.antialias(network, filter_size=1)(x), expected) / (expected.max() - expected.min()).item()


ROWS: list[tuple[str, str, Callable[[], float]]] = [
    *[(f"BlurPool {k}", "kornia BlurPool2D, interior", lambda k=k: blur_kornia(k)) for k in (3, 4, 5, 6, 7)],
    *[(f"BlurPool {k}", "timm BlurPool2d, to the border", lambda k=k: blur_timm(k)) for k in (3, 5, 7)],
    *[(f"Max-Blur {k}", "kornia MaxBlurPool2D, interior", lambda k=k: max_blur_kornia(k)) for k in (3, 5, 7)],
    *[(f"lift, {start}, {axes}-D", f"PyWavelets {name}", lambda a=axes, s=start, n=name: wavelet(a, s, n))
      for start, name in (("haar", "haar"), ("cdf53", "bior2.2")) for axes in (1, 2, 3)],
    *[(f"lift, learned, {axes}-D, {phase}", "its own input, after down and up", lambda a=axes, p=phase: reconstruction(a, p))
      for axes in (1, 2, 3) for phase in ("fixed", "adaptive", "learned")],
    ("adaptive phase", "the APS rule in NumPy", aps),
    *[(f"{down}+{up}@{phase}", "itself under every roll", lambda d=down, u=up, p=phase: follows_rolls(d, u, p))
      for down, up in (("max", "unpool"), ("blur-3", "bilinear"), ("lift", "lift")) for phase in ("adaptive", "learned")],
    ("max+unpool", "PyTorch MaxUnpool2d", unpool),
    ("fourier (up)", "scipy.signal.resample", fourier_scipy),
    *[(f"C2sp {k}x{k}", "its definition, corner by corner", lambda k=k: c2sp(k)) for k in (2, 4)],
    ("deformable convolution v1", "torchvision deform_conv2d", lambda: deform(False)),
    ("deformable convolution v2", "torchvision deform_conv2d", lambda: deform(True)),
    ("deformable RoI pooling, no offsets", "torchvision roi_align", lambda: roi(False)),
    ("the same, position-sensitive", "torchvision ps_roi_align", lambda: roi(True)),
    *[(f"antialias({name}), one tap", "the network itself, of its range", lambda n=name: antialiased(getattr(torchvision.models, n)))
      for name in ("resnet18", "vgg11_bn", "densenet121", "mobilenet_v2")],
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", type=Path, help="write the table here")
    arguments = parser.parse_args()
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES)
    lines = ["# Every system beside a reference", "", f"`{' '.join(['python', 'benchmarks/references.py', *sys.argv[1:]])}`", ""]
    lines += [f"{versions}. Largest absolute error in float64.", "", "| system | reference | error |", "|---|---|---:|"]
    with torch.no_grad():
        lines += [f"| {system} | {reference} | {error():.1e} |" for system, reference, error in ROWS]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text)


if __name__ == "__main__":
    main()
