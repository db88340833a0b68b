"""The candidates of a plan, from large to small."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import prod

import pytest

from torchio_seg.planning.ladder import ENOUGH_COVERED, LARGEST_SHARE, SMALLEST_BATCH, WIDTHS, Space, make_ladder

BRAIN = Space((138, 170, 138), (1.0, 1.0, 1.0), 387, 4, 3)
PROSTATE = Space((320, 320, 20), (0.6, 0.6, 3.6), 30, 2, 3)
SMALL = Space((36, 50, 35), (1.0, 1.0, 1.0), 170, 1, 3)
ABDOMEN = Space((476, 461, 83), (0.79, 0.79, 5.0), 41, 1, 2, longest_edge=6.0)
HEART = Space((302, 295, 112), (1.25, 1.25, 1.37), 20, 1, 2, longest_edge=2.5)


@pytest.mark.parametrize("space", [BRAIN, PROSTATE, SMALL, ABDOMEN, HEART])
def test_each_candidate_takes_less_than_the_one_before(space: Space) -> None:
    for larger, smaller in pairwise(make_ladder(space)):
        assert larger.voxels >= smaller.voxels
        assert larger.width >= smaller.width
        assert larger.cost.activations > smaller.cost.activations


@pytest.mark.parametrize("space", [BRAIN, PROSTATE, SMALL])
def test_a_batch_has_two_patches_and_no_more_than_a_share_of_the_data(space: Space) -> None:
    for candidate in make_ladder(space):
        assert candidate.batch_size >= SMALLEST_BATCH
        if candidate.batch_size > SMALLEST_BATCH:
            assert candidate.voxels <= LARGEST_SHARE * space.num_cases * prod(space.shape)


def test_patches_of_a_batch_are_given_up_before_the_patch_and_the_patch_before_features() -> None:
    ladder = make_ladder(BRAIN)
    cut = [candidate.patch_size != ladder[0].patch_size for candidate in ladder]
    narrowed = [candidate.width != WIDTHS[0] for candidate in ladder]
    assert cut == sorted(cut)
    assert narrowed == sorted(narrowed)
    assert cut.index(True) < narrowed.index(True)
    assert all(candidate.batch_size == SMALLEST_BATCH for candidate, is_cut in zip(ladder, cut, strict=True) if is_cut)


def test_the_first_patch_covers_the_median_case() -> None:
    first = make_ladder(SMALL)[0].patch_size
    assert all(side >= whole for side, whole in zip(first, SMALL.shape, strict=True))


@pytest.mark.parametrize("space", [ABDOMEN, HEART])
def test_where_features_are_given_up_patches_cover_enough_in_larger_voxels_or_as_large_as_labels_bear(
    space: Space,
) -> None:
    ladder = make_ladder(space)
    for candidate in ladder:
        seen = candidate.space
        if candidate.width == WIDTHS[0]:
            assert seen == space
            continue
        covered = prod(candidate.patch_size) / prod(seen.shape)
        longest = min(seen.spacing) == pytest.approx(space.longest_edge)
        assert longest or covered > 0.6 * ENOUGH_COVERED, "sides come in steps"
        assert min(seen.spacing) <= space.longest_edge + 1e-6
        reach = [n * edge for n, edge in zip(seen.shape, seen.spacing, strict=True)]
        assert reach == pytest.approx([n * e for n, e in zip(space.shape, space.spacing, strict=True)], rel=0.05)
    assert any(candidate.space != space for candidate in ladder)


def test_short_edges_grow_before_long_ones() -> None:
    slices = {candidate.space.spacing[2] for candidate in make_ladder(replace(ABDOMEN, longest_edge=4.0))}
    assert slices == {5.0}


def test_what_somebody_has_chosen_stays() -> None:
    chosen = make_ladder(replace(BRAIN, patch_size=(96, 96, 96)))
    assert {candidate.patch_size for candidate in chosen} == {(96, 96, 96)}
    assert {candidate.batch_size for candidate in make_ladder(replace(BRAIN, batch_size=3))} == {3}
    assert {candidate.width for candidate in make_ladder(replace(BRAIN, width=20))} == {20}
