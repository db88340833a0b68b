"""The candidates for a data set, from the one that asks most of the machine to the one that asks least.

What is given up first stands first: patches of a batch, down to two; then the patch, the side that covers most of its
axis first, down to a moderate size; then features of the network; then the rest of the patch. Where features are given
up and a patch would cover little of a case, voxels are larger, as far as labels bear it: a short training learns more
from a coarse view of where things are than from keyholes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from torchio_seg.levels import Levels, design
from torchio_seg.network_sizes import Sizes, fit
from torchio_seg.planning.costs import Cost, cost_of
from torchio_seg.planning.spacing import Size, Spacing, coarsened, edge_for, resampled
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
ENOUGH_COVERED = 0.25
"""Of a median case by a patch; nnU-Net adds its low resolution below that."""


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
    longest_edge: float | None = None
    """Of a voxel in mm, that labels bear; None where voxels stay as they are."""

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

    @property
    def fewest_patches(self) -> int:
        """Of a batch."""
        return self.batch_size or SMALLEST_BATCH

    def cover(self, size: Size) -> Size:
        """The smallest patch that the network takes and that is no smaller."""
        return admissible(size, self.spacing) if self.sizes is None else fit(size, self.sizes)

    def for_patches_of(self, voxels: int) -> Space:
        """The same in voxels so large that a patch of so many covers enough of a case."""
        if self.longest_edge is None:
            return self
        edge = edge_for(self.shape, self.spacing, voxels / ENOUGH_COVERED, self.longest_edge)
        if edge <= min(self.spacing):
            return self
        spacing = coarsened(self.spacing, edge)
        return replace(self, shape=resampled(self.shape, self.spacing, spacing), spacing=spacing)


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
    def is_slim(self) -> bool:
        """Whether it has the fewest features and patches that may be planned."""
        return self.width == self.space.widths[-1] and self.batch_size == self.space.fewest_patches

    @property
    def voxels(self) -> int:
        """Of a batch."""
        return self.batch_size * prod(self.patch_size)


def make_ladder(space: Space) -> tuple[Candidate, ...]:
    """Every candidate, each smaller than the one before."""
    ladder: list[Candidate] = []
    for rung in _rungs(space):
        if not ladder or _is_below(rung, ladder[-1]):
            ladder.append(rung)
    return tuple(ladder)


def _is_below(rung: Candidate, other: Candidate) -> bool:
    return rung.cost.activations < other.cost.activations and rung.voxels <= other.voxels


def _rungs(space: Space) -> Iterator[Candidate]:
    sizes = list(_sizes(space))
    batch = space.fewest_patches
    for more in range(_largest_batch(sizes[0], space), batch, -1):
        yield Candidate(sizes[0], more, space.widths[0], space)
    moderate = [size for size in sizes[1:] if prod(size) >= MODERATE_VOXELS]
    rung = Candidate(sizes[0], batch, space.widths[0], space)
    yield rung
    for size in moderate:
        yield (rung := replace(rung, patch_size=size))
    for width in space.widths[1:]:
        yield from _in_larger_voxels(space, replace(rung, width=width))
    for size in sizes[1 + len(moderate) :]:
        yield from _in_larger_voxels(space, replace(rung, patch_size=size, width=space.widths[-1]))


def _in_larger_voxels(space: Space, rung: Candidate) -> Iterator[Candidate]:
    """The same with a patch of as many voxels, or fewer, that are large enough for it to cover enough of a case."""
    most = prod(rung.patch_size)
    coarse = space.for_patches_of(most)
    if coarse is space:
        yield rung
        return
    if size := next((size for size in _sizes(coarse) if prod(size) <= most), None):
        yield replace(rung, patch_size=size, space=coarse)


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
