"""Linear maps of a volume that act along each axis in turn: a matrix an axis, a product an axis.

On a CPU these products are several times faster than convolutions and interpolations of whole volumes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def along_axes(volume: torch.Tensor, matrices: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """The volume C I J K with each spatial axis multiplied by its matrix (new length, old length); None keeps it."""
    first, second, third = matrices
    if first is not None:
        _, _, *rest = volume.shape
        volume = (first @ volume.flatten(2)).unflatten(2, rest)
    if second is not None:
        volume = second @ volume
    return volume if third is None else volume @ third.T


def hats(places: torch.Tensor, num_vertices: int) -> torch.Tensor:
    """Linear interpolation of vertices 0, 1, 2 ... at these places: a row a place."""
    return (1 - _distances(places, num_vertices)).clamp_(min=0)


def splines(places: torch.Tensor, num_control_points: int) -> torch.Tensor:
    """Uniform cubic B-splines at these places: a row a place; the control points lie at -1, 0, 1, 2 ..."""
    return spline(_distances(places + 1, num_control_points))


def spline(distances: torch.Tensor) -> torch.Tensor:
    """The cubic B-spline at these distances, which are not negative, from its centre."""
    inner = 2 / 3 - distances**2 + distances**3 / 2
    return torch.where(distances < 1, inner, (2 - distances).clamp(min=0) ** 3 / 6)


def smoothing(length: int, std: float) -> torch.Tensor:
    """A Gaussian of this deviation in voxels, its weights summing to 1 near the ends too."""
    distances = _distances(torch.arange(length, dtype=torch.float64), length)
    weights = torch.exp(-((distances / std) ** 2) / 2)
    normalized: torch.Tensor = weights / weights.sum(dim=1, keepdim=True)
    return normalized


def spline_coefficients(length: int) -> torch.Tensor:
    """From values at voxels to the cubic B-splines that pass through them, mirrored about the first and last."""
    if length == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    values = splines(torch.arange(length, dtype=torch.float64), length + 2)
    values[:, 2] += values[:, 0]
    values[:, -3] += values[:, -1]
    inverse: torch.Tensor = torch.linalg.inv(values[:, 1:-1])
    return inverse


def _distances(places: torch.Tensor, length: int) -> torch.Tensor:
    return (places[:, None] - torch.arange(length, dtype=places.dtype, device=places.device)).abs()
