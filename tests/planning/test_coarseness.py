"""How large voxels may be, as labels tell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from torchio_seg.planning.coarseness import MOST_LOST, longest_edge
from torchio_seg.planning.spacing import Spacing, coarsened
from torchio_seg.records import Labels
from torchio_seg.store.voxels import Record, Voxels

ONE = Labels.of_classes({0: "background", 1: "organ"})
TWO = Labels.of_classes({0: "background", 1: "organ", 2: "vessel"})


def ball(radius: float, size: int = 64) -> np.ndarray:
    places = np.indices((size, size, size)) - (size - 1) / 2
    return ((places**2).sum(axis=0) <= radius**2).astype(np.uint8)


def case(label: np.ndarray) -> Voxels:
    record = Record("a", label.shape, tuple(map(tuple, np.eye(4))), (0, 0, 0), (1.0,), (), {})
    nothing = np.zeros(0, np.uint32)
    return Voxels(record, np.zeros((1, *label.shape), np.float32), label[None], nothing, np.zeros((1, 0), np.float32))


def edge(label: np.ndarray, labels: Labels = ONE, spacing: Spacing = (1.0, 1.0, 1.0)) -> float:
    return longest_edge([case(label)], labels, spacing)


def test_what_is_larger_bears_larger_voxels_in_proportion() -> None:
    small, large = edge(ball(14)), edge(ball(28))
    assert small > 1
    assert large / small == pytest.approx(2, rel=0.3)


def test_edges_are_millimetres() -> None:
    assert edge(ball(14), spacing=(0.5, 0.5, 0.5)) == pytest.approx(edge(ball(14)) / 2)


def test_a_thin_sheet_bears_nothing() -> None:
    sheet = np.zeros((48, 48, 48), np.uint8)
    sheet[20] = 1
    assert edge(sheet) == 1


def test_one_small_class_among_large_ones_is_enough_to_keep_voxels_small() -> None:
    both = ball(28)
    both[30:32, 30:32, 5:60] = 2
    assert edge(both, TWO) < edge(ball(28))


def test_along_long_voxels_nothing_is_lost_while_the_short_ones_grow() -> None:
    """Slices of 4 mm stay as they are until the others are as long."""
    assert coarsened((1.0, 1.0, 4.0), 2.0) == (2.0, 2.0, 4.0)
    assert edge(ball(28)[:, :, ::4], spacing=(1.0, 1.0, 4.0)) > 3


def test_nothing_labelled_tells_nothing() -> None:
    assert edge(np.zeros((8, 8, 8), np.uint8)) == 1


def test_the_loss_is_that_of_the_way_there_and_back() -> None:
    """scipy's way there, by means of blocks, and back, by splines, keeps as much at a shorter edge."""
    mask = ball(28)
    assert edge(mask) >= 2
    shares = mask.reshape(32, 2, 32, 2, 32, 2).mean(axis=(1, 3, 5))
    back = ndimage.zoom(shares, 2, order=1, mode="nearest", grid_mode=True) > 0.5
    assert 2 * (back & (mask > 0)).sum() / (back.sum() + mask.sum()) > 1 - MOST_LOST
