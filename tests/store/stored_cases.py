"""A case that tests of the store share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from torchio_seg.records import Case
from torchio_seg.store.laying import Layout
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.nifti import create

SPACED = Recipe((1.5, 1.0, 2.0), None, "none")
LAYOUT = Layout(2, (0, 1, 2), SPACED)
AFFINE = np.array([[0.0, 0, 2, -5], [-1, 0, 0, 30], [0, 1.5, 0, 8], [0, 0, 0, 1]])


def write_case(folder: Path, name: str = "a", seed: int = 0) -> Case:
    """Empty but for a box, on axes that must be turned; the label reaches beyond the image's box."""
    rng = np.random.default_rng(seed)
    shape = (24, 20, 18)
    label = np.zeros(shape, np.uint8)
    label[5:9, 6:12, 3:8], label[15:17, 10, 3:14] = 1, 2
    paths = []
    for channel in range(2):
        image = np.zeros(shape, np.float32)
        image[4:16, 5:14, 3:12] = rng.normal(500 * 100**channel, 90 * 100**channel, (12, 9, 9))
        paths.append(folder / f"{name}_{channel}.nii.gz")
        create(paths[-1], image, AFFINE)
    create(folder / f"{name}_label.nii.gz", label, AFFINE)
    return Case(name, tuple(paths), folder / f"{name}_label.nii.gz")
