"""Grids are compared by where voxels are, not by how they are stored."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from torchio_seg.volumes.alignment import difference, gap_mm, on_one_grid, turn_onto
from torchio_seg.volumes.geometry import Orientation

SHAPE = (5, 6, 7)
VOXELS = np.arange(5 * 6 * 7).reshape(1, *SHAPE)
TURNS = [
    Orientation(axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]


@dataclass
class Grid:
    """A shape somewhere."""

    shape: tuple[int, ...]
    affine: np.ndarray


def tilted(*angles: float) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag([0.7, 1.3, 4])
    affine[:3, 3] = (-80, 12.5, 400)
    return Grid(SHAPE, affine)


def turned(grid: Grid, turn: Orientation) -> Grid:
    return Grid(turn.apply_shape(grid.shape), turn.apply_affine(grid.affine, grid.shape))


def shifted(grid: Grid, millimetres: float) -> Grid:
    affine = grid.affine.copy()
    affine[0, 3] += millimetres
    return Grid(grid.shape, affine)


@pytest.mark.parametrize("angles", [(0, 0, 0), (17, -9, 23), (0, 0, 45), (45, -45, 45)])
def test_every_way_to_store_a_volume_is_turned_back_exactly(angles: tuple[float, ...]) -> None:
    fixed = tilted(*angles)
    for stored in TURNS:
        back = turn_onto(turned(fixed, stored), fixed)
        assert back is not None
        assert np.array_equal(back.apply(stored.apply(VOXELS)), VOXELS)
        assert on_one_grid(turned(fixed, stored), fixed) == (stored == TURNS[0])


@pytest.mark.parametrize("stored", TURNS[::5])
def test_a_turned_volume_that_lies_elsewhere_is_not_turned_onto_the_grid(stored: Orientation) -> None:
    fixed = tilted(17, -9, 23)
    off = turned(shifted(fixed, 0.01), stored)
    assert turn_onto(off, fixed) is None
    assert turn_onto(off, fixed, tolerance=0.02) is not None
    assert difference(off, fixed) == "voxels lie up to 0.01 mm apart"


def test_a_mirrored_grid_of_the_same_shape_is_told_apart_from_a_flipped_one() -> None:
    fixed = tilted(0, 0, 0)
    mirrored = Grid(SHAPE, np.diag([-1.0, 1, 1, 1]) @ fixed.affine)
    assert turn_onto(mirrored, fixed) is None


def test_another_shape_is_said_in_the_axes_of_the_other() -> None:
    fixed = tilted(0, 0, 0)
    longer = turned(Grid((5, 6, 8), fixed.affine), Orientation((2, 0, 1), (True, False, False)))
    assert difference(longer, fixed) == "5 x 6 x 8 voxels, not 5 x 6 x 7"


@pytest.mark.parametrize(("millimetres", "gap"), [(0, 0), (3.4, 0), (3.6, 0.1), (103.5, 100), (-103.5, 100)])
def test_a_gap_is_measured_between_the_faces(millimetres: float, gap: float) -> None:
    fixed = tilted(0, 0, 0)
    assert gap_mm(shifted(fixed, millimetres), fixed) == pytest.approx(gap)
    assert ("do not overlap" in difference(shifted(fixed, millimetres), fixed)) == (gap > 0)


def test_axes_that_would_become_one_have_no_turn() -> None:
    sheared = np.array([[1.0, 1, 0, 0], [0, 0.3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert Orientation.between(sheared, np.eye(4)) is None
    assert turn_onto(Grid(SHAPE, sheared), Grid(SHAPE, np.eye(4))) is None
    assert difference(Grid(SHAPE, sheared), Grid(SHAPE, np.eye(4))).startswith("voxels lie up to")
