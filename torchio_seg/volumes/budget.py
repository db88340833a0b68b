"""Memory that threads which read volumes share."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Budget:
    """So many bytes; who needs more than are left waits for others, and who needs more than all works alone."""

    def __init__(self, num_bytes: int) -> None:
        self._total = self._left = num_bytes
        self._changed = Condition()

    @contextmanager
    def share(self, num_bytes: int) -> Iterator[None]:
        """Hold so many bytes."""
        taken = min(num_bytes, self._total)
        with self._changed:
            self._changed.wait_for(lambda: taken <= self._left)
            self._left -= taken
        try:
            yield
        finally:
            with self._changed:
                self._left += taken
                self._changed.notify_all()
