"""What anatomy is drawn with: body coordinates, smooth random fields, and level sets that are negative inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Point = tuple[float, float, float]

MIRROR = np.array([-1.0, 1.0, 1.0], dtype=np.float32)
"""Turns a place on the right into the same place on the left."""


@dataclass(frozen=True)
class Body:
    """Where each voxel lies in the body: -1..1 within its outline, to the right, the front and the head."""

    coordinates: Array
    """3 I J K."""
    semi_axes: NDArray[np.float64]
    """Of the body's outline, in voxels."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.coordinates.shape[1:]

    def ellipsoid(self, centre: Point, axes: Point) -> Array:
        """Negative inside; near the surface, the distance to it as a share of the semi-axes."""
        return _norm(self.coordinates, centre, axes) - np.float32(1)

    def pair(self, centre: Point, axes: Point) -> Array:
        """The same ellipsoid on both sides."""
        mirrored = tuple(float(value) for value in MIRROR * np.asarray(centre))
        return np.minimum(self.ellipsoid(centre, axes), self.ellipsoid((mirrored[0], centre[1], centre[2]), axes))

    def column(self, centre: tuple[float, float], axes: tuple[float, float]) -> Array:
        """An elliptic cylinder along the body: centre and semi-axes to the right and to the front."""
        across = self.coordinates[:2]
        return _norm(across, centre, axes) - np.float32(1)

    def ball(self, centre: NDArray[np.float64], stretch: NDArray[np.float64]) -> Array:
        """Distance in voxels from a place, the directions weighted by `stretch`."""
        scale = (self.semi_axes * stretch).astype(np.float32).reshape(3, 1, 1, 1)
        offset = (self.coordinates - centre.astype(np.float32).reshape(3, 1, 1, 1)) * scale
        length: Array = np.sqrt(np.einsum("dijk,dijk->ijk", offset, offset))
        return length


def smooth_field(shape: tuple[int, ...], rng: np.random.Generator, waves: float) -> Array:
    """A smooth random field of mean 0 and deviation 1 whose bumps fit about `waves` times into each axis."""
    weights = [_interpolation(size, waves) for size in shape]
    values = rng.standard_normal([matrix.shape[1] for matrix in weights], dtype=np.float32)
    for matrix in weights:
        values = np.moveaxis(np.tensordot(matrix, values, axes=(1, 0)), 0, -1)
    return np.ascontiguousarray(values, dtype=np.float32)


def threads(shape: tuple[int, ...], rng: np.random.Generator, waves: float, thickness: float) -> Mask:
    """Winding threads, like vessels: where two random fields are near zero at once."""
    first, second = smooth_field(shape, rng, waves), smooth_field(shape, rng, waves)
    inside: Mask = first**2 + second**2 < thickness**2
    return inside


def warped(coordinates: Array, rng: np.random.Generator, *, amount: float, waves: float) -> Array:
    """Coordinates pushed about smoothly, so that no outline is a perfect ellipsoid."""
    shape = coordinates.shape[1:]
    return coordinates + np.float32(amount) * np.stack([smooth_field(shape, rng, waves) for _ in range(3)])


def _norm(coordinates: Array, centre: tuple[float, ...], axes: tuple[float, ...]) -> Array:
    total = np.zeros(coordinates.shape[1:], dtype=np.float32)
    for values, middle, axis in zip(coordinates, centre, axes, strict=True):
        total += ((values - np.float32(middle)) / np.float32(axis)) ** 2
    return np.sqrt(total)


def _interpolation(size: int, waves: float) -> Array:
    """Gaussian weights from nodes to voxels; each row has length 1, so that the field's variance is 1 everywhere."""
    nodes = np.arange(-2.0, np.ceil(waves) + 3.0)
    places = np.linspace(0.0, waves, size)
    weights = np.exp(-0.5 * ((places[:, None] - nodes[None]) / 0.7) ** 2)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return weights.astype(np.float32)
