"""Distances between the surfaces of two masks, found once for all metrics that are made of them.

A surface is the voxels of a mask that have a neighbour over a face outside of it; outside of the image nothing is in a
mask. A distance is that from the middle of a voxel of one surface to the nearest of the other, in millimetres. Voxels
that both surfaces have are 0 apart and not looked up; the others are, in a tree of the other surface's voxels. That
costs by the voxels of the surfaces, not of the box around them, which scattered false positives stretch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from torchio_seg.metrics.masks import box_of

if TYPE_CHECKING:
    from torchio_seg.metrics.masks import Mask, Spacing

Distances: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.intp]

NAMES = ("hd95", "assd", "surface_dice")
PERCENTILE = 95
ROUNDING = 1e-6
"""By this share a distance may exceed the tolerance: multiples of 0.7 mm are not exact in binary."""


@dataclass(frozen=True)
class SurfaceDistances:
    """Of each surface voxel to the other surface, in millimetres."""

    predicted: Distances
    true: Distances

    @classmethod
    def between(cls, predicted: Mask, truth: Mask, spacing: Spacing) -> SurfaceDistances | None:
        """Those of two masks with voxels of this size; None where one of them is empty."""
        surfaces = surface(predicted), surface(truth)
        if not all(map(len, surfaces)):
            return None
        ours, theirs = surfaces
        points, others = _in_mm(ours, predicted.shape, spacing), _in_mm(theirs, truth.shape, spacing)
        return cls(
            _to_nearest(points, others, ~np.isin(ours, theirs, assume_unique=True)),
            _to_nearest(others, points, ~np.isin(theirs, ours, assume_unique=True)),
        )

    @property
    def hd95(self) -> float:
        """The 95th percentile of each direction, and of the two the larger."""
        return float(max(np.percentile(self.predicted, PERCENTILE), np.percentile(self.true, PERCENTILE)))

    @property
    def assd(self) -> float:
        """The mean over the voxels of both surfaces together."""
        total = self.predicted.sum() + self.true.sum()
        return float(total / (len(self.predicted) + len(self.true)))

    def surface_dice(self, tolerance_mm: float) -> float:
        """The share of both surfaces' voxels that lie within the tolerance of the other."""
        limit = tolerance_mm * (1 + ROUNDING)
        near = np.count_nonzero(self.predicted <= limit) + np.count_nonzero(self.true <= limit)
        return near / (len(self.predicted) + len(self.true))


def measure(predicted: Mask, truth: Mask, spacing: Spacing, tolerance_mm: float) -> dict[str, float | None]:
    """All of them for one region; where it is missed or invented no voxel is near, and no distance is there."""
    distances = SurfaceDistances.between(predicted, truth, spacing)
    if distances is None:
        found = bool(predicted.any() or truth.any())
        return {"hd95": None, "assd": None, "surface_dice": 0.0 if found else None}
    return {"hd95": distances.hd95, "assd": distances.assd, "surface_dice": distances.surface_dice(tolerance_mm)}


def surface(mask: Mask) -> Places:
    """Flat positions of a mask's surface voxels in the whole image, ascending."""
    box = box_of(mask)
    part = mask[box]
    padded = np.pad(part, 1)
    inner = part.copy()
    for axis in range(3):
        for shift in (slice(None, -2), slice(2, None)):
            inner &= padded[tuple(shift if each == axis else slice(1, -1) for each in range(3))]
    places = np.unravel_index(np.flatnonzero(part & ~inner), part.shape)
    offset = [place + side.start for place, side in zip(places, box, strict=True)]
    flat: Places = np.ravel_multi_index(offset, mask.shape)
    return flat


def _in_mm(places: Places, shape: tuple[int, ...], spacing: Spacing) -> Distances:
    """Where flat positions lie, N 3."""
    points: Distances = np.stack(np.unravel_index(places, shape), axis=1) * np.asarray(spacing)
    return points


def _to_nearest(points: Distances, others: Distances, apart: npt.NDArray[np.bool_]) -> Distances:
    """How far each point is from the nearest other; 0 for those that are not apart."""
    distances = np.zeros(len(points))
    if apart.any():
        tree = cKDTree(others, balanced_tree=False, compact_nodes=False)  # it is asked once: quick to build matters
        distances[apart] = tree.query(points[apart])[0]
    return distances
