"""Any encoder with the downsamplers of one's choice: dense first, then halved, each step on one grid (arXiv 1904.11486, 2011.14214)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import fx, nn

from unetlift.encoders.flow import Flow
from unetlift.encoders.grid import Grid, first, hand_over, maxima, move_onto, second
from unetlift.encoders.levels import Spot, Step
from unetlift.encoders.window import WINDOWED, Window, set_window, window_of
from unetlift.errors import UsageError
from unetlift.pools import CORNER, Down, Trace
from unetlift.pools.phase import PhaseRule
from unetlift.types import Features, Map

OWN_POOLS = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}
"""An encoder's own pool stays as it is where it is of the asked kind."""

ADDED = "unetlift"
"""The name under which an encoder gets what it did not have."""


@dataclass(frozen=True)
class Pooling:
    """What an encoder is to pool with.

    Attributes:
        down: stride (its own operators), max, avg, lift, fourier or blur-K.
        padding_mode: of everything in it: zeros (as it is), reflect, replicate or circular.
        keep_stem: whether the first step strides as it is.
        grid: where samples have to sit for the way up; None to leave windows where the encoder has them.
        indices: whether the way up needs the positions of 2x2 maxima.
        main: the downsampler of a main path, by its level, its channels and how far its input lies behind the grid.
        other: that of a shortcut, by its channels and where its samples sit.
        rule: what chooses the phases, by channels; None for the even grid.
        rounds_up: whether every halving rounds up, as the way back asks; otherwise strides that stay round as they did.
    """

    down: str
    padding_mode: str
    keep_stem: bool
    grid: float | None
    indices: bool
    main: Callable[[int, int, float], Down]
    other: Callable[[int, float], Down]
    rule: Callable[[int], PhaseRule] | None
    rounds_up: bool = True


class PooledEncoder(nn.Module):
    """An encoder whose graph hands on features and traces.

    Args:
        body: the rebuilt graph.
        skips: channels of the features from the top, 0 where there are none; the bottom's last.
    """

    def __init__(self, body: fx.GraphModule, skips: list[int]):
        super().__init__()
        self.body, self.skips = body, skips

    def forward(self, x: Map) -> tuple[list[Features | None], list[Trace]]:
        """(N, C, H, W) to the features, from the top, and the traces of the downsamplings between them."""
        return self.body(x)

    def stay_on_even_grid(self) -> None:
        """Gives up adaptive phases, in place."""
        for grid in self.body.modules():
            if isinstance(grid, Grid):
                grid.rules = nn.ModuleList()


def is_native(step: Step, pooling: Pooling) -> bool:
    """Whether a step's operators stride as they are."""
    return pooling.down == "stride" or (pooling.keep_stem and step.level == 0)


def raised_channels(flow: Flow, step: Step, pooling: Pooling) -> int:
    """Of the map that a step's upsampler returns to: the main path's, before it is halved."""
    if is_native(step, pooling):
        return flow.channels(_main_input(step))
    return step.spots[0].channels


def rebuild(flow: Flow, steps: list[Step], pooling: Pooling) -> PooledEncoder:
    """The encoder with other downsamplers; its body is changed in place, its keys stay.

    Raises:
        UsageError: an operator cannot be made dense, or pads by a rule of its own.
    """
    added = nn.ModuleDict({"grids": nn.ModuleDict(), "pools": nn.ModuleDict()})
    flow.body.add_module(ADDED, added)
    dense = {node for step in steps for spot in step.spots if not _stays(flow, step, spot, pooling) for node in spot.operators}
    if pooling.padding_mode != "zeros":
        set_borders(flow.body, pooling.padding_mode, {flow.module(node) for node in dense})
    traces, halved = [], {}
    for step in steps:
        traces += _Rebuilt(flow, step, pooling, added, halved).traces()
    (output,) = (node for node in flow.graph.nodes if node.op == "output")
    given = zip(output.args[0], flow.features, strict=True)
    features = [None if old is None or old.op == "placeholder" else node for node, old in given]
    skips = [0 if node is None else flow.channels(old) for node, old in zip(features, flow.features, strict=True)]
    flow.graph.erase_node(output)
    flow.graph.output((features, traces))
    flow.graph.lint()
    return PooledEncoder(fx.GraphModule(flow.body, flow.graph), skips)


def set_borders(body: nn.Module, padding_mode: str, but: set[nn.Module]) -> None:
    """Gives every window that reads beyond its map another border, except those of some modules."""
    for name, module in body.named_modules():
        if module in but or not isinstance(module, WINDOWED):
            continue
        window = window_of(module)
        if window is not None and any(window.before + window.after):
            set_window(module, window, padding_mode)
        elif window is None and module.padding not in (0, (0, 0)):
            raise UsageError(f"{name} ({type(module).__name__}) pads by a rule of its own: its network takes padding_mode 'zeros' alone.")


def _stays(flow: Flow, step: Step, spot: Spot, pooling: Pooling) -> bool:
    """Whether operators stride as they are: because their step does, or because they are pools of the asked kind."""
    own = OWN_POOLS.get(pooling.down)
    asked = own is not None and step.halvings == 1 and all(isinstance(flow.module(node), own) for node in spot.operators)
    return asked or is_native(step, pooling)


def _main_input(step: Step) -> fx.Node:
    return (step.spots[0].operators[0] if step.spots else step.strided[0]).all_input_nodes[0]


class _Rebuilt:
    """One step while it is being rebuilt."""

    def __init__(self, flow: Flow, step: Step, pooling: Pooling, added: nn.ModuleDict, halved: dict[fx.Node, fx.Node]):
        self.flow, self.step, self.pooling, self.added, self.halved, self.graph = flow, step, pooling, added, halved, flow.graph
        self.choice = self._enter()

    def traces(self) -> list[fx.Node]:
        """The nodes of the traces, one for each halving."""
        given: list[fx.Node | None] = [None] * self.step.halvings
        if not is_native(self.step, self.pooling):
            for number, spot in enumerate(self.step.spots):
                found = self._place(spot, number)
                given = found if number == 0 else given
        elif self.pooling.indices:
            given = [self._indices()]
        (output,) = (node for node in self.graph.nodes if node.op == "output")
        with self.graph.inserting_before(output):
            return [self.graph.call_function(hand_over, (self.choice, k, trace)) for k, trace in enumerate(given)]

    def _enter(self) -> fx.Node:
        """Moves everything that the step reads onto its grid."""
        step, judge = self.step, self.step.entries[0]
        native = is_native(step, self.pooling)
        windows = [window_of(self.flow.module(node)) if self.flow.module(node) else None for node in step.strided]
        whole = native and self.pooling.rounds_up and (self.pooling.indices or any(window is None or window.floors for window in windows))
        rules = [self.pooling.rule(self.flow.channels(judge)) for _ in range(step.halvings)] if self.pooling.rule else []
        multiple = 2**step.halvings if rules or whole else 1
        choice = self._call(f"grids.{step.level}", Grid(rules, step.halvings, multiple), self._now(judge))
        if multiple > 1:
            for entry in map(self._now, step.entries):
                with self.graph.inserting_after(choice if entry is self._now(judge) else entry):
                    moved = self.graph.call_function(move_onto, (entry, choice, multiple))
                for node in step.inside:
                    node.replace_input_with(entry, moved)
        return choice

    def _now(self, node: fx.Node) -> fx.Node:
        """What stands for a node since an earlier step has halved its result."""
        return self.halved.get(node, node)

    def _place(self, spot: Spot, number: int) -> list[fx.Node | None]:
        """Makes the spot's operators dense and puts a downsampler there; returns its traces."""
        modules = [self.flow.module(node) for node in spot.operators]
        if _stays(self.flow, self.step, spot, self.pooling):
            return [self._indices() if self.pooling.indices and number == 0 else None]
        ahead = 0.0
        for module in modules:
            window = self._dense(window_of(module))
            set_window(module, window, self.pooling.padding_mode)
            ahead = window.centre if self.pooling.grid is not None else 0.0
        node, traces = (spot.operators[0].all_input_nodes[0] if spot.before else spot.node), []
        for k in range(self.step.halvings):
            pool = self._pool(spot.channels, ahead if k == 0 else 0.0, k if number == 0 else None)
            node, trace = self._insert(f"pools.{self.step.level + k}_{number}", pool, node, spot if k == 0 else None)
            traces.append(trace)
        return traces

    def _pool(self, channels: int, ahead: float, k: int | None) -> Down:
        if k is not None:
            return self.pooling.main(self.step.level + k, channels, ahead)
        return self.pooling.other(channels, (self.pooling.grid or CORNER) - ahead)

    def _dense(self, window: Window) -> Window:
        """The same window at stride 1; with a grid to obey it is centred, or half a pixel from that."""
        before = window.before
        if self.pooling.grid is not None:
            early = self.pooling.grid == CORNER  # whichever half a pixel the pool can make good
            before = tuple((size - (0 if early else 1)) // 2 for size in window.size)
        after = tuple(size - 1 - begin for size, begin in zip(window.size, before, strict=True))
        return window._replace(before=before, after=after, stride=1)

    def _insert(self, name: str, pool: Down, node: fx.Node, spot: Spot | None) -> tuple[fx.Node, fx.Node]:
        result = self._call(name, pool, node)
        with self.graph.inserting_after(result):
            trace = self.graph.call_function(second, (result,))
            pooled = self.graph.call_function(first, (result,))
        if spot and spot.before:
            spot.operators[0].replace_input_with(node, pooled)
        else:
            node.replace_all_uses_with(pooled, delete_user_cb=lambda user: user is not result)
            self.halved[node] = pooled
        return pooled, trace

    def _indices(self) -> fx.Node:
        """Of the 2x2 maxima of what the main path's operator reads."""
        operator = self.step.spots[0].operators[0] if self.step.spots else self.step.strided[0]
        with self.graph.inserting_before(operator):
            return self.graph.call_function(maxima, (operator.all_input_nodes[0],))

    def _call(self, name: str, module: nn.Module, node: fx.Node) -> fx.Node:
        group, key = name.split(".")
        self.added[group][key] = module
        with self.graph.inserting_after(node):
            return self.graph.call_module(f"{ADDED}.{name}", (node,))
