"""Planes lie as one looks at a patient, at their true proportions, and colours stand where labels are."""

from __future__ import annotations

import numpy as np
import pytest

from torchio_seg.reports.slices import OKABE_ITO, Paint, Plane, color_of, cut, draw, find_window

OUTER, INNER = Paint("whole", (1, 2), OKABE_ITO[0]), Paint("core", (2,), OKABE_ITO[1])
WINDOW = (0.0, 1.0)


def where(pixels: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    mask: np.ndarray = (pixels == np.array(color)).all(axis=-1)
    return mask


def plane(labels: np.ndarray, mm: tuple[float, float] | None = None) -> Plane:
    images = np.random.default_rng(0).random((1, *labels.shape))
    return Plane("axial", images, labels, mm or (float(labels.shape[0]), float(labels.shape[1])), ("R", "L"))


def corner_scan() -> tuple[np.ndarray, np.ndarray]:
    """A bright voxel at the patient's right, front and head; a label in the middle of it all."""
    volume = np.zeros((1, 6, 8, 10))
    volume[0, 5, 7, 9] = 1
    labels = np.ones((6, 8, 10), np.uint8)
    labels[5, 7, 9] = 2
    return volume, labels


def test_the_patients_right_front_and_head_are_at_the_left_and_on_top() -> None:
    volume, labels = corner_scan()
    labels[:5, :7, :9] = 0  # so that each plane of most foreground runs through the corner
    axial, coronal, sagittal = cut(volume, labels, (1, 1, 1), windows=[WINDOW], paints=[OUTER, INNER])
    for found in (axial, coronal, sagittal):
        assert found.images[0, 0, 0] == 1
        assert found.images.sum() == 1
        assert found.labels[0, 0] == 2
    assert (axial.sides, coronal.sides, sagittal.sides) == (("R", "L"), ("R", "L"), ("A", "P"))
    assert [p.caption for p in (axial, coronal, sagittal)] == ["axial 10/10", "coronal 8/8", "sagittal 6/6"]
    assert [p.images[0].shape for p in (axial, coronal, sagittal)] == [(8, 6), (10, 6), (10, 8)]


def test_the_plane_of_most_foreground_is_shown_the_middle_one_of_equals() -> None:
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[1:8, 2:7, 3:6] = 1
    labels[4, 0, 0] = 5  # no foreground
    captions = [p.caption for p in cut(labels[None] * 1.0, labels, (1, 1, 1), windows=[WINDOW], paints=[OUTER])]
    assert captions == ["axial 5/9", "coronal 5/9", "sagittal 5/9"]


def test_what_is_drawn_has_the_proportions_of_the_patient() -> None:
    volume, labels = corner_scan()
    planes = cut(volume, labels, (1, 0.5, 3), windows=[WINDOW], paints=[OUTER])
    sizes = [draw(found, 0, [], scale=5).size for found in planes]
    assert sizes == [(6 * 5, 4 * 5), (6 * 5, 30 * 5), (4 * 5, 30 * 5)]


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0, 4.7])
@pytest.mark.parametrize("filled", [False, True])
def test_colour_appears_where_the_label_is_and_nowhere_else(scale: float, filled: bool) -> None:
    labels = np.zeros((40, 30), np.uint8)
    labels[10:24, 5:20] = 1
    pixels = np.asarray(draw(plane(labels), 0, [OUTER], scale=scale, filled=filled)).astype(int)
    rows, columns = (np.arange(n) / scale + 0.5 / scale for n in pixels.shape[:2])
    inside = ((rows >= 10) & (rows < 24))[:, None] & ((columns >= 5) & (columns < 20))
    coloured = np.ptp(pixels, axis=-1) > 0
    assert not (coloured & ~inside).any()
    if filled:
        assert coloured[inside].all()
    top = np.flatnonzero(inside.any(axis=1))[0]
    assert where(pixels, OUTER.color)[top, inside[top]].all()


def test_inner_regions_are_drawn_over_outer_ones() -> None:
    labels = np.zeros((30, 30), np.uint8)
    labels[5:25, 5:25], labels[10:25, 10:20] = 1, 2
    pixels = np.asarray(draw(plane(labels), 0, [OUTER, INNER], scale=2))
    assert where(pixels, INNER.color)[49, 20:40].all()
    assert where(pixels, OUTER.color)[49, 10:20].all()
    filled = np.asarray(draw(plane(labels), 0, [OUTER, INNER], scale=2, filled=True)).astype(int)
    assert (filled[30, 30] - filled[30, 14])[2] > 0  # bluer inside


def test_a_dark_label_on_a_white_image_and_a_light_one_on_black_are_seen() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[5:15, 5:15] = 1
    for grey in (0.0, 1.0):
        shown = Plane("axial", np.full((1, 20, 20), grey), labels, (20.0, 20.0), ("R", "L"))
        for number in range(21):
            pixels = np.asarray(draw(shown, 0, [Paint("x", (1,), color_of(number))], scale=1)).astype(int)
            assert np.abs(pixels[5, 5] - pixels[0, 0]).max() > 40


def test_twenty_one_colours_differ() -> None:
    assert len({color_of(number) for number in range(21)}) == 21
    assert tuple(color_of(number) for number in range(7)) == OKABE_ITO


def test_a_window_spans_the_percentiles_and_is_never_empty() -> None:
    values = np.arange(101.0)
    assert find_window(values, (5, 95)) == pytest.approx((5, 95))
    assert find_window(values, (0, 100), margin=0.25) == pytest.approx((-25, 125))
    assert find_window(values, (0, 100), margin=0.25, narrowest=400) == pytest.approx((-150, 250))
    for constant in (np.full(5, 3.0), np.zeros(0)):
        low, high = find_window(constant, (1, 99))
        assert high > low
