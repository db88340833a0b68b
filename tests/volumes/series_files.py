"""Series on disk for the tests of DICOM: grids that lie askew, and single attributes that are changed afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from torchio_seg.phantoms.dicom import Origin, write_series

SHAPE = (12, 9, 7)
SPACING = (0.8, 1.1, 2.5)
OBLIQUE = (0.3, -0.2, 0.5)
AXIAL = np.diag([-1.0, -1.0, 1.0])
SAGITTAL = np.array([[0.0, 0, -1], [-1, 0, 0], [0, -1, 0]])


def turned(angles: Sequence[float]) -> np.ndarray:
    """A rotation about the three axes, one after the other."""
    total = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[second, first], turn[first, second] = np.sin(angle), -np.sin(angle)
        total = turn @ total
    return total


def grid(directions: np.ndarray, spacing: Sequence[float] = SPACING) -> np.ndarray:
    """An affine, to right, front and up, of axes with these directions and steps."""
    affine = np.eye(4)
    affine[:3, :3] = directions * np.asarray(spacing)
    affine[:3, 3] = (17.25, -31.5, 204.125)
    return affine


GRIDS = {
    "axial": grid(AXIAL),
    "downwards": grid(AXIAL * (1, 1, -1)),
    "sagittal": grid(SAGITTAL),
    "oblique": grid(turned(OBLIQUE) @ AXIAL),
    "oblique downwards": grid(turned(OBLIQUE) @ AXIAL * (1, 1, -1)),
}


def picture(shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> np.ndarray:
    """Whole numbers that differ from voxel to voxel."""
    return np.random.default_rng(seed).integers(-1024, 3000, shape).astype(np.int16)


def write(folder: Path, affine: np.ndarray = GRIDS["axial"], origin: Origin | None = None, **more: Any) -> list[Path]:
    """A series of `picture`, and its files in the order of K."""
    write_series(folder, picture(**more), affine, origin or Origin("P1"))
    return sorted(folder.glob("*.dcm"))


def edit(path: Path, **changes: Any) -> None:
    """Set attributes of a file; None takes one out."""
    dataset = pydicom.dcmread(path)
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path)
