"""The candidates for a data set, from the one that asks most of the machine to the one that asks least.

What is given up first stands first: patches of a batch, down to two; then the patch, the side that covers most of its
axis first, down to a moderate size; then features of the network; then the rest of the patch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from torchio_seg.levels import Levels, design
from torchio_seg.network_sizes import Sizes, fit
from torchio_seg.planning.costs import Cost, cost_of
from torchio_seg.planning.spacing import Size, Spacing
from torchio_seg.planning.topology import LEVELED, NETWORK, admissible, shorter

WIDTHS = (32, 24, 16)
"""Features of the finest level; nnU-Net has 32."""
SMALLEST_BATCH = 2
LARGEST_SHARE = 0.05
"""Of the data set's voxels in one batch, as in nnU-Net."""
MODERATE_VOXELS = 64**3
"""Of a patch that is not cut further while features can be given up."""
FEWEST_VOXELS = 32**3
MOST_VOXELS = 2**28
"""Of a patch to begin with: larger ones fit no machine's memory."""


@dataclass(frozen=True)
class Space:
    """What the data set says about its candidates."""

    shape: Size
    """Median, at the voxel size of training."""
    spacing: Spacing
    num_cases: int
    in_channels: int
    out_channels: int
    patch_size: Size | None = None
    """Where somebody has chosen it."""
    batch_size: int | None = None
    """Where somebody has chosen it."""
    width: int | None = None
    """Where somebody has chosen the features."""
    network: str = NETWORK
    sizes: Sizes | None = None
    """What it takes, where its levels are not planned."""

    @property
    def has_levels(self) -> bool:
        """Whether levels and features are planned; another network's costs are only guessed from what they would be."""
        return self.network in LEVELED

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of the finest level to choose from, most first."""
        if self.width is not None:
            return (self.width,)
        return WIDTHS if self.has_levels else WIDTHS[:1]

    def cover(self, size: Size) -> Size:
        """The smallest patch that the network takes and that is no smaller."""
        return admissible(size, self.spacing) if self.sizes is None else fit(size, self.sizes)


@dataclass(frozen=True)
class Candidate:
    """A patch, a batch and a network."""

    patch_size: Size
    batch_size: int
    width: int
    space: Space

    @cached_property
    def levels(self) -> Levels:
        """The levels of its network."""
        return design(self.patch_size, self.space.spacing, self.width)

    @cached_property
    def cost(self) -> Cost:
        """Of a step."""
        space = self.space
        return cost_of(
            self.levels,
            self.patch_size,
            self.batch_size,
            in_channels=space.in_channels,
            out_channels=space.out_channels,
        )

    @property
    def voxels(self) -> int:
        """Of a batch."""
        return self.batch_size * prod(self.patch_size)


def make_ladder(space: Space) -> tuple[Candidate, ...]:
    """Every candidate, each smaller than the one before."""
    return tuple(_rungs(space))


def _rungs(space: Space) -> Iterator[Candidate]:
    sizes = list(_sizes(space))
    batch = space.batch_size or SMALLEST_BATCH
    for more in range(_largest_batch(sizes[0], space), batch, -1):
        yield Candidate(sizes[0], more, space.widths[0], space)
    moderate = [size for size in sizes[1:] if prod(size) >= MODERATE_VOXELS]
    rung = Candidate(sizes[0], batch, space.widths[0], space)
    yield rung
    for size in moderate:
        yield (rung := replace(rung, patch_size=size))
    for width in space.widths[1:]:
        yield (rung := replace(rung, width=width))
    for size in sizes[1 + len(moderate) :]:
        yield (rung := replace(rung, patch_size=size))


def _sizes(space: Space) -> Iterator[Size]:
    """The patch that covers a median case, then ever smaller ones; the one that somebody has chosen alone."""
    size: Size | None = space.patch_size
    if size is not None:
        yield size
        return
    size = space.cover(space.shape)
    while size is not None and prod(size) > MOST_VOXELS:
        size = shorter(size, space.shape, space.cover)
    while size is not None:
        yield size
        size = shorter(size, space.shape, space.cover)
        if size is not None and prod(size) < FEWEST_VOXELS:
            return


def _largest_batch(size: Size, space: Space) -> int:
    """Whose patches hold no more than a share of all voxels."""
    if space.batch_size is not None:
        return space.batch_size
    voxels = space.num_cases * prod(space.shape)
    return max(SMALLEST_BATCH, int(LARGEST_SHARE * voxels / prod(size)))
