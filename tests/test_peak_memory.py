"""Peak memory is measured in a process of its own, and too much of it is a result."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from torchio_seg.errors import TrainingError
from torchio_seg.memory import measure, resident_bytes

MEBI = 2**20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks are reset and watched on Linux")


def children() -> set[str]:
    tasks = Path("/proc/self/task").glob("*/children")
    return {child for task in tasks for child in task.read_text().split()}


@pytest.mark.parametrize("size", [50 * MEBI, 400 * MEBI])
def test_what_is_allocated_is_what_is_measured(size: int) -> None:
    outcome = measure("memory_tasks:allocate", {"bytes": size})
    assert outcome.fits
    assert outcome.growth == pytest.approx(size, rel=0.1)
    assert outcome.peak == outcome.before + outcome.growth
    assert outcome.answer == {"touched": -(-size // MEBI), "kept": size // 10}


def test_work_beyond_the_limit_is_ended_and_leaves_no_process() -> None:
    before = children()
    outcome = measure("memory_tasks:grow", {"bytes": 4096 * MEBI}, most_bytes=300 * MEBI)
    assert (outcome.fits, outcome.why) == (False, "memory")
    assert 300 * MEBI < outcome.peak < 2048 * MEBI, "the watchdog was in time"
    assert children() == before


def test_work_that_takes_too_long_is_ended() -> None:
    started = time.monotonic()
    outcome = measure("memory_tasks:linger", {"seconds": 600}, most_seconds=1.0)
    assert (outcome.fits, outcome.why) == (False, "time")
    assert time.monotonic() - started < 300


def test_what_it_takes_to_import_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine that alone may take longer than the steps that are to be timed."""
    code = "import time\n\ntime.sleep(2.5)\n\ndef nothing(_):\n    return {}\n"
    (tmp_path / "slow_to_import.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert measure("slow_to_import:nothing", {}, most_seconds=2.0).fits


@pytest.mark.parametrize(
    "words", ["[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried", "CUDA out of memory. Tried"]
)
def test_memory_that_cannot_be_had_is_a_result(words: str) -> None:
    outcome = measure("memory_tasks:refuse", {"words": words})
    assert (outcome.fits, outcome.why) == (False, "memory")


def test_another_failure_is_an_error_with_its_words() -> None:
    with pytest.raises(TrainingError, match="sizes of tensors must match"):
        measure("memory_tasks:refuse", {"words": "sizes of tensors must match"})


def test_what_the_work_prints_is_no_answer() -> None:
    assert measure("memory_tasks:chatter", {"a": [1, 2]}).answer == {"a": [1, 2]}


def test_a_process_that_is_gone_has_no_memory() -> None:
    assert resident_bytes(2**22 + 1) == 0
