"""Which voxel size every case is resampled to."""

from __future__ import annotations

import pytest

from torchio_seg.planning.spacing import choose_spacing, resampled


def test_the_median_of_each_axis_is_taken() -> None:
    spacings = [(1.0, 1.0, 1.0), (1.0, 2.0, 1.5), (1.0, 1.2, 2.0)]
    assert choose_spacing(spacings, [(50, 50, 50)] * 3).spacing == (1.0, 1.2, 1.5)


def test_a_coarse_axis_is_taken_at_its_tenth_percentile() -> None:
    """Edges 3.0, 3.2 ... 5.0 along the last axis: their 10th percentile is 3.2, their median 4."""
    spacings = [(0.5, 0.5, 3.0 + 0.2 * n) for n in range(11)]
    target = choose_spacing(spacings, [(320, 320, 20)] * 11)
    assert target.spacing == pytest.approx((0.5, 0.5, 3.2))
    assert target.coarse_axis == 2


def test_a_coarse_axis_never_becomes_finer_than_the_others() -> None:
    spacings = [(1.0, 1.0, 0.1), (1.0, 1.0, 0.1), *[(1.0, 1.0, 6.0)] * 3]
    target = choose_spacing(spacings, [(320, 320, 20)] * 5)
    assert (target.spacing, target.coarse_axis) == ((1.0, 1.0, 1.0), 2)


def test_long_voxels_of_an_axis_with_many_of_them_are_no_coarse_axis() -> None:
    target = choose_spacing([(0.5, 0.5, 2.0), (0.5, 0.5, 4.0)], [(64, 64, 60)] * 2)
    assert (target.spacing[2], target.coarse_axis) == (3.0, None)


def test_resampling_keeps_the_extent_and_at_least_one_voxel() -> None:
    assert resampled((100, 50, 1), (1.0, 1.0, 1.0), (2.0, 0.5, 5.0)) == (50, 100, 1)
