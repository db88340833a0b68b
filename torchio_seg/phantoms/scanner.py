"""How a body lies in the scanner, and how its picture is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.phantoms.shapes import Array, Body, smooth_field, warped

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLIPPED = 0.5
"""Share of the stored axes that run the other way."""
LARGEST_TILT = np.deg2rad(8.0)
"""Of the body in the scanner, about each axis."""
SPACING_MM = (0.9, 1.2)
SMALLEST_AXIS = 16
"""Voxels; below that there is no room for anatomy."""


@dataclass(frozen=True)
class Phantom:
    """A made-up patient as a scanner would store it."""

    image: NDArray[np.int16]
    """C I J K."""
    label: NDArray[np.uint8]
    """I J K."""
    affine: NDArray[np.float64]
    """From voxels to millimetres right, front and up."""

    @property
    def spacing(self) -> tuple[float, float, float]:
        sizes = np.linalg.norm(self.affine[:3, :3], axis=0)
        return (float(sizes[0]), float(sizes[1]), float(sizes[2]))


@dataclass(frozen=True)
class Pose:
    """Where the body lies: a body that is upright in millimetres, on a tilted grid of voxels."""

    body: Body
    affine: NDArray[np.float64]


def place(shape: tuple[int, int, int], rng: np.random.Generator, *, fill: tuple[float, float, float]) -> Pose:
    """Lay a body on a grid: spacing, tilt, place and outline are random; `fill` is its share of each axis."""
    if min(shape) < SMALLEST_AXIS:
        raise ValueError(f"shape {shape} is too small for a phantom; at least {SMALLEST_AXIS} voxels along each axis")
    spacing = rng.uniform(*SPACING_MM) * rng.uniform(0.97, 1.03, 3)
    spacing = np.clip(spacing, *SPACING_MM)
    rotation = _rotation(rng.uniform(-LARGEST_TILT, LARGEST_TILT, 3))
    middle = (np.asarray(shape) - 1) / 2
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = rng.uniform(-20.0, 20.0, 3) - affine[:3, :3] @ middle
    semi_axes = np.asarray(shape) / 2 * np.asarray(fill) * rng.uniform(0.94, 1.0, 3)
    offsets = np.stack(np.meshgrid(*(np.arange(size) for size in shape), indexing="ij")) - middle.reshape(3, 1, 1, 1)
    upright = np.tensordot(rotation, offsets, axes=1) / semi_axes.reshape(3, 1, 1, 1)
    coordinates = warped(upright.astype(np.float32), rng, amount=0.03, waves=2.5)
    return Pose(Body(coordinates, semi_axes), affine)


def stored(image: Array, label: NDArray[np.uint8], affine: NDArray[np.float64], rng: np.random.Generator) -> Phantom:
    """Whole numbers, with the axes in a random order and direction; the affine keeps track of it."""
    order = tuple(int(axis) for axis in rng.permutation(3))
    flips = tuple(axis for axis in range(3) if rng.random() < FLIPPED)
    turned = affine.copy()
    turned[:3, :3] = affine[:3, list(order)]
    sizes = [label.shape[axis] for axis in order]
    for axis in flips:
        turned[:3, 3] += turned[:3, axis] * (sizes[axis] - 1)
        turned[:3, axis] *= -1
    whole = np.clip(np.rint(image), -32768, 32767).astype(np.int16)
    image_axes = (0, *(axis + 1 for axis in order))
    picture = np.flip(whole.transpose(image_axes), tuple(axis + 1 for axis in flips))
    return Phantom(np.ascontiguousarray(picture), np.ascontiguousarray(np.flip(label.transpose(order), flips)), turned)


def shading(shape: tuple[int, ...], rng: np.random.Generator, amount: float) -> Array:
    """The smooth multiplicative unevenness that a coil leaves in a magnetic resonance image."""
    factor: Array = np.exp(np.float32(amount) * smooth_field(shape, rng, 1.5))
    return factor


def rician(signal: Array, rng: np.random.Generator, deviation: float) -> Array:
    """The length of a complex signal with Gaussian noise in both parts."""
    noise = rng.standard_normal((2, *signal.shape), dtype=np.float32) * np.float32(deviation)
    length: Array = np.hypot(signal + noise[0], noise[1])
    return length


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[second, first] = np.sin(angle)
        turn[first, second] = -turn[second, first]
        total = turn @ total
    return total
