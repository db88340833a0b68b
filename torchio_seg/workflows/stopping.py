"""A request to stop, from Ctrl-C or from whoever ends processes, that training answers after its current step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class StopRequest:
    """Which signal asked to stop, if any."""

    signal: int | None = None


@contextmanager
def stop_requests(*, launched: bool = False) -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a request inside the block; a second one interrupts at once.

    `launched`: it does not, since a launcher passes on what this process may have got itself.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # only the main thread may set handlers
        return

    def note(number: int, _: FrameType | None) -> None:
        if request.signal is None:
            request.signal = number
        elif not launched:
            raise KeyboardInterrupt

    earlier = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
