"""What a data set is, in numbers: grids, intensities, classes, and how far what is labelled reaches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from torchio_seg.planning.spacing import Size, Spacing
from torchio_seg.volumes.geometry import Orientation, spacing_of

if TYPE_CHECKING:
    from torchio_seg.records import Labels
    from torchio_seg.store.voxels import Voxels
    from torchio_seg.volumes.nifti import Geometry

PERCENTILES = (0.5, 50.0, 99.5)


@dataclass(frozen=True)
class CaseGrid:
    """How a case lies, its axes turned to right, front, up."""

    case: str
    shape: Size
    spacing: Spacing


@dataclass(frozen=True)
class Intensity:
    """Of one channel."""

    channel: str
    lowest: float
    highest: float
    foreground_percentiles: tuple[float, ...] = ()
    """PERCENTILES of what is labelled; nothing where nothing is."""
    foreground_mean: float | None = None
    foreground_std: float | None = None


@dataclass(frozen=True)
class ClassSize:
    """One value of the label maps."""

    value: int
    name: str
    num_cases: int
    """That have it."""
    voxels: int
    """In all cases together."""
    share: float
    """Of all voxels."""
    median_mm3: float
    """In a case that has it."""


@dataclass(frozen=True)
class Looks:
    """What only voxels tell, from the cases that were looked at."""

    cases: tuple[str, ...]
    intensities: tuple[Intensity, ...]
    filled_share: tuple[float, float, float]
    """Of each axis, the part outside of which every channel is 0 and nothing is labelled; the median."""
    foreground_mm: Spacing | None
    """How far what is labelled reaches along each axis; the median."""
    largest_foreground_mm: Spacing | None


@dataclass(frozen=True)
class Fingerprint:
    """All that a plan is made from. The cases are those that train."""

    dataset: str
    channels: tuple[str, ...]
    is_ct: bool
    grids: tuple[CaseGrid, ...]
    classes: tuple[ClassSize, ...]
    looks: Looks
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def spacings(self) -> list[Spacing]:
        """Of each case."""
        return [grid.spacing for grid in self.grids]

    def to_json(self) -> dict[str, Any]:
        """Medians first, then everything."""
        medians = {
            "num_cases": len(self.grids),
            "median_shape": np.median([grid.shape for grid in self.grids], axis=0).tolist(),
            "median_spacing_mm": np.median(self.spacings, axis=0).tolist(),
        }
        found: dict[str, Any] = json.loads(json.dumps(medians | asdict(self)))
        return found


def turned(case: str, geometry: Geometry) -> CaseGrid:
    """The grid of a case from its header."""
    orientation = Orientation.to_ras(geometry.affine)
    affine = orientation.apply_affine(geometry.affine, geometry.shape)
    return CaseGrid(case, orientation.apply_shape(geometry.shape), spacing_of(affine))


def count_classes(
    labels: Labels, counts: Sequence[Mapping[int, int]], grids: Sequence[CaseGrid]
) -> tuple[ClassSize, ...]:
    """How large each class is, from the number of voxels of each value in each case."""
    total = sum(sum(values.values()) for values in counts)
    found = []
    for value, name in sorted(labels.names.items()):
        if value in {0, labels.ignore}:
            continue
        held = [(values[value], grid) for values, grid in zip(counts, grids, strict=True) if values.get(value)]
        voxels = sum(number for number, _ in held)
        sizes = [number * float(np.prod(grid.spacing)) for number, grid in held]
        median = float(np.median(sizes)) if sizes else 0.0
        found.append(ClassSize(value, name, len(held), voxels, voxels / max(total, 1), median))
    return tuple(found)


def look(channels: Sequence[str], cases: Iterable[Voxels]) -> Looks:
    """What the voxels of some prepared cases tell; each is opened once."""
    names, samples, filled, reaches = [], [], [], []
    bounds = np.array([[np.inf, -np.inf]] * len(channels))
    for voxels in cases:
        record = voxels.record
        names.append(record.case)
        samples.append(voxels.sample)
        filled.append(np.array(voxels.size) / np.array(record.shape))
        for bound, measured in zip(bounds, record.measures, strict=True):
            bound[:] = min(bound[0], measured.lowest), max(bound[1], measured.highest)
        if len(voxels.foreground):
            places = np.unravel_index(voxels.foreground, voxels.size)
            edges = np.linalg.norm(voxels.affine[:3, :3], axis=0)
            reaches.append(np.array([np.ptp(each.astype(np.int64)) + 1 for each in places]) * edges)
    values = np.concatenate(samples, axis=1)
    intensities = [_intensity(*row) for row in zip(channels, bounds.tolist(), values, strict=True)]
    return Looks(
        tuple(names),
        tuple(intensities),
        _three(np.median(filled, axis=0)),
        _three(np.median(reaches, axis=0)) if reaches else None,
        _three(np.max(reaches, axis=0)) if reaches else None,
    )


def _intensity(channel: str, bounds: Sequence[float], values: np.ndarray) -> Intensity:
    if not values.size:
        return Intensity(channel, bounds[0], bounds[1])
    percentiles = tuple(np.percentile(values, PERCENTILES).tolist())
    return Intensity(channel, bounds[0], bounds[1], percentiles, float(values.mean()), float(values.std()))


def _three(values: np.ndarray) -> Spacing:
    i, j, k = (float(value) for value in values)
    return i, j, k
