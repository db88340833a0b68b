"""The voxels of a file in the order in which they stand in it, the first axis fastest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torchio_seg.volumes.geometry import Array

LEVELS = {1: 6, 2: 1, 4: 1}
"""Of compression, by bytes a voxel: label maps halve for little time, images hardly shrink."""


def planes(stored: Array, *, channels_first: bool) -> Iterator[memoryview]:
    """Piece by piece the voxels of I J K or I J K C: channel after channel, or a voxel's channels side by side."""
    if channels_first and stored.ndim == 4:
        return (np.ascontiguousarray(plane).data for plane in np.moveaxis(stored, -1, 0).T)
    turned = stored.T
    return (np.ascontiguousarray(turned[index]).data for index in np.ndindex(turned.shape[:-2]))
