"""What can be mended in a predicted label map, region by region: small pieces dropped, holes filled.

A piece is what hangs together, at corners too; a hole is what no way over faces leads out of, in all three directions.
A voxel that leaves a region stays in those around it (tumour core, dropped, is whole tumour still), and a hole is
filled only where that takes the voxel from no other region.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from torchio_seg.volumes.scratch import rest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torchio_seg.records import Labels, Region

    Array = npt.NDArray[Any]
    Box = tuple[slice, slice, slice]
    Mask = npt.NDArray[np.bool_]

Action = Literal["drop_small", "keep_largest", "fill_holes"]
VOLUMES_MM3 = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Below which pieces may be dropped."""
_SLAB_BYTES = 8 * 2**20
"""Of 8 bytes a voxel, looked at a time."""
_TOUCHING = ndimage.generate_binary_structure(3, 3)


@dataclass(frozen=True)
class Step:
    """One thing that is done to one region."""

    region: str
    action: Action
    below_mm3: float | None = None
    """For drop_small: pieces of a smaller volume go."""

    def __str__(self) -> str:
        return f"{self.region}: {self.what}"

    @property
    def what(self) -> str:
        """What is done, in words."""
        if self.action == "drop_small":
            return f"pieces below {self.below_mm3:g} mm3 are dropped"
        return "only the largest piece is kept" if self.action == "keep_largest" else "holes are filled"


def told(steps: Sequence[Step]) -> str:
    """All steps in their order, those that do the same to regions that follow each other together."""
    alike = ((what, [step.region for step in group]) for what, group in groupby(steps, lambda step: step.what))
    return "; ".join(f"{', '.join(regions)}: {what}" for what, regions in alike)


@dataclass(frozen=True)
class Change:
    """The voxels of a label map that a step writes anew."""

    where: npt.NDArray[np.intp]
    """Flat positions."""
    values: Array

    @classmethod
    def between(cls, before: Array, after: Array) -> Change:
        where = np.flatnonzero(before != after)
        return cls(where, after.flat[where])

    def on(self, label_map: Array) -> Array:
        """The label map with them."""
        if not self.where.size:
            return label_map
        changed = label_map.copy()
        changed.flat[self.where] = self.values
        return changed


def all_steps(labels: Labels) -> list[Step]:
    """Everything that may be done, what changes least first."""
    return [step for region in labels.regions for step in _steps(region)]


def apply(label_map: Array, steps: Sequence[Step], labels: Labels, voxel_mm3: float) -> Array:
    """The label map I J K, whose voxels have this volume, after these steps in their order."""
    mended = label_map.copy()
    mend(mended, steps, labels, voxel_mm3)
    return mended


def mend(label_map: Array, steps: Sequence[Step], labels: Labels, voxel_mm3: float) -> None:
    """The same in place; of a label map that lies in a file a slab is in memory at a time."""
    regions = {region.name: region for region in labels.regions}
    for step in steps:
        region = regions[step.region]
        if step.action == "fill_holes":
            _fill(label_map, region, labels)
        else:
            _Pieces.of(label_map, region).drop(label_map, step, labels, voxel_mm3)


def mending_bytes(num_voxels: int) -> int:
    """The most that mending a label map of so many voxels takes beside it, whatever is in it.

    The mask of a region, a number for each of its pieces' voxels, and three tables of pieces, of which there are fewer
    than an eighth of the voxels.
    """
    return (1 + 4 + 3) * num_voxels + 4 * _SLAB_BYTES


def possible_changes(label_map: Array, labels: Labels, voxel_mm3: float) -> Iterator[tuple[Step, Change]]:
    """What each step would do to the label map by itself; pieces are found once for all of them."""
    for region in labels.regions:
        pieces = _Pieces.of(label_map, region)
        for step in _steps(region):
            changed = label_map.copy()
            if step.action == "fill_holes":
                _fill(changed, region, labels)
            else:
                pieces.drop(changed, step, labels, voxel_mm3)
            yield step, Change.between(label_map, changed)


def _steps(region: Region) -> list[Step]:
    dropping = [Step(region.name, "drop_small", volume) for volume in VOLUMES_MM3]
    return [*dropping, Step(region.name, "keep_largest"), Step(region.name, "fill_holes")]


@dataclass(frozen=True)
class _Pieces:
    """To which piece of a region each voxel belongs."""

    region: Region
    box: Box
    """What holds all of them."""
    numbers: npt.NDArray[np.int32]
    """Of the pieces, from 1 on, in the box; 0 elsewhere."""
    sizes: npt.NDArray[np.int64]
    """How many voxels have each number."""

    @classmethod
    def of(cls, label_map: Array, region: Region) -> _Pieces:
        box = _box(label_map, region)
        numbers, count = _numbered(_mask(label_map, region, box), _TOUCHING)
        sizes = np.zeros(count + 1, np.int64)
        for _, slab in _slabs(numbers):
            sizes += np.bincount(slab.ravel(), minlength=count + 1)
        return cls(region, box, numbers, sizes)

    def drop(self, label_map: Array, step: Step, labels: Labels, voxel_mm3: float) -> None:
        """Take some out of the label map; of several that are the largest none is dropped."""
        if step.below_mm3 is None:
            gone = self.sizes < self.sizes[1:].max(initial=0)
        else:
            gone = self.sizes * voxel_mm3 < step.below_mm3
        gone[0] = False
        if not gone.any():
            return
        for place, values in _slabs(label_map[self.box]):
            where = gone[self.numbers[place]]
            for value in self.region.labels:
                values[where & (values == value)] = _beside(value, self.region, labels)


def _beside(value: int, region: Region, labels: Labels) -> int:
    """What a voxel of this value holds once it has left a region: the last of the regions that it stays in, or 0."""
    stays = [other.value for other in labels.regions if value in other.labels and other.value not in region.labels]
    return stays[-1] if stays else 0


def _fill(label_map: Array, region: Region, labels: Labels) -> None:
    """Fill a region's holes, but for voxels that would be taken from a region."""
    box = _box(label_map, region)
    outside = np.pad(_mask(label_map, region, box), 1)
    np.logical_not(outside, out=outside)
    numbers, count = _numbered(outside, None)
    if count < 2:  # all of it is around the region
        return
    inside, around = numbers[1:-1, 1:-1, 1:-1], numbers[0, 0, 0]
    fillable = _may_become(region, labels)
    for place, values in _slabs(label_map[box]):
        found = inside[place]
        values[(found != 0) & (found != around) & np.isin(values, fillable)] = region.value


def _may_become(region: Region, labels: Labels) -> list[int]:
    """The values that lose no region by becoming this one's."""
    values = {0, *(other.value for other in labels.regions)}
    return [
        value
        for value in sorted(values)
        if all(region.value in other.labels for other in labels.regions if value in other.labels)
    ]


def _numbered(mask: Mask, touching: Mask | None) -> tuple[npt.NDArray[np.int32], int]:
    """The number of the piece that each voxel belongs to, and how many pieces there are."""
    if not mask.size:
        return np.zeros(mask.shape, np.int32), 0
    numbers = np.empty(mask.shape, np.int32)
    return numbers, int(ndimage.label(mask, touching, output=numbers))


def _mask(label_map: Array, region: Region, box: Box) -> Mask:
    part = label_map[box]
    mask = np.empty(part.shape, bool)
    for place, values in _slabs(part):
        mask[place] = np.isin(values, region.labels)
    return mask


def _box(label_map: Array, region: Region) -> Box:
    """The smallest box that holds a region; an empty one where there is none of it."""
    seen = [np.zeros(size, bool) for size in label_map.shape]
    for place, values in _slabs(label_map):
        found = np.isin(values, region.labels)
        for axis, along in enumerate(seen):
            along[place[axis]] |= found.any(axis=tuple(other for other in range(3) if other != axis))
    spans = [np.flatnonzero(along) for along in seen]
    i, j, k = (slice(int(span[0]), int(span[-1]) + 1) if span.size else slice(0, 0) for span in spans)
    return i, j, k


def _slabs(array: Array) -> Iterator[tuple[Box, Array]]:
    """Views of some planes at a time, and where they lie; those that lie together where the array is in a file."""
    if not array.size:
        return
    slow = int(np.argmax(array.strides))
    step = max(1, _SLAB_BYTES // (8 * (array.size // array.shape[slow])))
    for first in range(0, array.shape[slow], step):
        i, j, k = (slice(first, first + step) if axis == slow else slice(None) for axis in range(3))
        yield (i, j, k), array[i, j, k]
        rest(array)
