"""A network made quicker without other numbers: normalisations folded into convolutions, weights cast once."""

from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy
from itertools import pairwise

import torch
from torch import fx, nn

from unetlift.errors import UsageError

TOLERANCE = 1e-4
"""In parts of the range: far above rounding, far below what a layer does that is not linear in its weights."""

Pair = tuple[nn.Module, nn.Module]


def folded(network: nn.Module) -> nn.Module:
    """A copy of a network in eval mode in which each convolution has taken in the normalisation that follows it.

    Only what is known to follow is folded: neighbours in a `Sequential`, and what a graph of the modules' own code shows;
    and only what gives the same numbers on a random map. Everything else stays as it is. The copy answers as the network
    does, to rounding; it is not for training or saving.

    Args:
        network: it stays as it is.

    Raises:
        UsageError: it is in training mode, where batches are normalised by themselves.
    """
    if any(module.training for module in network.modules()):
        raise UsageError(f"{type(network).__name__} is in training mode; call eval() before it is folded.")
    twin = deepcopy(network)
    times = Counter(id(module) for _, module in twin.named_modules(remove_duplicate=False))
    found = {norm: conv for conv, norm in _pairs(twin) if times[id(conv)] == times[id(norm)] == 1}
    instead = {norm: rest for norm, conv in found.items() if (rest := _fold(conv, norm)) is not None}
    for parent in list(twin.modules()):
        for name, norm in list(parent.named_children()):
            if norm in instead:
                setattr(parent, name, instead[norm])
    return twin.requires_grad_(False)


@torch.no_grad()
def narrowed(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy for autocast whose convolutions hold their weights in a narrow type already: the same bits, cast once, not each time.

    Args:
        network: it stays as it is; all of its convolutions have to be called under autocast.
        dtype: of the autocast.
    """
    twin = deepcopy(network)
    for conv in twin.modules():
        if isinstance(conv, nn.Conv2d):
            narrow, x = deepcopy(conv).to(dtype), _noise(conv)
            with torch.autocast(x.device.type, dtype):
                same = torch.equal(conv(x), narrow(x))
            if same:
                conv.to(dtype)
    return twin


class _Tracer(fx.Tracer):
    """Follows everybody's code down to convolutions and PyTorch's own modules."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, nn.Conv2d | nn.BatchNorm2d) or super().is_leaf_module(module, name)


def _pairs(module: nn.Module) -> Iterator[Pair]:
    """Convolutions and the normalisations that get all that they answer, which nothing else does."""
    if type(module).forward is nn.Sequential.forward:
        yield from _normalised(pairwise(child for child in module if type(child) is not nn.Identity))
    elif isinstance(module, fx.GraphModule):
        yield from _normalised(_linked(module, module.graph))
    elif next(module.children(), None) is not None and not isinstance(module, nn.ModuleList | nn.Conv2d):
        try:
            graph = _Tracer().trace(module)
        except Exception:  # whatever code may raise that decides by values; its parts may be plainer
            graph = fx.Graph()
        yield from _normalised(_linked(module, graph))
    for child in module.children():
        yield from _pairs(child)


def _normalised(pairs: Iterable[tuple[nn.Module, nn.Module]]) -> Iterator[Pair]:
    """Those that are a convolution and a normalisation, at whose input and output nobody else looks."""
    for conv, norm in pairs:
        watched = any(each._forward_hooks or each._forward_pre_hooks or hasattr(each, "parametrizations") for each in (conv, norm))
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and not watched:
            yield conv, norm


def _linked(root: nn.Module, graph: fx.Graph) -> Iterator[tuple[nn.Module, nn.Module]]:
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        before = node.args[0] if node.op == "call_module" and node.args else None
        lone = isinstance(before, fx.Node) and before.op == "call_module" and len(before.users) == 1
        if lone and calls[node.target] == calls[before.target] == 1:
            yield root.get_submodule(before.target), root.get_submodule(node.target)


@torch.no_grad()
def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Module | None:
    """Changes a convolution in place and gives what is left of the normalisation; None, and no change, if that fails.

    What is left is nothing, or what timm has put behind the normalisation, into the same module.
    """
    mean, var = norm.running_mean.double(), norm.running_var.double()
    weight = norm.weight.double() if norm.affine else torch.ones_like(var)
    shift = norm.bias.double() if norm.affine else torch.zeros_like(var)
    factor, bias = weight / (var + norm.eps).sqrt(), 0 if conv.bias is None else conv.bias.double()
    changed, rest = deepcopy(conv), nn.Sequential(*norm.children())
    changed.weight.copy_(conv.weight.double() * factor[:, None, None, None])
    changed.bias = nn.Parameter(((bias - mean) * factor + shift).to(conv.weight), requires_grad=False)
    x = _noise(conv)
    expected = norm(conv(x))
    if not (rest(changed(x)) - expected).abs().max() <= TOLERANCE * (expected.max() - expected.min()):
        return None
    conv.weight, conv.bias = changed.weight, changed.bias
    return rest


def _noise(conv: nn.Conv2d) -> torch.Tensor:
    """A small random map on which a convolution can be tried."""
    size = [4 + dilation * (kernel - 1) for dilation, kernel in zip(conv.dilation, conv.kernel_size, strict=True)]
    return torch.randn((1, conv.in_channels, *size), generator=torch.Generator().manual_seed(0)).to(conv.weight)
