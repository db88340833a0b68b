"""Levels of a network that somebody has chosen, held against each other and against the patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torchio_seg.errors import ConfigError
from torchio_seg.planning.topology import LEVELED

PER_LEVEL = ("channels", "strides", "kernel_sizes")
"""Options with an entry for each level."""


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
