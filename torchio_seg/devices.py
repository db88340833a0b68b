"""Which device computes, how exactly, and how reproducibly."""

from __future__ import annotations

import os
import random
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import numpy as np
import torch

from torchio_seg.errors import UsageError

_PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose(name: str, local_rank: int | None = None) -> torch.device:
    """The device of this name; `auto` takes what is there, CUDA before MPS before the CPU.

    `local_rank`: this is one of several processes on the machine, each of which takes a GPU of its own.
    """
    if local_rank is not None and name != "cpu":
        return _choose_own(name, local_rank)
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    allowed = "(allowed: auto, cpu, cuda, cuda:N, mps)"
    if name.partition(":")[0] not in {"cpu", "cuda", "mps"}:
        raise UsageError(f"device '{name}' cannot be used: there is none of that name {allowed}")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device '{name}' cannot be used: {str(error).splitlines()[0]} {allowed}") from error
    return device


def _choose_own(name: str, local_rank: int) -> torch.device:
    """The GPU of one of several processes, from now on also what `cuda` means in it; the CPU for `auto` without any."""
    if name not in {"auto", "cuda"}:
        raise UsageError(f"device '{name}' cannot be that of each of several processes. Allowed: auto, cuda, cpu")
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto" and num_gpus == 0:
        return torch.device("cpu")
    if local_rank >= num_gpus:
        raise UsageError(
            f"process {local_rank + 1} of this machine has no GPU of its own, there are {num_gpus}: use torchrun "
            f"--nproc-per-node {max(1, num_gpus)}, or --device cpu"
        )
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device


def usable(device: torch.device, precision: str) -> str:
    """This precision; fp32 in place of bf16 on a CPU without instructions for it, where that takes 30 times as long."""
    if precision == "bf16" and device.type == "cpu" and not _computes_bf16():
        return "fp32"
    return precision


@cache
def _computes_bf16() -> bool:
    """Whether torch's convolutions know how to on this CPU."""
    supports = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return bool(supports()) if supports is not None else True


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The network's arithmetic in this precision inside the block, if the device has it."""
    precision = usable(device, precision)
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_PRECISIONS[precision])


def seed_everything(seed: int, *, strict: bool) -> None:
    """Fix every generator; strict: an operation without a deterministic version raises."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (other people's code may draw from it)
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = not strict
    if strict:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(strict)


def generators(device: torch.device) -> dict[str, torch.Tensor]:
    """Where the generators of this process are: the CPU's, and its device's."""
    states = {"cpu": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def restore_generators(device: torch.device, states: dict[str, torch.Tensor]) -> None:
    """Go on where they were; what another kind of device drew from is of no use here."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def held(device: torch.device) -> int | None:
    """Bytes of a GPU's memory that tensors hold now; None for other devices."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else None


def most_held(device: torch.device) -> int | None:
    """Bytes of a GPU's memory that tensors have held at once so far; None for other devices."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def wait_for(device: torch.device) -> None:
    """Until it has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that nobody uses."""
    return torch.cuda.mem_get_info(device)[0]


def describe(device: torch.device) -> str:
    """The device in words a reader of a record understands later."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
