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
_STEP, _NUM_STEPS = 1.25, 13
"""Edges to choose from: each so many times longer than the one before, the last 18 times the first."""
_HALF = 0.5
_PLACES = 3
"""Of the coarse grid, since a single one may be off by a factor of two."""


def longest_edge(cases: Iterable[Voxels], labels: Labels, spacing: Spacing) -> float:
    """The longest edge in mm that a voxel may have.

    The share of each coarse voxel that is labelled, the best that a network can know of it, is brought back as
    predictions are. The cases are prepared at `spacing`.
    """
    volumes = [torch.from_numpy(np.array(case.label)) for case in cases]
    masks = [found for region in labels.regions if (found := _masks(volumes, region.labels))]
    edges = [min(spacing) * _STEP**number for number in range(_NUM_STEPS + 1)]
    borne, too_long = 0, len(edges) if masks else 1
    while too_long - borne > 1:  # halved, since each look at large volumes takes its time
        middle = (borne + too_long) // 2
        if _bear(masks, spacing, coarsened(spacing, edges[middle])):
            borne = middle
        else:
            too_long = middle
    return edges[borne]


def _bear(masks: Sequence[Sequence[torch.Tensor]], spacing: Spacing, coarse: Spacing) -> bool:
    """Whether no region loses too much, nor all of them in the mean."""
    lost: list[float] = []
    for region in masks:
        lost.append(mean(_lost(mask, spacing, coarse) for mask in region))
        if lost[-1] > MOST_LOST_OF_ONE:
            return False
    return mean(lost) <= MOST_LOST


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
