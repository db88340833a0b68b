"""What of the machine this process may use, and sizes as people read them."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")
"""How torch words it, for a CPU and for a GPU."""
_UNKNOWN_MEMORY = 8 * 2**30
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = ("memory.max", "memory.current", "inactive_file")
"""Files of a control group that hold its limit and what it uses, and the line of its statistics with idle files."""


def num_processors() -> int:
    """Those of the machine, or the share of them that a scheduler has given."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes that could be had without taking others' memory, or exceeding a container's limit; a guess where the
    system does not say.
    """
    return min([_available(), *left_in_groups(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))])


def _available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(found.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        return _UNKNOWN_MEMORY


def left_in_groups(membership: Path, root: Path) -> list[int]:
    """Bytes that each control group of this process with a limit has left, files that it could let go counted as free.

    Version 2 has one tree below `root`, version 1 one for memory; a group that cannot be seen from inside a container
    is that container's root.
    """
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return []
    found = []
    for _, controllers, own in lines:
        if controllers not in {"", "memory"}:
            continue
        tree, names = (root, _V2) if not controllers else (root / "memory", _V1)
        group = tree / own.lstrip("/")
        for folder in (group, *(parent for parent in group.parents if parent.is_relative_to(tree))):
            with contextlib.suppress(OSError, ValueError, StopIteration):  # "max": no limit
                limit, used = (int((folder / name).read_text()) for name in names[:2])
                stat = (folder / "memory.stat").read_text().splitlines()
                files = next(int(line.split()[1]) for line in stat if line.startswith(f"{names[2]} "))
                found.append(max(0, limit - used + files))
    return found


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the computer, or a device of it, had no memory left for what was asked."""
    if isinstance(error, RuntimeError):  # torch's own error for a GPU is one
        return any(words in str(error) for words in _NO_MEMORY)
    return isinstance(error, MemoryError)


def describe(packages: Iterable[str]) -> dict[str, Any]:
    """The processor, how many may be used, what else loads them, and the versions of these packages."""
    from importlib import metadata  # a tenth of a second, which no screen of help needs to wait for

    names: list[str] = []
    with contextlib.suppress(OSError):
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.machine(),
        "cores": num_processors(),
        "load_average": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": {name: metadata.version(name) for name in packages},
    }


def commit() -> str | None:
    """Of the checkout that the package is used from; None for an installed one."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return None
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run([git, "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or None


def in_units(num_bytes: float) -> str:
    """A size as people read it."""
    for unit in ("bytes", "kB", "MB"):
        if num_bytes < 999.5:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} GB"
