from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from torchio_seg.volumes.budget import Budget


def test_who_fits_works_at_once() -> None:
    budget, met = Budget(10), Barrier(3)

    def work(size: int) -> int:
        with budget.share(size):
            return met.wait(timeout=120)

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(work, (5, 4, 1))) == [0, 1, 2]


@pytest.mark.parametrize("size", [6, 10, 1000])
def test_who_does_not_fit_waits_until_others_are_done(size: int) -> None:
    budget, is_inside = Budget(10), Event()

    def work() -> None:
        with budget.share(size):
            is_inside.set()

    with ThreadPoolExecutor(1) as pool:
        with budget.share(5):
            waiting = pool.submit(work)
            assert not is_inside.wait(0.1)
        waiting.result(timeout=120)
    assert is_inside.is_set()


def test_what_fails_gives_back_what_it_held() -> None:
    budget = Budget(10)
    with pytest.raises(ValueError, match="broken"), budget.share(10):
        raise ValueError("broken")
    with budget.share(10):
        pass
