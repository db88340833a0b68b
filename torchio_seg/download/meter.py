"""Progress of bytes, told in megabytes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from torchio_seg.progress import Progress

MEGABYTE = 1_000_000


class Meter:
    """Counts bytes and tells the watcher each full megabyte."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._started = time.monotonic()
        self._rest = 0
        self._done = 0

    def add(self, num_bytes: int) -> None:
        """These bytes were moved now."""
        self._done += num_bytes
        self.skip(num_bytes)

    def skip(self, num_bytes: int) -> None:
        """These bytes need no more moving."""
        parts, self._rest = divmod(self._rest + num_bytes, MEGABYTE)
        if parts:
            seconds = max(time.monotonic() - self._started, 1e-3)
            self._progress.advance(parts, MB_per_second=self._done / MEGABYTE / seconds)


@contextlib.contextmanager
def metered(progress: Progress, what: str, num_bytes: int) -> Iterator[Meter]:
    """A piece of work on so many bytes."""
    progress.start(f"{what}, MB", num_bytes // MEGABYTE)
    try:
        yield Meter(progress)
    finally:
        progress.finish()


def size_text(num_bytes: int) -> str:
    """Bytes as people read them."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes} bytes"
