"""One run of a network on an example, written down: which step read which step's result, and which steps stride."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CONVOLUTIONS = nn.Conv1d, nn.Conv2d, nn.Conv3d


@dataclass(eq=False)
class Step:
    """One module without children at work, or one operation called as a function in between.

    Attributes:
        module: the module itself, or the one that called the function.
        caller: who called the module; None for a function.
        name: of the module's class, or of the operation.
        sources: the steps whose results it read; the example is step -1.
        strides: of the operations in it that keep fewer samples than they could, each with its name.
        read: the first tensor it read, whose values may be gone.
        wrote: the first tensor it made.
        again: does the same to another tensor.
    """

    module: nn.Module
    caller: nn.Module | None
    name: str
    sources: set[int]
    strides: list[tuple[str, tuple[int, ...]]]
    read: Tensor
    wrote: Tensor
    again: Callable[[Tensor], Any]

    @property
    def is_module(self) -> bool:
        return self.again is self.module


@dataclass
class Frame:
    """A module that is running."""

    module: nn.Module
    whole: bool
    """Whether it is one step, whatever happens inside."""
    inputs: list[Tensor]
    versions: list[int]
    sources: set[int]
    strides: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)


class Record:
    """The steps of a run in their order, and what became of their results."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.returned: set[int] = set()
        self.output: Any = None
        self._made: dict[int, int] = {}  # a tensor's id, and the step that wrote it last: ReLU may work in place
        self._alive: list[Tensor] = []  # or an id would be given away again

    def readers(self, index: int) -> list[Step]:
        """The steps that read the result of step `index`."""
        return [step for step in self.steps if index in step.sources]

    def sources(self, tensors: list[Tensor]) -> set[int]:
        """The steps that made these."""
        return {self._made[id(tensor)] for tensor in tensors if id(tensor) in self._made}

    def made(self, tensors: list[Tensor], index: int) -> None:
        """Writes down that step `index` made these."""
        self._alive += tensors
        self._made |= dict.fromkeys(map(id, tensors), index)

    def add(self, step: Step, tensors: list[Tensor]) -> None:
        self.made(tensors, len(self.steps))
        self.steps.append(step)


def observe(network: nn.Module, example: Tensor) -> Record:
    """Runs the network, without gradients and in the mode it is in, and leaves nothing on it."""
    record = Record()
    record.made([example], -1)
    with torch.no_grad(), _watched(network, record) as operations, operations:
        record.output = network(example)
    record.returned = record.sources(tensors_of(record.output))
    return record


def tensors_of(tree: Any) -> list[Tensor]:
    """Every tensor in nested lists, tuples and dicts."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


@contextmanager
def _watched(network: nn.Module, record: Record) -> Iterator["_Operations"]:
    frames: list[Frame] = []

    def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
        inputs = tensors_of((args, kwargs))
        whole = not any(True for _ in module.children()) or isinstance(module, CONVOLUTIONS)
        frames.append(Frame(module, whole, inputs, [x._version for x in inputs], record.sources(inputs)))

    def leave(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        frame = frames.pop()
        outputs = tensors_of(output)
        untouched = all(any(y is x and y._version == v for x, v in zip(frame.inputs, frame.versions, strict=True)) for y in outputs)
        if not frame.whole or any(outer.whole for outer in frames) or untouched or not frame.sources:
            return
        caller = frames[-1].module if frames else None
        step = Step(module, caller, type(module).__name__, frame.sources, frame.strides, frame.inputs[0], outputs[0], module)
        record.add(step, outputs)

    handles = [module.register_forward_pre_hook(enter, with_kwargs=True) for module in network.modules()]
    handles += [module.register_forward_hook(leave, with_kwargs=True) for module in network.modules()]
    try:
        yield _Operations(record, frames)
    finally:
        for handle in handles:
            handle.remove()


class _Operations(TorchDispatchMode):
    """Sees every operation below PyTorch's Python layer, where each has one name however it was called."""

    def __init__(self, record: Record, frames: list[Frame]):
        super().__init__()
        self.record, self.frames = record, frames

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        inputs = tensors_of((args, kwargs))
        sources = self.record.sources(inputs)
        output = operation(*args, **kwargs)
        name = operation.overloadpacket.__name__
        stride = _stride(name, args)
        strides = [(name.removesuffix("_with_indices"), stride)] if max(stride, default=1) > 1 else []
        whole = next((frame for frame in reversed(self.frames) if frame.whole), None)
        outputs = tensors_of(output)
        if whole is not None:
            whole.strides += strides
        elif sources and outputs and self.frames:
            flowing = [x for x in inputs if self.record.sources([x])]

            def again(x: Tensor) -> Any:
                new_args, new_kwargs = tree_map(lambda old: x if any(old is each for each in flowing) else old, (args, kwargs))
                return operation(*new_args, **new_kwargs)

            step = Step(self.frames[-1].module, None, name.rstrip("_"), sources, strides, inputs[0], outputs[0], again)
            self.record.add(step, outputs)
        return output


def _stride(name: str, args: tuple) -> tuple[int, ...]:
    """How many samples an operation steps over along each axis; () where it has no stride."""
    if name == "convolution":
        return () if args[6] else tuple(args[3])  # a transposed one makes more samples
    if name.startswith(("max_pool", "avg_pool")):
        return tuple(args[2] if len(args) > 2 and args[2] else args[1])
    if name == "slice" and len(args) > 4 and args[0].is_floating_point() and args[0].ndim > args[1] >= 2:
        return tuple(args[4] if axis == args[1] else 1 for axis in range(2, args[0].ndim))
    return ()
