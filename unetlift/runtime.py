"""Chooses the device and the precision of a run, and tells when its memory does not suffice."""

import torch

from unetlift.errors import UsageError


def choose_device(name: str) -> torch.device:
    """`auto` takes CUDA before MPS before the CPU; a device that is not there is an error."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available.get(name, False):
        there = ", ".join(device for device, yes in available.items() if yes)
        raise UsageError(f"device {name!r} is not on this machine; it has {there}.")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """`auto` computes in bf16 where the processor multiplies it in hardware, else in float32."""
    if name == "auto":
        name = "bf16" if _has_bf16(device) else "float32"
    return {"bf16": torch.bfloat16, "float32": torch.float32}[name]


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cpu":
        flags = torch.cpu.get_capabilities()
        return bool(flags.get("avx512_bf16") or flags.get("amx_bf16") or flags.get("bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice, on a GPU or (where the system limits a process) on the CPU."""
    said = ("can't allocate memory", "could not create a primitive")  # the second by oneDNN
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in said)
