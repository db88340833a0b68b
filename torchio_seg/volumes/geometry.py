"""Where voxels are in millimetres: orientation to and from RAS, shear, and whether two grids are one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from nibabel.orientations import io_orientation

Array: TypeAlias = npt.NDArray[Any]
Affine: TypeAlias = npt.NDArray[np.float64]
Shape: TypeAlias = tuple[int, int, int]

_SHEAR_TOLERANCE = 1e-3  # cosine between two axes that should be perpendicular
_FLATNESS = 1e-3  # volume of a cell over that of a box with the same edges
GRID_TOLERANCE = 1e-3
"""Within this share of the smallest voxel edge two grids are one; what writers round is less."""


@dataclass(frozen=True)
class Orientation:
    """The way from stored axes to the nearest right-anterior-superior axes, remembered so that it can be undone.

    Deriving the way back from the reoriented affine is ambiguous for scans at 45 degrees; this is not.
    """

    axes: tuple[int, int, int]
    """Which stored axis becomes axis 0, 1 and 2."""
    flips: tuple[bool, bool, bool]
    """Which stored axes run backwards."""

    @classmethod
    def to_ras(cls, affine: Array) -> Orientation:
        """The orientation of a grid with this affine."""
        targets, signs = io_orientation(affine).T  # type: ignore[no-untyped-call]
        first, second, third = (int(axis) for axis in np.argsort(targets))
        flip_first, flip_second, flip_third = (bool(sign < 0) for sign in signs)
        return cls((first, second, third), (flip_first, flip_second, flip_third))

    @classmethod
    def between(cls, affine: Array, target: Array) -> Orientation | None:
        """The turn that brings stored axes nearest to those of another grid; None where two axes would be one."""
        seen = np.linalg.solve(target[:3, :3], affine[:3, :3])
        targets = np.abs(seen / np.linalg.norm(seen, axis=0)).argmax(axis=0)
        if sorted(targets.tolist()) != [0, 1, 2]:
            return None
        first, second, third = np.argsort(targets).tolist()
        flip_first, flip_second, flip_third = (bool(seen[target, axis] < 0) for axis, target in enumerate(targets))
        return cls((first, second, third), (flip_first, flip_second, flip_third))

    def apply_shape(self, shape: Shape) -> Shape:
        """The shape of what `apply` makes of a volume of this stored shape."""
        first, second, third = (shape[axis] for axis in self.axes)
        return first, second, third

    def apply(self, array: Array) -> Array:
        """C I J K from stored to RAS axes, contiguous in memory."""
        return np.ascontiguousarray(self.view(array))

    def view(self, array: Array) -> Array:
        """The same without a copy: what is written into it is written into the stored array."""
        turned: Array = self._flipped(array).transpose(0, *(1 + axis for axis in self.axes))
        return turned

    def undo_shape(self, shape: Shape) -> Shape:
        """The stored shape of what has this shape once turned."""
        first, second, third = (shape[int(at)] for at in np.argsort(self.axes))
        return first, second, third

    def apply_affine(self, affine: Array, shape: Shape) -> Affine:
        """The affine of what `apply` makes of a volume with this affine and stored shape I J K."""
        to_stored = np.zeros((4, 4))
        to_stored[3, 3] = 1
        for target, axis in enumerate(self.axes):
            to_stored[axis, target] = -1 if self.flips[axis] else 1
            to_stored[axis, 3] = shape[axis] - 1 if self.flips[axis] else 0
        moved: Affine = np.asarray(affine, np.float64) @ to_stored
        return moved

    def _flipped(self, array: Array) -> Array:
        axes = tuple(1 + axis for axis in range(3) if self.flips[axis] and array.shape[1 + axis] > 1)
        flipped: Array = np.flip(array, axes)  # of one voxel numpy would keep a negative step, which torch refuses
        return flipped


def spacing_of(affine: Array) -> tuple[float, float, float]:
    """The voxel edges in millimetres."""
    first, second, third = (float(edge) for edge in np.linalg.norm(affine[:3, :3], axis=0))
    return first, second, third


def is_degenerate(affine: Array) -> bool:
    """Whether voxels have no place of their own: an affine with NaN, or one that flattens the volume."""
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not edges.all():
        return True
    return bool(abs(np.linalg.det(affine[:3, :3] / edges)) < _FLATNESS)


def is_sheared(affine: Array) -> bool:
    """Whether the axes are not perpendicular, as in gantry-tilted CT: resampling tools drop that without a word."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() > _SHEAR_TOLERANCE)


def deviation_mm(first: Array, second: Array, shape: Shape) -> float:
    """How far apart two affines put the same voxel of a volume of this shape, at most."""
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, size - 1) for size in shape))])
    return float(np.linalg.norm(corners @ (first - second).T, axis=1).max())


def same_grid(first: Array, second: Array, shape: Shape, *, tolerance: float = GRID_TOLERANCE) -> bool:
    """Whether two affines put every voxel within a share of the smallest voxel edge of the same place."""
    return deviation_mm(first, second, shape) <= tolerance * min(spacing_of(first))
