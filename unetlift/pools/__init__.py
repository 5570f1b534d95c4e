"""The one table of downsamplers and upsamplers, and the pairs they form."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from unetlift.convs import PADDING_MODES
from unetlift.errors import UsageError, one_of
from unetlift.pools.base import CENTRE, CORNER, Down, Trace, Up
from unetlift.pools.blur import BlurDown, BlurUp, blur_grid
from unetlift.pools.blurpool import FILTER_SIZES, BlurPool1d, BlurPool2d, BlurPool3d
from unetlift.pools.fourier import FourierDown, FourierUp
from unetlift.pools.lift import LiftDown, LiftUp
from unetlift.pools.lifting import STARTS, AnyLifting, LiftOptions, make_lifting
from unetlift.pools.phase import CONV_LAYER, RULES, AdaptiveDown, AdaptiveUp
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

__all__ = [
    "CENTRE",
    "CORNER",
    "DOWNS",
    "PHASES",
    "UPS",
    "BlurPool1d",
    "BlurPool2d",
    "BlurPool3d",
    "Down",
    "LiftOptions",
    "Trace",
    "Up",
    "lift_pair",
    "lone_down",
    "lone_up",
    "pool_pair",
    "ups_for",
]

PHASES = ("fixed", *RULES)


@dataclass(frozen=True)
class Level:
    """What one level of a network asks of its pair of pools."""

    channels: int
    padding_mode: str
    grid: float
    lifting: AnyLifting | None


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
    "fourier": lambda level, _: FourierDown(level.grid),
}

UPS: dict[str, Upsampler] = {
    "nearest": Upsampler(lambda level: NearestUp()),
    "bilinear": Upsampler(lambda level: BilinearUp(level.padding_mode)),
    "transpose": Upsampler(lambda level: TransposeUp(level.channels)),
    "unpool": Upsampler(lambda level: UnpoolUp(), needs="indices"),
    "lift": Upsampler(lambda level: LiftUp(level.lifting), grid=None, needs="bands"),
    "fourier": Upsampler(lambda level: FourierUp(), grid=CORNER),
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
    ahead: float = 0.0,
) -> tuple[Down, Up]:
    """A downsampler and the upsampler that takes its trace: `y, trace = down(x); x_again = up(y, trace)`.

    Args:
        down: a name in `DOWNS`.
        up: a name in `UPS`.
        channels: C of the downsampler's input and of the upsampler's.
        phase: `fixed`, `adaptive` or `learned`.
        padding_mode: `zeros`, `reflect`, `replicate` or `circular`.
        lift: how a `lift` is made.
        ahead: 0, 0.5 or -0.5: how far the downsampler's input lies behind the pixels that the upsampler is to return to.

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
    lifting = make_lifting(channels, 2, padding_mode, lift) if down == "lift" else None
    level = Level(channels, padding_mode, (UPS[up].grid or CORNER) - ahead, lifting)
    pools = _down(down, UPS[up].needs, level, lift), UPS[up].build(level)
    return pools if phase == "fixed" else _phased(*pools, phase, channels, 2, padding_mode)


def lift_pair(
    channels: int,
    axes: int = 2,
    phase: str = "fixed",
    padding_mode: str = "zeros",
    lift: LiftOptions = LiftOptions(),
) -> tuple[Down, Up]:
    """LiftDownPool and LiftUpPool of signals, maps or volumes.

    Args:
        channels: of the input.
        axes: 1 for (N, C, W), 2 for (N, C, H, W), 3 for (N, C, D, H, W).
        phase: `fixed`, `adaptive` or `learned`.
        padding_mode: `zeros`, `reflect`, `replicate` or `circular`.
        lift: the wavelet, what of it is learned, and which sub-bands go on.

    Returns:
        The pair, which shares P and U; `up(*down(x))` is x where the low-pass band alone goes on.

    Raises:
        UsageError: a name or number is unknown.
    """
    one_of("A lifting's number of axes", axes, CONV_LAYER)
    one_of("phase", phase, PHASES)
    one_of("padding_mode", padding_mode, PADDING_MODES)
    lifting = make_lifting(channels, axes, padding_mode, lift)
    pools = LiftDown(lifting, lift.bands, axes), LiftUp(lifting)
    return pools if phase == "fixed" else _phased(*pools, phase, channels, axes, padding_mode)


def lone_down(down: str, channels: int, grid: float, padding_mode: str, lift: LiftOptions) -> Down:
    """A downsampler that no upsampler follows, as in a shortcut: a `lift` is the wavelet that it starts as.

    Args:
        down: a name in `DOWNS`.
        channels: of its input.
        grid: where its samples sit, `CORNER` or `CENTRE`.
        padding_mode: zeros, reflect, replicate or circular.
        lift: how a `lift` is made.
    """
    lifting = make_lifting(channels, 2, padding_mode, replace(lift, learned=False)) if down == "lift" else None
    return DOWNS[down](Level(channels, padding_mode, grid, lifting), lift)


def lone_up(up: str, channels: int, padding_mode: str) -> Up:
    """An upsampler whose trace comes from elsewhere; of a `lift` the inverse comes with its downsampler alone."""
    return UPS[up].build(Level(channels, padding_mode, CORNER, None))


def _phased(down: Down, up: Up, phase: str, channels: int, axes: int, padding_mode: str) -> tuple[Down, Up]:
    return AdaptiveDown(down, RULES[phase](channels, axes, padding_mode)), AdaptiveUp(up)


def _down(name: str, needs: str | None, level: Level, lift: LiftOptions) -> Down:
    if needs != "indices":
        return DOWNS[name](level, lift)
    return IndexedMaxDown() if name == "max" else Indexed(DOWNS[name](level, lift))
