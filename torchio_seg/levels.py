"""The levels of a U-Net as nnU-Net plans them: features, strides and kernels of each, finest first.

An axis is halved while at least `SMALLEST_SIDE` voxels are left of it and while its voxels are less than twice as long
as the shortest, so that voxels become cubes before all axes are halved together; as long as they are not, kernels do
not reach along the long ones. An axis that would be halved alone is halved while half as much again is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, PositiveInt

from torchio_seg.errors import ConfigError
from torchio_seg.network_sizes import Size, Sizes, check_patch_size

FIRST_CHANNELS, MOST_CHANNELS = 32, 320
SMALLEST_SIDE = 4
"""Voxels of the coarsest level, at least."""
CUBES = (1.0, 1.0, 1.0)
_TOO_LONG = 2.0

Channels = Annotated[tuple[PositiveInt, ...], Field(min_length=2)]
Triples = Annotated[tuple[tuple[PositiveInt, PositiveInt, PositiveInt], ...], Field(min_length=2)]
"""One for each level, in voxels along the three axes."""


@dataclass(frozen=True)
class Levels:
    """What each level has; the strides lead from the level before to this one, the first are 1."""

    channels: tuple[int, ...]
    strides: tuple[Size, ...]
    kernel_sizes: tuple[Size, ...]

    @property
    def sizes(self) -> Sizes:
        """What they ask of a patch."""
        first, second, third = (math.prod(strides) for strides in zip(*self.strides, strict=True))
        return Sizes(multiple_of=(first, second, third), min_cells=2)


def plan_levels(
    patch_size: Size,
    channels: tuple[int, ...] | None,
    strides: tuple[Size, ...] | None,
    kernel_sizes: tuple[Size, ...] | None,
    *,
    name: str,
) -> Levels:
    """The levels as given; what is None follows from the rest, and from the patch where strides are None."""
    if strides is None:
        found = _of_patch(patch_size, None if channels is None else len(channels), name)
        strides, kernel_sizes = found.strides, kernel_sizes or found.kernel_sizes
    if channels is None:
        channels = _features(FIRST_CHANNELS, len(strides))
    levels = Levels(channels, strides, kernel_sizes or _kernels(strides))
    _check(levels, name)
    check_patch_size(patch_size, levels.sizes, f"{name} with {len(channels)} levels")
    return levels


def design(patch_size: Size, spacing: tuple[float, float, float], width: int) -> Levels:
    """The levels for a patch of voxels of this size; the finest level has `width` channels."""
    sides, edges = list(patch_size), list(spacing)
    strides, kernels = [(1, 1, 1)], [(1, 1, 1)]
    while axes := _to_halve(sides, edges):
        kernels[-1] = _kernel(kernels[max(0, len(kernels) - 2)], edges)
        for axis in axes:
            sides[axis] //= 2
            edges[axis] *= 2
        i, j, k = (2 if axis in axes else 1 for axis in range(3))
        strides.append((i, j, k))
        kernels.append((1, 1, 1))
    kernels[-1] = (3, 3, 3)
    return Levels(_features(width, len(strides)), tuple(strides), tuple(kernels))


def _to_halve(sides: list[int], edges: list[float]) -> list[int]:
    """The axes to be halved next: those long enough, but none whose voxels are much longer than others' are."""
    long_enough = [axis for axis in range(3) if sides[axis] >= 2 * SMALLEST_SIDE]
    shortest = min((edges[axis] for axis in long_enough), default=0.0)
    axes = [axis for axis in long_enough if edges[axis] < _TOO_LONG * shortest]
    if len(axes) == 1 and sides[axes[0]] < 3 * SMALLEST_SIDE:
        return []
    return axes


def _kernel(before: Size, edges: list[float]) -> Size:
    """3 along an axis from the level on at which its voxels are not much longer than the shortest."""
    i, j, k = (3 if before[axis] == 3 or edges[axis] < _TOO_LONG * min(edges) else 1 for axis in range(3))
    return i, j, k


def _features(width: int, num_levels: int) -> tuple[int, ...]:
    """Doubled from level to level, up to ten times the first."""
    return tuple(min(width * 2**level, MOST_CHANNELS * width // FIRST_CHANNELS) for level in range(num_levels))


def _of_patch(patch_size: Size, num_levels: int | None, name: str) -> Levels:
    """Those for a patch of cubes, or the finest so many of them."""
    found = design(patch_size, CUBES, FIRST_CHANNELS)
    room = len(found.strides)
    if room < 2 or (num_levels or 0) > room:
        size = " x ".join(map(str, patch_size))
        given = "channels is null" if num_levels is None else f"channels names {num_levels} levels"
        cure = f"name {room} at most, leave channels null or give strides" if room > 1 else "use a larger patch"
        raise ConfigError(
            f"{name}: {given}, and a patch of {size} voxels has room for {room}, of {SMALLEST_SIDE} voxels a side at "
            f"least: {cure}"
        )
    return Levels(found.channels[:num_levels], found.strides[:num_levels], found.kernel_sizes[:num_levels])


def _kernels(strides: tuple[Size, ...]) -> tuple[Size, ...]:
    """3 from the level before an axis is first strided, and at the coarsest level; 1 before, where voxels are thick."""
    num_levels = len(strides)

    def side(level: int, axis: int) -> int:
        reached = any(stride[axis] > 1 for stride in strides[: level + 2])
        return 3 if reached or level == num_levels - 1 else 1

    return tuple((side(level, 0), side(level, 1), side(level, 2)) for level in range(num_levels))


def _check(levels: Levels, name: str) -> None:
    counts = {
        "channels": len(levels.channels),
        "strides": len(levels.strides),
        "kernel_sizes": len(levels.kernel_sizes),
    }
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count} in {option}" for option, count in counts.items())
        raise ConfigError(f"{name}: each level needs one entry in each of its options, and there are {found}")
    if levels.strides[0] != (1, 1, 1):
        raise ConfigError(
            f"{name}: the first of strides is {list(levels.strides[0])}; logits have the images' size, so use [1, 1, 1]"
        )
    if even := [list(kernel) for kernel in levels.kernel_sizes if not all(side % 2 for side in kernel)]:
        raise ConfigError(f"{name}: kernel_sizes has {even[0]}; sizes must be odd for the kernel to have a middle")
