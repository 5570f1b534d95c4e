"""Proves on a picture without values that a rebuilt encoder has the sizes and the borders that it is to have."""

from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode

from unetlift.encoders.flow import LEVELS, SIZE, Flow, extents, first_line, on_meta
from unetlift.encoders.placing import ADDED
from unetlift.errors import UsageError
from unetlift.pools import Trace

ODD = (67, 97)
"""A picture that no step divides."""

PADS = {"reflection_pad2d", "replication_pad2d"}


def prove(flow: Flow, features: list[fx.Node | None], traces: list[fx.Node], padding_mode: str, sizes: tuple[tuple[int, int], ...]) -> None:
    """Runs the graph of a rebuilt encoder once for each of some sizes, of which the first is `SIZE`.

    Args:
        flow: as the encoder was, with the graph as it is now.
        features: the nodes of its features now.
        traces: those of its traces.
        padding_mode: that everything in it has to obey.
        sizes: of pictures.

    Raises:
        UsageError: a part of it pads in another way, halves its map where no downsampler was put, or refuses a size.
    """
    body, name = on_meta(flow.body), flow.body._get_name()
    for size in sizes:
        run = _Run(body, flow.graph, padding_mode)
        try:
            with torch.no_grad():
                run.run(torch.empty(1, flow.in_channels, *size, device="meta"))
        except Exception as error:  # whatever a stranger's code may raise
            why = "it halves a map unseen" if size == SIZE else f"it takes no picture of {size[0]} x {size[1]}, thus not any"
            raise UsageError(f"{name} cannot be pooled so: {why} ({first_line(error)}).") from error
        found = [None if node is None else run.shapes[node][2:] for node in features]
        wanted = [None if node is None else flow.shapes[old][2:] for node, old in zip(features, flow.features, strict=True)]
        if size == SIZE and run.fault:
            raise UsageError(f"{name} takes padding_mode 'zeros' alone: {run.fault} pads by a rule of its own.")
        if size == SIZE and found != wanted:
            raise UsageError(f"{name} cannot be pooled so: its features are of the sizes {found} instead of {wanted}.")
        given = [run.traces[node] for node in traces]
        below = [*(tuple(trace.size) for trace in given[1:]), found[len(traces)]]  # what each upsampler is given
        if any(not _fits(trace, given_size, found[k + 1]) for k, (trace, given_size) in enumerate(zip(given, below, strict=True))):
            raise UsageError(f"{name} cannot be pooled so: of {size[0]} x {size[1]} it rounds or pads a level in its own way.")


def _fits(trace: Trace, below: tuple[int, ...], feature: tuple[int, ...] | None) -> bool:
    """Whether the map that comes from below has its sub-bands' and its skip's size, and fills the map that was halved."""
    others = {tuple(band.shape[2:]) for band in trace.bands or ()} | ({feature} if feature is not None else set())
    return others <= {below} and all(2 * half >= length for half, length in zip(below, trace.size, strict=True))


class _Run(fx.Interpreter):
    """Runs a graph, keeps shapes, and remembers the first node that pads otherwise than it should."""

    def __init__(self, body: torch.nn.Module, graph: fx.Graph, padding_mode: str):
        super().__init__(body, graph=graph)
        self.watch = _Pads(padding_mode)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.traces: dict[fx.Node, Trace] = {}
        self.fault = ""

    def run_node(self, n: fx.Node) -> Any:
        with self.watch:
            result = super().run_node(n)
        if self.watch.foreign and not self.fault and not str(n.target).startswith(ADDED):  # a pool of ours pads as it was told
            self.fault = str(n.target if n.op == "call_module" else n.name)
        self.watch.foreign = False
        if isinstance(result, Tensor):
            self.shapes[n] = tuple(result.shape)
        if isinstance(result, Trace):
            self.traces[n] = result
        return result


class _Pads(TorchDispatchMode):
    """Sees whether anything is padded otherwise than as it should be."""

    def __init__(self, padding_mode: str):
        super().__init__()
        self.padding_mode, self.foreign = padding_mode, False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = func.overloadpacket.__name__
        if self.padding_mode != "zeros":  # a convolution of one axis goes over channels
            self.foreign |= name == "convolution" and args[0].ndim > 3 and any(args[4])
            self.foreign |= name == "avg_pool2d" and len(args) > 3 and any(args[3])
            self.foreign |= name == "constant_pad_nd" and any(end > 0 for end in args[1][:4]) and bool(extents(args[0]) & LEVELS.keys())
        if self.padding_mode == "circular":
            self.foreign |= name in PADS or (name == "max_pool2d_with_indices" and len(args) > 3 and any(args[3]))
        return func(*args, **(kwargs or {}))
