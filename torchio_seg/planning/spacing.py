"""The voxel size that every case is resampled to (rules of nnU-Net: Isensee et al. 2021, Nature Methods 18, 203)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

Size = tuple[int, int, int]
Spacing = tuple[float, float, float]

ANISOTROPIC = 3.0
"""Ratio of voxel edges, and of numbers of voxels, from which one axis counts as coarse."""
COARSE_PERCENTILE = 10.0
"""Of the edges along a coarse axis: near the finest, since interpolation between far slices invents what it shows."""
_DIGITS = 6
_FINER_EDGE = 1.02
"""A step of the search for an edge."""


@dataclass(frozen=True)
class Target:
    """A voxel size in mm."""

    spacing: Spacing
    coarse_axis: int | None = None
    """The axis that was taken finer than the median."""
    finest: Spacing | None = None
    """What it would be if patches could cover enough of a case at that; None where it is."""


def choose_spacing(spacings: Sequence[Spacing], shapes: Sequence[Size]) -> Target:
    """The median of the cases along each axis, and finer along one whose voxels are far longer than the others'."""
    edges = np.median(np.array(spacings), axis=0)
    lengths = np.median(np.array(shapes) * np.array(spacings) / edges, axis=0)
    longest = int(np.argmax(edges))
    others = [axis for axis in range(3) if axis != longest]
    is_long = edges[longest] > ANISOTROPIC * edges[others].max()
    is_short = lengths[longest] * ANISOTROPIC < lengths[others].min()
    if not (is_long and is_short):
        return Target(_rounded(edges))
    finer = float(np.percentile([spacing[longest] for spacing in spacings], COARSE_PERCENTILE))
    edges[longest] = max(finer, edges[others].max())
    return Target(_rounded(edges), longest)


def resampled(shape: Size, old: Spacing, new: Spacing) -> Size:
    """Voxels after resampling."""
    i, j, k = (max(1, round(n * a / b)) for n, a, b in zip(shape, old, new, strict=True))
    return i, j, k


def coarsened(spacing: Spacing, edge: float) -> Spacing:
    """The voxel size with no edge shorter: voxels become cubes before they grow along all axes."""
    i, j, k = (round(max(each, edge), _DIGITS) for each in spacing)
    return i, j, k


def edge_for(shape: Size, spacing: Spacing, most_voxels: float, longest: float) -> float:
    """The shortest edge at which a case has no more than so many voxels, or the longest that there may be."""
    edge = min(spacing)
    while edge < longest and prod(resampled(shape, spacing, coarsened(spacing, edge))) > most_voxels:
        edge *= _FINER_EDGE
    return min(edge, longest)


def _rounded(edges: np.ndarray) -> Spacing:
    i, j, k = (round(float(edge), _DIGITS) for edge in edges)
    return i, j, k
