"""The plain way to put a volume together, which streaming is held against: all sums at once, in double precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from torchio_seg.predictor.patch_grid import PatchGrid


def aggregate(grid: PatchGrid, blending: str, patches: Sequence[torch.Tensor]) -> np.ndarray:
    """The volume C I J K of patches in the grid's order; for `crop` each patch over those at lower places."""
    channels = len(patches[0])
    sums, weights = np.zeros((channels, *grid.shape)), np.zeros(grid.shape)
    i, j, k = (profile(size, blending) for size in grid.patch_size)
    window = i[:, None, None] * j[:, None] * k
    for place, patch in sorted(zip(grid.places, patches, strict=True), key=lambda pair: pair[0]):
        at = tuple(slice(start, start + size) for start, size in zip(place, grid.patch_size, strict=True))
        if blending == "crop":
            inside = _middle(grid, place)
            sums[(slice(None), *at)][:, inside] = patch.numpy()[:, inside]
            weights[at][inside] = 1
        else:
            sums[(slice(None), *at)] += window * patch.double().numpy()
            weights[at] += window
    return sums / weights


def profile(size: int, blending: str) -> np.ndarray:
    """The weights along an axis of a patch, by their formulas."""
    if blending == "hann":
        return np.sin(np.pi * np.arange(1, size + 1) / (size + 1)) ** 2
    if blending == "gaussian":
        return np.maximum(np.exp(-32 * ((np.arange(size) - (size - 1) / 2) / size) ** 2), np.exp(-12))
    return np.ones(size)


def _middle(grid: PatchGrid, place: Sequence[int]) -> np.ndarray:
    """The voxels of a patch that `crop` writes."""
    inside = np.ones(grid.patch_size, bool)
    for axis, (start, size, overlap) in enumerate(zip(place, grid.patch_size, grid.overlap, strict=True)):
        index = np.arange(size).reshape([-1 if axis == other else 1 for other in range(3)])
        inside &= (start == 0) | (index >= overlap // 2)
        inside &= (start + size == grid.shape[axis]) | (index < size - overlap // 2)
    return inside
