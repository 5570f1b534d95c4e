"""Proves on a picture without values that a rebuilt encoder has the sizes and the borders that it is to have."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode

from unetlift.encoders.flow import SIZE, Flow, on_meta
from unetlift.errors import UsageError

PADS = {"reflection_pad2d", "replication_pad2d"}


def prove(flow: Flow, features: Iterable[fx.Node | None], padding_mode: str) -> None:
    """Runs the graph of a rebuilt encoder once.

    Args:
        flow: as the encoder was, with the graph as it is now.
        features: the nodes of its features now.
        padding_mode: that everything in it has to obey.

    Raises:
        UsageError: a part of it pads in another way, or halves its map where no downsampler was put.
    """
    body = on_meta(flow.body)
    picture = torch.empty(1, flow.channels(flow.features[0]), *SIZE, device="meta")
    run = _Run(body, flow.graph, padding_mode)
    name = flow.body._get_name()
    try:
        with torch.no_grad():
            run.run(picture)
    except RuntimeError as error:
        raise UsageError(f"{name} cannot be pooled so: {str(error).splitlines()[0]}; it halves a map somewhere unseen.") from error
    if run.fault:
        raise UsageError(f"{name} takes padding_mode 'zeros' alone: {run.fault} pads by a rule of its own.")
    sizes = [None if node is None else run.env_shapes[node][2:] for node in features]
    wanted = [None if node is None else flow.shapes[old][2:] for node, old in zip(features, flow.features, strict=True)]
    if sizes != wanted:
        raise UsageError(f"{name} cannot be pooled so: its features are of the sizes {sizes} instead of {wanted}.")


class _Run(fx.Interpreter):
    """Runs a graph, keeps shapes, and remembers the first node that pads otherwise than it should."""

    def __init__(self, body: torch.nn.Module, graph: fx.Graph, padding_mode: str):
        super().__init__(body, graph=graph)
        self.watch = _Pads(padding_mode)
        self.env_shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.fault = ""

    def run_node(self, n: fx.Node) -> Any:
        with self.watch:
            result = super().run_node(n)
        if self.watch.foreign and not self.fault:
            self.fault = str(n.target if n.op == "call_module" else n.name)
        if isinstance(result, Tensor):
            self.env_shapes[n] = tuple(result.shape)
        return result


class _Pads(TorchDispatchMode):
    """Sees whether anything is padded otherwise than as it should be."""

    def __init__(self, padding_mode: str):
        super().__init__()
        self.padding_mode, self.foreign = padding_mode, False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = func.overloadpacket.__name__
        if self.padding_mode != "zeros":
            self.foreign |= name == "convolution" and any(args[4])
            self.foreign |= name == "avg_pool2d" and len(args) > 3 and any(args[3])
            self.foreign |= name == "constant_pad_nd" and any(end > 0 for end in args[1][:4])
        if self.padding_mode == "circular":
            self.foreign |= name in PADS or (name == "max_pool2d_with_indices" and len(args) > 3 and any(args[3]))
        return func(*args, **(kwargs or {}))
