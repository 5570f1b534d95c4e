"""BlurPool in any network: every step of 2 taken densely, blurred, then subsampled (arXiv 1904.11486)."""

import sys
from copy import deepcopy
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from unetlift.antialias.dense import CONVOLUTIONS, make_dense
from unetlift.antialias.observe import Record, observe, tensors_of
from unetlift.antialias.pieces import Subsample, place
from unetlift.antialias.plan import Planner, Site
from unetlift.convs import PADDING_MODES
from unetlift.errors import UsageError, one_of
from unetlift.pools.blurpool import FILTER_SIZES

__all__ = ["Row", "antialias", "antialias_report"]

STEMS = ("blur", "keep")
SIZES = {1: (256, 4096), 2: (96, 224), 3: (32, 96)}
"""Of the default example along its one, two or three axes: multiples of common strides, the larger where the smaller fails."""

Network = TypeVar("Network", bound=nn.Module)


class Row(NamedTuple):
    """What became of one strided operator.

    Attributes:
        name: of the module, as in `named_modules`; of the caller, where a function is called.
        was: the operator in the original.
        became: what stands there now; None where it was left alone.
        reason: why it was left alone.
    """

    name: str
    was: str
    became: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.name or '(network)'}: {self.was}; " + (f"now {self.became}" if self.became else f"left, {self.reason}")


def antialias(
    network: Network, filter_size: int = 3, stem: str = "blur", padding_mode: str = "reflect", example: Tensor | None = None
) -> Network:
    """A copy of any convolutional network that blurs before it subsamples; weights and keys are the original's.

    | operator of stride 2 | becomes (section 3 there) |
    |---|---|
    | MaxPool | the same at stride 1, BlurPool |
    | AvgPool | the same at stride 1, BlurPool: for the usual window of 2, one blur of K + 1 taps |
    | convolution, norm, activation | the same at stride 1, BlurPool behind the activation |
    | convolution without activation | the same at stride 1, BlurPool; if it is 1x1, BlurPool first |

    Output sizes stay. With odd filters the samples stay where they were; an even filter moves them half a pixel down
    and to the right, alike in all branches. One run on the example tells which activation each convolution meets.
    Before the copy is given away, one with a filter of a single tap, which subsamples and nothing else, has to give
    the original's answers.

    Args:
        network: it is left as it is.
        filter_size: K, 1 to 7 taps.
        stem: `blur`, or `keep` to leave the first convolution strided, which costs less (section 4 there).
        padding_mode: of the blurs: reflect (as the paper), zeros, replicate or circular.
        example: (N, C, *size) floats that the network can be run on; by default noise for its first convolution.

    Raises:
        UsageError: an argument is unknown, the example does not suit, or there is nothing to replace.
    """
    one_of("The blur's filter size", filter_size, FILTER_SIZES)
    one_of("stem", stem, STEMS)
    one_of("padding_mode", padding_mode, PADDING_MODES)
    trial = _trial(network)
    record, example = _first_run(trial, example)
    sites = Planner(trial, record, stem).sites()
    if not any(site.spot for site in sites):
        left = "; ".join(str(_row(site, filter_size)) for site in sites[:3]) or "it has no strided operator"
        raise UsageError(f"{type(network).__name__} has nothing to replace: {left}.")
    _perform(trial, sites, 1, padding_mode)
    _check(type(network).__name__, record.output, _run(trial, example).output)
    copy = deepcopy(network)
    _perform(copy, sites, filter_size, padding_mode)
    copy.antialiased = tuple(_row(site, filter_size) for site in sites)
    return copy


def antialias_report(network: nn.Module) -> tuple[Row, ...]:
    """A row for every strided operator that `antialias` met: what it became, or why it was left alone.

    Raises:
        UsageError: the network does not come from `antialias`.
    """
    if "antialiased" not in vars(network):
        raise UsageError(f"{type(network).__name__} has no report; it is kept by a network that unetlift.antialias returned.")
    return network.antialiased


def _trial(network: nn.Module) -> nn.Module:
    """A copy to try things out on, in float32 at least."""
    dtypes = {parameter.dtype for parameter in network.parameters()}
    copy = deepcopy(network).eval()
    return copy.float() if dtypes & {torch.bfloat16, torch.float16} else copy


def _first_run(network: nn.Module, example: Tensor | None) -> tuple[Record, Tensor]:
    """A run on the user's example, or on the smallest of our own that the network takes; and that example."""
    first = next((module for module in network.modules() if isinstance(module, CONVOLUTIONS)), None)
    if first is None:
        raise UsageError(f"{type(network).__name__} has nothing to replace: it has no Conv1d, Conv2d or Conv3d.")
    axes, channels = len(first.kernel_size), first.in_channels
    if example is None:
        shapes = [(1, channels, *[size] * axes) for size in SIZES[axes]]
        examples = [torch.randn(shape, generator=torch.Generator().manual_seed(0)) for shape in shapes]
    elif example.ndim != axes + 2 or not example.is_floating_point():
        wanted = ", ".join(["N", str(channels), *"DHW"[-axes:]])
        raise UsageError(f"The example is {example.dtype} of shape {tuple(example.shape)}; it has to be floats of shape ({wanted}).")
    else:
        examples = [example]
    for each in examples:
        each = each.to(first.weight)
        try:
            return _run(network, each), each
        except Exception as error:  # whatever a stranger's code may raise
            failure = error
    shapes = " or ".join(str(tuple(each.shape)) for each in examples)
    raise UsageError(f"{type(network).__name__} cannot be run on an example of shape {shapes} ({failure}); give another.") from failure


def _run(network: nn.Module, example: Tensor) -> Record:
    """The same random numbers every time, and none taken from anybody else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return observe(network, example)


def _check(name: str, expected: Any, answer: Any) -> None:
    """The strongest law: subsampling a dense result gives the strided result, to rounding."""
    for x, y in zip(tensors_of(expected), tensors_of(answer), strict=True):
        size = x.abs().nan_to_num(0, 0, 0).amax().item() if x.numel() else 0
        if x.shape != y.shape or not torch.allclose(x, y, rtol=0, atol=0.01 * size, equal_nan=True):
            raise UsageError(f"{name} cannot be antialiased: dense and then subsampled it does not give its own answers.")


def _perform(network: nn.Module, sites: list[Site], filter_size: int, padding_mode: str) -> None:
    """The plan, carried out in place; what several sites want of one module is put around it at once."""
    around: dict[str, tuple[list[nn.Module], list[nn.Module]]] = {}
    blurs: dict[str, tuple[tuple[int, ...], frozenset[int]]] = {}
    done = [site for site in sites if site.spot]
    for site in done:
        make_dense(network.get_submodule(site.name))
        around[site.name] = deepcopy(site.fix.before), deepcopy(site.fix.behind)
    for site in done:
        _, channels = blurs.get(site.spot.name, ((), frozenset()))
        blurs[site.spot.name] = site.strides, channels | site.channels
    for site in done:
        if site.spot.name not in blurs:
            continue
        blur = Subsample(*blurs.pop(site.spot.name), filter_size, padding_mode)
        before, behind = around.setdefault(site.spot.name, ([], []))
        if site.spot.before:
            before.append(blur)
        else:
            behind += [*([nn.Hardtanh(*site.spot.range)] if site.spot.range else []), blur]
        if site.spot.own:
            network.set_submodule(site.spot.name, deepcopy(network.get_submodule(site.spot.name)))
    for name, (before, behind) in around.items():
        if before or behind:
            place(network.get_submodule(name), before, behind)


def _row(site: Site, filter_size: int) -> Row:
    if not site.spot:
        return Row(site.name, site.was, reason=site.reason)
    dense, blur = site.was.partition(", ")[0] + ", stride 1", f"BlurPool {filter_size}"
    if site.spot.before:
        return Row(site.name, site.was, f"{blur}, {dense}")
    if site.spot.name == site.name and not site.spot.range:
        return Row(site.name, site.was, f"{dense}, {blur}")
    activation = "activation and " if site.spot.range else ""
    return Row(site.name, site.was, f"{dense}, {activation}{blur} behind {site.spot.name}")


class _Face(ModuleType):
    """Lets `unetlift.antialias(network)` be the function although `unetlift.antialias` is this room."""

    def __call__(self, *arguments: Any, **keys: Any) -> nn.Module:
        return antialias(*arguments, **keys)


sys.modules[__name__].__class__ = _Face
