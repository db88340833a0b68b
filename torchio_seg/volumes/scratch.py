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
    """A file of so many bytes in the folder for temporary files (TMPDIR); it is gone once it is closed."""
    with room_for(num_bytes, what), contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile(buffering=0, prefix="torchio-seg-"))
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, num_bytes)  # a full disk says so here, not when all is written
        else:
            file.truncate(num_bytes)
        stack.pop_all()
        return file


@dataclass(frozen=True)
class Room:
    """Where an array goes plane by plane: memory, or a file where it is larger than what may be held."""

    held_bytes: int
    axis: int
    """Of I J K, along which planes come; each of them lies together."""
    what: str
    """The array, in the words of an error."""

    def __call__(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """An array I J K or C I J K that holds anything."""
        channels, first = tuple(range(len(shape) - 3)), len(shape) - 3
        planes, *others = first + self.axis, *(first + axis for axis in range(3) if axis != self.axis)
        if self.axis == 2:
            others.reverse()  # as files have it
        order = (planes, *channels, *others)  # slowest first
        laid = [shape[axis] for axis in order]
        size = prod(shape) * dtype.itemsize
        room = np.empty(laid, dtype) if size <= self.held_bytes else _mapped(size, self.what).view(dtype).reshape(laid)
        return room.transpose(np.argsort(order))


def _mapped(size: int, what: str) -> Array:
    with scratch_file(size, what) as file, room_for(size, what):
        return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)


def file_of(array: Array) -> mmap.mmap | None:
    """What an array lies in, where that is no memory."""
    base: Any = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, mmap.mmap) else None


def rest(array: Array) -> None:
    """Leave to its file what was written or read of an array so far, if it lies in one."""
    file = file_of(array)
    if file is not None and hasattr(mmap, "MADV_DONTNEED"):
        file.madvise(mmap.MADV_DONTNEED)
