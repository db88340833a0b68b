"""What every volume goes through before patches are cut, and the way back to its own grid.

Volumes are C I J K. Axes are turned to right, front, up; voxel size or shape is changed by one interpolation over
the whole extent, so that going back loses no border; intensities are normalised per channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.nn import functional

from torchio_seg.errors import DataError
from torchio_seg.volumes.geometry import Orientation, is_sheared

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = tuple[int, int, int]


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
    normalization: Literal["zscore", "percentile", "minmax", "window", "none"]
    window: tuple[float, float] | None = None
    statistics: tuple[Statistics, ...] = ()
    """One for each channel, for `percentile`."""

    def grid(self, shape: Shape, spacing: NDArray[np.float64]) -> Shape:
        """The shape that a turned volume of this shape and voxel size is brought to."""
        if self.resize is not None:
            return self.resize
        if self.spacing is None:
            return shape
        sizes = (
            max(1, round(n * old / new)) for n, old, new in zip(shape, spacing.tolist(), self.spacing, strict=True)
        )
        i, j, k = sizes
        return i, j, k


@dataclass(frozen=True)
class Grids:
    """Where a volume came from, so that what was predicted on the model's grid can go back."""

    orientation: Orientation
    turned_shape: Shape
    model_shape: Shape
    affine: NDArray[np.float64]
    """Of the model's grid."""

    def back(self, values: torch.Tensor) -> torch.Tensor:
        """Values C I J K from the model's grid on the turned original grid."""
        return resample(values, self.turned_shape)


def to_model_grid(
    array: NDArray[np.generic], affine: NDArray[np.float64], recipe: Recipe
) -> tuple[torch.Tensor, Grids]:
    """An image C I J K turned and resampled, float32, not yet normalised."""
    grids = find_grids(array.shape[1:], affine, recipe)
    turned = np.ascontiguousarray(grids.orientation.apply(array), dtype=np.float32)
    return resample(torch.from_numpy(turned), grids.model_shape), grids


def labels_to_model_grid(array: NDArray[np.generic], grids: Grids) -> torch.Tensor:
    """A label map 1 I J K on the grid of its image, each voxel from its nearest."""
    turned = torch.from_numpy(np.ascontiguousarray(grids.orientation.apply(array)))
    if grids.turned_shape == grids.model_shape:
        return turned
    nearest = functional.interpolate(turned[None].float(), size=grids.model_shape, mode="nearest-exact")
    return nearest[0].to(turned.dtype)


def find_grids(shape: tuple[int, ...], affine: NDArray[np.float64], recipe: Recipe) -> Grids:
    """The grids that a volume of this shape and affine passes through."""
    orientation = Orientation.to_ras(affine)
    i, j, k = shape
    turned_affine = orientation.apply_affine(affine, (i, j, k))
    turned_shape = orientation.apply(np.broadcast_to(np.uint8(0), (1, i, j, k))).shape[1:]
    model_shape = recipe.grid(turned_shape, np.linalg.norm(turned_affine[:3, :3], axis=0))
    if model_shape != turned_shape and is_sheared(affine):
        raise DataError(
            "the axes of the volume are not perpendicular, so it has no voxel size to resample to; use "
            "preprocessing.spacing=native, or resample it to a straight grid first"
        )
    ratio = np.array(turned_shape) / np.array(model_shape)
    scale = np.eye(4)
    scale[:3, :3] = np.diag(ratio)
    scale[:3, 3] = (ratio - 1) / 2  # voxel edges coincide, so centres move by half the change in size
    return Grids(orientation, turned_shape, model_shape, turned_affine @ scale)


def resample(volume: torch.Tensor, shape: Shape) -> torch.Tensor:
    """The volume C I J K at another shape over the same extent, linear between voxels, constant beyond the last."""
    if tuple(volume.shape[1:]) == shape:
        return volume
    return functional.interpolate(volume[None], size=shape, mode="trilinear", align_corners=False)[0]


def normalize(volume: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """The volume C I J K with intensities as the network expects them; a constant channel becomes 0."""
    if recipe.normalization == "none":
        return volume
    if recipe.normalization == "percentile":
        pairs = zip(volume, recipe.statistics, strict=True)
        return torch.stack([(channel.clamp(s.low, s.high) - s.mean) / max(s.std, 1e-8) for channel, s in pairs])
    if recipe.normalization == "window":
        low, high = recipe.window or (0.0, 1.0)
        return (volume.clamp(low, high) - low) / (high - low)
    by_channel = _zscore if recipe.normalization == "zscore" else _minmax
    return torch.stack([by_channel(channel) for channel in volume])


def pad_to(volume: torch.Tensor, shape: Shape, recipe: Recipe | None = None) -> torch.Tensor:
    """The volume C I J K made at least this long, at the end of each axis, with what stands for air (labels: 0)."""
    missing = [max(0, wanted - n) for wanted, n in zip(shape, volume.shape[1:], strict=True)]
    if not any(missing):
        return volume
    i, j, k = missing
    padded = functional.pad(volume, (0, k, 0, j, 0, i))
    if recipe is not None and recipe.normalization == "percentile":
        for channel, original in zip(padded, volume, strict=True):
            for axis, n in enumerate(original.shape):
                channel.narrow(axis, n, channel.shape[axis] - n).fill_(original.min())
    return padded


def measure(samples: list[NDArray[np.float32]], percentiles: tuple[float, float]) -> tuple[Statistics, ...]:
    """Statistics of each channel from foreground intensities C N of the training cases."""
    values = np.concatenate(samples, axis=1)
    low, high = np.percentile(values, percentiles, axis=1)
    return tuple(
        Statistics(float(low[c]), float(high[c]), float(values[c].mean()), float(values[c].std()))
        for c in range(len(values))
    )


def _zscore(channel: torch.Tensor) -> torch.Tensor:
    """Mean 0 and deviation 1 over the voxels that are not exactly 0, which stay 0."""
    measured = channel != 0
    values = channel[measured].double()
    std = values.std(correction=0).item() if values.numel() else 0.0
    if not std > 1e-8:
        return torch.zeros_like(channel)
    return torch.where(measured, (channel - values.mean().item()) / std, torch.zeros_like(channel))


def _minmax(channel: torch.Tensor) -> torch.Tensor:
    low, high = channel.min(), channel.max()
    return (channel - low) / (high - low) if high > low else torch.zeros_like(channel)
