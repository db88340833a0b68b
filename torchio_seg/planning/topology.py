"""Which patches a network takes whose levels follow from the patch, and the next smaller one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from torchio_seg.errors import ConfigError
from torchio_seg.levels import SMALLEST_SIDE, design
from torchio_seg.planning.spacing import Size, Spacing

NETWORK = "dynunet"
"""What is planned where nobody names another."""
LEVELED = (NETWORK, "resencunet")
"""Networks whose levels are options; others come as they are."""
PER_LEVEL = ("channels", "strides", "kernel_sizes")
"""Their options with an entry for each level."""


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
            for side, multiple in zip(size, design(size, spacing, 1).sizes.multiple_of, strict=True)
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
