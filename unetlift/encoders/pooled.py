"""Any encoder with the downsamplers of one's choice: dense first, then halved, each step on one grid (arXiv 1904.11486, 2011.14214)."""

from torch import fx, nn

from unetlift.encoders.commuting import stays_behind
from unetlift.encoders.flow import SIZE, Flow
from unetlift.encoders.grid import Grid
from unetlift.encoders.levels import Step
from unetlift.encoders.placing import Placing, Pooling
from unetlift.encoders.proof import ODD, prove
from unetlift.encoders.window import WINDOWED, set_window, window_of
from unetlift.errors import UsageError
from unetlift.pools import Trace
from unetlift.types import Features, Map

__all__ = ["PooledEncoder", "Pooling", "is_native", "raised_channels", "rebuild", "set_borders"]


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
    return pooling.is_native(step)


def raised_channels(flow: Flow, step: Step, pooling: Pooling) -> int:
    """Of the map that a step's upsampler returns to: the main path's, before it is halved."""
    if pooling.is_native(step):
        return flow.channels(step.main.all_input_nodes[0])
    return step.spots[0].channels


def rebuild(flow: Flow, steps: list[Step], pooling: Pooling) -> PooledEncoder:
    """The encoder with other downsamplers; its body is changed in place, its keys stay.

    Raises:
        UsageError: phases are asked of an encoder that does not move with the picture, or an operator cannot be made
            dense, or pads by a rule of its own.
    """
    if pooling.rule and (reason := stays_behind(flow, [node for step in steps for node in step.strided])):
        raise UsageError(f"{flow.body._get_name()} takes the phase fixed alone, since it does not follow every shift: {reason}.")
    dense = {node for step in steps for spot in step.spots if not pooling.stays(flow, step, spot) for node in spot.operators}
    if pooling.padding_mode != "zeros":
        set_borders(flow.body, pooling.padding_mode, {flow.module(node) for node in dense})
    placing = Placing(flow, pooling)
    traces = [trace for step in steps for trace in placing.pool(step)]
    (output,) = (node for node in flow.graph.nodes if node.op == "output")
    given = zip(output.args[0], flow.features, strict=True)
    features = [None if old is None or old.op == "placeholder" else node for node, old in given]
    skips = [0 if node is None else flow.channels(old) for node, old in zip(features, flow.features, strict=True)]
    flow.graph.erase_node(output)
    flow.graph.output((features, traces))
    flow.graph.lint()
    prove(flow, features, traces, pooling.padding_mode, (SIZE, ODD) if pooling.rounds_up else (SIZE,))
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
