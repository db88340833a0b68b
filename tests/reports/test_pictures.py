"""Rows of tables: which slices, which way up, which masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from torchio_seg.reports.pictures import (
    COMPARISON_COLUMNS,
    Drawn,
    comparison_rows,
    data_columns,
    data_rows,
    found_columns,
    found_rows,
    prediction_columns,
    prediction_rows,
)
from torchio_seg.tracking.interface import Picture
from torchio_seg.volumes.source import InMemory

SHAPE = (6, 5, 20)


def drawn(**changes: Any) -> Drawn:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[0:5, 1:4, 7] = 3
    labels[1:3, 1:4, 4:9] = 2
    predicted = np.zeros(SHAPE, dtype=np.uint8)
    predicted[1:3, 1:4, 8:13] = 2
    image = np.random.default_rng(0).uniform(0, 100, (2, *SHAPE)).astype(np.float32)
    image[:, 0, 0, 7], image[:, 5, 4, 7] = 0, 100
    parts = {"image": InMemory(image), "windows": [(0, 100), (0, 100)], "label_map": labels, "regions": {"a": (2, 3)}}
    parts |= {"predicted": predicted, "dice": {"a": 0.25}}
    return Drawn("case", ("validation", 3), **{**parts, **changes})


def test_the_slice_of_most_is_shown_and_others_spread_over_truth_and_prediction() -> None:
    assert drawn().telling_slices(1) == [7]
    assert [len(drawn().telling_slices(wanted)) for wanted in (2, 3, 4)] == [2, 3, 4]
    chosen = drawn().telling_slices(5)
    assert 7 in chosen
    assert all(4 <= index < 13 for index in chosen)
    assert drawn().telling_slices("all") == list(range(20))


def test_a_small_region_is_shown_though_its_slice_holds_little_else() -> None:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[:, :, 3:9] = 1
    labels[2, 2, 15] = 2
    regions = {"large": (1,), "small": (2,)}
    shown = drawn(label_map=labels, regions=regions, predicted=None).telling_slices(2)
    assert shown[1] == 15
    assert 3 <= shown[0] < 9


def test_a_prediction_of_nearly_everything_does_not_hide_where_the_truth_is() -> None:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[2, 2, 15] = 1
    everywhere = np.ones(SHAPE, dtype=np.uint8)
    assert 15 in drawn(label_map=labels, regions={"a": (1,)}, predicted=everywhere).telling_slices(1)
    invented = np.zeros(SHAPE, dtype=np.uint8)
    invented[2, 2, 4] = 1
    assert drawn(label_map=labels, regions={"a": (1,)}, predicted=invented).telling_slices(2) == [4, 15]


def test_regions_within_each_other_are_not_shown_by_neighbouring_slices() -> None:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[:, :, 2:18] = 1
    labels[:, :, 10] = 2
    nested = {"whole": (1, 2), "core": (2,)}
    chosen = drawn(label_map=labels, regions=nested, predicted=None).telling_slices(3)
    assert 10 in chosen
    assert np.diff(chosen).min() > 1


def test_a_case_without_anything_is_shown_through_its_middle() -> None:
    empty = drawn(label_map=np.zeros(SHAPE, dtype=np.uint8), predicted=np.zeros(SHAPE, dtype=np.uint8))
    assert empty.telling_slices(1) == [10]
    assert len(empty.telling_slices(3)) == 3


def test_slices_lie_as_one_looks_at_a_patient() -> None:
    pixels = drawn().pixels(7)[0]
    assert pixels.shape == (5, 6)
    assert pixels.dtype == np.uint8
    assert pixels[-1, -1] == 0, "left back is right below"
    assert pixels[0, 0] == 255, "right front is left above"


def test_masks_lie_over_their_pictures() -> None:
    for row in data_rows(drawn(), 1):
        for cell in row:
            if isinstance(cell, Picture):
                [overlay] = cell.overlays
                assert overlay.mask.shape == cell.pixels.shape
                assert overlay.mask.sum() == 15
                assert overlay.mask[1:4, 1:6].all(), "columns 1 to 5 from the right, rows 1 to 3"


@pytest.mark.parametrize("slices", [1, "all"])
def test_rows_fit_their_columns(slices: Any) -> None:
    for columns, rows in (
        (data_columns(2), data_rows(drawn(), slices)),
        (prediction_columns(2, ["a"]), prediction_rows(drawn(), slices)),
        (COMPARISON_COLUMNS, comparison_rows(drawn(), slices)),
        (found_columns(2, ["a"]), found_rows(drawn(label_map=None), slices)),
    ):
        for row in rows:
            assert len(row) == len(columns)
            for name, cell in zip(columns, row, strict=True):
                assert isinstance(cell, Picture) == (
                    name.startswith("Image-") or name in {"Ground Truth", "Prediction"}
                )


def test_an_undefined_dice_is_an_empty_cell() -> None:
    [row] = comparison_rows(drawn(dice={"a": None}), 1)
    assert row[-1] is None
