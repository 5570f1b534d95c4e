"""What an encoder does, as a graph: its own code is followed down to the modules in which no map shrinks."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from unetlift.errors import UsageError

SIZE = (192, 256)
"""Of the example. Its levels cannot be confused with each other, with a mean over space, or with numbers of channels."""

OPERATORS = nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d
LEVELS = {(SIZE[0] >> level, SIZE[1] >> level): level for level in range(6)}


@dataclass(frozen=True)
class Flow:
    """An encoder's graph.

    Attributes:
        body: the encoder.
        graph: from the picture to the list of features.
        shapes: of the tensor that a node makes when the picture is `SIZE`.
        features: the nodes whose results are the features, from the top; None where there is none at a size.
    """

    body: nn.Module
    graph: fx.Graph
    shapes: dict[fx.Node, tuple[int, ...]]
    features: list[fx.Node | None]

    @property
    def in_channels(self) -> int:
        """Of the picture."""
        return next(self.channels(node) for node in self.graph.nodes if node.op == "placeholder")

    def level(self, node: fx.Node) -> int | None:
        """How often a map has been halved; None for anything that is no map of a level."""
        shape = self.shapes.get(node, ())
        return LEVELS.get(shape[2:]) if len(shape) == 4 else None

    def channels(self, node: fx.Node) -> int:
        """Of a map."""
        return self.shapes[node][1]

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls, if it calls one."""
        return self.body.get_submodule(node.target) if node.op == "call_module" else None


def follow(body: nn.Module, channels: int, depth: int) -> Flow:
    """The graph of an encoder.

    Args:
        body: (N, C, H, W) to a list of features from the top, with None where it has no features of a size.
        channels: of its input.
        depth: how many features below the first are wanted; what only serves deeper ones is left out of the graph.

    Raises:
        UsageError: it takes but few sizes, or decides by values.
    """
    stand_in, name = on_meta(body), body._get_name()
    example = torch.empty(1, channels, *SIZE, device="meta")
    try:
        followed = _shrinking(stand_in, example)
    except Exception as error:  # whatever a stranger's code may raise
        raise UsageError(f"{name} does not take a picture of {SIZE[0]} x {SIZE[1]}, thus not any: {first_line(error)}.") from error
    try:
        graph = _Tracer(followed).trace(stand_in)
    except Exception as error:
        raise UsageError(f"{name} decides by values, so that no graph describes it: {first_line(error)}.") from error
    (output,) = (node for node in graph.nodes if node.op == "output")
    features = list(output.args[0][: depth + 1])
    graph.erase_node(output)
    graph.output(features)
    graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
    shapes = _Shapes(stand_in, graph)
    shapes.run(example)
    real = [node if node is not None and shapes.found[node][1] else None for node in features]  # smp fills up with empty ones
    return Flow(body, graph, shapes.found, real)


def first_line(error: Exception) -> str:
    """What a stranger's error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def on_meta(body: nn.Module) -> nn.Module:
    """A copy in single precision without values: a run of it costs nothing and changes nothing."""
    with torch.no_grad():
        empty = {id(t): nn.Parameter(_emptied(t), t.requires_grad) for t in body.parameters()}
        empty |= {id(t): _emptied(t) for t in body.buffers()}
    return deepcopy(body, empty).eval()


def _emptied(x: Tensor) -> Tensor:
    return x.to("meta", torch.float32 if x.is_floating_point() else x.dtype)


def _shrinking(body: nn.Module, example: Tensor) -> set[nn.Module]:
    """The modules that have to be followed.

    They are those which halve or quarter a map, those which give several maps (so that code may look at how many), and
    those which hold such a one and give no map.
    """
    found: set[nn.Module] = set()

    def leave(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        given = [extent for x in tree_leaves((args, kwargs)) for extent in extents(x)]
        halves = {_part(extent, k) for extent in given for k in (2, 4)}
        several = isinstance(output, tuple | list) and any(map(extents, output))
        below = not extents(output) and any(child in found for child in module.modules() if child is not module)
        if given and (extents(output) & halves or several or below):
            found.add(module)

    handles = [module.register_forward_hook(leave, with_kwargs=True) for module in body.modules()]
    with torch.no_grad():
        body(example)
    for handle in handles:
        handle.remove()
    return found


def extents(x: Any) -> set[tuple[int, int]]:
    """Height and width, whichever axis has the channels."""
    return {tuple(x.shape[2:]), tuple(x.shape[1:3])} if isinstance(x, Tensor) and x.ndim == 4 else set()


def _part(extent: tuple[int, int], k: int) -> tuple[float, float]:
    return extent[0] / k, extent[1] / k


class _Tracer(fx.Tracer):
    """Follows the modules that shrink, and takes all others as they are: what they decide while running stays theirs."""

    def __init__(self, followed: set[nn.Module]):
        super().__init__()
        self.followed = followed

    def trace(self, root: nn.Module, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        self.own = set(root.modules())
        return super().trace(root, concrete_args)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m not in self.followed or isinstance(m, OPERATORS) or not any(True for _ in m.children())

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        if m not in self.own:  # made while running, as a slice of a Sequential is
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)


class _Shapes(fx.Interpreter):
    """Runs a graph and keeps the shapes."""

    def __init__(self, body: nn.Module, graph: fx.Graph):
        super().__init__(body, graph=graph)
        self.found: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        with torch.no_grad():
            result = super().run_node(n)
        if isinstance(result, Tensor):
            self.found[n] = tuple(result.shape)
        return result
