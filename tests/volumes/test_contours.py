from collections.abc import Iterator

import numpy as np
import pytest
from dicom_readers import winding
from scipy.ndimage import label

from torchio_seg.volumes.contours import trace, trace_keyholed
from torchio_seg.volumes.scanline import fill


def masks() -> Iterator[np.ndarray]:
    """Small noise of every density: parts in holes in parts, and pixels that meet in corners."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        mask = rng.random(rng.integers(1, 13, 2)) < rng.random()
        if mask.any():
            yield mask


def test_contours_give_the_mask_back_by_the_even_odd_rule() -> None:
    for mask in masks():
        np.testing.assert_array_equal(fill(trace(mask), mask.shape), mask)


def test_a_keyholed_contour_encloses_its_part_alone_whatever_rule_it_is_filled_by() -> None:
    for mask in masks():
        contours = trace_keyholed(mask)
        parts, count = label(mask)
        assert len(contours) == count
        for contour in contours:
            turns = winding(contour, mask.shape)
            assert set(np.unique(turns)) <= {0, 1}, "around a hole it goes the other way"
            (part,) = set(parts[turns == 1])
            np.testing.assert_array_equal(turns == 1, parts == part)
            np.testing.assert_array_equal(fill([contour], mask.shape), parts == part)


def test_a_ring_is_one_contour_of_two_squares_and_a_channel() -> None:
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    (contour,) = trace_keyholed(mask)
    corners = [*((i, j) for i in (-0.5, 4.5) for j in (-0.5, 4.5)), *((i, j) for i in (1.5, 2.5) for j in (1.5, 2.5))]
    assert set(map(tuple, contour.tolist())) == {*corners, (-0.5, 1.5)}
    assert len(contour) == len(corners) + 3, "both ends of the channel are passed twice"


@pytest.mark.parametrize("corner", [((0, 0), (1, 1)), ((0, 1), (1, 0))])
def test_parts_that_meet_in_a_corner_have_a_contour_each(corner: tuple[tuple[int, int], tuple[int, int]]) -> None:
    mask = np.zeros((2, 2), bool)
    for pixel in corner:
        mask[pixel] = True
    assert [len(contour) for contour in trace(mask)] == [4, 4]
