"""One process at a time: a lock that the system takes back when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from torchio_seg.errors import DataError

if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def only_here(path: Path) -> Iterator[None]:
    """Hold what is made at this path; an error where another process makes it."""
    lock = path.with_name(f".{path.name}.lock")
    with _open(lock) as file:
        if not _is_ours(file, lock):
            raise DataError(f"another process is at work on {path}; wait until it ends, then run this again")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows removes no open file; an empty one that stays does no harm
                lock.unlink()


def _open(lock: Path) -> IO[bytes]:
    try:
        return lock.open("ab")
    except OSError as error:
        raise DataError(f"{lock} cannot be made ({error.strerror}); name a folder that can be written to") from error


def _is_ours(file: IO[bytes], lock: Path) -> bool:
    """Whether we hold the file that the path names now; its former holder may have taken it away meanwhile."""
    try:
        _take(file)
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except (BlockingIOError, PermissionError, FileNotFoundError):
        return False
