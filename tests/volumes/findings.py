"""What was found in a series, for the tests of writing it as DICOM."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from series_files import write

from torchio_seg.phantoms.dicom import Origin
from torchio_seg.records import Region
from torchio_seg.volumes.coding import coding_of
from torchio_seg.volumes.dicom import Grid, arrange, scan
from torchio_seg.volumes.dicom_output import Algorithm, Findings, Segment

ALGORITHM = Algorithm("1.2.3", "thorax", "0123456789abcdef" * 4)
CLASSES = {"liver": (1,), "left kidney": (2,), "tumor": (3,), "spleen": (4,)}


def make_grid(folder: Path, affine: np.ndarray, *, backwards: bool = False, origin: Origin | None = None) -> Grid:
    """The grid of a series on disk, whose files may be named against the order of their slices."""
    files = write(folder / "series", affine, origin)
    if backwards:
        for number, file in enumerate(files):
            shutil.move(file, folder / "series" / f"z{len(files) - number:03d}.dcm")
    (series,) = scan(folder / "series").series
    return arrange(series)


def noise(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Values from 0 to 3, one slice empty of all."""
    label_map = np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)
    label_map[..., 2] = 0
    return label_map


def make(grid: Grid, label_map: np.ndarray, classes: Mapping[str, Sequence[int]] = CLASSES) -> Findings:
    segments = tuple(
        Segment(Region(name, tuple(labels), labels[-1]), coding_of(name), place)
        for place, (name, labels) in enumerate(classes.items())
    )
    return Findings(grid, label_map, segments, ALGORITHM)
