"""The maps inside anybody's torch module, by the names of its submodules, seen through hooks that go when the call is over."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from torch import Tensor, nn

from unetlift.errors import UsageError
from unetlift.types import Map


def hooked(module: nn.Module, limit: int = 24) -> Callable[[Map], dict[str, Tensor]]:
    """A function that asks the module about pictures and gives the maps of its submodules, in the order they were made.

    A map is a tensor of four axes whose last two cover the picture at one whole stride; what is 1 x 1 covers nothing. A
    submodule that is made of others, such as a block of a ResNet, stands for the layers inside it, and the last of those
    that return the same tensor for all of them. A map that a later step overwrites is seen as that step leaves it. The
    module is run in the mode it is in.

    Args:
        module: (N, C, H, W) to anything, on the device of the pictures.
        limit: of the number of maps. Of more, those of the outermost submodules go first, and where there is no room for
            all of one depth, so many as there is are taken at equal distances.

    Returns:
        (N, C, H, W) to maps (N, C', h, w). The hooks stay for one call, nothing is kept, and calls wait for each other;
        nobody else should run the module meanwhile.

    Raises:
        UsageError: limit is less than 1; when called, no submodule gives maps, as in a TorchScript or exported module.
    """
    if limit < 1:
        raise UsageError(f"limit is {limit}; it is a whole number of maps from 1 on.")
    lock = Lock()

    def features(x: Map) -> dict[str, Tensor]:
        with lock, _watched(module, x) as seen:
            module(x)
        if not seen:
            kind = type(module).__name__
            raise UsageError(f"{kind} has no submodule that shows a map of the picture; TorchScript and exported graphs have none.")
        return _some(_named(seen), limit)

    return features


@contextmanager
def _watched(module: nn.Module, x: Map) -> Iterator[list[tuple[str, Tensor]]]:
    """What the submodules return, one after the other: those who stand for others take their place."""
    seen: list[tuple[str, Tensor]] = []
    parts = {name: part for name, part in module.named_modules() if name}
    layers = {name for name, part in parts.items() if not any(True for _ in part.children())}

    def hook(name: str) -> Callable[[nn.Module, tuple, object], None]:
        def note(_: nn.Module, __: tuple, output: object) -> None:
            if isinstance(output, Tensor) and _covers(output, x):
                seen[:] = [(n, map) for n, map in seen if map is not output and not (n in layers and n.startswith(f"{name}."))]
                seen.append((name, output))

        return note

    handles = [part.register_forward_hook(hook(name)) for name, part in parts.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _covers(output: Tensor, x: Map) -> bool:
    """Whether a tensor has samples of the picture at one whole stride, and a few more or fewer for its borders."""
    if output.ndim != 4 or not output.is_floating_point() or output.shape[0] != x.shape[0] or 0 in output.shape:
        return False
    if output.shape[2:] == (1, 1):
        return False
    stride = max(1, round(x.shape[2] / output.shape[2]))
    return all(abs(samples - pixels / stride) <= 2 for samples, pixels in zip(output.shape[2:], x.shape[2:], strict=True))


def _named(seen: list[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """By name; of a submodule that was called again, by name and number."""
    found: dict[str, Tensor] = {}
    calls: Counter[str] = Counter()
    for name, map in seen:
        calls[name] += 1
        found[name if calls[name] == 1 else f"{name} ({calls[name]})"] = map.detach()
    return found


def _some(found: dict[str, Tensor], limit: int) -> dict[str, Tensor]:
    """So many of them at most: the outermost, then those inside them, as far as there is room, at equal distances."""
    inside: dict[int, list[str]] = defaultdict(list)
    for name in found:
        inside[sum(name.startswith(f"{outer}.") for outer in found)].append(name)
    taken: set[str] = set()
    for _, names in sorted(inside.items()):
        room = min(len(names), limit - len(taken))
        taken |= {names[len(names) * k // room - 1] for k in range(1, room + 1)}
    return {name: map for name, map in found.items() if name in taken}
