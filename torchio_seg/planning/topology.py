"""The levels of a U-Net for a patch: where each axis is halved, and where kernels reach along it (nnU-Net's rules).

An axis is halved while at least `SMALLEST_SIDE` voxels are left of it and while its voxels are less than twice as long
as the shortest, so that voxels become cubes before all axes are halved together; as long as they are not, kernels do
not reach along the long ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torchio_seg.errors import ConfigError
from torchio_seg.planning.spacing import Size, Spacing

NETWORK = "dynunet"
"""What is planned where nobody names another."""
LEVELED = (NETWORK, "resencunet")
"""Networks whose levels are options; others come as they are."""
PER_LEVEL = ("channels", "strides", "kernel_sizes")
"""Their options with an entry for each level."""
SMALLEST_SIDE = 4
"""Voxels of the coarsest level, at least."""
MOST_CHANNELS = 320
_TOO_LONG = 2.0


@dataclass(frozen=True)
class Topology:
    """What a network needs to know, finest level first; the strides lead to each level from the one before."""

    channels: tuple[int, ...]
    strides: tuple[Size, ...]
    kernel_sizes: tuple[Size, ...]

    @property
    def multiple_of(self) -> Size:
        """What each side of a patch must be a multiple of."""
        i, j, k = (prod(strides) for strides in zip(*self.strides, strict=True))
        return i, j, k


def design(patch_size: Size, spacing: Spacing, width: int) -> Topology:
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
    channels = tuple(min(width * 2**level, MOST_CHANNELS * width // 32) for level in range(len(strides)))
    return Topology(channels, tuple(strides), tuple(kernels))


def given_levels(network: str, changes: Mapping[str, Any]) -> dict[str, Sequence[object]]:
    """The changes that have an entry for each level."""
    named = {name: changes.get(f"network.{name}") for name in PER_LEVEL if network in LEVELED}
    return {name: entries for name, entries in named.items() if entries is not None}


def require_levels(given: Mapping[str, Sequence[object]], num_levels: int | None) -> None:
    """Hold that options which have an entry for each level are of one length, and of the plan's where it adds others.

    `num_levels`: what the patch asks for; None: there is no telling before the data are prepared.
    """
    counts = {f"network.{name}": len(entries) for name, entries in given.items()}
    told = ", ".join(f"{count} in {name}" for name, count in counts.items())
    if len(set(counts.values())) > 1:
        raise ConfigError(f"each level needs one entry in each of its options, and there are {told}")
    if not 0 < len(given) < len(PER_LEVEL):
        return
    others = ", ".join(f"network.{name}" for name in PER_LEVEL if name not in given)
    if num_levels is None:
        raise ConfigError(
            f"{told}: how many levels there are follows from the patch; give sampling.patch_size too, or {others}, or "
            "leave all of it to the plan"
        )
    if counts.popitem()[1] != num_levels:
        raise ConfigError(f"{told}, and the patch asks for {num_levels} levels; give {num_levels}, or {others} too")


def admissible(size: Size, spacing: Spacing) -> Size:
    """The smallest patch that covers the size and can be halved, at least once, as its own topology asks."""
    while True:
        if len(design(size, spacing, 1).strides) == 1:
            longest = max(range(3), key=lambda axis: size[axis])
            size = _changed(size, longest, size[longest] + 1)
            continue
        i, j, k = (
            -(-side // multiple) * multiple
            for side, multiple in zip(size, design(size, spacing, 1).multiple_of, strict=True)
        )
        if (i, j, k) == size:
            return size
        size = (i, j, k)


def shorter(patch_size: Size, whole: Size, cover: Callable[[Size], Size]) -> Size | None:
    """The next smaller patch: the side that covers most of its axis is shortened; None where nothing is left to cut.

    `cover` gives the smallest patch that the network takes and that is no smaller than a size.
    """
    order = sorted(range(3), key=lambda axis: (-patch_size[axis] / whole[axis], -patch_size[axis], axis))
    for axis in order:
        for side in range(patch_size[axis] - 1, SMALLEST_SIDE - 1, -1):
            found = cover(_changed(patch_size, axis, side))
            if prod(found) < prod(patch_size) and all(new <= old for new, old in zip(found, patch_size, strict=True)):
                return found
    return None


def _changed(size: Size, axis: int, side: int) -> Size:
    i, j, k = (side if each == axis else size[each] for each in range(3))
    return i, j, k


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
