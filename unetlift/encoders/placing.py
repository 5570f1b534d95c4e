"""Puts the downsamplers of one step after the other into an encoder's graph (arXiv 1904.11486, 2011.14214)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import fx, nn

from unetlift.encoders.flow import Flow
from unetlift.encoders.grid import Grid, first, hand_over, maxima, move_onto, second
from unetlift.encoders.levels import Spot, Step
from unetlift.encoders.window import Window, set_window, window_of
from unetlift.pools import CORNER, Down
from unetlift.pools.phase import PhaseRule

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

    def is_native(self, step: Step) -> bool:
        """Whether a step's operators stride as they are."""
        return self.down == "stride" or (self.keep_stem and step.level == 0)

    def stays(self, flow: Flow, step: Step, spot: Spot) -> bool:
        """Whether a spot's do: because their step's do, or because they are pools of the asked kind."""
        own = OWN_POOLS.get(self.down)
        asked = own is not None and step.halvings == 1 and all(isinstance(flow.module(node), own) for node in spot.operators)
        return asked or self.is_native(step)

    def dense(self, window: Window) -> Window:
        """A window at stride 1; with a grid to obey it is centred, or half a pixel from that."""
        before = window.before
        if self.grid is not None:
            early = self.grid == CORNER  # whichever half a pixel the pool can make good
            before = tuple((size - (0 if early else 1)) // 2 for size in window.size)
        after = tuple(size - 1 - begin for size, begin in zip(window.size, before, strict=True))
        return window._replace(before=before, after=after, stride=1)


class Placing:
    """An encoder's graph while it is given downsamplers; its steps come from the top.

    Args:
        flow: the encoder; its graph and modules are changed in place.
        pooling: what it is to pool with.
    """

    def __init__(self, flow: Flow, pooling: Pooling):
        self.flow, self.pooling, self.graph = flow, pooling, flow.graph
        self.grids, self.pools = nn.ModuleDict(), nn.ModuleDict()
        flow.body.add_module(ADDED, nn.ModuleDict({"grids": self.grids, "pools": self.pools}))
        self.halved: dict[fx.Node, fx.Node] = {}  # what stands for a node since an earlier step has halved its result

    def pool(self, step: Step) -> list[fx.Node]:
        """Gives one step its grid and its downsamplers; returns the nodes of the traces, one for each halving."""
        choice = self._enter(step)
        given: list[fx.Node | None] = [None] * step.halvings
        if not self.pooling.is_native(step):
            given, *_ = [self._place(step, number) for number in range(len(step.spots))]
        elif self.pooling.indices:
            given = [self._indices(step)]
        (output,) = (node for node in self.graph.nodes if node.op == "output")
        with self.graph.inserting_before(output):
            return [self.graph.call_function(hand_over, (choice, k, trace)) for k, trace in enumerate(given)]

    def _enter(self, step: Step) -> fx.Node:
        """Moves everything that the step reads onto its grid, which the first thing that it reads decides."""
        entries, rule = [self.halved.get(entry, entry) for entry in step.entries], self.pooling.rule
        rules = [rule(self.flow.channels(step.entries[0])) for _ in range(step.halvings)] if rule else []
        multiple = 2**step.halvings if rules or self._rounds_down(step) else 1
        self.grids[str(step.level)] = Grid(rules, step.halvings, multiple)
        with self.graph.inserting_after(entries[0]):
            choice = self.graph.call_module(f"{ADDED}.grids.{step.level}", (entries[0],))
        if multiple > 1:
            for entry in entries:
                with self.graph.inserting_after(max(choice, entry)):
                    moved = self.graph.call_function(move_onto, (entry, choice, multiple))
                for node in step.inside:
                    node.replace_input_with(entry, moved)
        return choice

    def _rounds_down(self, step: Step) -> bool:
        """Whether operators that stay would lose the last row or column of an odd map, which the way up returns to."""
        if not self.pooling.is_native(step) or not self.pooling.rounds_up:
            return False
        windows = [window_of(module) if (module := self.flow.module(node)) else None for node in step.strided]
        return self.pooling.indices or any(window is None or window.floors for window in windows)

    def _place(self, step: Step, number: int) -> list[fx.Node | None]:
        """Makes the operators of a step's spot dense and puts a downsampler there; returns its traces."""
        spot, pooling = step.spots[number], self.pooling
        if pooling.stays(self.flow, step, spot):
            return [self._indices(step) if pooling.indices and number == 0 else None]
        windows = [pooling.dense(window_of(self.flow.module(node))) for node in spot.operators]
        for node, window in zip(spot.operators, windows, strict=True):
            set_window(self.flow.module(node), window, pooling.padding_mode)
        ahead = windows[-1].centre if pooling.grid is not None else 0.0
        node, traces = (spot.operators[0].all_input_nodes[0] if spot.before else spot.node), []
        for k in range(step.halvings):
            level, offset = step.level + k, ahead if k == 0 else 0.0
            main = number == 0
            pool = pooling.main(level, spot.channels, offset) if main else pooling.other(spot.channels, (pooling.grid or CORNER) - offset)
            key = f"{level}_{number}"
            self.pools[key] = pool
            node, trace = self._insert(f"{ADDED}.pools.{key}", node, spot.operators[0] if spot.before and k == 0 else None)
            traces.append(trace)
        return traces

    def _insert(self, name: str, node: fx.Node, reader: fx.Node | None) -> tuple[fx.Node, fx.Node]:
        """A downsampler behind a node, for one reader of it or for all; returns what it makes and its trace."""
        with self.graph.inserting_after(node):
            result = self.graph.call_module(name, (node,))
        with self.graph.inserting_after(result):
            trace = self.graph.call_function(second, (result,))
            pooled = self.graph.call_function(first, (result,))
        if reader is not None:
            reader.replace_input_with(node, pooled)
        else:
            node.replace_all_uses_with(pooled, delete_user_cb=lambda user: user is not result)
            self.halved[node] = pooled
        return pooled, trace

    def _indices(self, step: Step) -> fx.Node:
        """Of the 2x2 maxima of what the main path's operator reads."""
        operator = step.main
        with self.graph.inserting_before(operator):
            return self.graph.call_function(maxima, (operator.all_input_nodes[0],))
