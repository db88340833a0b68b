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
    from collections.abc import Sequence

    from numpy.typing import NDArray

Shape = tuple[int, int, int]
Nonfinite = Literal["refuse", "zero"]
"""What a NaN or infinite voxel is: an error, or 0."""

LANDMARK_PERCENTILES = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99)


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


@dataclass(frozen=True)
class Grids:
    """Where a volume came from, so that what was predicted on the model's grid can go back."""

    orientation: Orientation
    turned_shape: Shape
    resampled_shape: Shape
    model_shape: Shape
    """After cutting or filling; the same as the resampled one without."""
    affine: NDArray[np.float64]
    """Of the model's grid."""

    def back(self, values: torch.Tensor, outside: Sequence[float]) -> torch.Tensor:
        """Values C I J K from the model's grid on the turned original grid; `outside` for what had been cut away."""
        return resample(centred(values, self.resampled_shape, outside), self.turned_shape)


def to_model_grid(
    array: NDArray[np.generic], affine: NDArray[np.float64], recipe: Recipe
) -> tuple[torch.Tensor, Grids]:
    """An image C I J K turned and resampled, float32, not yet normalised."""
    grids = find_grids(array.shape[1:], affine, recipe)
    turned = torch.from_numpy(np.ascontiguousarray(grids.orientation.apply(array), dtype=np.float32))
    darkest = turned.flatten(1).amin(dim=1).tolist()
    return centred(resample(turned, grids.resampled_shape), grids.model_shape, darkest), grids


def labels_to_model_grid(array: NDArray[np.generic], grids: Grids) -> torch.Tensor:
    """A label map 1 I J K on the grid of its image, each voxel from its nearest."""
    label = torch.from_numpy(np.ascontiguousarray(grids.orientation.apply(array)))
    if grids.turned_shape != grids.resampled_shape:
        nearest = functional.interpolate(label[None].float(), size=grids.resampled_shape, mode="nearest-exact")
        label = nearest[0].to(label.dtype)
    return centred(label, grids.model_shape, [0])


def find_grids(shape: tuple[int, ...], affine: NDArray[np.float64], recipe: Recipe) -> Grids:
    """The grids that a volume of this shape and affine passes through."""
    orientation = Orientation.to_ras(affine)
    i, j, k = shape
    turned_affine = orientation.apply_affine(affine, (i, j, k))
    turned_shape = orientation.apply(np.broadcast_to(np.uint8(0), (1, i, j, k))).shape[1:]
    resampled_shape = recipe.resampled(turned_shape, np.linalg.norm(turned_affine[:3, :3], axis=0))
    if resampled_shape != turned_shape and is_sheared(affine):
        raise DataError(
            "the axes of the volume are not perpendicular, so it has no voxel size to resample to; use "
            "preprocessing.spacing=native, or resample it to a straight grid first"
        )
    model_shape = recipe.crop_or_pad or resampled_shape
    ratio = np.array(turned_shape) / np.array(resampled_shape)
    first = [int((n - size) / 2) for n, size in zip(resampled_shape, model_shape, strict=True)]  # towards 0
    to_turned = np.eye(4)
    to_turned[:3, :3] = np.diag(ratio)
    to_turned[:3, 3] = (ratio - 1) / 2 + ratio * first  # edges coincide, so centres move by half the change in size
    return Grids(orientation, turned_shape, resampled_shape, model_shape, turned_affine @ to_turned)


def centred(volume: torch.Tensor, shape: Shape, outside: Sequence[float]) -> torch.Tensor:
    """The volume C I J K cut or filled about its centre to a shape; `outside` fills each channel. Undoes itself."""
    if tuple(volume.shape[1:]) == shape:
        return volume
    fill = torch.tensor(outside, dtype=volume.dtype).view(-1, 1, 1, 1)
    result = fill.expand(-1, *shape).clone()
    source, target = [slice(None)], [slice(None)]
    for old, new in zip(volume.shape[1:], shape, strict=True):
        first, length = abs(old - new) // 2, min(old, new)
        source.append(slice(first, first + length) if old > new else slice(None))
        target.append(slice(first, first + length) if new > old else slice(None))
    result[tuple(target)] = volume[tuple(source)]
    return result


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
    if recipe.normalization == "histogram":
        return torch.stack([_zscore(_matched(*pair)) for pair in zip(volume, recipe.landmarks, strict=True)])
    by_channel = {"zscore": _zscore, "zscore_all": _zscore_all, "minmax": _minmax}[recipe.normalization]
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


def find_landmarks(percentiles: Sequence[NDArray[np.float64]]) -> tuple[tuple[float, ...], ...]:
    """Where the percentiles C P of the training cases lie, on average, when each case's span is 0 to 100."""
    spans = np.stack(percentiles)  # cases C P
    low, high = spans[..., :1], spans[..., -1:]
    scaled = 100 * (spans - low) / np.maximum(high - low, 1e-8)
    return tuple(tuple(row) for row in scaled.mean(axis=0).tolist())


def histogram_percentiles(array: NDArray[np.generic]) -> NDArray[np.float64]:
    """The percentiles C P that landmarks are made of, over what is not exactly 0 in each channel of C I J K."""
    rows = [np.percentile(channel[channel != 0] if channel.any() else [0.0], LANDMARK_PERCENTILES) for channel in array]
    return np.stack(rows)


def _matched(channel: torch.Tensor, landmarks: Sequence[float]) -> torch.Tensor:
    """The channel's own percentiles moved to the landmarks, linear in between and beyond; 0 stays 0."""
    own = histogram_percentiles(channel.numpy()[None])[0]
    steps = np.maximum(np.diff(own), 1e-8)
    slopes = np.diff(landmarks) / steps
    piece = np.clip(np.searchsorted(own, channel.numpy(), side="right") - 1, 0, len(slopes) - 1)
    moved = np.asarray(landmarks)[piece] + (channel.numpy() - own[piece]) * slopes[piece]
    return torch.where(channel != 0, torch.from_numpy(moved).float(), torch.zeros_like(channel))


def _zscore(channel: torch.Tensor) -> torch.Tensor:
    """Mean 0 and deviation 1 over the voxels that are not exactly 0, which stay 0."""
    measured = channel != 0
    return torch.where(measured, _standardized(channel, channel[measured]), torch.zeros_like(channel))


def _zscore_all(channel: torch.Tensor) -> torch.Tensor:
    return _standardized(channel, channel)


def _standardized(channel: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The channel with the mean and deviation of these values taken out; 0 where they do not vary."""
    std = values.double().std(correction=0).item() if values.numel() else 0.0
    if not std > 1e-8:
        return torch.zeros_like(channel)
    return (channel - values.double().mean().item()) / std


def _minmax(channel: torch.Tensor) -> torch.Tensor:
    low, high = channel.min(), channel.max()
    return (channel - low) / (high - low) if high > low else torch.zeros_like(channel)
