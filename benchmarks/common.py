"""What benchmarks share: flags, runs in turn, their medians and quartiles, work and memory, and the record of a result.

A result is strict JSON that says what was measured, by which command, on which machine, with which versions and commit.
With --quick it is small and goes to build/benchmarks, else to results/, from which docs/benchmarks.md is written.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from torchio_seg import memory as process_memory
from torchio_seg.files import write_json
from torchio_seg.machine import commit
from torchio_seg.machine import describe as machine

Result = TypeVar("Result")
HERE = Path(__file__).parent
RESULTS, BUILD = HERE / "results", HERE.parent / "build" / "benchmarks"
MEMORY_EVERY_S = 0.2
"""Between two looks at memory; one costs about a hundredth of a second, of a processor that is not counted."""
MIB = 2**20
_TICKS = os.sysconf("SC_CLK_TCK")
_OWN_BUSINESS = ("--output", "--folder")
"""Flags that a command is told without."""


class Memory(NamedTuple):
    """Bytes that a group of processes holds, a page that n of them share counting 1 / n in each (PSS)."""

    total: int = 0
    files: int = 0
    """Pages of mapped files among them, which the system takes back when it needs them."""


def parser(words: str | None, *, rounds: int | None = None) -> argparse.ArgumentParser:
    """The flags that every benchmark has."""
    found = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    if rounds is not None:
        found.add_argument("--rounds", type=int, default=rounds, help=f"of runs in turn; {rounds} unless told")
    found.add_argument("--quick", action="store_true", help="small and short: whether everything works")
    found.add_argument("--output", type=Path, help="default results/NAME.json, with --quick build/benchmarks/NAME.json")
    return found


def output_of(given: argparse.Namespace, name: str) -> Path:
    """Where the result of a benchmark goes."""
    chosen: Path | None = given.output
    return chosen or (BUILD if given.quick else RESULTS) / f"{name}.json"


def keep(path: Path, what: str, packages: Iterable[str], content: Mapping[str, Any]) -> None:
    """Write a result, whole or not at all, with all that it takes to judge and to repeat it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    installed = [name for name in packages if _is_installed(name)]
    about = {"what": what, "command": command(), "commit": commit(), "machine": machine(installed)}
    write_json(path, about | dict(content))
    print(f"written {path.relative_to(HERE.parent) if path.is_relative_to(HERE.parent) else path}")


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def command() -> str:
    """The command that runs, without where it reads and writes here."""
    words = iter(sys.argv[1:])
    told = [word for word in words if not (word in _OWN_BUSINESS and next(words))]
    short = [Path(word).name if word.startswith("/") else word for word in told]
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *short])


def measured(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds by the clock and of this process's processors, and MiB that it grew by beyond what it held."""
    process_memory.reset_peak()
    before = process_memory.resident_bytes(os.getpid())
    clock, spent = time.perf_counter(), time.process_time()
    work()
    wall, spent = time.perf_counter() - clock, time.process_time() - spent
    grown = max(0, process_memory.peak_bytes() - before) / MIB
    return {"wall_s": round(wall, 4), "cpu_s": round(spent, 4), "peak_mib": round(grown, 1)}


def medians(runs: Sequence[Mapping[str, float]], keys: Iterable[str], *, digits: int = 4) -> dict[str, Any]:
    """The median of each figure, and the quartiles beside it."""
    found: dict[str, Any] = {}
    for key in keys:
        values = [run[key] for run in runs]
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        found[key] = round(middle, digits)
        found[f"{key}_quartiles"] = [round(low, digits), round(high, digits)]
    return found


def rows(kind: str, runs: Mapping[str, Sequence[Mapping[str, float]]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each of those that ran in turn: medians, quartiles and all runs."""
    return [{kind: name, **medians(found, keys), "runs": list(found)} for name, found in runs.items()]


def ratios(row: Mapping[str, Any], base: Mapping[str, Any], keys: Iterable[str]) -> dict[str, float]:
    """How many times the median of another row each figure is; left out where that is nothing."""
    return {key: round(row[key] / base[key], 3) for key in keys if base[key]}


def print_table(found: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> None:
    """These figures of rows, in columns; those inside another by dotted names."""
    lines = [list(keys), *([_word(row, key) for key in keys] for row in found)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(word.rjust(width) for word, width in zip(line, widths, strict=True)))


def _word(row: Any, key: str) -> str:
    for part in key.split("."):
        row = row.get(part, "") if isinstance(row, Mapping) else ""
    return f"{row:.4g}" if isinstance(row, float) else str(row)


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


def in_process(task: str, argument: Mapping[str, Any]) -> tuple[dict[str, Any], process_memory.Outcome]:
    """What `module:function` answers in a process of its own, and what that took."""
    outcome = process_memory.measure(task, argument)
    if not outcome.fits:
        raise RuntimeError(f"{task} did not fit into memory")
    return dict(outcome.answer), outcome


def read(path: Path) -> Any:
    """An earlier result."""
    return json.loads(path.read_text(encoding="utf-8"))


def make_task(folder: Path, *, cases: int, shape: int) -> Path:
    """A small made-up Decathlon task, for a quick run without data."""
    root = folder / "Task00_Phantom"
    words = ["phantom", str(root), "--layout", "decathlon", "--cases", str(cases), "--shape", str(shape)]
    subprocess.run([sys.executable, "-m", "torchio_seg", *words], check=True, stdout=subprocess.DEVNULL)
    return root
