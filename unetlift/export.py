"""ONNX out, and the proof that it agrees: a file stays only if onnxruntime gives the network's answers."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unetlift.checkpoint import write_atomically
from unetlift.convs.deform import Deformable
from unetlift.errors import UsageError, one_of

OPSETS = range(18, 24)
"""From the first that PyTorch's exporter writes to the last that it and onnxruntime were tried with."""

DEFORMABLE_FROM = 19
"""ONNX had no deformable convolution before."""

LARGEST = 2**31 - 2**24
"""Bytes of weights in one file: a protobuf message ends at 2 GB, and the graph needs a little of that."""

AXES = "depth", "height", "width"

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how well it agrees with the network.

    Attributes:
        path: of the file.
        size: of the file in bytes.
        opset: of ONNX.
        shapes: of the inputs on which both were compared.
        errors: for each of them the largest difference, in parts of the range of the network's answers.
        tolerance: what no error exceeds.
    """

    path: Path
    size: int
    opset: int
    shapes: tuple[Shape, ...]
    errors: tuple[float, ...]
    tolerance: float


def to_onnx(
    network: nn.Module, path: str | PathLike[str], example: Tensor | None = None, opset: int = 20, tolerance: float = 1e-5
) -> ExportReport:
    """Writes a network as one ONNX file that takes any batch and size, and checks it in onnxruntime before it is kept.

    The file holds what the network computes in eval mode and float32, on the CPU. Its input is called `input`, its
    output `output` (of several, `output_0` and on, or the keys of a dict). It is compared with the network at two
    sizes that differ from the example's, the first with odd height and width, and another batch each. Where the
    network itself takes no odd size, as many encoders do not, a multiple of the example's is taken.

    Args:
        network: it is left as it is.
        path: of the file; its folder has to exist.
        example: (N, C, *size) floats that the network can be run on; by default two maps of a UNet's channels.
        opset: of ONNX, 18 to 23; 19 at least for deformable convolutions.
        tolerance: the largest difference allowed, in parts of the range of the network's answers.

    Returns:
        The report of the comparison.

    Raises:
        UsageError: an argument does not suit, a package is missing, the network cannot be carried to ONNX, or the
            answers differ; what stood at `path` before is then still there.
    """
    path, name, runtime = Path(path), type(network).__name__, _runtime()
    one_of("The ONNX opset", opset, OPSETS)
    if not path.parent.is_dir() or path.is_dir():
        raise UsageError(f"{path} cannot be written; give the name of a file in a folder that exists.")
    if opset < DEFORMABLE_FROM and any(isinstance(module, Deformable) for module in network.modules()):
        raise UsageError(f"ONNX has no deformable convolution at opset {opset}; give opset {DEFORMABLE_FROM} or more.")
    weights = sum(4 * tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
    if weights > LARGEST:
        raise UsageError(f"{name} has {weights / 2**30:.1f} GB of weights; one ONNX file holds less than 2 GB.")
    twin = deepcopy(network).cpu().float().eval().to(memory_format=torch.contiguous_format)
    example = _example(twin, example)
    with torch.no_grad():
        expected = _comparisons(twin, example)
        program = _program(twin, example, opset, _names(twin(example)))
        errors: list[float] = []

        def write(part: Path) -> None:
            program.save(part, external_data=False)
            errors.extend(_errors(runtime, part, expected, tolerance))

        write_atomically(path, write)
    return ExportReport(path, path.stat().st_size, opset, tuple(tuple(x.shape) for x, _ in expected), tuple(errors), tolerance)


def _runtime() -> Any:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(f"ONNX files need the package {error.name}; run pip install unetlift[onnx].") from error
    del onnx
    return onnxruntime


def _example(network: nn.Module, example: Tensor | None) -> Tensor:
    """The example in the network's precision, or one made for its channels."""
    if example is None:
        if not hasattr(network, "config"):
            raise UsageError(f"{type(network).__name__} does not tell its channels; give an example of shape (N, C, H, W).")
        return _noise((2, network.config.in_channels, 64, 80))
    if not 3 <= example.ndim <= 5 or not example.is_floating_point():
        raise UsageError(f"The example is {example.dtype} of shape {tuple(example.shape)}; it has to be floats of shape (N, C, *size).")
    return example.detach().cpu().float().contiguous()


def _noise(shape: Shape) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    return list(output.values() if isinstance(output, Mapping) else output)


def _names(output: Any) -> list[str]:
    if isinstance(output, Mapping):
        return list(output)
    return ["output"] if isinstance(output, Tensor) else [f"output_{number}" for number in range(len(output))]


def _comparisons(network: nn.Module, example: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
    """Inputs of other shapes than the example's, and the network's own answers."""
    n, channels, *size = example.shape
    odd = _noise((n + 1, channels, *[length + 5 + length % 2 for length in size]))
    try:
        network(odd)
    except Exception:  # whatever a network may raise that takes multiples of its stride alone
        odd = _noise((n + 1, channels, *[3 * length for length in size]))
    double = _noise((1, channels, *[2 * length for length in size]))
    try:
        return [(x, _tensors(network(x))) for x in (odd, double)]
    except Exception as error:
        raise UsageError(f"{type(network).__name__} cannot be run on {tuple(double.shape)} ({_reason(error)}); give an example.") from error


def _program(network: nn.Module, example: Tensor, opset: int, names: list[str]) -> torch.onnx.ONNXProgram:
    free = {0: "batch"} | dict(enumerate(AXES[-(example.ndim - 2) :], 2))
    try:
        program = torch.onnx.export(
            network,
            (example,),
            input_names=["input"],
            output_names=names,
            dynamic_shapes=(free,),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        raise UsageError(f"{type(network).__name__} cannot be carried to ONNX opset {opset}: {_reason(error)}.") from error
    for node in program.model.graph.all_nodes():  # the exporter's notes name this machine's files, and outweigh the graph
        node.metadata_props.clear()
    return program


def _reason(error: BaseException) -> str:
    """The first line of what caused it all."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip().rstrip(".") if lines else type(error).__name__


def _errors(runtime: Any, file: Path, expected: list[tuple[Tensor, list[Tensor]]], tolerance: float) -> list[float]:
    """For each input the largest difference over the range; any above the tolerance is an error."""
    errors = []
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what it has to say is raised
    try:
        session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        found = [[torch.from_numpy(y) for y in session.run(None, {"input": x.numpy()})] for x, _ in expected]
    except Exception as error:  # onnxruntime's errors have no common base
        raise UsageError(f"onnxruntime cannot run the exported network ({_reason(error)}); nothing was written.") from error
    for (x, own), others in zip(expected, found, strict=True):
        errors.append(max(difference(y, z) for y, z in zip(own, others, strict=True)))
        if not errors[-1] <= tolerance:
            raise UsageError(
                f"On {tuple(x.shape)} the file's answers differ from the network's by {errors[-1]:.1e} of their range, "
                f"more than the tolerance of {tolerance:g}; nothing was written."
            )
    return errors


def difference(own: Tensor, other: Tensor) -> float:
    """The largest difference in parts of the first one's range; infinite between different shapes."""
    if own.shape != other.shape:
        return float("inf")
    extent = (own.max() - own.min()).item() or 1.0  # of a constant the difference itself
    return (own - other).abs().max().item() / extent
