"""The same work on many items: in processes beside each other, or in threads while the next items are made."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TYPE_CHECKING, TypeVar

from torchio_seg import machine
from torchio_seg.errors import DataError

if TYPE_CHECKING:
    from torchio_seg.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    work: Callable[[Item], Result], items: Sequence[Item], num_workers: int, *, what: str, progress: Progress
) -> list[Result]:
    """What the work makes of each item, in their order; its first error ends all of it."""
    progress.start(what, len(items))
    try:
        if min(num_workers, len(items)) > 1:
            return _in_processes(work, items, min(num_workers, len(items)), progress)
        results = []
        for item in items:
            results.append(work(item))
            progress.advance()
        return results
    finally:
        progress.finish()


def _in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], num_workers: int, progress: Progress
) -> list[Result]:
    pool = ProcessPoolExecutor(num_workers, mp_context=get_context("spawn"), initializer=_leave_stopping_to_main)
    try:
        futures = [pool.submit(work, item) for item in items]
        left: set[Future[Result]] = set(futures)
        while left:
            done, left = wait(left, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
                progress.advance()
        return [future.result() for future in futures]
    except BrokenProcessPool as error:
        raise DataError(
            f"one of {num_workers} processes was ended from outside, most likely for want of memory; use fewer: "
            f"--workers {max(1, num_workers // 2)}"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_stopping_to_main() -> None:
    """Ctrl-C reaches every process of a terminal; one traceback is enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def trailing(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    num_threads: int,
    *,
    num_bytes: Callable[[Item], int],
    num_local: int = 1,
) -> Iterator[Result]:
    """What the work makes of each item, in their order, by threads while the next items are made.

    Half of the memory that is free, divided among `num_local` processes of the machine, bounds how many wait; where it
    has no room for one, each is awaited at once.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(max(1, num_threads)) as pool:
        for item in items:
            room = machine.free_memory() // (2 * num_local * max(1, num_bytes(item)))
            waiting.append(pool.submit(work, item))
            del item
            while len(waiting) > min(num_threads, room):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
