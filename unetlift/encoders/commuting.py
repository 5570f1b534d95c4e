"""Which parts of an encoder do not move with the picture: grids, windows and positions of their own, found without values."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from unetlift.encoders.flow import SIZE, Flow, first_line, on_meta
from unetlift.encoders.window import WINDOWED, window_of

OTHER_SIZE = (256, 320)
"""Of a second run: what differs between the two runs is space, whichever axis it is on."""

REGROUPS = {"view", "_unsafe_view", "unfold", "as_strided", "slice", "select", "pixel_unshuffle", "pixel_shuffle", "im2col"}
STRIDES = {"convolution", "avg_pool1d", "avg_pool2d", "max_pool2d_with_indices"}
RESAMPLES = {"_adaptive_avg_pool2d", "adaptive_max_pool2d", "upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d"}
PADS = {"constant_pad_nd", "reflection_pad2d", "replication_pad2d"}
ORDERED = {"roll", "flip", "cumsum", "index"}


@dataclass(frozen=True)
class Seen:
    """One operation: its name, the shapes that it got from the picture and from elsewhere, and those that it made."""

    name: str
    moving: tuple[tuple[int, ...], ...]
    still: tuple[tuple[int, ...], ...]
    made: tuple[tuple[int, ...], ...]


class _Watch(TorchDispatchMode):
    """Writes down every operation on what comes from the picture."""

    def __init__(self, picture: Tensor):
        super().__init__()
        self.moving, self.alive, self.seen, self.known = {id(picture)}, [picture], [], 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        moving = [x for x in given if id(x) in self.moving]
        if moving:
            made = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
            self.moving |= {id(x) for x in made}
            self.alive += made  # so that no two have the same id
            if self.known:
                return result
            still = [x for x in given if id(x) not in self.moving]
            self.seen.append(Seen(func.overloadpacket.__name__, _shapes(moving), _shapes(still), _shapes(made)))
        return result


class _Watched(fx.Interpreter):
    """Runs a graph and keeps what each of its nodes does."""

    def __init__(self, body: nn.Module, graph: fx.Graph, picture: Tensor):
        super().__init__(body, graph=graph)
        self.watch, self.done = _Watch(picture), {}
        for module in body.modules():
            if _keeps_size(module):  # how it pads is known, in however many operations
                module.register_forward_pre_hook(lambda *_: self._within(1))
                module.register_forward_hook(lambda *_: self._within(-1))

    def _within(self, more: int) -> None:
        self.watch.known += more

    def run_node(self, n: fx.Node) -> Any:
        self.watch.seen = []
        with torch.no_grad(), self.watch:
            result = super().run_node(n)
        self.done[n] = self.watch.seen
        return result


def _keeps_size(module: nn.Module) -> bool:
    window = window_of(module) if isinstance(module, WINDOWED) else None
    return window is not None and window.stride == 1 and all(b + a + 1 == s for s, b, a in zip(*window[:3], strict=True))


def stays_behind(flow: Flow, but: Iterable[fx.Node]) -> str | None:
    """Why an encoder does not commute with rolls, its downsamplings aside; None if it does.

    Every part but those is watched on two pictures of different sizes. A tensor has as many places as its axes that
    differ between the two have entries together.

    Args:
        flow: the encoder.
        but: its downsamplings.
    """
    runs = []
    for size in (SIZE, OTHER_SIZE):
        picture = torch.empty(1, flow.in_channels, *size, device="meta")
        run = _Watched(on_meta(flow.body), flow.graph, picture)
        try:
            run.run(picture)
        except Exception as error:  # whatever a stranger's code may raise
            return f"it takes no picture of {size[0]} x {size[1]} ({first_line(error)})"
        runs.append(run.done)
    left_out = set(but)
    for node in flow.graph.nodes:
        if node not in left_out and (fault := _fault(*(run[node] for run in runs))):
            return f"{node.target if node.op == 'call_module' else node.name} {fault}"
    return None


def _fault(first: list[Seen], second: list[Seen]) -> str | None:
    """What a node does that a roll of its input does not go through."""
    if [seen.name for seen in first] != [seen.name for seen in second]:
        return "does different things to different sizes"
    for one, two in zip(first, second, strict=True):
        before, after = _places(one.moving, two.moving), _places(one.made, two.made)
        if before == 1:
            continue
        if _places(one.still, two.still) > 1:
            return "knows where in the picture it is (it has positions)"
        if one.name in ORDERED:
            return f"reads its map in an order ({one.name})"
        if one.name in RESAMPLES or (one.name in STRIDES and after not in (before, 1)):
            return "strides, resamples or loses its border within itself"
        if one.name in PADS and after != before:
            return "pads its map by a rule of its own"
        if one.name in REGROUPS and after != before:
            return "takes its map apart (windows, or every other pixel)"
    return None


def _places(first: tuple[tuple[int, ...], ...], second: tuple[tuple[int, ...], ...]) -> int:
    """The most places that one of several tensors has."""
    return max((prod(a for a, b in zip(*shapes, strict=True) if a != b) for shapes in zip(first, second, strict=True)), default=1)


def _shapes(tensors: list[Tensor]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(x.shape) for x in tensors)

