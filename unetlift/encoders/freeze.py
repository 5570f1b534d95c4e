"""An encoder's own weights, apart from the pools put into it: frozen, or at a learning rate of their own."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from unetlift.pools import Down
from unetlift.pools.phase import PhaseRule


def own_modules(encoder: nn.Module) -> Iterator[nn.Module]:
    """An encoder's modules, itself first, but none of the downsamplers and phase rules that were put into it."""
    yield encoder
    for child in encoder.children():
        if not isinstance(child, Down | PhaseRule):
            yield from own_modules(child)


def own_parameters(encoder: nn.Module) -> list[nn.Parameter]:
    """An encoder's own weights, each once."""
    found = {id(p): p for module in own_modules(encoder) for p in module.parameters(recurse=False)}
    return list(found.values())


def groups_by_rate(encoder: nn.Module, groups: list[dict], factor: float) -> list[dict]:
    """Groups of parameters for an optimiser of torch.optim, those of an encoder at a learning rate of their own.

    Args:
        encoder: of the network that the groups are of.
        groups: `params` and `lr` of each, for example from `unetlift.convs.parameter_groups`.
        factor: on the learning rate of the encoder's own weights.

    Returns:
        One group for each learning rate; every parameter is in one of them, unless it is frozen.
    """
    own = {id(p) for p in own_parameters(encoder)}
    rates: dict[float, list[nn.Parameter]] = {}
    for group in groups:
        for parameter in group["params"]:
            if parameter.requires_grad:
                rates.setdefault(group["lr"] * (factor if id(parameter) in own else 1.0), []).append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in rates.items()]


class Freezable(nn.Module):
    """A network whose `encoder` can be frozen."""

    encoder: nn.Module
    frozen = False

    def freeze_encoder(self) -> None:
        """The encoder's own weights learn no more and its own layers stay in eval mode, also behind `train()`.

        BatchNorm then keeps its running statistics and normalises by them; dropout and drop path do nothing. What was
        put into the encoder goes on learning: the operators of a lift or a `conv-blur`, the rule of a learned phase.
        It is a state of this object: model folders do not keep it.
        """
        self._set_frozen(True)

    def unfreeze_encoder(self) -> None:
        """The encoder's own weights learn again."""
        self._set_frozen(False)

    def train(self, mode: bool = True) -> Freezable:
        """Training or eval mode, the latter always for the own layers of a frozen encoder."""
        super().train(mode)
        for module in own_modules(self.encoder) if self.frozen else ():
            module.training = False
        return self

    def _set_frozen(self, frozen: bool) -> None:
        self.frozen = frozen
        for parameter in own_parameters(self.encoder):
            parameter.requires_grad_(not frozen)
        self.train(self.training)
