"""Patients in DICOM for the tests of importing: a ball and a box in a small scan, on a grid of their own each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from torchio_seg.phantoms.dicom import write_patient

SHAPE = (14, 12, 8)


def affine(number: int) -> np.ndarray:
    made = np.diag([-0.9, -1.2, 2.5 + number / 4, 1.0])
    made[:3, 3] = 10, 20, 30 + number
    return made


def masks() -> dict[str, np.ndarray]:
    """Lung, Heart within it, and Cord beside both."""
    found = {name: np.zeros(SHAPE, bool) for name in ("Lung", "Heart", "Cord")}
    found["Lung"][2:10, 2:10, 1:7] = True
    found["Heart"][5:8, 4:9, 2:6] = True
    found["Cord"][11:13, 3:5] = True
    return found


def image(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(-1000, 1000, SHAPE).astype(np.int16)


def make_patients(root: Path, count: int = 3) -> Path:
    for number in range(count):
        write_patient(root, f"P{number}", image(number), affine(number), masks())
    return root
