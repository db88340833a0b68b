"""Sums in a file without a name instead of memory: whatever becomes of the process, nothing of it is left behind."""

from __future__ import annotations

import mmap
import os
import tempfile
from math import prod
from typing import TYPE_CHECKING

import torch

from torchio_seg.errors import DataError
from torchio_seg.machine import in_units

if TYPE_CHECKING:
    from collections.abc import Sequence

_FLOAT = 4


class Scratch:
    """Room for one tensor in the folder for temporary files (TMPDIR); what is not in use leaves memory."""

    def __init__(self) -> None:
        self._map: mmap.mmap | None = None

    def room(self, shape: Sequence[int], rows: int) -> torch.Tensor:
        """A tensor C I J K of float32 whose values along the axis `rows` of I J K lie together in the file."""
        if not (size := prod(shape) * _FLOAT):
            return torch.empty(tuple(shape))
        stored = [shape[1 + rows], *(n for axis, n in enumerate(shape) if axis != 1 + rows)]
        try:
            with tempfile.TemporaryFile(prefix="torchio-seg-") as file:
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk says so here, not as a signal later
                self._map = mmap.mmap(file.fileno(), size)
        except OSError as error:
            raise DataError(
                f"{in_units(size)} of sums do not fit the budget, and not into {tempfile.gettempdir()} either "
                f"({error.strerror}); free space there, set TMPDIR to another folder, or raise --ram-budget"
            ) from error
        return torch.frombuffer(self._map, dtype=torch.float32).view(stored).movedim(0, 1 + rows)

    def rest(self) -> None:
        """Leave it to the file what was read or written so far; it is read again when it is needed."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)
