import numpy as np
import pytest

from torchio_seg.volumes.outlines import enclose
from torchio_seg.volumes.scanline import fill

SHAPE = (30, 24)


def box(first: tuple[float, float], last: tuple[float, float]) -> np.ndarray:
    """An outline around the pixels from the first to the last."""
    (left, top), (right, bottom) = np.subtract(first, 0.5), np.add(last, 0.5)
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def pixels(outline: np.ndarray) -> np.ndarray:
    return fill([outline], SHAPE)


OUTER, HOLE, ISLAND = box((2, 2), (20, 20)), box((5, 5), (15, 15)), box((8, 8), (10, 10))
KEYHOLE = np.concatenate([OUTER, OUTER[:1], HOLE, HOLE[:1]])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_holes_and_islands_in_holes_stay_what_they_are(order: tuple[int, ...]) -> None:
    mask, erred = enclose([(OUTER, HOLE, ISLAND)[index] for index in order], SHAPE)
    np.testing.assert_array_equal(mask, (pixels(OUTER) & ~pixels(HOLE)) | pixels(ISLAND))
    assert erred == 0


def test_a_keyhole_is_a_hole_and_holds_islands() -> None:
    assert not pixels(KEYHOLE)[10, 10]
    mask, erred = enclose([KEYHOLE, ISLAND], SHAPE)
    np.testing.assert_array_equal(mask, pixels(KEYHOLE) | pixels(ISLAND))
    assert erred == 0


def test_outlines_that_cross_are_taken_together() -> None:
    across = box((18, 4), (25, 8))
    mask, erred = enclose([OUTER, across], SHAPE)
    np.testing.assert_array_equal(mask, pixels(OUTER) | pixels(across))
    assert erred == 3 * 5


def test_a_hole_in_the_common_part_of_two_outlines_is_a_hole_of_both() -> None:
    other, common = box((8, 2), (28, 20)), box((9, 9), (15, 12))
    mask, _ = enclose([OUTER, other, common], SHAPE)
    np.testing.assert_array_equal(mask, (pixels(OUTER) | pixels(other)) & ~pixels(common))


def test_an_outline_across_an_outer_one_fills_what_it_shares_with_its_hole() -> None:
    across = box((12, 6), (25, 8))
    mask, _ = enclose([OUTER, HOLE, across], SHAPE)
    np.testing.assert_array_equal(mask, (pixels(OUTER) & ~pixels(HOLE)) | pixels(across))


def test_holes_that_cross_are_one_hole() -> None:
    second = box((12, 12), (18, 18))
    mask, erred = enclose([OUTER, HOLE, second], SHAPE)
    np.testing.assert_array_equal(mask, pixels(OUTER) & ~pixels(HOLE) & ~pixels(second))
    assert erred == 4 * 4


def test_two_outlines_around_the_same_pixels_do_not_undo_each_other() -> None:
    mask, erred = enclose([OUTER, OUTER * 1.001], SHAPE)
    np.testing.assert_array_equal(mask, pixels(OUTER))
    assert erred == mask.sum()


def test_outlines_beside_each_other_are_both_taken() -> None:
    beside = box((21, 2), (25, 20))
    mask, erred = enclose([OUTER, beside, box((-9, -9), (-5, -5))], SHAPE)
    np.testing.assert_array_equal(mask, pixels(OUTER) | pixels(beside))
    assert erred == 0
