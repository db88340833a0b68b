from __future__ import annotations

import numpy as np
import pytest
import torch
from stored_axes import undo
from whole_volumes import normalize

from torchio_seg.transforms.preprocessing import (
    centred,
    find_grids,
    labels_to_model_grid,
    pad_to,
    resample,
    to_model_grid,
)
from torchio_seg.transforms.recipe import Recipe, Statistics

NATIVE = Recipe(None, None, "none")


def affine_of(spacing: tuple[float, float, float], flips: tuple[int, int, int] = (1, 1, 1)) -> np.ndarray:
    affine = np.diag([*(s * f for s, f in zip(spacing, flips, strict=True)), 1.0])
    affine[:3, 3] = (5.0, -7.0, 11.0)
    return affine


def test_a_point_keeps_its_place_in_the_world_on_every_grid() -> None:
    """A blob's centre of mass, in millimetres, is the same before and after turning and resampling."""
    shape = (20, 24, 16)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    centre = np.array([8.0, 13.0, 7.0])
    blob = np.exp(-0.5 * ((grid - centre) ** 2).sum(-1) / 1.5**2)[None]
    affine = affine_of((1.0, 0.8, 2.0), (-1, 1, -1))
    expected = affine[:3, :3] @ centre + affine[:3, 3]
    for recipe in (
        NATIVE,
        Recipe((1.3, 1.1, 1.0), None, "none"),
        Recipe(None, (31, 17, 20), "none"),
        Recipe(None, None, "none", crop_or_pad=(17, 29, 15)),
        Recipe((1.3, 1.1, 1.0), None, "none", crop_or_pad=(15, 18, 40)),
        Recipe((2.2, 1.1, 4.7), None, "none", antialias=True),
    ):
        volume, grids = to_model_grid(blob, affine, recipe)
        places = np.stack(np.meshgrid(*map(np.arange, volume.shape[1:]), indexing="ij"), axis=-1).reshape(-1, 3)
        weights = volume.numpy().ravel()
        found = grids.affine[:3, :3] @ ((places * weights[:, None]).sum(0) / weights.sum()) + grids.affine[:3, 3]
        assert np.abs(found - expected).max() < 0.05, recipe


def test_spacing_decides_the_shape_after_turning() -> None:
    affine = np.array([[0.0, 0, 2, 0], [1, 0, 0, 0], [0, 1.5, 0, 0], [0, 0, 0, 1]])  # stored front, up, right
    grids = find_grids((10, 20, 30), affine, Recipe((1.0, 2.0, 1.5), None, "none"))
    assert grids.turned_shape == (30, 10, 20)
    assert grids.model_shape == (60, 5, 20)
    assert np.allclose(np.linalg.norm(grids.affine[:3, :3], axis=0), (1.0, 2.0, 1.5))


def test_native_preprocessing_changes_no_voxel() -> None:
    array = np.random.default_rng(0).normal(size=(2, 5, 6, 7)).astype(np.float32)
    volume, grids = to_model_grid(array, affine_of((1, 2, 3), (1, -1, -1)), NATIVE)
    assert np.array_equal(undo(grids.orientation, grids.back(volume, [0.0, 0.0]).numpy()), array)


def test_labels_keep_their_values_when_resampled() -> None:
    label = np.zeros((1, 9, 9, 9), np.uint8)
    label[:, 3:6, 3:6, 3:6] = 7
    grids = find_grids((9, 9, 9), np.eye(4), Recipe(None, (18, 18, 18), "none"))
    larger = labels_to_model_grid(label, grids)
    assert larger.dtype == torch.uint8
    assert sorted(larger.unique().tolist()) == [0, 7]
    assert int((larger == 7).sum()) == 27 * 8


@pytest.mark.parametrize(
    ("row", "expected"), [([0, 1, 2, 3, 4, 8], [1, 5]), ([0, 1, 2, 3, 4], [0.8, 3.2]), ([5, 6, 7, 8], [5.5, 7.5])]
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_voxels_that_become_one_are_averaged_by_how_much_of_them_lies_in_it(
    row: list[float], expected: list[float], axis: int
) -> None:
    array = np.moveaxis(np.tile(np.array(row, np.float32), (1, 3, 4, 1)), 3, 1 + axis)
    shape = tuple(2 if each == axis else n for each, n in enumerate(array.shape[1:]))
    found, _ = to_model_grid(array, np.eye(4), Recipe(None, shape, "none", antialias=True))  # type: ignore[arg-type]
    assert tuple(found.shape[1:]) == shape
    lines = np.moveaxis(found.numpy(), 1 + axis, 3).reshape(-1, 2)
    np.testing.assert_allclose(lines, np.tile(expected, (12, 1)), rtol=1e-6)


def test_noise_falls_as_the_mean_of_so_many_voxels_has_it_and_linear_interpolation_leaves_it() -> None:
    noise = np.random.default_rng(0).normal(size=(1, 60, 60, 60)).astype(np.float32)
    plain, averaged = (
        to_model_grid(noise, np.eye(4), Recipe((3.0, 3.0, 3.0), None, "none", antialias=flag))[0].std().item()
        for flag in (False, True)
    )
    assert plain == pytest.approx(1, abs=0.03)
    assert averaged == pytest.approx(27**-0.5, abs=0.01)


def test_axes_that_keep_more_than_half_of_their_voxels_are_as_ever() -> None:
    array = np.random.default_rng(0).normal(size=(2, 12, 13, 14)).astype(np.float32)
    for spacing in ((1.7, 0.6, 1.0), (1.2, 1.3, 1.1)):
        both = [to_model_grid(array, np.eye(4), Recipe(spacing, None, "none", antialias=f))[0] for f in (False, True)]
        assert torch.equal(*both)
    mixed, _ = to_model_grid(array, np.eye(4), Recipe((3.0, 1.0, 1.3), None, "none", antialias=True))
    thirds = torch.from_numpy(array).unflatten(1, (4, 3)).mean(dim=2)
    torch.testing.assert_close(mixed, resample(thirds, tuple(mixed.shape[1:])))  # type: ignore[arg-type]


def test_grids_are_found_without_room_for_the_volume() -> None:
    grids = find_grids(
        (10**5, 10**6, 10**7), np.array([[0, 2.0, 0, 0], [0, 0, 3, 0], [-1, 0, 0, 0], [0, 0, 0, 1]]), NATIVE
    )
    assert grids.turned_shape == (10**6, 10**7, 10**5)


def test_resampling_keeps_a_constant_up_to_the_border() -> None:
    assert torch.allclose(resample(torch.full((1, 5, 6, 7), 3.0), (9, 4, 11)), torch.full((1, 9, 4, 11), 3.0))


def test_padding_is_at_the_end_and_looks_like_air() -> None:
    volume = torch.arange(1.0, 9.0).view(1, 2, 2, 2)
    brain = normalize(volume, Recipe(None, None, "none"), (3, 2, 4))
    for plain in (pad_to(volume, (3, 2, 4)), brain):
        assert plain.shape == (1, 3, 2, 4)
        assert torch.equal(plain[:, :2, :2, :2], volume)
        assert plain.sum() == volume.sum()
    statistics = (Statistics(0.0, 10.0, 0.0, 1.0),)
    ct = normalize(volume, Recipe(None, None, "percentile", statistics=statistics), (3, 2, 4))
    assert torch.equal(ct[:, :2, :2, :2], volume)
    assert (ct[:, 2] == 1).all()
    assert (ct[..., 2:] == 1).all()
    assert pad_to(volume, (1, 1, 1)) is volume


@pytest.mark.parametrize("shape", [(5, 6, 7), (8, 9, 4), (4, 4, 4), (9, 13, 12), (5, 8, 7)])
def test_cutting_and_filling_about_the_centre_undo_each_other(shape: tuple[int, int, int]) -> None:
    volume = torch.arange(1.0, 421).view(2, 5, 6, 7)
    back = centred(centred(volume, shape, [-1.0, -2.0]), (5, 6, 7), [-1.0, -2.0])
    kept = back > 0
    assert torch.equal(back[kept], volume[kept])
    assert int(kept[0].sum()) == np.prod([min(pair) for pair in zip(shape, (5, 6, 7), strict=True)])
    assert set(back[0][~kept[0]].tolist()) <= {-1.0}
    assert set(back[1][~kept[1]].tolist()) <= {-2.0}


def test_what_fills_an_image_is_its_darkest_value_and_what_fills_a_label_map_is_background() -> None:
    image = np.full((2, 4, 4, 4), (-1000, 7)[0], np.int16)
    image[1] = 7
    image[:, 1] = 50
    recipe = Recipe(None, None, "none", crop_or_pad=(8, 4, 4))
    volume, grids = to_model_grid(image, np.eye(4), recipe)
    assert volume[:, 0].flatten(1).unique(dim=1).flatten().tolist() == [-1000, 7]
    label = labels_to_model_grid(np.ones((1, 4, 4, 4), np.uint8), grids)
    assert label[0, :, 0, 0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
