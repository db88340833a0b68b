"""What a model has seen: its training cases in a few numbers, and how far a volume lies from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.checkpoint import ChannelSeen, Seen
from torchio_seg.transforms.normalization import LANDMARK_PERCENTILES
from torchio_seg.transforms.preprocessing import find_grids
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.geometry import spacing_of
from torchio_seg.volumes.nifti import read_geometry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torchio_seg.checkpoint import Range, Triple
    from torchio_seg.volumes.nifti import Geometry
    from torchio_seg.volumes.scan import Image
    from torchio_seg.workflows.assembly import Plan

PERCENTILES = (1, 50, 99)
FAR = 2.0
"""Times the highest of the training cases, or the lowest over it, from which a length is unlike theirs."""
BEYOND = 0.25
"""Of the span of the training cases' intensities, beyond which a percentile is unlike theirs."""
FAR_SPAN = 30.0
"""The same for the span of intensities where normalisation takes their scale away: more than scanners differ by."""
NONSENSE = 50.0
"""Times a training case's voxel size: no scan, but a header in another unit."""

_AS_IT_IS = Recipe(None, None, "none")
_ABSOLUTE = {"percentile", "window", "none"}
"""Normalisations that change equal intensities equally in every volume."""


@dataclass(frozen=True)
class Lengths:
    """A grid whose axes are turned to right, front, up."""

    spacing_mm: Triple
    shape: Triple

    @property
    def extent_mm(self) -> Triple:
        i, j, k = (length * edge for length, edge in zip(self.shape, self.spacing_mm, strict=True))
        return i, j, k

    @classmethod
    def of(cls, volume: Geometry | Image) -> Lengths:
        """Those of a file, or of a volume that was read."""
        grids = find_grids(volume.shape, volume.affine, _AS_IT_IS)
        return cls(spacing_of(grids.affine), grids.turned_shape)


def describe_cases(plan: Plan) -> Seen:
    """What the training cases are like, by their headers and by what the store has measured of their voxels."""
    lengths = [Lengths.of(read_geometry(case.images[0])) for case in plan.dataset.choose(plan.split.training)]
    chosen = [LANDMARK_PERCENTILES.index(percentile) for percentile in PERCENTILES]
    measured = [[channel.percentiles for channel in stored.record.measures] for stored in plan.stored]
    values = np.array(measured)[..., chosen]  # cases C 3
    ranges = np.stack([values.min(axis=0), values.max(axis=0)], axis=-1).tolist()
    return Seen(
        num_cases=len(lengths),
        spacing_mm=_span([each.spacing_mm for each in lengths]),
        shape=_span([each.shape for each in lengths]),
        extent_mm=_span([each.extent_mm for each in lengths]),
        channels=tuple(ChannelSeen(*((low, high) for low, high in channel)) for channel in ranges),
    )


def differences(volume: Image, seen: Seen, recipe: Recipe, channels: Sequence[str]) -> Iterator[str]:
    """A sentence for each way in which a volume is far from all training cases, with the numbers of both."""
    lengths = Lengths.of(volume)
    if is_far(lengths.spacing_mm, seen.spacing_mm, FAR):
        yield f"voxels are {_told(lengths.spacing_mm)} mm, {_of_training(seen.spacing_mm, 'mm')}"
    elif is_far(lengths.extent_mm, seen.extent_mm, FAR):
        yield f"the volume reaches over {_told(lengths.extent_mm)} mm, {_of_training(seen.extent_mm, 'mm')}"
    for name, sample, known in zip(channels, volume.samples, seen.channels, strict=True):
        found = _percentiles(sample)
        ranges = (known.percentile_1, known.median, known.percentile_99)
        if found is not None and not _fits(found, ranges, recipe):
            yield (
                f"{name} has intensities of {found[0]:.4g} (1 %), {found[1]:.4g} (median) and {found[2]:.4g} (99 %) "
                f"where it is not 0, those of training {', '.join(_between(each) for each in ranges)}"
            )


def is_far(found: Triple, known: tuple[Triple, Triple], times: float) -> bool:
    """Whether along some axis a length is so many times more or less than all known ones."""
    return any(value > times * high or value * times < low for value, low, high in zip(found, *known, strict=True))


def _fits(found: Triple, ranges: Sequence[Range], recipe: Recipe) -> bool:
    lowest, highest = ranges[0][0], ranges[-1][1]
    if recipe.normalization in _ABSOLUTE:
        slack = BEYOND * (highest - lowest)
        return all(low - slack <= value <= high + slack for value, (low, high) in zip(found, ranges, strict=True))
    span, widest = found[2] - found[0], highest - lowest
    narrowest = max(ranges[-1][0] - ranges[0][1], 0.0)
    return narrowest / FAR_SPAN <= span <= widest * FAR_SPAN


def _percentiles(sample: np.ndarray) -> Triple | None:
    """PERCENTILES of the voxels that are not 0; None where there are none."""
    part = sample[sample != 0]
    if not part.size:
        return None
    low, middle, high = np.percentile(part.astype(np.float64), PERCENTILES).tolist()
    return low, middle, high


def _span(values: Sequence[Triple]) -> tuple[Triple, Triple]:
    lowest, highest = (tuple(float(choose(axis)) for axis in zip(*values, strict=True)) for choose in (min, max))
    return _three(lowest), _three(highest)


def _three(values: tuple[float, ...]) -> Triple:
    i, j, k = values
    return i, j, k


def _told(lengths: Triple) -> str:
    return " x ".join(f"{length:.3g}" for length in lengths)


def _of_training(known: tuple[Triple, Triple], unit: str) -> str:
    return f"those of training {_told(known[0])} to {_told(known[1])} {unit}"


def _between(known: Range) -> str:
    return f"{known[0]:.4g} to {known[1]:.4g}"
