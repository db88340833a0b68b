"""What is made in a thread comes in order, one ahead, with its own errors; what nobody wants any more is given back."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from torchio_seg.workflows.overlap import Ahead, Task


def nothing(_: object) -> None:
    pass


def test_results_and_errors_come_in_order_begun_early_or_not() -> None:
    def make(number: int) -> int:
        if number % 3 == 1:
            raise ValueError(f"number {number}")
        return number

    calls = Ahead([partial(make, number) for number in range(8)], unwanted=nothing)
    for number in range(8):
        assert not calls.is_over
        if number % 2:
            calls.begin()
        if number % 3 == 1:
            with pytest.raises(ValueError, match=f"number {number}"):
                calls.result()
        else:
            assert calls.result() == number
    assert calls.is_over
    calls.begin()
    with pytest.raises(ValueError, match="no call is left"):
        calls.result()


@pytest.mark.parametrize("most", [1, 0])
def test_no_more_is_made_ahead_than_the_one_that_was_begun(most: int) -> None:
    begun: list[int] = []
    calls = Ahead([partial(begun.append, number) for number in range(6)], unwanted=nothing)
    for number in range(6):
        calls.result()
        for _ in range(2 * most):
            calls.begin()
        time.sleep(0.02)
        assert max(begun) <= number + most
    assert begun == list(range(6))


def test_the_next_is_made_while_the_last_is_used() -> None:
    used = threading.Event()
    calls = Ahead([lambda: True, lambda: used.wait(120)], unwanted=nothing)
    assert calls.result()
    calls.begin()
    used.set()
    assert calls.result(), "the second waits for the first to be used"


def test_what_was_made_ahead_in_vain_is_given_back_before_or_after_it_is_there() -> None:
    given_back: list[int] = []
    slow = threading.Event()

    def late() -> int:
        slow.wait(120)
        return 7

    calls = Ahead([lambda: 1, late, lambda: 2], unwanted=given_back.append)
    assert calls.result() == 1
    calls.begin()
    begun = time.monotonic()
    calls.close()
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
