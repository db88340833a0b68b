"""What benchmarks share: the machine in words, runs in turn, and the work and memory of a process with its children."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from torchio_seg.machine import describe as machine

__all__ = ["Memory", "cpu_seconds", "in_turn", "machine", "memory", "peak_memory", "tree"]

Result = TypeVar("Result")
MEMORY_EVERY_S = 0.2
"""Between two looks at memory; one costs about a hundredth of a second, of a processor that is not counted."""
_TICKS = os.sysconf("SC_CLK_TCK")


class Memory(NamedTuple):
    """Bytes that a group of processes holds, a page that n of them share counting 1 / n in each (PSS)."""

    total: int = 0
    files: int = 0
    """Pages of mapped files among them, which the system takes back when it needs them."""


def in_turn(names: Sequence[str], rounds: int, run: Callable[[str, int], Result]) -> dict[str, list[Result]]:
    """Each once a round, every round begun by another, so that a busy spell of the machine meets all alike."""
    results: dict[str, list[Result]] = {name: [] for name in names}
    for number in range(rounds):
        start = number % max(1, len(names))
        for name in (*names[start:], *names[:start]):
            results[name].append(run(name, number))
    return results


def tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    found = [pid]
    for each in found:
        try:
            tasks = list(Path(f"/proc/{each}/task").iterdir())
            found += [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except OSError:  # it has ended meanwhile
            continue
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its descendants, living or ended."""
    ticks = 0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS


def memory(pid: int) -> Memory:
    """What a process and its living descendants hold now."""
    total = files = 0
    for each in tree(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:
            continue
        kilobytes = {key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines)}
        total += kilobytes["Pss"] * 1024
        files += kilobytes.get("Pss_File", 0) * 1024
    return Memory(total, files)


def peak_memory(command: Sequence[str], folder: Path) -> Memory:
    """The most that a command and its descendants held at once; it runs in the folder until it ends."""
    peak = Memory()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(MEMORY_EVERY_S)
        if process.returncode:
            said.seek(0)
            words = said.read()[-4000:].decode(errors="replace")
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{words}")
    return peak
