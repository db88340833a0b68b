"""Room for what is too large for memory: a file without a name, of which nothing is left whatever becomes of us."""

from __future__ import annotations

import mmap
import os
import tempfile
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.errors import DataError
from torchio_seg.machine import in_units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Scratch:
    """One array of float32 in the folder for temporary files (TMPDIR)."""

    def __init__(self) -> None:
        self._map: mmap.mmap | None = None

    def room(self, shape: Sequence[int], axis: int) -> NDArray[np.float32]:
        """An array C I J K, holding anything, whose values along this axis of I J K lie together in the file."""
        size = prod(shape) * np.dtype(np.float32).itemsize
        if not size:
            return np.empty(tuple(shape), np.float32)
        try:
            with tempfile.TemporaryFile(prefix="torchio-seg-") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)  # a full disk says so here, not as a signal later
                else:
                    file.truncate(size)
                self._map = mmap.mmap(file.fileno(), size)
        except OSError as error:
            raise DataError(
                f"{in_units(size)} fit neither the memory that may be used nor {tempfile.gettempdir()} "
                f"({error.strerror}); free space there, set TMPDIR to another folder, or raise --ram-budget"
            ) from error
        laid = [shape[1 + axis], *(n for number, n in enumerate(shape) if number != 1 + axis)]
        return np.moveaxis(np.frombuffer(self._map, np.float32).reshape(laid), 0, 1 + axis)

    def rest(self) -> None:
        """Leave to the file what was read or written so far; it comes back when it is needed."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
