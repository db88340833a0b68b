"""Lesions counted by hand: found by one voxel, apart unless they touch, at corners too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from torchio_seg.metrics.lesions import Lesions, measure

Mask = npt.NDArray[np.bool_]


def dots(*places: tuple[int, int, int]) -> Mask:
    mask = np.zeros((12, 12, 12), bool)
    for place in places:
        mask[place] = True
    return mask


def test_found_missed_and_invented_are_counted_apart() -> None:
    truth = dots((1, 1, 1), (1, 1, 2), (5, 5, 5), (9, 9, 9))
    predicted = dots((1, 1, 2), (5, 5, 5), (5, 5, 6), (3, 9, 9), (9, 1, 1))
    lesions = Lesions.between(predicted, truth)
    assert lesions == Lesions(found=2, missed=1, invented=2)
    assert lesions.f1 == 4 / 7


def test_voxels_that_touch_at_a_corner_are_one_lesion() -> None:
    assert Lesions.between(dots(), dots((1, 1, 1), (2, 2, 2))).missed == 1
    assert Lesions.between(dots(), dots((1, 1, 1), (3, 3, 3))).missed == 2


def test_a_prediction_that_spans_two_lesions_finds_both_and_pieces_of_one_invent_none() -> None:
    apart, spanning = dots((1, 1, 1), (1, 1, 4)), dots((1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 1, 4))
    assert Lesions.between(spanning, apart) == Lesions(found=2, missed=0, invented=0)
    assert Lesions.between(apart, spanning) == Lesions(found=1, missed=0, invented=0)


def test_lesions_beside_each_other_but_not_overlapping_are_missed_and_invented() -> None:
    assert Lesions.between(dots((1, 1, 2)), dots((1, 1, 1))) == Lesions(found=0, missed=1, invented=1)


def test_counts_are_there_where_nothing_is_and_the_share_is_not() -> None:
    nothing = {"lesion_f1": None, "lesions_found": 0, "lesions_missed": 0, "lesions_invented": 0}
    assert measure(dots(), dots()) == nothing
    assert measure(dots((1, 1, 1)), dots()) == nothing | {"lesion_f1": 0.0, "lesions_invented": 1}
    assert measure(dots(), dots((1, 1, 1))) == nothing | {"lesion_f1": 0.0, "lesions_missed": 1}
