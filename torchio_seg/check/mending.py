"""What of a data set can be mended without guessing, and the copy in which it is.

Mended is what has one answer: voxels that hold no number become 0, labels next to whole numbers become these, grids
that differ by rounding become one, two forms of an affine that agree become equal. A mended file keeps its voxels and
its place; the rest of its header is written anew. Originals are only read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.errors import DataError
from torchio_seg.volumes.alignment import on_one_grid, turn_onto
from torchio_seg.volumes.geometry import GRID_TOLERANCE, deviation_mm, spacing_of
from torchio_seg.volumes.nifti import create, read, read_geometry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torchio_seg.check.known import Files
    from torchio_seg.facts import Facts
    from torchio_seg.records import Case, Dataset
    from torchio_seg.volumes.geometry import Affine, Array, Orientation
    from torchio_seg.volumes.header import Geometry

MENDABLE_SHIFT = 0.01
"""Of the smallest voxel edge, ten times what counts as one grid: headers with two decimals differ by no more, and no
patient has moved by a hundredth of a voxel. A larger shift may be a registration that was forgotten."""
MENDABLE_ROUNDING = 0.05
"""How far a label may lie from a whole number: what a scale factor costs. Interpolation leaves values in between."""


@dataclass(frozen=True)
class Change:
    """One thing that is other in a mended file."""

    what: str
    num_voxels: int = 0
    """Whose values are others; 0 where only their place is."""


@dataclass(frozen=True)
class Mending:
    """How one file is mended."""

    path: Path
    affine: Affine
    """Where its voxels are from now on."""
    changes: tuple[Change, ...]
    turn: Orientation | None = None
    """Of the stored axes, where they were turned to be compared."""
    is_label: bool = False

    def write(self, target: Path) -> None:
        """The mended file, checked and whole, under another name."""
        array = read(self.path, nonfinite="refuse" if self.is_label else "zero").array
        if self.turn is not None:
            array = self.turn.apply(array)
        create(target, _as_integers(array) if self.is_label else array, self.affine)


def find_mendings(dataset: Dataset, files: Files) -> dict[Path, Mending]:
    """Every file of the data set that can be mended, and how."""
    found: dict[Path, Mending] = {}
    for case in dataset.cases:
        for path in case.images:
            if path not in found and (mending := _image_mending(case, path, files)) is not None:
                found[path] = mending
        if case.label is not None and (mending := _label_mending(case.label, files.images[case.images[0]])):
            found.setdefault(case.label, mending)
    return found


def _image_mending(case: Case, path: Path, files: Files) -> Mending | None:
    facts, first = files.images[path], files.images[case.images[0]]
    if facts.problem is not None:
        return None
    changes, affine = [], facts.affine
    if facts.num_nonfinite:
        changes.append(Change("NaN and infinite voxels replaced by 0", facts.num_nonfinite))
    if first.problem is None and not on_one_grid(facts, first) and on_one_grid(facts, first, tolerance=MENDABLE_SHIFT):
        changes.append(_shift(affine, first, case.images[0]))
        affine = first.affine
    changes += _forms(read_geometry(path))
    return Mending(path, affine, tuple(changes)) if changes else None


def _label_mending(path: Path, image: Facts) -> Mending | None:
    try:
        volume = read(path)
    except DataError:
        return None
    rounded = _num_rounded(volume.array)
    if rounded is None or volume.num_channels != 1:
        return None
    changes, affine, turn = [], volume.affine, None
    if rounded:
        changes.append(Change("labels rounded to the whole numbers next to them", rounded))
    if image.problem is None and turn_onto(volume, image) is None:
        turn = turn_onto(volume, image, tolerance=MENDABLE_SHIFT)
    if turn is not None:
        changes.append(_shift(turn.apply_affine(affine, volume.shape), image, None))
        affine = image.affine
    changes += _forms(read_geometry(path))
    return Mending(path, affine, tuple(changes), turn, is_label=True) if changes else None


def _shift(affine: Affine, onto: Facts, name: Path | None) -> Change:
    distance = deviation_mm(onto.affine, affine, onto.shape)
    return Change(f"moved by up to {distance:.2g} mm onto the grid of {name.name if name else 'its image'}")


def _forms(geometry: Geometry) -> Iterator[Change]:
    """Programs differ in which form they believe."""
    if geometry.forms_apart_mm > GRID_TOLERANCE * min(spacing_of(geometry.affine)):
        yield Change(f"qform set to sform, which lay up to {geometry.forms_apart_mm:.2g} mm apart")


def _num_rounded(array: Array) -> int | None:
    """How many labels are no whole numbers, if each is next to one."""
    if array.dtype.kind != "f":
        return 0
    distance = np.abs(array - np.rint(array))
    return int(np.count_nonzero(distance)) if float(distance.max()) <= MENDABLE_ROUNDING else None


def _as_integers(array: Array) -> Array:
    whole = np.rint(array).astype(np.int64)
    smallest = np.result_type(np.min_scalar_type(int(whole.min())), np.min_scalar_type(int(whole.max())))
    return whole.astype(smallest)
