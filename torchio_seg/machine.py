"""What of the machine this process may use, and sizes as people read them."""

from __future__ import annotations

import os
from pathlib import Path

_UNKNOWN_MEMORY = 8 * 2**30


def num_processors() -> int:
    """Those of the machine, or the share of them that a scheduler has given."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes that could be had without taking others' memory; a guess where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(found.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        return _UNKNOWN_MEMORY


def in_units(num_bytes: float) -> str:
    """A size as people read it."""
    for unit in ("bytes", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} GB"
