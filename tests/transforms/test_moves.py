"""Moves are moves in space: millimetres count, not voxels; nothing folds; what is drawn is what was asked for."""

from __future__ import annotations

import pytest
import torch

from torchio_seg.errors import DataError
from torchio_seg.transforms.maps import Grid, Map
from torchio_seg.transforms.moves import Affine, Elastic, Flip, Move, OneOf, QuarterTurn, affine_matrix, draw

GRID = Grid((20, 24, 16), (1.0, 0.5, 2.0))
COARSE = Grid((32, 32, 12), (0.8, 0.8, 5.0))


def rotation(degrees: float, **options: float) -> Affine:
    settings = {"scale": 0.0, "shear": 0.0, "translation_mm": 0.0, **options}
    return Affine(1.0, (degrees, degrees, degrees), isotropic=False, **settings)


def draws(move: Move, grid: Grid, number: int = 50) -> list[Map]:
    generator = torch.Generator().manual_seed(0)
    return [draw([move], generator, grid) for _ in range(number)]


def in_mm(where: Map, grid: Grid) -> torch.Tensor:
    spacing = torch.tensor(grid.spacing, dtype=torch.float64)
    return where.matrix * spacing[:, None] / spacing


def test_a_rotation_of_long_voxels_is_one_in_space() -> None:
    for where in draws(rotation(30), GRID):
        matrix = in_mm(where, GRID)
        assert torch.allclose(matrix @ matrix.T, torch.eye(3, dtype=torch.float64))
        assert torch.linalg.det(matrix) == pytest.approx(1)


def test_much_longer_voxels_are_turned_and_scaled_within_their_slice_only() -> None:
    for where in draws(rotation(30, shear=0.3), COARSE):
        assert where.matrix[2].tolist() == pytest.approx([0, 0, 1])
        assert where.matrix[:, 2].tolist() == pytest.approx([0, 0, 1])
    assert any(abs(where.matrix[0, 1]) > 0.1 for where in draws(rotation(30), COARSE))
    for isotropic in (False, True):
        scaling = Affine(1.0, (0.0, 0.0, 0.0), 0.3, isotropic, shear=0.0, translation_mm=0.0)
        sizes = torch.stack([where.matrix.diagonal() for where in draws(scaling, COARSE)])
        assert (sizes[:, 2] == 1).all(), "a slice is a blend of its neighbours where it is not"
        assert (sizes[:, :2] - 1).abs().amin(dim=0).max() > 0
        assert (sizes[:, 0] == sizes[:, 1]).all() == isotropic
    for where in draws(Elastic(1.0, 7, 0.3), COARSE, 5):
        assert where.bend is not None
        assert not where.bend[2].any()
        assert where.bend[:2].all()


def test_degrees_and_sizes_stay_within_what_was_asked_for_and_use_all_of_it() -> None:
    about_one = Affine(1.0, (0.0, 0.0, 20.0), 0.0, isotropic=False, shear=0.0, translation_mm=0.0)
    angles = torch.stack([torch.atan2(m[1, 0], m[0, 0]) for m in (in_mm(w, GRID) for w in draws(about_one, GRID, 300))])
    assert 18 < angles.rad2deg().abs().max() <= 20
    assert (angles > 0).any()
    assert (angles < 0).any()
    sizes = torch.stack([1 / w.matrix.diagonal() for w in draws(rotation(0, scale=0.25), GRID, 300)])
    assert sizes.min() == pytest.approx(0.75, abs=0.01)
    assert sizes.max() == pytest.approx(1.25, abs=0.01)
    alike = Affine(1.0, (0.0, 0.0, 0.0), 0.25, isotropic=True, shear=0.0, translation_mm=0.0)
    for where in draws(alike, Grid(GRID.size, (1.0, 0.8, 2.0))):
        assert torch.allclose(where.matrix, where.matrix[0, 0] * torch.eye(3, dtype=torch.float64))


def test_a_shift_is_in_millimetres() -> None:
    shifts = torch.stack([where.shift for where in draws(rotation(0, translation_mm=6.0), GRID, 300)])
    limits = 6.0 / torch.tensor(GRID.spacing).double()
    assert (shifts.abs() <= limits).all()
    assert (shifts.abs().amax(dim=0) > 0.95 * limits).all()


def test_enlarging_looks_at_less() -> None:
    doubled = affine_matrix((0, 0, 0), (2, 1, 1), (0, 0, 0)).inverse()
    assert doubled.diagonal().tolist() == [0.5, 1, 1]


@pytest.mark.parametrize("displacement", [0.25, 0.4])
@pytest.mark.parametrize("extreme", [False, True])
def test_an_elastic_deformation_does_not_fold(displacement: float, extreme: bool) -> None:
    """Of finite differences, the volume that a voxel is taken from is positive everywhere."""
    grid = Grid((40, 33, 48), (1.0, 1.0, 1.0))
    smallest = []
    for where in draws(Elastic(1.0, 7, displacement), grid, 15):
        assert where.bend is not None
        limit = displacement * (torch.tensor(grid.size) - 1).view(3, 1, 1, 1) / 4
        assert (where.bend.abs() <= limit).all()
        bend = where.bend.sign() * limit if extreme else where.bend
        positions = Map(grid.size, where.matrix, where.shift, bend).positions((0, 0, 0), torch.device("cpu"))
        inner = [slice(-1)] * 3
        steps = torch.stack(
            [
                positions.diff(dim=axis)[(slice(None), *(inner[a] if a != axis - 1 else slice(None) for a in range(3)))]
                for axis in (1, 2, 3)
            ]
        )
        smallest.append(torch.linalg.det(steps.permute(2, 3, 4, 0, 1)).min().item())
    assert min(smallest) > 0
    assert min(smallest) < 0.9


def test_each_move_comes_as_often_as_its_probability_says() -> None:
    flips = sum(int((where.matrix.diagonal() < 0).sum()) for where in draws(Flip(0.3, (0, 2)), GRID, 500))
    assert 250 < flips < 350
    square = Grid((8, 8, 8), (1.0, 1.0, 1.0))
    for move in (QuarterTurn(0.3, (0, 1)), Affine(0.3, (9, 9, 9), 0.1, False, 0, 0), Elastic(0.3, 5, 0.2)):
        identity = torch.eye(3, dtype=torch.float64)
        moved = sum(w.bend is not None or not torch.equal(w.matrix, identity) for w in draws(move, square, 500))
        assert 110 < moved < 190, move


def test_one_of_several_is_drawn_as_often_as_its_weight_says() -> None:
    move = OneOf(0.8, ((Flip(1.0, (0,)),), (Elastic(1.0, 5, 0.2),)), (3.0, 1.0))
    assert move.bends
    found = draws(move, GRID, 400)
    assert 200 < sum(bool(where.matrix[0, 0] == -1) for where in found) < 280
    assert 55 < sum(where.bend is not None for where in found) < 105


def test_a_quarter_turn_needs_a_square() -> None:
    with pytest.raises(DataError, match="rotate90 about axis 2 needs a plane of equal sides"):
        draw([QuarterTurn(0.0, (2,))], torch.Generator(), GRID)
