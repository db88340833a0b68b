"""What can be wrong with the place that is written to, as sentences."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from torchio_seg.download.meter import size_text
from torchio_seg.errors import DataError

FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows knows no quota


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in a sentence why something below here could not be written."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DataError(
                f"the disk of {path} is full; make room, then run the same command again: what was fetched is kept"
            ) from error
        raise DataError(f"{error.filename or path} could not be written: {error.strerror or error}") from error


def require_space(folder: Path, num_bytes: int, what: str) -> None:
    """Raise before anything is written that would not fit."""
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise DataError(
            f"{what} needs {size_text(num_bytes)} and {folder.resolve()} has {size_text(free)} left; "
            "make room there, or name a folder on another disk with --root DIR"
        )
