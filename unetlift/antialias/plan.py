"""Which strided operators become dense, and where each one's blur stands (arXiv 1904.11486, section 3 there)."""

from typing import NamedTuple

from torch import nn

from unetlift.antialias.dense import OPERATORS, Fix, along_axes, find_fix
from unetlift.antialias.follow import Follower, Range, cut, followers
from unetlift.antialias.observe import CONVOLUTIONS, Record, Step
from unetlift.antialias.pieces import BLUR_POOLS


class Spot(NamedTuple):
    """Where a blur stands.

    Attributes:
        name: of the module that it stands at.
        before: whether it stands before the module, or behind it.
        range: of the activation that the module is given too, because the network's own cannot be followed by a blur.
        own: whether the module is shared, and this place needs a copy of its own.
    """

    name: str
    before: bool = False
    range: Range | None = None
    own: bool = False


class Site(NamedTuple):
    """A strided operator, and what is to become of it: a blur somewhere, or nothing for a reason."""

    name: str
    was: str
    strides: tuple[int, ...] = ()
    channels: frozenset[int] = frozenset()
    fix: Fix | None = None
    spot: Spot | None = None
    reason: str = ""


class Planner:
    """Decides about every strided operator of a network that was observed.

    Args:
        network: the network that ran.
        record: its run.
        stem: `blur`, or `keep` to leave the first convolution as it is.
    """

    def __init__(self, network: nn.Module, record: Record, stem: str):
        self.record, self.stem = record, stem
        self.names = {module: name for name, module in network.named_modules()}
        first = next((step.module for step in record.steps if isinstance(step.module, CONVOLUTIONS)), None)
        self.kept_stem = first if stem == "keep" else None
        self.users: dict[nn.Module, set[Step]] = {}
        for step in record.steps:
            if step.is_module:
                self.users.setdefault(step.module, set()).add(step)

    def sites(self) -> list[Site]:
        """One for each strided operator: those that ran, in their order, then those that did not."""
        calls: dict[nn.Module, list[Step]] = {}
        functions = []
        for step in self.record.steps:
            if step.strides and not step.is_module:
                functions.append(Site(self.names[step.module], _function(step), reason="it is called as a function, not as a module"))
            elif step.strides and not isinstance(step.module, tuple(BLUR_POOLS.values())):
                calls.setdefault(step.module, []).append(step)
        sites = {module: self._candidate(module, steps) for module, steps in calls.items()}
        for strides in {site.strides for site in sites.values() if not site.reason}:
            alike = {module: site for module, site in sites.items() if site.strides == strides and not site.reason}
            sites |= self._placed(alike, calls)
        return [*sites.values(), *functions, *self._unreached(sites)]

    def _candidate(self, module: nn.Module, steps: list[Step]) -> Site:
        """Everything but the blur's place, or the reason why there will be none."""
        site = Site(self.names[module], _operator(module))
        if not isinstance(module, OPERATORS):
            return site._replace(reason="its stride is inside a module that is no convolution, MaxPool or AvgPool of torch.nn")
        strides = along_axes(module, module.stride)
        if not set(strides) <= {1, 2}:
            return site._replace(reason=f"its stride is {_times(strides)}, and only steps of 2 are blurred")
        if module is self.kept_stem:
            return site._replace(reason="it is the first convolution, which stem='keep' leaves strided")
        if getattr(module, "return_indices", False):
            return site._replace(reason="it returns indices too, and blurred maxima have none")
        if any(step.read.ndim != len(strides) + 2 for step in steps):
            return site._replace(reason="it is called without a batch axis")
        fix = find_fix(module, strides, steps[0].read)
        if fix is None:
            return site._replace(reason="at stride 1 its samples are not among those of its own class")
        return site._replace(strides=strides, channels=frozenset(step.wrote.shape[1] for step in steps), fix=fix)

    def _placed(self, sites: dict[nn.Module, Site], calls: dict[nn.Module, list[Step]]) -> dict[nn.Module, Site]:
        """The same sites, all of the same strides, each with its blur's place or a reason."""
        convolutions = [step for module in sites if isinstance(module, CONVOLUTIONS) for step in calls[module]]
        found = dict(zip(convolutions, followers(self.record, convolutions), strict=True))
        served = [one for one in found.values() if one]
        placed = {}
        for module, site in sites.items():
            behind = [found.get(step) for step in calls[module]]
            if not any(behind):
                placed[module] = _at_itself(module, site)
            elif not all(behind) or len({one.activation.module for one in behind}) > 1:
                placed[module] = site._replace(reason="it is called several times, and its outputs do not meet one and the same activation")
            else:
                placed[module] = self._behind_activation(site, behind[0], served)
        return placed

    def _behind_activation(self, site: Site, one: Follower, served: list[Follower]) -> Site:
        """At the activation if nobody else uses it; or else at the norm, with the activation's range added."""
        activation, before = one
        site = site._replace(channels=frozenset([activation.wrote.shape[1]]))
        how = "is called as a function"
        if activation.is_module:
            spot = self._unshared(activation, {each.activation for each in served})
            if spot:
                return site._replace(spot=spot)
            how = "is shared with other steps"
        ends = cut(activation)
        if ends is None:
            return site._replace(reason=f"its activation {activation.name} {how}, and would act again on what is blurred")
        if not before.is_module or not self.users[before.module] <= {each.before for each in served}:
            return site._replace(reason=f"its activation {activation.name} {how}, and so is {before.name} before it")
        return site._replace(spot=Spot(self.names[before.module], range=ends))

    def _unshared(self, activation: Step, served: set[Step]) -> Spot | None:
        """A name under which the activation serves nothing but the convolutions to be blurred."""
        users = self.users[activation.module]
        if users <= served:
            return Spot(self.names[activation.module])
        here = {step for step in users if step.caller is activation.caller}
        child = next((key for key, value in activation.caller.named_children() if value is activation.module), None)
        if child is None or activation.module.state_dict() or not here <= served:
            return None
        return Spot(f"{self.names[activation.caller]}.{child}".lstrip("."), own=True)

    def _unreached(self, sites: dict[nn.Module, Site]) -> list[Site]:
        strided = [module for module in self.names if isinstance(module, OPERATORS) and max(along_axes(module, module.stride)) > 1]
        missed = [module for module in strided if module not in sites]
        return [Site(self.names[module], _operator(module), reason="the example did not come by it") for module in missed]


def _at_itself(module: nn.Module, site: Site) -> Site:
    """Where no activation follows. A blur commutes with a 1x1 convolution, and costs less before it than behind."""
    pointwise = isinstance(module, CONVOLUTIONS) and set(module.kernel_size) == {1} and not any(along_axes(module, module.padding))
    if pointwise:
        return site._replace(channels=frozenset([module.in_channels]), spot=Spot(site.name, before=True))
    return site._replace(spot=Spot(site.name))


def _operator(module: nn.Module) -> str:
    if not isinstance(module, OPERATORS):
        return type(module).__name__
    kernel, stride = (_times(along_axes(module, value)) for value in (module.kernel_size, module.stride))
    return f"{type(module).__name__} {kernel}, stride {stride}"


def _function(step: Step) -> str:
    name, stride = step.strides[0]
    return f"{name}, stride {_times(stride)}"


def _times(values: tuple[int, ...]) -> str:
    return "x".join(map(str, values))
