"""Putting a volume together from overlapping patches that come in order along one axis, in float32.

Sums exist only for the planes that still wait for a patch; what no later patch touches is finished and handed on. So
memory follows the patch and the size of a plane, not the length of the volume.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from torchio_seg.errors import TorchioSegError
from torchio_seg.predictor.blending import Blending, product, profile, window

Place = tuple[int, int, int]
Finish = Callable[[torch.Tensor, int], None]
"""Takes finished planes, C I J K but short along the stream's axis, and the number of the first; then they are gone."""


@dataclass(frozen=True)
class PatchGrid:
    """Where the patches of a volume lie: those of `tio.GridSampler`, in the order of a stream along one axis."""

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
    def with_small_slab(cls, shape: Sequence[int], patch_size: Sequence[int], overlap: Sequence[int]) -> PatchGrid:
        """Along the axis of which a patch is the smallest share, so that least waits at a time."""
        axis = min(range(3), key=lambda axis: patch_size[axis] / shape[axis])
        return cls(_triple(shape), _triple(patch_size), _triple(overlap), axis)

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
        return tuple(sorted(itertools.product(i, j, k), key=lambda place: (place[self.axis], place)))

    def inside(self, place: Place) -> tuple[slice, ...]:
        """The patch at this place in a volume C I J K."""
        spans = zip(place, self.patch_size, strict=True)
        return (slice(None), *(slice(start, start + size) for start, size in spans))


class Frontier:
    """The planes that wait for a patch, in a ring as long as one; the finished ones are handed on in order.

    Every patch of the grid must come, once, in the grid's order: that fixes the order of addition, so results are the
    same whatever becomes of the planes, and makes the weight of a voxel a product of three sums along the axes.
    """

    def __init__(self, grid: PatchGrid, blending: Blending, finish: Finish) -> None:
        self.grid = grid
        self.blending = blending
        self._finish = finish
        self._length = grid.patch_size[grid.axis]
        self._window = window(grid.patch_size, blending)
        self._weights = [_weights(grid, axis, blending) for axis in range(3)]
        self._ring: torch.Tensor | None = None
        self._came = 0
        self._first = 0

    @property
    def planes_held(self) -> int:
        """How many planes there is memory for."""
        return 0 if self._ring is None else self._ring.shape[1 + self.grid.axis]

    def add_batch(self, patches: torch.Tensor, places: Sequence[Place]) -> None:
        """Patches B C I J K, float32, in main memory; none of them is held on to."""
        for patch, place in zip(patches, places, strict=True):
            self.add(patch, place)

    def add(self, patch: torch.Tensor, place: Place) -> None:
        """The patch C I J K, float32, whose first voxel lies at this place."""
        due = self.grid.places[self._came] if self._came < len(self.grid.places) else None
        if place != due:
            raise TorchioSegError(
                f"a patch at {place} came where {f'that at {due}' if due else 'no more'} was due; voxels would be "
                "covered by no patch or by one twice. Hand patches over in the order of their grid"
            )
        if patch.shape[1:] != self.grid.patch_size:
            raise TorchioSegError(
                f"the network answered with {tuple(patch.shape[1:])} voxels to a patch of {self.grid.patch_size}; it "
                "must answer for every voxel"
            )
        if self._ring is None:
            shape = list(self.grid.shape)
            shape[self.grid.axis] = self._length
            self._ring = torch.zeros(len(patch), *shape)
        self._hand_on(self._ring, place[self.grid.axis])
        if self.blending == "crop":
            self._write(self._ring, patch, place)
        else:
            self._sum(self._ring, patch, place)
        self._came += 1

    def close(self) -> None:
        """No more patches: what waited is finished."""
        missing = self.grid.places[self._came :]
        if self._ring is None or missing:
            raise TorchioSegError(
                f"{len(missing)} of {len(self.grid.places)} patches never came, the first at {missing[0]}: voxels "
                "there are covered by no patch, or by too few"
            )
        self._hand_on(self._ring, self.grid.shape[self.grid.axis])

    def _sum(self, ring: torch.Tensor, patch: torch.Tensor, place: Place) -> None:
        axis = self.grid.axis
        rows = list(self.grid.inside(place))
        for at, within, length in self._runs(place[axis], self._length):
            rows[1 + axis] = slice(at, at + length)
            weights = self._window.narrow(axis, within, length)
            ring[tuple(rows)].addcmul_(patch.narrow(1 + axis, within, length), weights)

    def _write(self, ring: torch.Tensor, patch: torch.Tensor, place: Place) -> None:
        """Overwrite all but half of the overlap on the sides that do not touch the volume's border."""
        axis = self.grid.axis
        target, source = [slice(None)], [slice(None)]
        for start, size, overlap, total in zip(
            place, self.grid.patch_size, self.grid.overlap, self.grid.shape, strict=True
        ):
            first = overlap // 2 if start > 0 else 0
            last = size - overlap // 2 if start + size < total else size
            target.append(slice(start + first, start + last))
            source.append(slice(first, last))
        offset = source[1 + axis].start
        for at, within, length in self._runs(place[axis] + offset, source[1 + axis].stop - offset):
            target[1 + axis] = slice(at, at + length)
            source[1 + axis] = slice(offset + within, offset + within + length)
            ring[tuple(target)] = patch[tuple(source)]

    def _hand_on(self, ring: torch.Tensor, end: int) -> None:
        """Finish the planes before this one and make room for others in their place."""
        axis = self.grid.axis
        for at, within, length in self._runs(self._first, end - self._first):
            first = self._first + within
            planes = ring.narrow(1 + axis, at, length)
            if self.blending != "crop":
                sums = list(self._weights)
                sums[axis] = sums[axis][first : first + length]
                planes.div_(product(sums))
            if not bool(torch.stack(planes.aminmax()).isfinite().all()):
                raise TorchioSegError(
                    "the network's output is not finite; predict with --precision fp32, or train anew"
                )
            self._finish(planes, first)
            planes.zero_()
        self._first = end

    def _runs(self, first: int, length: int) -> Iterator[tuple[int, int, int]]:
        """Where that many planes from the first on lie in the ring: from, how far from the first, and how many."""
        at = first % self._length
        until_the_end = min(length, self._length - at)
        if until_the_end:
            yield at, 0, until_the_end
        if until_the_end < length:
            yield 0, until_the_end, length - until_the_end


class Aggregator:
    """All planes of a frontier in one volume, by the contract of `tio.GridAggregator`; its order is along axis 0."""

    def __init__(
        self, shape: Sequence[int], patch_size: Sequence[int], overlap: Sequence[int], blending: Blending
    ) -> None:
        grid = PatchGrid(_triple(shape), _triple(patch_size), _triple(overlap), axis=0)
        self._collected = Collected(grid)
        self._frontier = Frontier(grid, blending, self._collected)

    def add_batch(self, batch: torch.Tensor, locations: torch.Tensor) -> None:
        """Patches B C I J K and their places B 6, first voxel and the one after the last."""
        places = [_triple(location[:3]) for location in locations.tolist()]
        self._frontier.add_batch(batch.detach().float().cpu(), places)

    def get_output_tensor(self) -> torch.Tensor:
        """The volume C I J K; a patch that never came, or a voxel that is not finite, is an error, never 0."""
        self._frontier.close()
        return self._collected.volume


class Collected:
    """Takes finished planes and keeps them all."""

    def __init__(self, grid: PatchGrid) -> None:
        self._grid = grid
        self.volume = torch.empty(0)

    def __call__(self, planes: torch.Tensor, first: int) -> None:
        if first == 0:
            self.volume = torch.empty(len(planes), *self._grid.shape)
        axis = 1 + self._grid.axis
        self.volume.narrow(axis, first, planes.shape[axis]).copy_(planes)


def _weights(grid: PatchGrid, axis: int, blending: Blending) -> torch.Tensor:
    """The profiles of all patches along an axis, added up."""
    weights = torch.zeros(grid.shape[axis], dtype=torch.float64)
    for start in grid.starts[axis]:
        weights[start : start + grid.patch_size[axis]] += profile(grid.patch_size[axis], blending)
    return weights.float()


def _triple(sizes: Sequence[int]) -> tuple[int, int, int]:
    i, j, k = (int(size) for size in sizes)
    return i, j, k
