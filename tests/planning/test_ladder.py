"""The candidates of a plan, from large to small."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import prod

import pytest

from torchio_seg.planning.ladder import LARGEST_SHARE, SMALLEST_BATCH, WIDTHS, Space, make_ladder

BRAIN = Space((138, 170, 138), (1.0, 1.0, 1.0), 387, 4, 3)
PROSTATE = Space((320, 320, 20), (0.6, 0.6, 3.6), 30, 2, 3)
SMALL = Space((36, 50, 35), (1.0, 1.0, 1.0), 170, 1, 3)


@pytest.mark.parametrize("space", [BRAIN, PROSTATE, SMALL])
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


def test_what_somebody_has_chosen_stays() -> None:
    chosen = make_ladder(replace(BRAIN, patch_size=(96, 96, 96)))
    assert {candidate.patch_size for candidate in chosen} == {(96, 96, 96)}
    assert {candidate.batch_size for candidate in make_ladder(replace(BRAIN, batch_size=3))} == {3}
    assert {candidate.width for candidate in make_ladder(replace(BRAIN, width=20))} == {20}
