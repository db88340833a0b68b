"""Orientation is undone exactly, for every storage order and every angle."""

import itertools

import numpy as np
import pytest
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from scipy.spatial.transform import Rotation
from stored_axes import undo

from torchio_seg.volumes.geometry import Orientation, deviation_mm, is_degenerate, is_sheared, same_grid

SHAPE = (5, 6, 7)
VOXELS = np.arange(2 * 5 * 6 * 7).reshape(2, *SHAPE)
STORAGE = [
    np.eye(3)[list(axes)].T * signs
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
TILTS = {"straight": (0, 0, 0), "oblique": (17, -9, 23), "45 degrees": (0, 0, 45), "45 degrees thrice": (45, -45, 45)}


def affine_of(storage, tilt):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", tilt, degrees=True).as_matrix() @ storage @ np.diag([0.7, 1.3, 4])
    affine[:3, 3] = (-80, 12.5, 400)
    return affine


@pytest.mark.parametrize("tilt", TILTS.values(), ids=TILTS)
def test_all_48_storage_orders_are_undone_exactly(tilt):
    for storage in STORAGE:
        orientation = Orientation.to_ras(affine_of(storage, tilt))
        upright = orientation.apply(VOXELS)
        assert np.array_equal(undo(orientation, upright), VOXELS)
        assert upright.flags.c_contiguous


@pytest.mark.parametrize("tilt", TILTS.values(), ids=TILTS)
def test_every_voxel_keeps_its_place_in_the_world(tilt):
    indices = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")).astype(float)
    for storage in STORAGE:
        affine = affine_of(storage, tilt)
        world = np.einsum("ab,bijk->aijk", affine[:3, :3], indices) + affine[:3, 3, None, None, None]
        orientation = Orientation.to_ras(affine)
        upright, moved = orientation.apply(world), orientation.apply_affine(affine, SHAPE)
        there = np.stack(np.meshgrid(*map(np.arange, upright.shape[1:]), indexing="ij")).astype(float)
        found = np.einsum("ab,bijk->aijk", moved[:3, :3], there) + moved[:3, 3, None, None, None]
        np.testing.assert_allclose(found, upright, atol=1e-9)


def test_reorientation_agrees_with_nibabel():
    for storage in STORAGE:
        affine = affine_of(storage, (17, -9, 23))
        steps, orientation = io_orientation(affine), Orientation.to_ras(affine)
        assert np.array_equal(orientation.apply(VOXELS)[0], apply_orientation(VOXELS[0], steps))
        expected = affine @ inv_ornt_aff(steps, SHAPE)
        np.testing.assert_allclose(orientation.apply_affine(affine, SHAPE), expected, atol=1e-12)


def test_reoriented_straight_volume_is_right_anterior_superior():
    for storage in STORAGE:
        affine = affine_of(storage, (0, 0, 0))
        moved = Orientation.to_ras(affine).apply_affine(affine, SHAPE)[:3, :3]
        assert (np.diag(moved) > 0).all()
        assert np.allclose(moved, np.diag(np.diag(moved)))


def test_random_angles_and_exact_diagonals_are_undone():
    rng = np.random.default_rng(5)
    for _ in range(200):
        tilt = rng.choice([-135, -90, -45, 45, 90, 135], 3) if rng.random() < 0.5 else rng.uniform(-180, 180, 3)
        orientation = Orientation.to_ras(affine_of(STORAGE[rng.integers(48)], tilt))
        assert np.array_equal(undo(orientation, orientation.apply(VOXELS)), VOXELS)


def test_grids_are_one_within_a_thousandth_of_a_voxel_at_every_corner():
    affine = affine_of(STORAGE[0], (10, 20, 30))
    moved, turned = affine.copy(), affine.copy()
    moved[0, 3] += 1e-4
    assert same_grid(affine, moved, SHAPE)
    moved[0, 3] += 1
    assert not same_grid(affine, moved, SHAPE)
    assert deviation_mm(affine, moved, SHAPE) == pytest.approx(1.0001)
    turned[:3, 0] *= 1 + 2e-4  # 0.14 micrometres a voxel
    assert same_grid(affine, turned, SHAPE)
    assert not same_grid(affine, turned, (500, 6, 7))


def test_mirrored_grid_is_another_grid_although_its_corners_coincide():
    affine, mirrored = np.eye(4), np.diag([-1.0, 1, 1, 1])
    mirrored[0, 3] = 4
    assert deviation_mm(affine, mirrored, (5, 5, 5)) == 4


def test_shear_and_flatness_are_told_from_rotation():
    for storage, tilt in itertools.product(STORAGE, TILTS.values()):
        assert not is_sheared(affine_of(storage, tilt))
        assert not is_degenerate(affine_of(storage, tilt))
    sheared, flat = np.eye(4), np.eye(4)
    sheared[0, 1], flat[:3, 1] = 0.01, (1, 0, 0)
    assert is_sheared(sheared)
    assert not is_degenerate(sheared)
    for broken in (flat, np.diag([1, 0, 1, 1]), np.full((4, 4), np.nan), np.zeros((4, 4))):
        assert is_degenerate(broken)
