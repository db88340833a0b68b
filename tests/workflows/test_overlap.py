"""What is made in a thread comes in order, one ahead, with its own errors; what nobody wants any more is given back."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from torchio_seg.workflows.overlap import Task, ahead, in_turn


def nothing(_: object) -> None:
    pass


def test_results_and_errors_come_in_order() -> None:
    def make(number: int) -> int:
        if number % 3 == 1:
            raise ValueError(f"number {number}")
        return number

    for way in (ahead, in_turn):
        for number, task in enumerate(way([partial(make, number) for number in range(8)], unwanted=nothing)):
            if number % 3 == 1:
                with pytest.raises(ValueError, match=f"number {number}"):
                    task.result()
            else:
                assert task.result() == number
        assert list(way([], unwanted=nothing)) == []


@pytest.mark.parametrize(("way", "most"), [(ahead, 1), (in_turn, 0)])
def test_no_more_than_one_is_made_ahead(way: object, most: int) -> None:
    begun: list[int] = []
    for number, task in enumerate(way([partial(begun.append, number) for number in range(6)], unwanted=nothing)):  # type: ignore[operator]
        task.result()
        time.sleep(0.02)
        assert max(begun) <= number + most
    assert begun == list(range(6))


def test_the_next_is_made_while_the_last_is_used() -> None:
    used = threading.Event()
    calls = [lambda: True, lambda: used.wait(120)]
    for number, task in enumerate(ahead(calls, unwanted=nothing)):
        assert task.result(), "the second waits for the first to be used"
        if number == 0:
            used.set()


def test_what_was_made_ahead_in_vain_is_given_back_before_or_after_it_is_there() -> None:
    given_back: list[int] = []
    slow = threading.Event()

    def late() -> int:
        slow.wait(120)
        return 7

    tasks = ahead([lambda: 1, late], unwanted=given_back.append)
    assert next(tasks).result() == 1
    begun = time.monotonic()
    tasks.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begun < 60, "nobody waits for it"
    slow.set()
    deadline = time.monotonic() + 120
    while not given_back and time.monotonic() < deadline:
        time.sleep(0.005)
    assert given_back == [7]

    early = Task(lambda: 8, unwanted=given_back.append)
    early.wait()
    early.abandon()
    assert given_back == [7, 8]
