"""The grid that a model sees a volume on, and the way back to the volume's own.

Volumes are C I J K. Axes are turned to right, front, up; voxel size or shape is changed by one interpolation over
the whole extent, so that going back loses no border.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
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

_MANY = 2
"""Voxels that become one, from which on linear interpolation between two of them would leave out others."""


@dataclass(frozen=True)
class Grids:
    """Where a volume came from, so that what was predicted on the model's grid can go back."""

    orientation: Orientation
    turned_shape: Shape
    averaged_shape: Shape
    """Of images, along those axes resampled on which so many voxels become one that they are averaged."""
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
    resampled = resample(average(turned, grids.averaged_shape), grids.resampled_shape)
    return centred(resampled, grids.model_shape, darkest)


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
            "the axes of the volume are not perpendicular (gantry tilt?), so it has no voxel size to resample to; "
            "resample it to a straight grid first, or use a model that is trained with preprocessing.spacing=native"
        )
    averaged_shape = _averaged(turned_shape, resampled_shape) if recipe.antialias else turned_shape
    model_shape = recipe.crop_or_pad or resampled_shape
    ratio = np.array(turned_shape) / np.array(resampled_shape)
    first = [int((n - size) / 2) for n, size in zip(resampled_shape, model_shape, strict=True)]  # towards 0
    to_turned = np.eye(4)
    to_turned[:3, :3] = np.diag(ratio)
    to_turned[:3, 3] = (ratio - 1) / 2 + ratio * first  # edges coincide, so centres move by half the change in size
    return Grids(orientation, turned_shape, averaged_shape, resampled_shape, model_shape, turned_affine @ to_turned)


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


def average(volume: torch.Tensor, shape: Shape) -> torch.Tensor:
    """The volume C I J K at a shape with fewer voxels, each the mean of what it covers; the last axis comes first."""
    for axis in (2, 1, 0):
        if (old := volume.shape[1 + axis]) != shape[axis]:
            volume = mean_along(volume, axis, *covered(old, shape[axis], 0, shape[axis]))
    return volume


def mean_along(volume: torch.Tensor, axis: int, places: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Weighted sums of planes: for each new one its places in the volume, and the share of each; both T N.

    One plane is added after the other, so that the same bits come out however few new ones are asked for at a time.
    """
    shares = shares.view(len(shares), *(-1 if each == axis else 1 for each in range(3)))
    total = volume.index_select(1 + axis, places[0]).mul_(shares[0])
    for place, share in zip(places[1:], shares[1:], strict=True):
        total.add_(volume.index_select(1 + axis, place).mul_(share))
    return total


def covered(old: int, new: int, first: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
    """For these of `new` voxels those of `old` that each covers, and the share that each has in it; both T N."""
    begin, stop = (torch.arange(first + step, end + step, dtype=torch.float64).mul_(old).div_(new) for step in (0, 1))
    places = begin.floor() + torch.arange(ceil(old / new) + 1, dtype=torch.float64)[:, None]
    shares = (torch.minimum(places + 1, stop) - torch.maximum(places, begin)).clamp_(min=0) * (new / old)
    return places.long().clamp_(max=old - 1), shares.float()


def _averaged(shape: Shape, wanted: Shape) -> Shape:
    i, j, k = (new if old >= _MANY * new else old for old, new in zip(shape, wanted, strict=True))
    return i, j, k


def pad_to(volume: torch.Tensor, shape: Shape) -> torch.Tensor:
    """The volume C I J K made at least this long, at the end of each axis, with 0."""
    i, j, k = (max(0, wanted - n) for wanted, n in zip(shape, volume.shape[1:], strict=True))
    return functional.pad(volume, (0, k, 0, j, 0, i)) if i + j + k else volume
