"""How large voxels may be before the grid alone costs too much of the labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from torchio_seg.planning.spacing import Spacing, coarsened, resampled
from torchio_seg.transforms.preprocessing import resample

if TYPE_CHECKING:
    from torchio_seg.records import Labels
    from torchio_seg.store.voxels import Voxels

MOST_LOST = 0.02
"""Dice, the mean over classes."""
MOST_LOST_OF_ONE = 0.1
"""Dice of a single class."""
_LARGEST_FACTOR = 16.0
_STEP = 1.25
_HALF = 0.5
_HOPELESS = 3
"""Times what may be lost, from where on larger voxels are not tried."""
_PLACES = 3
"""Of the coarse grid, since a single one may be off by a factor of two."""


def longest_edge(cases: Iterable[Voxels], labels: Labels, spacing: Spacing) -> float:
    """The longest edge in mm that a voxel may have.

    The share of each coarse voxel that is labelled, the best that a network can know of it, is brought back as
    predictions are. The cases are prepared at `spacing`.
    """
    volumes = [torch.from_numpy(np.array(case.label)) for case in cases]
    masks = [found for region in labels.regions if (found := _masks(volumes, region.labels))]
    longest = edge = min(spacing)
    while masks and edge < _LARGEST_FACTOR * min(spacing):
        edge *= _STEP
        coarse = coarsened(spacing, edge)
        lost = [mean(_lost(mask, spacing, coarse) for mask in region) for region in masks]
        if mean(lost) > _HOPELESS * MOST_LOST:
            break
        if mean(lost) <= MOST_LOST and max(lost) <= MOST_LOST_OF_ONE:
            longest = edge  # a little larger may lose a little less, by where its voxels fall
    return longest


def _masks(volumes: Iterable[torch.Tensor], values: Sequence[int]) -> list[torch.Tensor]:
    """Where each volume 1 I J K holds these values, cut to where it does; those without are left out."""
    masks = [torch.isin(volume, torch.tensor(values, dtype=volume.dtype)) for volume in volumes]
    return [_cut(mask) for mask in masks if mask.any()]


def _cut(mask: torch.Tensor) -> torch.Tensor:
    """To the box that holds it, found axis by axis: a list of its voxels would take 32 times its memory."""
    for axis in range(1, mask.ndim):
        others = [each for each in range(mask.ndim) if each != axis]
        held = mask.amax(dim=others).nonzero().flatten()
        first, last = int(held[0]), int(held[-1])
        mask = mask.narrow(axis, first, last - first + 1)
    return mask


def _lost(mask: torch.Tensor, spacing: Spacing, coarse: Spacing) -> float:
    """Dice that is missing from 1 after the way to the coarse grid and back, the mean over some places of that grid."""
    return mean(_lost_at(place, mask, spacing, coarse) for place in range(_PLACES))


def _lost_at(place: int, mask: torch.Tensor, spacing: Spacing, coarse: Spacing) -> float:
    i, j, k = (ceil(long / short) for long, short in zip(coarse, spacing, strict=True))
    whole = functional.pad(mask.float(), (k + place, k, j + place, j, i + place, i))
    _, x, y, z = whole.shape
    kept = functional.adaptive_avg_pool3d(whole, resampled((x, y, z), spacing, coarse))
    back = resample(kept, (x, y, z)) > _HALF
    shared = (back & (whole > _HALF)).sum().item()
    return 1 - 2 * shared / (back.sum().item() + mask.sum().item())
