import numpy as np
import pytest

from torchio_seg.volumes.scanline import fill

SQUARE = np.array([[1.0, 2.0], [4.0, 2.0], [4.0, 5.0], [1.0, 5.0]])


def moved(i: float, j: float) -> np.ndarray:
    return SQUARE + np.array([i, j])


def crossings(polygon: np.ndarray, i: int, j: int) -> int:
    """How many edges lie beyond a point along I: the textbook's test, edge by edge."""
    count = 0
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if (y0 <= j) != (y1 <= j):
            count += x0 + (j - y0) / (y1 - y0) * (x1 - x0) > i
    return count


@pytest.mark.parametrize("seed", range(8))
def test_random_polygons_are_filled_as_the_textbook_fills_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    polygons = [rng.uniform(-4, 20, (count, 2)) for count in (3, 7, 12)]
    expected = [[sum(crossings(p, i, j) for p in polygons) % 2 == 1 for j in range(13)] for i in range(17)]
    np.testing.assert_array_equal(fill(polygons, (17, 13)), expected)


def test_pixels_count_by_their_centres() -> None:
    mask = fill([moved(0.1, -0.1)], (7, 7))
    assert np.argwhere(mask).min(axis=0).tolist() == [2, 2]
    assert np.argwhere(mask).max(axis=0).tolist() == [4, 4]


def test_polygons_that_share_an_edge_through_centres_share_no_pixel_and_leave_none() -> None:
    tiles = [SQUARE, moved(3, 0), moved(0, 3), moved(3, 3)]
    masks = [fill([tile], (9, 9)) for tile in tiles]
    assert np.sum(masks, axis=0).max() == 1
    assert np.sum(masks) == 36


def test_direction_and_first_point_do_not_matter() -> None:
    polygon = np.random.default_rng(0).uniform(0, 9, (6, 2))
    expected = fill([polygon], (9, 9))
    np.testing.assert_array_equal(fill([polygon[::-1]], (9, 9)), expected)
    np.testing.assert_array_equal(fill([np.roll(polygon, 2, axis=0)], (9, 9)), expected)


def test_an_inner_polygon_is_a_hole() -> None:
    mask = fill([np.array([[0.5, 0.5], [8.5, 0.5], [8.5, 8.5], [0.5, 8.5]]), moved(0.5, 0.5)], (10, 10))
    assert mask.sum() == 64 - 9
    assert not mask[3, 4]


def test_a_keyhole_is_a_hole_whose_bridge_has_no_width() -> None:
    outer = np.array([[0.5, 0.5], [8.5, 0.5], [8.5, 8.5], [0.5, 8.5]])
    inner = moved(0.5, 0.5)[::-1]
    keyhole = np.concatenate([outer, outer[:1], inner, inner[:1]])
    np.testing.assert_array_equal(fill([keyhole], (10, 10)), fill([outer, inner], (10, 10)))


def test_what_lies_beyond_the_picture_is_cut_off() -> None:
    assert fill([SQUARE * 100 - 250], (5, 5)).all()
    assert not fill([moved(100, 100)], (5, 5)).any()
