"""Peak memory of a piece of work, measured in a process of its own: one that takes too much is a result, no crash.

The process is started afresh, so that nothing of ours is in it. On Linux its high-water mark is reset once everything
is imported, and a watchdog ends it when its resident memory exceeds the limit; elsewhere the mark is read at the end.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from weakref import WeakSet

from torchio_seg.errors import ConfigError, TrainingError
from torchio_seg.machine import is_out_of_memory

_LOOK_EVERY_S = 0.01
_PR_SET_PDEATHSIG = 1
_RESET_PEAK = "5"
_BEGUN = "\n"
"""Before the answer, once everything is imported; JSON does not mind."""
_SAID = 2000
"""Characters of what a failed process wrote that are kept for the message."""


@dataclass(frozen=True)
class Outcome:
    """What a piece of work took."""

    fits: bool
    before: int
    """Bytes resident once everything was imported."""
    peak: int
    """The most bytes that were resident, the imports included; where it did not fit, when it was ended."""
    answer: Mapping[str, Any] = field(default_factory=dict)
    """What the work returned."""
    why: str = ""
    """What did not fit."""
    said: str = ""
    """How torch put it, where it was torch that refused."""

    @property
    def growth(self) -> int:
        """Bytes beyond the imports."""
        return max(0, self.peak - self.before)


def measure(
    task: str, argument: Mapping[str, Any], *, most_bytes: int | None = None, most_seconds: float | None = None
) -> Outcome:
    """Call `module:function` with the argument in a fresh process; both and the answer go through JSON.

    The time is that of the call: what it takes to start Python and to import says nothing about the work.
    """
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=answer,
            stderr=said,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"},
        )
        try:
            _hand_over(process, {"task": task, "argument": argument})
            ended = _watch(process, answer, most_bytes, most_seconds)
        finally:
            process.kill()
            process.wait()
        if ended is not None:
            return ended
        return _read(process.returncode, _text_of(answer), _text_of(said))


def _hand_over(process: subprocess.Popen[bytes], request: Mapping[str, Any]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # one that ended says why by itself
            pipe.write(json.dumps(request).encode())


def _watch(
    process: subprocess.Popen[bytes], answer: IO[bytes], most_bytes: int | None, most_seconds: float | None
) -> Outcome | None:
    """Wait for the end; end it where it takes too much, and say so."""
    started: float | None = None
    while process.poll() is None:
        if started is None and os.fstat(answer.fileno()).st_size:
            started = time.monotonic()
        resident = resident_bytes(process.pid)
        if most_bytes is not None and resident > most_bytes:
            return Outcome(False, 0, resident, why="memory")
        if most_seconds is not None and started is not None and time.monotonic() - started > most_seconds:
            return Outcome(False, 0, resident, why="time")
        time.sleep(_LOOK_EVERY_S)
    return None


def _read(code: int, answer: str, said: str) -> Outcome:
    if code == -signal.SIGKILL:
        return Outcome(False, 0, 0, why="memory")  # by the system, which does so when there is none left
    if code != 0 or not answer.strip():
        raise TrainingError(f"a trial ended with {code}: {said[-_SAID:].strip() or 'without a word'}")
    found = json.loads(answer)
    if (wrong := found.get("wrong")) is not None:
        raise ConfigError(wrong)
    return Outcome(**found)


def _text_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def resident_bytes(pid: int) -> int:
    """Bytes of a process in memory now; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def peak_bytes() -> int:
    """The most bytes of this process in memory since the last reset, or since it began where none is possible."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def reset_peak() -> None:
    """Count the peak from here on, where the system can."""
    for peak in list(_PEAKS):
        peak.keep()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)


class Peak:
    """The most bytes of this process in memory since this was made, whoever counts anew meanwhile."""

    def __init__(self) -> None:
        reset_peak()
        self._before = 0
        _PEAKS.add(self)

    @property
    def bytes(self) -> int:
        return max(self._before, peak_bytes())

    def keep(self) -> None:
        """Remember it, as the system's mark is about to be reset."""
        self._before = self.bytes


_PEAKS: WeakSet[Peak] = WeakSet()
"""Those that are still asked for; the system has one mark, for all of them."""


def work() -> None:
    """What the fresh process does: import, reset the mark, work, answer. Whatever the work prints is no answer."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # it ends with its parent
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    request = json.load(sys.stdin)
    module, _, function = request["task"].partition(":")
    task = getattr(importlib.import_module(module), function)
    reset_peak()
    before = peak_bytes()
    answer.write(_BEGUN)
    answer.flush()
    try:
        found: dict[str, Any] = {"fits": True, "answer": task(request["argument"])}
    except ConfigError as error:
        with answer:
            json.dump({"wrong": str(error)}, answer)
        return
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        found = {"fits": False, "why": "memory", "said": str(error).strip().partition("\n")[0][:_SAID]}
    with answer:
        json.dump({**found, "before": before, "peak": peak_bytes()}, answer)


if __name__ == "__main__":
    work()
