"""Work on items while the next ones are made: in order, within bounds, with its errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from torchio_seg import machine
from torchio_seg.workflows.side_by_side import trailing


def one_byte(_: int) -> int:
    return 1


def test_results_come_in_the_order_of_the_items_whichever_is_done_first() -> None:
    def work(item: int) -> int:
        time.sleep(0.05 if item % 2 == 0 else 0)
        return 10 * item

    assert list(trailing(work, range(6), 3, num_bytes=one_byte)) == [0, 10, 20, 30, 40, 50]


def test_work_goes_on_while_the_next_item_is_made() -> None:
    """The first item's work ends only once the second is made: one after the other it would never."""
    is_made = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        is_made.set()
        yield 1

    def work(item: int) -> int:
        assert is_made.wait(120)
        return item

    assert list(trailing(work, items(), 1, num_bytes=one_byte)) == [0, 1]


@pytest.mark.parametrize(
    ("free", "threads", "num_local", "most"),
    [(1 << 40, 2, 1, 3), (7, 2, 1, 1), (17, 2, 1, 2), (17, 2, 2, 1), (34, 2, 2, 2), (1 << 40, 0, 1, 1)],
)
def test_no_more_wait_than_memory_has_room_for(
    free: int, threads: int, num_local: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "free_memory", lambda: free)
    made, done, highest = 0, 0, 0

    def items() -> Iterator[int]:
        nonlocal made, highest
        for number in range(8):
            made += 1
            highest = max(highest, made - done)
            yield number

    def work(item: int) -> int:
        time.sleep(0.01)
        return item

    for _ in trailing(work, items(), threads, num_bytes=lambda _: 5, num_local=num_local):
        done += 1
    assert highest == most


def test_an_error_of_the_work_is_raised() -> None:
    def work(item: int) -> float:
        return 1 / item

    with pytest.raises(ZeroDivisionError):
        list(trailing(work, [2, 1, 0, 3], 2, num_bytes=one_byte))
