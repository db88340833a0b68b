"""What can be drawn in space: each move draws a map for a patch, with its probability, or the identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, radians, sin
from typing import Protocol

import torch

from torchio_seg.errors import DataError
from torchio_seg.transforms.maps import Grid, Map, Spacing

UNEQUAL = 1.05
"""Ratio from which two voxel edges differ: resampling to whole voxels leaves a few per cent between them."""
ANISOTROPIC = 3.0
"""Ratio of two voxel edges from which nothing is turned from one axis towards the other, as in nnU-Net."""
PLANES = ((0, 1), (0, 2), (1, 2))


class Move(Protocol):
    """One random change of place."""

    @property
    def bends(self) -> bool:
        """Whether its maps may have a bend."""
        ...

    def draw(self, generator: torch.Generator, grid: Grid) -> Map:
        """A map for a patch of this grid."""
        ...


def draw(moves: Sequence[Move], generator: torch.Generator, grid: Grid) -> Map:
    """One map for all the moves, in their order."""
    where = Map.identity(grid.size)
    for each in moves:
        where = where.then(each.draw(generator, grid))
    return where


def happens(probability: float, generator: torch.Generator) -> bool:
    """Whether something of this probability is to be."""
    return bool(torch.rand((), generator=generator, device=generator.device) < probability)


def uniform(low: float, high: float, generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Numbers between two, in float64."""
    drawn = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)
    return (low + (high - low) * drawn).cpu()


def coarse_axes(spacing: Spacing) -> list[int]:
    """Axes along which voxels are so long that what is moved along them would be a blend of slices."""
    return [axis for axis, edge in enumerate(spacing) if edge > ANISOTROPIC * min(spacing)]


@dataclass(frozen=True)
class Flip:
    """Mirror along each of the axes, each with the probability."""

    probability: float
    axes: tuple[int, ...]
    bends: bool = False

    def draw(self, generator: torch.Generator, grid: Grid) -> Map:
        """A map of ones and minus ones."""
        where = Map.identity(grid.size)
        for axis in self.axes:
            if happens(self.probability, generator):
                where.matrix[axis, axis] *= -1
        return where


@dataclass(frozen=True)
class QuarterTurn:
    """Turn by one, two or three quarters about one of the axes, in whose plane voxels and patch must be square."""

    probability: float
    axes: tuple[int, ...]
    bends: bool = False

    def draw(self, generator: torch.Generator, grid: Grid) -> Map:
        """A map that exchanges two axes."""
        for axis in self.axes:
            _require_square(grid, axis)
        where = Map.identity(grid.size)
        if happens(self.probability, generator):
            drawn = torch.rand(2, generator=generator, device=generator.device).tolist()
            axis, turns = self.axes[int(drawn[0] * len(self.axes))], 1 + int(drawn[1] * 3)
            first, second = (other for other in range(3) if other != axis)
            quarter = torch.eye(3, dtype=torch.float64)
            quarter[first, first] = quarter[second, second] = 0
            quarter[first, second], quarter[second, first] = 1, -1
            where.matrix.copy_(torch.linalg.matrix_power(quarter, turns))
        return where


@dataclass(frozen=True)
class Affine:
    """Shear, rotate, scale and shift what is on the patch, in millimetres, about its centre."""

    probability: float
    degrees: tuple[float, float, float]
    scale: float
    isotropic: bool
    shear: float
    translation_mm: float
    bends: bool = False

    def draw(self, generator: torch.Generator, grid: Grid) -> Map:
        """A map of straight lines; everything is drawn whether it is used or not."""
        where = Map.identity(grid.size)
        if not happens(self.probability, generator):
            return where
        angles, slopes, shifts, sizes = uniform(-1, 1, generator, 4, 3)
        changes = self.scale * (sizes[:1].repeat(3) if self.isotropic else sizes)
        changes[coarse_axes(grid.spacing)] = 0
        forward = affine_matrix(
            [0.0 if self._is_blocked(grid, axis) else a for axis, a in enumerate(self._angles(angles))],
            (1 + changes).tolist(),
            [0.0 if self._is_blocked(grid, 2 - n) else s for n, s in enumerate((self.shear * slopes).tolist())],
        )
        return from_millimetres(torch.linalg.inv(forward), -self.translation_mm * shifts, grid)

    def _angles(self, drawn: torch.Tensor) -> list[float]:
        return [limit * share for limit, share in zip(self.degrees, drawn.tolist(), strict=True)]

    @staticmethod
    def _is_blocked(grid: Grid, axis: int) -> bool:
        """Whether the plane across an axis has one long and one short edge of voxels."""
        first, second = (edge for other, edge in enumerate(grid.spacing) if other != axis)
        return max(first, second) > ANISOTROPIC * min(first, second)


@dataclass(frozen=True)
class Elastic:
    """Displace a coarse grid of control points, each within a share of the grid's cell, with cubic B-splines between.

    A share up to 0.4 cannot fold: Choi and Lee, Graphical Models 62 (2000), 411, have 1 / 2.48 as the limit.
    """

    probability: float
    control_points: int
    displacement: float
    bends: bool = True

    def draw(self, generator: torch.Generator, grid: Grid) -> Map:
        """A map with a bend, none across long voxels."""
        where = Map.identity(grid.size)
        if not happens(self.probability, generator):
            return where
        cells = torch.tensor([(n - 1) / (self.control_points - 3) for n in grid.size], dtype=torch.float64)
        bend = uniform(-1, 1, generator, 3, *[self.control_points] * 3) * (self.displacement * cells).view(3, 1, 1, 1)
        bend[coarse_axes(grid.spacing)] = 0
        return Map(grid.size, where.matrix, where.shift, bend)


@dataclass(frozen=True)
class OneOf:
    """One of several lists of moves, each as likely as its weight."""

    probability: float
    choices: tuple[tuple[Move, ...], ...]
    weights: tuple[float, ...]

    @property
    def bends(self) -> bool:
        """Whether one of them does."""
        return any(each.bends for choice in self.choices for each in choice)

    def draw(self, generator: torch.Generator, grid: Grid) -> Map:
        """The map of the one that is drawn."""
        if not happens(self.probability, generator):
            return Map.identity(grid.size)
        weights = torch.tensor(self.weights, device=generator.device)
        return draw(self.choices[int(torch.multinomial(weights, 1, generator=generator))], generator, grid)


def affine_matrix(degrees: Sequence[float], scales: Sequence[float], shear: Sequence[float]) -> torch.Tensor:
    """Where points in mm go: sheared in the planes 01, 02 and 12, rotated about axes 1, 0 and 2 in turn, scaled."""
    sheared = torch.eye(3, dtype=torch.float64)
    for slope, (row, column) in zip(shear, PLANES, strict=True):
        sheared[row, column] = slope
    about = [_rotation(axis, angle) for axis, angle in enumerate(degrees)]
    return torch.diag(torch.tensor(scales, dtype=torch.float64)) @ about[2] @ about[0] @ about[1] @ sheared


def from_millimetres(back: torch.Tensor, shift: torch.Tensor, grid: Grid) -> Map:
    """The map that looks at back (x + shift), x in mm from the patch's centre."""
    spacing = torch.tensor(grid.spacing, dtype=torch.float64)
    return Map(grid.size, back * spacing / spacing[:, None], back @ shift / spacing)


def _rotation(axis: int, degrees: float) -> torch.Tensor:
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[first, first] = matrix[second, second] = cos(radians(degrees))
    matrix[second, first] = sin(radians(degrees))
    matrix[first, second] = -matrix[second, first]
    return matrix


def _require_square(grid: Grid, axis: int) -> None:
    """Refuse a quarter turn that would change the patch's shape or the proportions of what is on it."""
    first, second = (other for other in range(3) if other != axis)
    shape, spacing = grid.size, grid.spacing
    stretch = spacing[first] / spacing[second]
    if shape[first] == shape[second] and 1 / UNEQUAL < stretch < UNEQUAL:
        return
    raise DataError(
        f"rotate90 about axis {axis} needs a plane of equal sides and equal voxel size; this patch has "
        f"{shape[first]} x {shape[second]} voxels of {spacing[first]:.3g} x {spacing[second]:.3g} mm there. Take that "
        "axis out of the step's axes, or change sampling.patch_size or preprocessing.spacing"
    )
