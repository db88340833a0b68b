"""Where the voxels of a patch come from.

A map is drawn before anything is read: it says which box of the volume it needs, so that only this box is read, and
one resampling of the box gives the patch. Positions are in voxels, counted from the patch's first voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import cast

import torch

from torchio_seg.transforms.separable import along_axes, hats, splines

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]

BEND_STEP = 4
"""Voxels, at most, between places where a bend is computed; it is linear in between."""
ROUNDING = 1e-6


@dataclass(frozen=True)
class Grid:
    """The voxels that a patch is to have: how many, and of which edges in mm."""

    size: Shape
    spacing: Spacing


@dataclass(frozen=True)
class Box:
    """Voxels of the volume, `start` counted from the patch's first voxel (so often negative)."""

    start: Shape
    size: Shape


@dataclass(frozen=True, eq=False)
class Map:
    """Voxel o of the patch, `bend` voxels off, is matrix (o - centre) + centre + shift of the volume, in float64.

    A matrix of zeros and ones (flips, quarter turns) without shift and bend moves voxels and interpolates none.
    """

    patch_size: Shape
    matrix: torch.Tensor
    shift: torch.Tensor
    bend: torch.Tensor | None = None
    """Displacements 3 G G G in voxels: control points of cubic B-splines over the patch, one beyond each face."""

    @classmethod
    def identity(cls, patch_size: Shape) -> Map:
        """Each voxel from where it is."""
        return cls(patch_size, torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))

    def then(self, later: Map) -> Map:
        """The image moved by this map and then by the later one; a bend, of which there is one, comes after both."""
        if self.bend is not None and later.bend is not None:
            raise ValueError("two maps that bend have no map in common; resample between them")
        bend = later.bend if self.bend is None else self.bend
        return Map(self.patch_size, self.matrix @ later.matrix, self.matrix @ later.shift + self.shift, bend)

    @property
    def is_exact(self) -> bool:
        """Whether every voxel of the patch is one of the volume's."""
        straight = self.bend is None and not self.shift.any()
        return straight and bool(((self.matrix == 0) | (self.matrix.abs() == 1)).all())

    def source_box(self, margin: int = 0) -> Box:
        """All that the map looks at, and nothing else; a margin where interpolation reaches further than linear."""
        places = [_vertices(n, self.bend is not None) for n in self.patch_size]
        positions = self._straight(places)
        if self.bend is not None:
            positions = positions + self._bent(places, self.bend)
        extra = 0 if self.is_exact else margin
        low = [floor(p + ROUNDING) - extra for p in positions.flatten(1).amin(dim=1).tolist()]
        high = [ceil(p - ROUNDING) + extra for p in positions.flatten(1).amax(dim=1).tolist()]
        size = [last - first + 1 for first, last in zip(low, high, strict=True)]
        return Box(cast("Shape", tuple(low)), cast("Shape", tuple(size)))

    def positions(self, start: Shape, device: torch.device) -> torch.Tensor:
        """Where each voxel comes from, 3 I J K in float32, counted from `start`."""
        places = [torch.arange(n, dtype=torch.float64) for n in self.patch_size]
        positions = self._straight(places, torch.tensor(start), torch.float32, device)
        if self.bend is None:
            return positions
        vertices = [_vertices(n, bends=True) for n in self.patch_size]
        coarse = self._bent(vertices, self.bend)
        scales = [(len(some) - 1) / max(n - 1, 1) for some, n in zip(vertices, self.patch_size, strict=True)]
        between = [hats(place * scale, len(some)) for place, scale, some in zip(places, scales, vertices, strict=True)]
        return positions.add_(along_axes(coarse.to(positions), [matrix.to(positions) for matrix in between]))

    def _straight(
        self,
        places: list[torch.Tensor],
        start: torch.Tensor | float = 0.0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Source positions without the bend, as a sum of one term an axis."""
        centre = (torch.tensor(self.patch_size, dtype=torch.float64) - 1) / 2
        terms = [self.matrix[:, axis, None] * (place - centre[axis]) for axis, place in enumerate(places)]
        terms[0] += (centre + self.shift - start)[:, None]
        x, y, z = (term.to(device, dtype) for term in terms)
        return (x[:, :, None, None] + y[:, None, :, None]) + z[:, None, None, :]

    def _bent(self, places: list[torch.Tensor], bend: torch.Tensor) -> torch.Tensor:
        """What the bend adds to source positions."""
        num_cells = bend.shape[1] - 3
        weights = [
            splines(place * (num_cells / max(n - 1, 1)), num_cells + 3)
            for place, n in zip(places, self.patch_size, strict=True)
        ]
        return torch.einsum("ab,bijk->aijk", self.matrix, along_axes(bend, weights))


def _vertices(length: int, bends: bool) -> torch.Tensor:
    """Places from the first to the last voxel between which a map is linear."""
    num_cells = ceil((length - 1) / BEND_STEP) if bends else min(1, length - 1)
    return torch.linspace(0, length - 1, num_cells + 1, dtype=torch.float64)
