"""What of the machine this process may use, and sizes as people read them."""

from __future__ import annotations

import os
from pathlib import Path

_UNKNOWN_MEMORY = 8 * 2**30
_GROUPS = Path("/sys/fs/cgroup")
"""Where Linux tells what a container or a scheduler allows."""


def num_processors() -> int:
    """Those of the machine, or the share of them that a scheduler has given."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes that could be had without taking others' memory; a guess where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable:"))
        return min(int(found.split()[1]) * 1024, *_left_to_groups())
    except (OSError, StopIteration, ValueError):
        return _UNKNOWN_MEMORY


def _left_to_groups() -> list[int]:
    """What each group of processes that this one belongs to may still take; at least what nobody can have."""
    try:
        own = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        own = []
    left = [2**63]
    for _, kinds, path in own:
        folder = _GROUPS / ("memory" if kinds else "")
        if kinds in {"", "memory"}:
            inner = folder / path.lstrip("/")
            left += [_left_to(each) for each in (inner, *inner.parents) if each.is_relative_to(folder)]
    return left


def _left_to(group: Path) -> int:
    """Its limit less what it holds that cannot be given up; far more than there is, where it has no limit."""
    for limit, held, idle in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most, used = (group / limit).read_text().strip(), int((group / held).read_text())
            counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            return 2**63 if most == "max" else max(0, int(most) - used + int(counts.get(idle, 0)))
        except (OSError, ValueError):
            continue
    return 2**63


def in_units(num_bytes: float) -> str:
    """A size as people read it."""
    for unit in ("bytes", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} GB"
