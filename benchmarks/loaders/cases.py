"""The cases that all loaders read: made up, of BraTS's size, form and orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from torchio_seg.volumes.nifti import create

CHANNELS = ("t1", "t1ce", "t2", "flair")
PATCH_SIZE = (96, 96, 96)
BATCH_SIZE = 2
PATCHES_PER_CASE = 8
NUM_VISITS = 100_000
"""Of cases in an epoch; so many that none ends while it is measured, as in a data set of hundreds of cases."""
TUMOUR = ((2, 1.0), (3, 0.65), (1, 0.4))
"""Label and share of the tumour's radius: oedema, the enhancing rim, the core."""


def case_files(folder: Path) -> list[tuple[list[Path], Path]]:
    """The images and the label map of each case."""
    labels = sorted((folder / "raw").glob("*_seg.nii.gz"))
    return [([path.with_name(path.name.replace("seg", channel)) for channel in CHANNELS], path) for path in labels]


def make_cases(folder: Path, number: int, shape: tuple[int, int, int]) -> None:
    """Brains of smooth noise in empty space, each with a tumour of three parts elsewhere, in a file a channel."""
    generator = np.random.default_rng(0)
    (folder / "raw").mkdir(parents=True)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    axes = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    brain = (axes[0] / 0.62) ** 2 + (axes[1] / 0.76) ** 2 + (axes[2] / 0.86) ** 2 < 1
    for case in range(number):
        label = _tumour(generator, shape, brain)
        for channel in CHANNELS:
            values = 400 + _texture(generator, shape) + 60 * generator.normal(size=4)[label]
            path = folder / "raw" / f"case{case}_{channel}.nii.gz"
            create(path, np.where(brain, values.clip(1), 0).astype(np.int16), affine)
        create(folder / "raw" / f"case{case}_seg.nii.gz", label, affine)


def _texture(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Structures of about 4 and 16 voxels, and a little of each voxel's own."""
    fine = ndimage.gaussian_filter(generator.standard_normal(shape, dtype=np.float32), 2, truncate=2)
    coarse = generator.standard_normal([n // 8 + 1 for n in shape], dtype=np.float32)
    coarse = ndimage.zoom(coarse, [n / m for n, m in zip(shape, coarse.shape, strict=True)], order=1)
    own = generator.standard_normal(shape, dtype=np.float32)
    return 50 * fine / fine.std() + 70 * coarse / coarse.std() + 10 * own


def _tumour(generator: np.random.Generator, shape: tuple[int, int, int], brain: np.ndarray) -> np.ndarray:
    """Nested ellipsoids about a voxel well inside the brain."""
    radii = generator.uniform(18, 34, 3)
    centre = [n * (0.5 + generator.uniform(-0.17, 0.17)) for n in shape]
    axes = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    distance = sum(((x - c) / r) ** 2 for x, c, r in zip(axes, centre, radii, strict=True))
    label = np.zeros(shape, np.uint8)
    for value, share in TUMOUR:
        label[(distance < share**2) & brain] = value
    return label
