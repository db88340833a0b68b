"""The grid that a model sees a volume on, and the way back to the volume's own.

Volumes are C I J K. Axes are turned to right, front, up; voxel size or shape is changed by one interpolation over
the whole extent, so that going back loses no border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from torchio_seg.errors import DataError
from torchio_seg.transforms.recipe import Recipe, Shape
from torchio_seg.volumes.geometry import Orientation, is_sheared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


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
    return on_model_grid(array, grids), grids


def on_model_grid(array: NDArray[np.generic], grids: Grids) -> torch.Tensor:
    """The same where its grids are known."""
    turned = torch.from_numpy(np.ascontiguousarray(grids.orientation.apply(array), dtype=np.float32))
    darkest = turned.flatten(1).amin(dim=1).tolist()
    return centred(resample(turned, grids.resampled_shape), grids.model_shape, darkest)


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
    turned_shape = orientation.apply_shape((i, j, k))
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


def pad_to(volume: torch.Tensor, shape: Shape) -> torch.Tensor:
    """The volume C I J K made at least this long, at the end of each axis, with 0."""
    i, j, k = (max(0, wanted - n) for wanted, n in zip(shape, volume.shape[1:], strict=True))
    return functional.pad(volume, (0, k, 0, j, 0, i)) if i + j + k else volume
