"""A map names exactly the box that it looks at, and adds up in the order in which its steps move an image."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch

from torchio_seg.transforms.maps import Grid, Map
from torchio_seg.transforms.moves import Affine, Elastic, Flip, Move, QuarterTurn, draw

GRID = Grid((20, 24, 17), (1.0, 0.8, 2.0))
FLIP = Flip(0.5, (0, 1, 2))
AFFINE = Affine(1.0, (25.0, 25.0, 25.0), 0.3, isotropic=False, shear=0.2, translation_mm=4.0)
BEND = Elastic(1.0, 7, 0.4)


def drawn(*moves: Move, seed: int = 0, grid: Grid = GRID) -> Map:
    return draw(moves, torch.Generator().manual_seed(seed), grid)


@pytest.mark.parametrize("moves", [[], [FLIP], [AFFINE], [BEND], [FLIP, AFFINE], [FLIP, AFFINE, BEND]])
@pytest.mark.parametrize("seed", range(5))
def test_the_box_has_all_that_is_looked_at_and_no_more(moves: list[Move], seed: int) -> None:
    where = drawn(*moves, seed=seed)
    box = where.source_box()
    positions = where.positions((0, 0, 0), torch.device("cpu")).flatten(1)
    low, high = torch.tensor(box.start), torch.tensor(box.start) + torch.tensor(box.size) - 1
    tolerance = 1e-4
    assert (positions.amin(dim=1) >= low - tolerance).all()
    assert (positions.amax(dim=1) <= high + tolerance).all()
    slack = 1 if where.bend is None else 2  # between two places where a bend is computed it may be less than there
    assert (positions.amin(dim=1) < low + slack + tolerance).all()
    assert (positions.amax(dim=1) > high - slack - tolerance).all()


def test_a_margin_is_added_on_all_sides_where_something_is_interpolated() -> None:
    box, wider = drawn(AFFINE).source_box(), drawn(AFFINE).source_box(margin=3)
    assert wider.start == tuple(first - 3 for first in box.start)
    assert wider.size == tuple(n + 6 for n in box.size)
    assert drawn(FLIP).source_box(margin=3) == drawn(FLIP).source_box()


def test_flips_look_at_the_patch_itself() -> None:
    for seed in range(10):
        box = drawn(FLIP, seed=seed).source_box()
        assert (box.start, box.size) == ((0, 0, 0), GRID.size)


def test_maps_add_up_in_the_order_of_the_images_they_move() -> None:
    """What the later map looks at in the moved image, the earlier one has brought there."""
    first, second = drawn(AFFINE, seed=1), drawn(AFFINE, seed=2)
    both = first.then(second)
    centre = (torch.tensor(GRID.size, dtype=torch.float64) - 1) / 2
    for corner in product(*[(0.0, n - 1.0) for n in GRID.size]):
        looked_at = second.matrix @ (torch.tensor(corner).double() - centre) + centre + second.shift
        source = first.matrix @ (looked_at - centre) + centre + first.shift
        found = both.matrix @ (torch.tensor(corner).double() - centre) + centre + both.shift
        assert torch.allclose(source, found)


def test_only_whole_turns_and_mirrors_are_exact() -> None:
    square = Grid((16, 16, 16), (1.0, 1.0, 1.0))
    turned = drawn(QuarterTurn(1.0, (0, 1, 2)), FLIP, grid=square)
    assert turned.is_exact
    assert not torch.equal(turned.matrix, torch.eye(3, dtype=torch.float64))
    assert not drawn(AFFINE).is_exact
    assert not drawn(BEND).is_exact
    assert not Map((4, 4, 4), torch.eye(3).double(), torch.tensor([0.5, 0, 0]).double()).is_exact


def test_a_second_bend_is_refused() -> None:
    with pytest.raises(ValueError, match="resample between them"):
        drawn(BEND).then(drawn(BEND))


@pytest.mark.parametrize("size", [(1, 9, 9), (2, 1, 30), (5, 5, 5)])
def test_thin_patches_have_maps_too(size: tuple[int, int, int]) -> None:
    where = drawn(FLIP, AFFINE, BEND, grid=Grid(size, (1.0, 1.0, 1.0)))
    assert where.positions((0, 0, 0), torch.device("cpu")).shape == (3, *size)
    assert all(n >= 1 for n in where.source_box().size)


@pytest.mark.parametrize("moves", [[AFFINE, BEND], [BEND, AFFINE], [FLIP, BEND, AFFINE]])
def test_a_bend_comes_after_everything_that_is_straight(moves: list[Move]) -> None:
    """So that what cannot fold alone cannot fold in any company."""
    both = drawn(*moves)
    straight, bent = replace(both, bend=None), replace(Map.identity(GRID.size), bend=both.bend)
    nowhere, device = (0, 0, 0), torch.device("cpu")
    centre = ((torch.tensor(GRID.size) - 1) / 2).view(3, 1, 1, 1)
    moved = bent.positions(nowhere, device) - centre
    expected = torch.einsum("ab,bijk->aijk", straight.matrix.float(), moved) + centre
    expected += straight.shift.float().view(3, 1, 1, 1)
    assert torch.allclose(both.positions(nowhere, device), expected, atol=1e-3)
    assert (both.positions(nowhere, device) - straight.positions(nowhere, device)).abs().max() > 0.5
