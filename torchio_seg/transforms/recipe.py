"""Preprocessing with everything resolved, as a trained model carries it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Shape = tuple[int, int, int]
Nonfinite = Literal["refuse", "zero"]
"""What a NaN or infinite voxel is: an error, or 0."""


@dataclass(frozen=True)
class Statistics:
    """Of one channel over the foreground of the training cases."""

    low: float
    high: float
    mean: float
    std: float


@dataclass(frozen=True)
class Recipe:
    """Preprocessing with everything resolved: what a trained model carries and prediction repeats."""

    spacing: tuple[float, float, float] | None
    """Voxel size in mm after turning the axes; None keeps each volume's own."""
    resize: Shape | None
    """Shape that every volume is brought to; None where spacing decides."""
    normalization: Literal["zscore", "zscore_all", "percentile", "minmax", "window", "histogram", "none"]
    window: tuple[float, float] | None = None
    statistics: tuple[Statistics, ...] = ()
    """One for each channel, for `percentile`."""
    landmarks: tuple[tuple[float, ...], ...] = ()
    """One row for each channel, for `histogram`: where the training cases' percentiles lie on the common scale."""
    crop_or_pad: Shape | None = None
    """Shape that a resampled volume is cut or filled to about its centre."""
    nonfinite: Nonfinite = "refuse"
    antialias: bool = False
    """Whether voxels are averaged along an axis that keeps half of them or fewer."""

    def resampled(self, shape: Shape, spacing: NDArray[np.float64]) -> Shape:
        """The shape that a turned volume of this shape and voxel size is resampled to."""
        if self.resize is not None:
            return self.resize
        if self.spacing is None:
            return shape
        sizes = (
            max(1, round(n * old / new)) for n, old, new in zip(shape, spacing.tolist(), self.spacing, strict=True)
        )
        i, j, k = sizes
        return i, j, k
