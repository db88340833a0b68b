"""The levels of a U-Net as nnU-Net plans them: features, strides and kernels of each, finest first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, PositiveInt

from torchio_seg.errors import ConfigError
from torchio_seg.network_sizes import Size, Sizes, check_patch_size

FIRST_CHANNELS, MOST_CHANNELS = 32, 320
SMALLEST_SIDE = 4
"""Voxels below which no side is halved."""

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
        strides = _halvings(patch_size, None if channels is None else len(channels), name)
        kernel_sizes = kernel_sizes or ((3, 3, 3),) * len(strides)
    if channels is None:
        channels = tuple(min(FIRST_CHANNELS * 2**level, MOST_CHANNELS) for level in range(len(strides)))
    levels = Levels(channels, strides, kernel_sizes or _kernels(strides))
    _check(levels, name)
    check_patch_size(patch_size, levels.sizes, f"{name} with {len(channels)} levels")
    return levels


def _halvings(patch_size: Size, num_levels: int | None, name: str) -> tuple[Size, ...]:
    """Each side halved from level to level while at least `SMALLEST_SIDE` voxels are left of it."""
    first, second, third = (max(0, (side // SMALLEST_SIDE).bit_length() - 1) for side in patch_size)
    room = 1 + max(first, second, third)
    if room < 2 or (num_levels or 0) > room:
        size = " x ".join(map(str, patch_size))
        given = "channels is null" if num_levels is None else f"channels names {num_levels} levels"
        cure = f"name {room} at most, leave channels null or give strides" if room > 1 else "use a larger patch"
        raise ConfigError(
            f"{name}: {given}, and a patch of {size} voxels has room for {room}, of {SMALLEST_SIDE} voxels a side at "
            f"least: {cure}"
        )
    return (
        (1, 1, 1),
        *(
            (1 + (level <= first), 1 + (level <= second), 1 + (level <= third))
            for level in range(1, num_levels or room)
        ),
    )


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
