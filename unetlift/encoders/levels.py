"""Where an encoder's levels begin, which operators stride, and where each one's downsampler stands (arXiv 1904.11486)."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.nn import functional as F

from unetlift.encoders.flow import SIZE, Flow
from unetlift.encoders.window import window_of
from unetlift.errors import UsageError

ACTIVATION_FUNCTIONS = {F.relu, F.relu6, F.silu, F.gelu, F.hardswish, F.leaky_relu, F.elu, F.mish, torch.relu, torch.sigmoid, torch.tanh}
ACTIVATION_METHODS = {"relu", "relu_", "sigmoid", "tanh"}
NORM_ROOMS = ("torch.nn.modules.batchnorm", "torch.nn.modules.normalization", "torch.nn.modules.instancenorm")


@dataclass(frozen=True)
class Spot:
    """Where one downsampler stands, and the strided operators that it serves.

    Attributes:
        node: the map that it halves, once the operators before it are dense; or the operator that it stands before.
        before: whether it stands before the operator.
        operators: to be made dense.
        channels: of the map that it halves.
    """

    node: fx.Node
    before: bool
    operators: tuple[fx.Node, ...]
    channels: int


@dataclass(frozen=True)
class Step:
    """From one size to the next that the encoder has features of: half of it, or a quarter.

    Attributes:
        level: of the map that it begins with; 0 is the picture's.
        halvings: 1 or 2.
        entries: the maps of that level that it reads, in their order. The first decides the phase.
        inside: every node between those maps and the smaller ones, the strided operators included.
        strided: the strided operators.
        spots: of their downsamplers, the main path's first; none where one cannot be made dense.
        reason: why there are none.
    """

    level: int
    halvings: int
    entries: tuple[fx.Node, ...]
    inside: frozenset[fx.Node]
    strided: tuple[fx.Node, ...]
    spots: tuple[Spot, ...]
    reason: str = ""

    @property
    def main(self) -> fx.Node:
        """The strided operator of the main path."""
        return self.spots[0].operators[0] if self.spots else self.strided[0]


def steps_of(flow: Flow, depth: int) -> list[Step]:
    """The steps from level 0 down to level `depth`, which deeper features may repeat, as those of dilated encoders do.

    Raises:
        UsageError: the encoder has no such levels.
    """
    have = [flow.level(node) if node is not None else None for node in flow.features]
    strange = any(level not in (None, min(i, depth)) for i, level in enumerate(have))
    if len(have) <= depth or have[0] != 0 or strange or have[depth] != depth:
        sizes = ", ".join("none" if node is None else "x".join(map(str, flow.shapes[node][2:])) for node in flow.features)
        raise UsageError(f"{flow.body._get_name()} has no features at stride {2**depth}; of {SIZE[0]}x{SIZE[1]} they are {sizes}.")
    steps, level = [], 0
    while level < depth:
        step = _step(flow, level)
        steps.append(step)
        level += step.halvings
    return steps


def _step(flow: Flow, level: int) -> Step:
    strided = tuple(node for node in flow.graph.nodes if _halvings(flow, node, level))
    by = {_halvings(flow, node, level) for node in strided}
    if len(by) != 1:
        how = "both by 2 and by 4" if by else "by nothing that halves a map (N, C, H, W) of that size"
        raise UsageError(f"{flow.body._get_name()} goes on from stride {2**level} {how}.")
    kept = _ancestors(node for node in flow.features[: level + 1] if node is not None)
    inside, entries = _between(flow, kept, strided)
    if not entries or any(flow.level(entry) != level for entry in entries):  # no feature of this size begins the step
        kept |= _ancestors(source for node in strided for source in node.all_input_nodes)
        inside, entries = _between(flow, kept, strided)
    return Step(level, by.pop(), entries, inside, strided, *_spots(flow, strided))


def _between(flow: Flow, kept: set[fx.Node], strided: tuple[fx.Node, ...]) -> tuple[frozenset[fx.Node], tuple[fx.Node, ...]]:
    """What leads to strided operators from what an encoder has anyway, and where that begins."""
    inside = frozenset(_ancestors(strided) - kept)
    read = {source for node in inside for source in node.all_input_nodes if source in flow.shapes and source not in inside}
    return inside, tuple(node for node in flow.graph.nodes if node in read)


def _halvings(flow: Flow, node: fx.Node, level: int) -> int:
    """1 where a node halves a map of that level, 2 where it quarters it, else 0."""
    reached = flow.level(node)
    if reached is None or reached <= level or not any(flow.level(source) == level for source in node.all_input_nodes):
        return 0
    return reached - level


def _ancestors(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """The nodes and all that they depend on."""
    found, waiting = set(), list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += node.all_input_nodes
    return found


def _spots(flow: Flow, strided: tuple[fx.Node, ...]) -> tuple[tuple[Spot, ...], str]:
    """Behind the activation of a convolution; behind a pool; before a 1x1 convolution without activation."""
    for node in strided:
        if flow.module(node) is None or window_of(flow.module(node)) is None:
            name = type(flow.module(node)).__name__ if node.op == "call_module" else getattr(node.target, "__name__", str(node.target))
            return (), f"{node.target if node.op == 'call_module' else node.name} ({name}) strides, and is no ordinary convolution or pool"
    dense = _linear_in(flow, strided)
    found: dict[tuple[fx.Node, bool], list[fx.Node]] = {}
    for node in strided:
        found.setdefault(_end(flow, node, dense), []).append(node)
    spots = []
    for (node, before), operators in found.items():
        channels = flow.module(node).in_channels if before else flow.channels(node)
        spots.append(Spot(node, before, tuple(operators), channels))
    far = _distances(flow)
    spots.sort(key=lambda spot: (-max(far[node] for node in spot.operators), spot.before))
    return tuple(spots), ""


def _linear_in(flow: Flow, strided: tuple[fx.Node, ...]) -> set[fx.Node]:
    """The strided convolutions, and the norms and sums of nothing but their results."""
    dense = {node for node in strided if isinstance(flow.module(node), nn.Conv2d)}
    for node in flow.graph.nodes:
        of_dense = node.all_input_nodes and set(node.all_input_nodes) <= dense
        if of_dense and flow.level(node) is not None and _is_linear(flow, node):
            dense.add(node)
    return dense


def _end(flow: Flow, node: fx.Node, dense: set[fx.Node]) -> tuple[fx.Node, bool]:
    """Where the downsampler of one strided operator stands: at which node, and whether before it."""
    operator, joined = node, False
    while node in dense and len(node.users) == 1 and node not in flow.features:
        (user,) = node.users
        if user in dense:
            node, joined = user, joined or len(user.all_input_nodes) > 1
        elif flow.level(user) is not None and _is_activation(flow, user):
            return user, False
        else:
            break
    if not isinstance(flow.module(operator), nn.Conv2d):
        return operator, False
    return (operator, True) if window_of(flow.module(operator)).pointwise and not joined else (node, False)


def _is_linear(flow: Flow, node: fx.Node) -> bool:
    module = flow.module(node)
    if module is None:
        return getattr(node.target, "__name__", node.target) in ("add", "iadd", "add_")
    return isinstance(module, nn.Identity) or (_is_norm(module) and not _acts(module))


def _is_activation(flow: Flow, node: fx.Node) -> bool:
    """Whether a node is an activation, or a norm with one."""
    module = flow.module(node)
    if module is None:
        return node.target in ACTIVATION_FUNCTIONS or (node.op == "call_method" and node.target in ACTIVATION_METHODS)
    room = type(module).__module__
    return room == "torch.nn.modules.activation" or room.startswith("timm.layers.activations") or (_is_norm(module) and _acts(module))


def _is_norm(module: nn.Module) -> bool:
    return any(kind.__module__ in NORM_ROOMS for kind in type(module).__mro__)


def _acts(norm: nn.Module) -> bool:
    """Whether a norm has an activation of its own, as timm's have."""
    return any(not isinstance(child, nn.Identity) for child in norm.children())


def _distances(flow: Flow) -> dict[fx.Node, int]:
    """The longest way from the picture to each node: a main path is longer than its shortcut."""
    far: dict[fx.Node, int] = {}
    for node in flow.graph.nodes:
        far[node] = 1 + max((far[source] for source in node.all_input_nodes), default=0)
    return far
