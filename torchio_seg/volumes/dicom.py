"""The door to DICOM: find image series below a folder, read one as a volume or say why it is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.dicom_grid import Grid, arrange
from torchio_seg.volumes.dicom_pixels import is_whole, read_planes
from torchio_seg.volumes.dicom_series import DAMAGED, Contents, Series, find_identity, find_image, scan, told, walk

if TYPE_CHECKING:
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
    stack = np.empty((depth, rows, columns), np.int32 if is_whole(grid.slices) else np.float32)
    by_file: dict[Path, list[int]] = {}
    for place, part in enumerate(grid.slices):
        by_file.setdefault(part.path, []).append(place)
    for path, places in by_file.items():
        for place, plane in zip(places, read_planes(path, [grid.slices[at] for at in places]), strict=True):
            stack[place] = plane
    return SeriesVolume(grid, _smallest(stack).transpose(2, 1, 0)[None])


def _smallest(stack: Array) -> Array:
    """Whole numbers in 16 bits where they fit."""
    if stack.dtype.kind == "f" or stack.min() < -(2**15) or stack.max() >= 2**15:
        return stack
    return stack.astype(np.int16)
