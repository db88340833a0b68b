"""The door to DICOM: find image series below a folder, read one as a volume or say why it is none."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.dicom_grid import Grid, arrange
from torchio_seg.volumes.dicom_pixels import is_whole, read_planes
from torchio_seg.volumes.dicom_series import DAMAGED, Contents, Series, find_identity, find_image, scan, told, walk
from torchio_seg.volumes.header import Geometry, Layout
from torchio_seg.volumes.reading import Volume
from torchio_seg.volumes.scan import Scan, spooled
from torchio_seg.volumes.scratch import HELD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torchio_seg.volumes.geometry import Affine, Array

__all__ = [
    "DAMAGED",
    "Contents",
    "Grid",
    "Series",
    "SeriesVolume",
    "arrange",
    "find_identity",
    "find_image",
    "open_series",
    "read_series",
    "scan",
    "told",
    "walk",
]

_MAX_BYTES = 8 * 2**30


@dataclass(frozen=True)
class SeriesVolume:
    """The voxels of a series and where they are."""

    grid: Grid
    array: Array
    """C I J K with one channel: whole numbers where the files hold such, else float32."""

    @property
    def affine(self) -> Affine:
        return self.grid.affine


def read_series(series: Series, *, max_bytes: int = _MAX_BYTES) -> SeriesVolume:
    """Read every slice of a series into its place, with its slope and intercept."""
    grid = arrange(series)
    columns, rows, depth = grid.shape
    if (needed := 4 * columns * rows * depth) > max_bytes:
        raise VolumeError(
            f"{series.label}: {grid.shape} voxels need {needed / 2**30:.2f} GiB, the budget is "
            f"{max_bytes / 2**30:.2f} GiB; crop the series or raise the budget"
        )
    stack = np.empty((depth, rows, columns), _dtype(grid))
    for place, plane in _planes(grid):
        stack[place] = plane
    return SeriesVolume(grid, _smallest(stack).transpose(2, 1, 0)[None])


@contextmanager
def open_series(path: Path, series: Series, *, held_bytes: int = HELD_BYTES) -> Iterator[Scan]:
    """The series at this path: in memory where it is small, else decoded once into a file and read a slab at a time."""
    grid = arrange(series)
    dtype = _dtype(grid)
    if prod(grid.shape) * dtype.itemsize <= held_bytes:
        yield Scan.of(Volume(path, read_series(series).array, grid.affine, grid))
        return
    layout = Layout(Geometry(path, grid.shape, 1, grid.affine, dtype), grid, dtype, offset=0, slope=1, intercept=0)
    with spooled(layout, _planes(grid)) as scan:
        yield scan


def _dtype(grid: Grid) -> np.dtype[np.generic]:
    return np.dtype(np.int32 if is_whole(grid.slices) else np.float32)


def _planes(grid: Grid) -> Iterator[tuple[int, Array]]:
    """Places along K and what is there, rows x columns, a file at a time."""
    by_file: dict[Path, list[int]] = {}
    for place, part in enumerate(grid.slices):
        by_file.setdefault(part.path, []).append(place)
    for path, places in by_file.items():
        yield from zip(places, read_planes(path, [grid.slices[at] for at in places]), strict=True)


def _smallest(stack: Array) -> Array:
    """Whole numbers in 16 bits where they fit."""
    if stack.dtype.kind == "f" or stack.min() < -(2**15) or stack.max() >= 2**15:
        return stack
    return stack.astype(np.int16)
