"""Volumes as ITK has them: what it writes and what it finds, independently of our readers and writers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name that everyone uses)
from scipy.spatial.transform import Rotation

SHAPE = (5, 6, 7)
VOXELS = np.random.default_rng(0).integers(0, 100, SHAPE).astype(np.int16)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def grid(angles=(0, 0, 0), signs=(1, 1, 1), axes=(0, 1, 2), spacing=(0.7, 1.3, 2.5)) -> np.ndarray:
    """An affine, to right, front and up, of axes that are turned, mirrored and permuted."""
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag(signs)[:, axes] * spacing
    affine[:3, 3] = (-10.1, 20.3, 5.7)
    return affine


GRIDS = {
    "straight": grid(),
    "left and back": grid(signs=(-1, -1, 1)),
    "downwards": grid(signs=(1, 1, -1)),
    "sagittal": grid(signs=(1, -1, -1), axes=(1, 2, 0)),
    "oblique": grid((17, 33, -8), (-1, 1, 1)),
    "45 degrees": grid((45, 0, 45), spacing=(1, 1, 1)),
}


def write_by_itk(path: Path, array: np.ndarray, affine: np.ndarray, *, compressed: bool = True) -> Path:
    """C I J K on disk as ITK writes it; several channels as a vector in each voxel."""
    turned = np.moveaxis(array, 0, -1).swapaxes(0, 2)
    image = sitk.GetImageFromArray(turned if len(array) > 1 else turned[..., 0], isVector=len(array) > 1)
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path), compressed)
    return path


def read_by_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """C I J K, and the affine to right, front and up."""
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    array = array[..., None] if image.GetNumberOfComponentsPerPixel() == 1 else array
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.moveaxis(array.swapaxes(0, 2), -1, 0), LPS @ affine
