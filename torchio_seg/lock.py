"""One process at a time, or many but not one that clears up: locks that end with their holder, however it ends."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from torchio_seg.errors import DataError

log = logging.getLogger(__name__)

_UNKNOWN = {errno.ENOLCK, errno.ENOSYS, errno.EBADF, errno.EOPNOTSUPP}
"""What a file system says that has no locks."""
_PATIENCE_S = 1.0
"""With a lock on a folder: who clears one up holds it for less, and who holds it for longer is none of ours."""

if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[bytes] | int, *, shared: bool = False) -> None:
        if isinstance(file, int):
            raise OSError(errno.ENOSYS, "folders have no locks")
        if not shared:  # Windows keeps what is open from being removed without our help
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file: IO[bytes] | int, *, shared: bool = False) -> None:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


@contextlib.contextmanager
def only_here(path: Path) -> Iterator[None]:
    """Hold what is made at this path; an error where another process makes it."""
    with attempt(path) as is_ours:
        if not is_ours:
            raise DataError(f"another process is at work on {path}; wait until it ends, then run this again")
        yield


@contextlib.contextmanager
def attempt(path: Path) -> Iterator[bool]:
    """Hold what is made at this path, if nobody else does, and tell whether that is so."""
    lock = path.with_name(f".{path.name}.lock")
    with _open(lock) as file:
        is_ours = _is_ours(file, lock)
        try:
            yield is_ours
        finally:
            if is_ours:
                with contextlib.suppress(OSError):  # Windows removes no open file; an empty one that stays is harmless
                    lock.unlink()


@contextlib.contextmanager
def together(path: Path, *, alone: bool = False) -> Iterator[None]:
    """Use what lies at this path beside others who do; alone: an error while anybody else does."""
    with _open(path.with_name(f".{path.name}.lock")) as file:
        try:
            _take(file, shared=not alone)
        except OSError as error:
            if error.errno in _UNKNOWN:
                log.debug("%s: the file system has no locks, so that %s is not held", file.name, path)
                yield
                return
            wanted = "is in use by another process" if alone else "is being cleared up by another process"
            raise DataError(f"{path.parent} {wanted}; wait until it ends, then run this again") from error
        yield


@contextlib.contextmanager
def at_work_in(folder: Path) -> Iterator[None]:
    """Make files in a folder, beside others who do; where it cannot be locked, nobody is ever `alone_in` it."""
    with _folder(folder) as descriptor:
        until = time.monotonic() + _PATIENCE_S
        while descriptor is not None and time.monotonic() < until:
            try:
                _take(descriptor, shared=True)
                break
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:
                break
        yield


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Keep others from making files in a folder for a moment, and tell whether nobody is known to be at work in it."""
    with _folder(folder) as descriptor:
        is_alone = False
        if descriptor is not None:
            with contextlib.suppress(OSError):  # of whoever is at work in it, or of a file system without locks
                _take(descriptor)
                is_alone = True
        yield is_alone


@contextlib.contextmanager
def _folder(folder: Path) -> Iterator[int | None]:
    """What a lock on the folder itself is held by; None where it cannot be opened."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(lock: Path) -> IO[bytes]:
    try:
        return lock.open("a+b")  # readable too: some network file systems lock nothing else together
    except OSError as error:
        raise DataError(f"{lock} cannot be made ({error.strerror}); name a folder that can be written to") from error


def _is_ours(file: IO[bytes], lock: Path) -> bool:
    """Whether we hold the file that the path names now; its former holder may have taken it away meanwhile."""
    try:
        _take(file)
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except OSError as error:
        return error.errno in _UNKNOWN
