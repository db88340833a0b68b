"""Distances between surfaces, held against counting by hand, MONAI and scipy's distance transform."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice
from monai.metrics.utils import get_edge_surface_distance
from scipy import ndimage

from torchio_seg.metrics.surfaces import SurfaceDistances, measure, surface

Mask = npt.NDArray[np.bool_]
SPACINGS = [(1.0, 1.0, 1.0), (0.7, 0.7, 3.0), (0.4296875, 2.5, 1.1)]


def box(*sides: tuple[int, int], shape: tuple[int, int, int] = (20, 20, 20)) -> Mask:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


def blobs(seed: int, shape: tuple[int, int, int] = (22, 25, 19)) -> Mask:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return np.asarray(noise > 0.04)


def scattered(seed: int) -> Mask:
    return np.random.default_rng(seed).random((22, 25, 19)) < 0.01


CASES = {
    "blobs that reach the border": (blobs(0), blobs(1)),
    "scattered voxels": (blobs(0) | scattered(2), blobs(0)),
    "noise": (scattered(3), scattered(4)),
    "the same": (blobs(5), blobs(5)),
    "one voxel each": (box((3, 4), (3, 4), (3, 4)), box((9, 10), (5, 6), (0, 1))),
    "the whole image": (np.ones((6, 7, 8), bool), box((2, 4), (2, 5), (0, 8), shape=(6, 7, 8))),
}


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI warns of a call of its own
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("case", CASES)
def test_the_three_are_monais(case: str, spacing: tuple[float, float, float]) -> None:
    predicted, truth = CASES[case]
    pair = tuple(torch.from_numpy(mask[None, None]) for mask in (predicted, truth))
    options = {"include_background": True, "spacing": spacing}
    _, directions, _ = get_edge_surface_distance(pair[0][0, 0], pair[1][0, 0], spacing=spacing, symmetric=True)
    expected = {
        "hd95": max(float(np.percentile(distances.numpy().astype(float), 95)) for distances in directions),
        "assd": float(compute_average_surface_distance(*pair, symmetric=True, **options)),  # type: ignore[arg-type]
        "surface_dice": float(compute_surface_dice(*pair, [1.4], **options)),  # type: ignore[arg-type]
    }
    ours = measure(predicted, truth, spacing, 1.4)
    assert ours == pytest.approx(expected, rel=1e-6, abs=1e-6)
    # whose own percentile reckons the rank in single precision
    theirs = float(compute_hausdorff_distance(*pair, percentile=95, **options))  # type: ignore[arg-type]
    assert ours["hd95"] == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("case", CASES)
def test_every_distance_is_that_of_a_distance_transform(case: str, spacing: tuple[float, float, float]) -> None:
    predicted, truth = CASES[case]
    ours = SurfaceDistances.between(predicted, truth, spacing)
    assert ours is not None
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (predicted, truth)]
    for distances, own, other in ((ours.predicted, *edges), (ours.true, *reversed(edges))):
        np.testing.assert_allclose(distances, ndimage.distance_transform_edt(~other, sampling=spacing)[own], rtol=1e-12)


def test_a_surface_is_what_has_a_face_outside_and_the_image_ends_in_nothing() -> None:
    cube = box((0, 3), (5, 8), (5, 8))
    inside = np.ravel_multi_index((1, 6, 6), cube.shape)
    assert set(np.flatnonzero(cube)) - set(surface(cube)) == {inside}


def test_a_slab_that_is_moved_by_hand() -> None:
    truth, moved = box((5, 6), (0, 20), (0, 20)), box((7, 8), (0, 20), (0, 20))
    spacing = (1.5, 1.0, 1.0)
    assert measure(moved, truth, spacing, 2.9) == {"hd95": 3.0, "assd": 3.0, "surface_dice": 0.0}
    assert measure(moved, truth, spacing, 3.0) == {"hd95": 3.0, "assd": 3.0, "surface_dice": 1.0}


def test_the_percentile_is_of_each_direction_and_the_larger_counts() -> None:
    truth = box((5, 6), (0, 10), (0, 20))
    predicted = truth | box((15, 16), (0, 1), (0, 8))  # 8 of 208 are 10 mm off, beyond the 95th percentile
    assert measure(predicted, truth, (1, 1, 1), 1) == {
        "hd95": 0.0,
        "assd": pytest.approx(8 * 10 / 408),
        "surface_dice": pytest.approx(400 / 408),
    }
    more = truth | box((15, 16), (0, 1), (0, 20))  # 20 of 220, seen from the prediction only
    assert measure(more, truth, (1, 1, 1), 1)["hd95"] == 10.0
    assert measure(truth, more, (1, 1, 1), 1)["hd95"] == 10.0


def test_a_tolerance_holds_for_distances_that_binary_cannot_write() -> None:
    truth, moved = box((5, 6), (0, 20), (0, 20)), box((8, 9), (0, 20), (0, 20))
    assert measure(moved, truth, (0.7, 0.7, 0.7), 2.1)["surface_dice"] == 1.0
    assert measure(moved, truth, (0.7, 0.7, 0.7), 2.0999)["surface_dice"] == 0.0


def test_what_is_missed_or_invented_is_near_nothing_and_at_no_distance() -> None:
    something, nothing = box((5, 6), (5, 6), (5, 6)), np.zeros((20, 20, 20), bool)
    lost = {"hd95": None, "assd": None, "surface_dice": 0.0}
    assert measure(something, nothing, (1, 1, 1), 1) == lost
    assert measure(nothing, something, (1, 1, 1), 1) == lost
    assert measure(nothing, nothing, (1, 1, 1), 1) == {"hd95": None, "assd": None, "surface_dice": None}
