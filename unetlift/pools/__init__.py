"""The one table of downsamplers and upsamplers, and the pairs they form."""

from collections.abc import Callable
from dataclasses import dataclass

from unetlift.convs import PADDING_MODES
from unetlift.errors import UsageError, one_of
from unetlift.pools.base import CENTRE, CORNER, Down, Trace, Up
from unetlift.pools.blur import BlurDown, BlurUp, blur_grid
from unetlift.pools.lift import STARTS, LiftDown, Lifting, LiftUp
from unetlift.pools.phase import AdaptiveDown, AdaptiveUp
from unetlift.pools.window import (
    AvgDown,
    BilinearUp,
    Indexed,
    IndexedMaxDown,
    MaxDown,
    NearestUp,
    StrideDown,
    TransposeUp,
    UnpoolUp,
)

__all__ = ["DOWNS", "PHASES", "UPS", "Down", "LiftOptions", "Trace", "Up", "pool_pair", "ups_for"]

PHASES = ("fixed", "adaptive")
FILTER_SIZES = range(1, 8)


@dataclass(frozen=True)
class LiftOptions:
    """How a `lift` downsampler is made; other pools ignore it.

    Attributes:
        start: the wavelet before training, `lazy`, `haar` or `cdf53`.
        bands: what goes on: `LL`, `sum`, or names joined by `+`.
        kernel_size: of P's and U's first convolution.
    """

    start: str = "haar"
    bands: str = "LL"
    kernel_size: int = 3

    def __post_init__(self) -> None:
        one_of("The lifting start", self.start, STARTS)


@dataclass(frozen=True)
class Level:
    """What one level of a network asks of its pair of pools."""

    channels: int
    padding_mode: str
    grid: float
    lifting: Lifting | None


@dataclass(frozen=True)
class Upsampler:
    """A row of `UPS`: how to build it, where its samples sit (None: anywhere), what it needs from the way down."""

    build: Callable[[Level], Up]
    grid: float | None = CENTRE
    needs: str | None = None


DOWNS: dict[str, Callable[[Level, LiftOptions], Down]] = {
    "max": lambda level, _: MaxDown(level.grid, level.padding_mode),
    "avg": lambda level, _: AvgDown() if level.grid == CENTRE else _blur_down("avg", 3)(level, _),
    "stride": lambda level, _: StrideDown(level.channels, level.grid, level.padding_mode),
    "lift": lambda level, options: LiftDown(level.lifting, options.bands),
}

UPS: dict[str, Upsampler] = {
    "nearest": Upsampler(lambda level: NearestUp()),
    "bilinear": Upsampler(lambda level: BilinearUp(level.padding_mode)),
    "transpose": Upsampler(lambda level: TransposeUp(level.channels)),
    "unpool": Upsampler(lambda level: UnpoolUp(), needs="indices"),
    "lift": Upsampler(lambda level: LiftUp(level.lifting), grid=None, needs="bands"),
}


def _blur_down(operator: str, size: int) -> Callable[[Level, LiftOptions], Down]:
    return lambda level, _: BlurDown(operator, size, level.channels, level.grid, level.padding_mode)


def _blur_up(size: int) -> Callable[[Level], Up]:
    return lambda level: BlurUp(size, level.channels, level.padding_mode)


for _size in FILTER_SIZES:
    for _prefix, _operator in (("blur", "max"), ("conv-blur", "conv"), ("avg-blur", "avg")):
        DOWNS[f"{_prefix}-{_size}"] = _blur_down(_operator, _size)
    UPS[f"blur-{_size}"] = Upsampler(_blur_up(_size), grid=blur_grid(_size))


def ups_for(down: str, lift: LiftOptions = LiftOptions()) -> tuple[str, ...]:
    """The upsamplers that `down` can serve.

    Every downsampler but `lift` adapts its window to the grid of its upsampler. A lifting's grid is its start's: a
    pair of another grid would drift half a pixel per level.
    """
    one_of("Downsampler", down, DOWNS)
    if down != "lift":
        return tuple(name for name, row in UPS.items() if row.needs != "bands")
    return tuple(name for name, row in UPS.items() if row.grid in (None, STARTS[lift.start][2]))


def pool_pair(
    down: str,
    up: str,
    channels: int,
    phase: str = "fixed",
    padding_mode: str = "zeros",
    lift: LiftOptions = LiftOptions(),
) -> tuple[Down, Up]:
    """A downsampler and the upsampler that takes its trace: `y, trace = down(x); x_again = up(y, trace)`.

    Args:
        down: a name in `DOWNS`.
        up: a name in `UPS`.
        channels: C of the downsampler's input and of the upsampler's.
        phase: `fixed` or `adaptive`.
        padding_mode: `zeros`, `reflect`, `replicate` or `circular`.
        lift: how a `lift` is made.

    Returns:
        The pair; a LiftUp shares P and U with its LiftDown.

    Raises:
        UsageError: a name is unknown, or the two cannot serve each other.
    """
    one_of("Downsampler", down, DOWNS)
    one_of("Upsampler", up, UPS)
    one_of("phase", phase, PHASES)
    one_of("padding_mode", padding_mode, PADDING_MODES)
    if up not in ups_for(down, lift):
        detail = f" (start {lift.start})" if down == "lift" else ""
        raise UsageError(f"{down}{detail} cannot serve the upsampler {up}; it serves {', '.join(ups_for(down, lift))}.")
    lifting = Lifting(channels, lift.start, lift.kernel_size, padding_mode) if down == "lift" else None
    level = Level(channels, padding_mode, UPS[up].grid if UPS[up].grid is not None else CORNER, lifting)
    pools = _down(down, UPS[up].needs, level, lift), UPS[up].build(level)
    return pools if phase == "fixed" else (AdaptiveDown(pools[0]), AdaptiveUp(pools[1]))


def _down(name: str, needs: str | None, level: Level, lift: LiftOptions) -> Down:
    if needs != "indices":
        return DOWNS[name](level, lift)
    return IndexedMaxDown() if name == "max" else Indexed(DOWNS[name](level, lift))
