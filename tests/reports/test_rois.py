import io

import numpy as np
from PIL import Image

from torchio_seg.reports.rois import choose_slices, draw_rois
from torchio_seg.reports.slices import color_of

SHAPE = (20, 16, 10)
AFFINE = np.diag([-1.0, -2.0, 3.0, 1.0])


def box(*spans: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*span) for span in spans)] = True
    return mask


def picture(masks: dict[str, np.ndarray], affine: np.ndarray = AFFINE) -> np.ndarray:
    image = np.random.default_rng(0).integers(-1000, 1000, SHAPE)
    return np.asarray(Image.open(io.BytesIO(draw_rois(image, affine, masks, title="ROIs of P1"))).convert("RGB"))


def area(pixels: np.ndarray, number: int) -> int:
    return int(np.count_nonzero((pixels == color_of(number)).all(axis=-1)))


def test_one_slice_is_enough_where_it_shows_all() -> None:
    assert len(choose_slices([np.array([0, 5, 9, 9, 1]), np.array([0, 0, 4, 3, 2])])) == 1


def test_every_region_is_seen_at_nearly_its_largest() -> None:
    areas = [np.array([9, 1, 0, 0]), np.array([0, 2, 9, 0]), np.array([0, 0, 1, 7])]
    assert choose_slices(areas) == [0, 2, 3]


def test_every_region_has_its_colour_in_the_legend_and_in_a_slice() -> None:
    masks = {"A": box((2, 8), (2, 8), (0, 3)), "B": box((10, 16), (4, 12), (7, 10))}
    pixels = picture(masks)
    alone = picture({"A": masks["A"]})
    assert area(pixels, 0) > 400
    assert area(pixels, 1) > 400
    assert area(alone, 1) == 0


def test_a_region_within_another_is_seen() -> None:
    pixels = picture({"outer": box((1, 19), (1, 15), (0, 10)), "inner": box((8, 12), (6, 9), (4, 6))})
    assert area(pixels, 0) > 400
    assert area(pixels, 1) > 300


def test_the_sheet_is_as_wide_as_others() -> None:
    assert picture({"A": box((2, 8), (2, 8), (0, 3))}).shape[1] == 1560
