"""What can be mended in a predicted label map, region by region: small pieces dropped, holes filled.

A piece is what hangs together, at corners too; a hole is what no way over faces leads out of, in all three directions.
A voxel that leaves a region stays in those around it (tumour core, dropped, is whole tumour still), and a hole is
filled only where that takes the voxel from no other region.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torchio_seg.records import Labels, Region

    Array = npt.NDArray[Any]
    Mask = npt.NDArray[np.bool_]

Action = Literal["drop_small", "keep_largest", "fill_holes"]
VOLUMES_MM3 = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Below which pieces may be dropped."""
_TOUCHING = ndimage.generate_binary_structure(3, 3)


@dataclass(frozen=True)
class Step:
    """One thing that is done to one region."""

    region: str
    action: Action
    below_mm3: float | None = None
    """For drop_small: pieces of a smaller volume go."""

    def __str__(self) -> str:
        if self.action == "drop_small":
            return f"{self.region}: pieces below {self.below_mm3:g} mm3 are dropped"
        what = "only the largest piece is kept" if self.action == "keep_largest" else "holes are filled"
        return f"{self.region}: {what}"


@dataclass(frozen=True)
class Change:
    """The voxels of a label map that a step writes anew."""

    where: npt.NDArray[np.intp]
    """Flat positions."""
    values: Array

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
    regions = {region.name: region for region in labels.regions}
    for step in steps:
        region = regions[step.region]
        if step.action == "fill_holes":
            change = _filled(label_map, region, labels)
        else:
            change = _Pieces.of(label_map, region).without(step, region, labels, voxel_mm3)
        label_map = change.on(label_map)
    return label_map


def possible_changes(label_map: Array, labels: Labels, voxel_mm3: float) -> Iterator[tuple[Step, Change]]:
    """What each step would do to the label map by itself; pieces are found once for all of them."""
    for region in labels.regions:
        pieces = _Pieces.of(label_map, region)
        for step in _steps(region):
            if step.action == "fill_holes":
                yield step, _filled(label_map, region, labels)
            else:
                yield step, pieces.without(step, region, labels, voxel_mm3)


def _steps(region: Region) -> list[Step]:
    dropping = [Step(region.name, "drop_small", volume) for volume in VOLUMES_MM3]
    return [*dropping, Step(region.name, "keep_largest"), Step(region.name, "fill_holes")]


@dataclass(frozen=True)
class _Pieces:
    """The voxels of a region, and to which piece each belongs."""

    where: npt.NDArray[np.intp]
    values: Array
    sizes: npt.NDArray[np.intp]
    """Voxels of the piece that each voxel belongs to."""

    @classmethod
    def of(cls, label_map: Array, region: Region) -> _Pieces:
        mask = np.isin(label_map, region.labels)
        where = np.flatnonzero(mask)
        box = _box(mask)
        numbers = ndimage.label(mask[box], _TOUCHING)[0][mask[box]]  # in the order of `where`
        return cls(where, label_map.flat[where], np.bincount(numbers)[numbers])

    def without(self, step: Step, region: Region, labels: Labels, voxel_mm3: float) -> Change:
        """The change that drops some; of several that are the largest none is dropped."""
        if step.below_mm3 is None:
            gone = self.sizes < self.sizes.max(initial=0)
        else:
            gone = self.sizes * voxel_mm3 < step.below_mm3
        values = self.values[gone]
        left = values.copy()
        for value in region.labels:
            left[values == value] = _beside(value, region, labels)
        return Change(self.where[gone], left)


def _beside(value: int, region: Region, labels: Labels) -> int:
    """What a voxel of this value holds once it has left a region: the last of the regions that it stays in, or 0."""
    stays = [other.value for other in labels.regions if value in other.labels and other.value not in region.labels]
    return stays[-1] if stays else 0


def _filled(label_map: Array, region: Region, labels: Labels) -> Change:
    """The change that fills a region's holes, but for voxels that would be taken from a region."""
    mask = np.isin(label_map, region.labels)
    box = _box(mask)
    outside = ~np.pad(mask[box], 1)
    numbers = ndimage.label(outside)[0]
    holes = outside & (numbers != numbers[0, 0, 0])
    places = [axis - 1 + part.start for axis, part in zip(np.nonzero(holes), box, strict=True)]
    where = np.ravel_multi_index(places, label_map.shape)
    where = where[np.isin(label_map.flat[where], _may_become(region, labels))]
    return Change(where, np.full(where.shape, region.value, label_map.dtype))


def _may_become(region: Region, labels: Labels) -> list[int]:
    """The values that lose no region by becoming this one's."""
    values = {0, *(other.value for other in labels.regions)}
    return [
        value
        for value in sorted(values)
        if all(region.value in other.labels for other in labels.regions if value in other.labels)
    ]


def _box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box that holds the mask; an empty one where nothing is set."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    return found[0] if found else (slice(0, 0),) * mask.ndim
