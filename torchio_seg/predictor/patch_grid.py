"""Where the patches of a volume lie, the order in which they come, and what each of them finishes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Place = tuple[int, int, int]
Span = tuple[int, int]
"""First, and the one after the last."""

WORTH_JOINING = 0.75
"""Two slabs are one where that takes less than this share: their bars are longer, also where the rest is in a file."""


class Strip(NamedTuple):
    """Some rows of one plane of a volume, whole along the last axis of the grid's order."""

    values: torch.Tensor
    """C A B, contiguous: channels, rows, and what is in a row."""
    plane: int
    row: int
    """The first."""


@dataclass(frozen=True)
class PatchGrid:
    """The patches of a volume, those of `tio.GridSampler`: plane by plane along one axis, row by row along the next.

    Patches with the same place along the axis are a slab; those of a slab with the same place along the next axis a
    bar. Where it takes less memory, the last two slabs are one, as the last is moved back over most of the one before,
    and a slab is one bar.
    """

    shape: tuple[int, int, int]
    patch_size: tuple[int, int, int]
    overlap: tuple[int, int, int]
    """Voxels that neighbours share; the last patch of an axis is moved back to the border and shares more."""
    axis: int

    def __post_init__(self) -> None:
        for size, patch, overlap in zip(self.shape, self.patch_size, self.overlap, strict=True):
            if not 0 <= overlap < patch <= size:
                raise ValueError(
                    f"patches of {self.patch_size} that share {self.overlap} do not fit a volume of {self.shape}; a "
                    "patch is no longer than the volume and shares less than its length"
                )

    @classmethod
    def holding_least(cls, shape: Sequence[int], patch_size: Sequence[int], overlap: Sequence[int]) -> PatchGrid:
        """Along the axis for which sums take least room."""
        grids = [cls(triple(shape), triple(patch_size), triple(overlap), axis) for axis in range(3)]
        return min(grids, key=lambda grid: prod(grid.bar_shape) + prod(grid.waiting_shape))

    @cached_property
    def axes(self) -> tuple[int, int, int]:
        """That of planes, that of rows, and the one along a row."""
        rows, along = (axis for axis in range(3) if axis != self.axis)
        return self.axis, rows, along

    @cached_property
    def starts(self) -> tuple[tuple[int, ...], ...]:
        """The first voxels of the patches, for each axis."""
        return tuple(
            (*range(0, size - patch, patch - overlap), size - patch)
            for size, patch, overlap in zip(self.shape, self.patch_size, self.overlap, strict=True)
        )

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The first voxel of each patch, in the order in which they must come."""
        i, j, k = self.starts
        planes, rows, _ = self.axes
        slabs = {start: number for number, slab in enumerate(self.slab_starts) for start in slab}

        def order(place: Place) -> tuple[int, int, int, Place]:
            return slabs[place[planes]], place[rows] if self.has_bars else 0, place[planes], place

        return tuple(sorted(itertools.product(i, j, k), key=order))

    def inside(self, place: Place) -> tuple[slice, ...]:
        """The patch at this place in a volume C I J K."""
        spans = zip(place, self.patch_size, strict=True)
        return (slice(None), *(slice(start, start + size) for start, size in spans))

    @cached_property
    def slab_starts(self) -> tuple[tuple[int, ...], ...]:
        """Where the patches of each slab begin along the axis."""
        starts = self.starts[self.axis]
        apart = tuple((start,) for start in starts)
        if len(starts) == 1:
            return apart
        joined = (*apart[:-2], starts[-2:])
        is_worth_it = min(self._voxels_held(joined)) < WORTH_JOINING * min(self._voxels_held(apart))
        return joined if is_worth_it else apart

    def _voxels_held(self, slabs: Sequence[tuple[int, ...]]) -> tuple[int, int]:
        """For how many there are sums: with bars and what waits beside them, and with whole slabs."""
        _, rows, along = (self.shape[axis] for axis in self.axes)
        planes, bar = max(self._lengths(slabs)), self.patch_size[self.axes[1]]
        return (planes * bar + max(self._shared(slabs)) * rows) * along, planes * rows * along

    def _lengths(self, slabs: Sequence[tuple[int, ...]]) -> list[int]:
        return [slab[-1] + self.patch_size[self.axis] - slab[0] for slab in slabs]

    def _shared(self, slabs: Sequence[tuple[int, ...]]) -> list[int]:
        pairs = itertools.pairwise(slabs)
        return [*(slab[-1] + self.patch_size[self.axis] - following[0] for slab, following in pairs), 0]

    @property
    def slab_spans(self) -> tuple[Span, ...]:
        """The planes that patches of each slab cover."""
        return tuple((slab[0], slab[0] + length) for slab, length in zip(self.slab_starts, self.lengths, strict=True))

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """How many planes each slab has."""
        return tuple(self._lengths(self.slab_starts))

    @cached_property
    def carried(self) -> tuple[int, ...]:
        """How many of its planes each slab shares with the next; none, the last."""
        return tuple(self._shared(self.slab_starts))

    @cached_property
    def has_bars(self) -> bool:
        """Whether to sum bar by bar and keep what the next slab shares takes less than to keep a slab."""
        with_bars, without = self._voxels_held(self.slab_starts)
        return with_bars < without

    @cached_property
    def bar_shape(self) -> tuple[int, int, int]:
        """Of what sums are held for while patches come."""
        shape = list(self.shape)
        shape[self.axis] = max(self.lengths)
        if self.has_bars:
            shape[self.axes[1]] = self.patch_size[self.axes[1]]
        return triple(shape)

    @cached_property
    def waiting_shape(self) -> tuple[int, int, int]:
        """Of the sums that wait for the next slab beside them; nothing where a slab is one bar."""
        shape = list(self.shape)
        shape[self.axis] = max(self.carried) if self.has_bars else 0
        return triple(shape)

    @cached_property
    def slabs(self) -> tuple[Span, ...]:
        """The planes that are finished with each slab."""
        return spans([slab[0] for slab in self.slab_starts], self.shape[self.axis])

    @cached_property
    def bars(self) -> tuple[Span, ...]:
        """The rows that are finished with each bar of a slab."""
        _, rows, _ = self.axes
        return spans(self.starts[rows], self.shape[rows]) if self.has_bars else ((0, self.shape[rows]),)

    def bar_of(self, place: Place) -> tuple[int, int]:
        """The numbers of the slab and of the bar that a patch belongs to."""
        planes, rows, _ = self.axes
        slab = next(number for number, slab in enumerate(self.slab_starts) if place[planes] in slab)
        return slab, self.starts[rows].index(place[rows]) if self.has_bars else 0

    def strips(self, volume: torch.Tensor) -> Iterator[Strip]:
        """Those of a whole volume C I J K, filled up to a patch or not, as they come when it is streamed."""
        planes = volume.movedim(1 + self.axis, 0)
        for (first, end), (row, last) in itertools.product(self.slabs, self.bars):
            for plane in range(first, min(end, len(planes))):
                yield Strip(planes[plane][:, row:last].contiguous(), plane, row)

    def without_filling(self, strips: Iterator[Strip], shape: Sequence[int]) -> Iterator[Strip]:
        """What the strips of a volume have of it that was not filled to reach the length of a patch."""
        planes, rows, along = (shape[axis] for axis in self.axes)
        for values, plane, row in strips:
            if plane < planes:
                yield Strip(values[:, : rows - row, :along].contiguous(), plane, row)


def collect(strips: Iterator[Strip], shape: Sequence[int], axis: int) -> torch.Tensor:
    """A volume C I J K of this shape with strips along an axis filled in."""
    whole = torch.empty(0)
    for values, plane, row in strips:
        if not whole.numel():
            whole = torch.empty(len(values), *shape)
        whole.select(1 + axis, plane).narrow(1, row, values.shape[1]).copy_(values)
    return whole


def spans(starts: Sequence[int], end: int) -> tuple[Span, ...]:
    """From each start to the next."""
    return tuple(itertools.pairwise((*starts, end)))


def triple(sizes: Sequence[int]) -> tuple[int, int, int]:
    """As the type checker wants it."""
    i, j, k = (int(size) for size in sizes)
    return i, j, k
