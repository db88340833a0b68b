"""Whether two volumes lie on one grid, whichever axis each stores first, and in words what keeps them apart."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Protocol

import numpy as np

from torchio_seg.volumes.geometry import GRID_TOLERANCE, Orientation, deviation_mm, same_grid, spacing_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchio_seg.volumes.geometry import Affine, Shape

_AS_STORED = Orientation((0, 1, 2), (False, False, False))


class Placed(Protocol):
    """Anything that has voxels somewhere: a volume, or what is known about one."""

    @property
    def shape(self) -> Shape:
        """Voxels along I J K."""

    @property
    def affine(self) -> Affine:
        """From voxels to millimetres."""


def on_one_grid(moving: Placed, fixed: Placed, *, tolerance: float = GRID_TOLERANCE) -> bool:
    """Whether two volumes, as they are stored, have their voxels in the same places."""
    return moving.shape == fixed.shape and same_grid(fixed.affine, moving.affine, fixed.shape, tolerance=tolerance)


def turn_onto(moving: Placed, fixed: Placed, *, tolerance: float = GRID_TOLERANCE) -> Orientation | None:
    """The turn of stored axes after which a volume lies on the grid of another; None where there is none."""
    turn = Orientation.between(moving.affine, fixed.affine)
    if turn is None or turn.apply_shape(moving.shape) != fixed.shape:
        return None
    turned = turn.apply_affine(moving.affine, moving.shape)
    return turn if same_grid(fixed.affine, turned, fixed.shape, tolerance=tolerance) else None


def difference(moving: Placed, fixed: Placed) -> str:
    """What keeps a volume from lying on the grid of another, axes turned as well as they can be."""
    if gap := gap_mm(moving, fixed):
        return f"the two do not overlap, they are {gap:.3g} mm apart"
    turn = Orientation.between(moving.affine, fixed.affine) or _AS_STORED
    shape = turn.apply_shape(moving.shape)
    if shape != fixed.shape:
        return f"{as_text(shape)} voxels, not {as_text(fixed.shape)}"
    turned = turn.apply_affine(moving.affine, moving.shape)
    return f"voxels lie up to {deviation_mm(fixed.affine, turned, shape):.3g} mm apart"


def gap_mm(moving: Placed, fixed: Placed) -> float:
    """How far beyond the other's faces a volume begins; 0 where they meet."""
    corners = np.array([(*corner, 1) for corner in itertools.product(*((-0.5, n - 0.5) for n in moving.shape))])
    seen = corners @ np.linalg.solve(fixed.affine, moving.affine).T
    below = -0.5 - seen[:, :3].max(axis=0)
    above = seen[:, :3].min(axis=0) - (np.array(fixed.shape) - 0.5)
    gaps = np.maximum(below, above) * spacing_of(fixed.affine)
    return max(0.0, float(gaps.max()))


def as_text(shape: Sequence[int]) -> str:
    """A shape as people write it."""
    return " x ".join(map(str, shape))
