"""Room on a disk in place of memory: files without a name, of which nothing is left however the process ends."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from torchio_seg.errors import DataError

if TYPE_CHECKING:
    from torchio_seg.volumes.geometry import Array

HELD_BYTES = 160 * 2**20
"""Up to which a volume is held in memory, where one that is longer lies in a file or is read a slab at a time."""


@contextlib.contextmanager
def room_for(num_bytes: int, what: str) -> Iterator[None]:
    """Say where there is none."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{num_bytes / 2**30:.2f} GiB of {what} cannot be put into {tempfile.gettempdir()} ({error.strerror}); "
            "free space there, or set TMPDIR to a folder on another disk"
        ) from error


def scratch_file(num_bytes: int, what: str) -> BinaryIO:
    """A file for so much in the folder for temporary files (TMPDIR); it is gone once it is closed."""
    with room_for(num_bytes, what):
        return tempfile.TemporaryFile(buffering=0, prefix="torchio-seg-")


@dataclass(frozen=True)
class LabelRoom:
    """Where a label map goes plane by plane: memory, or a file where it is larger than what may be held."""

    held_bytes: int
    axis: int
    """Of I J K, along which planes come; each of them lies together."""

    def __call__(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """An array I J K that holds anything."""
        others = tuple(axis for axis in range(3) if axis != self.axis)
        order = (2, 1, 0) if self.axis == 2 else (self.axis, *others)  # slowest first; the former is as files have it
        laid = [shape[axis] for axis in order]
        size = prod(shape) * dtype.itemsize
        room = np.empty(laid, dtype) if size <= self.held_bytes else _mapped(size).view(dtype).reshape(laid)
        return room.transpose(np.argsort(order))


def _mapped(size: int) -> Array:
    with room_for(size, "a label map"), scratch_file(size, "a label map") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk says so here, not as a signal later
        else:
            file.truncate(size)
        return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)


def rest(array: Array) -> None:
    """Leave to its file what was written or read of an array so far, if it lies in one."""
    base: Any = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
