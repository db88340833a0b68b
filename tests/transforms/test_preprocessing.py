from __future__ import annotations

import numpy as np
import pytest
import torch

from torchio_seg.transforms.preprocessing import (
    LANDMARK_PERCENTILES,
    Recipe,
    Statistics,
    centred,
    find_grids,
    find_landmarks,
    histogram_percentiles,
    labels_to_model_grid,
    measure,
    normalize,
    pad_to,
    resample,
    to_model_grid,
)

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
    assert np.array_equal(grids.orientation.undo(grids.back(volume, [0.0, 0.0]).numpy()), array)


def test_labels_keep_their_values_when_resampled() -> None:
    label = np.zeros((1, 9, 9, 9), np.uint8)
    label[:, 3:6, 3:6, 3:6] = 7
    grids = find_grids((9, 9, 9), np.eye(4), Recipe(None, (18, 18, 18), "none"))
    larger = labels_to_model_grid(label, grids)
    assert larger.dtype == torch.uint8
    assert sorted(larger.unique().tolist()) == [0, 7]
    assert int((larger == 7).sum()) == 27 * 8


def test_resampling_keeps_a_constant_up_to_the_border() -> None:
    assert torch.allclose(resample(torch.full((1, 5, 6, 7), 3.0), (9, 4, 11)), torch.full((1, 9, 4, 11), 3.0))


def test_zscore_is_per_channel_over_what_is_not_zero() -> None:
    volume = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 50.0]).view(
        2, 1, 1, 1
    )
    volume += torch.tensor([100.0, -20.0]).view(2, 1, 1, 1)
    volume[:, :3] = 0
    result = normalize(volume, Recipe(None, None, "zscore"))
    assert not result[:, :3].any()
    for channel in result[:, 3:]:
        assert abs(float(channel.mean())) < 1e-5
        assert abs(float(channel.std()) - 1) < 1e-2


@pytest.mark.parametrize("normalization", ["zscore", "minmax"])
@pytest.mark.parametrize("value", [0.0, 5.0, -1000.0])
def test_a_constant_channel_becomes_zero_and_never_nan(normalization: str, value: float) -> None:
    result = normalize(torch.full((1, 4, 4, 4), value), Recipe(None, None, normalization))  # type: ignore[arg-type]
    assert torch.equal(result, torch.zeros(1, 4, 4, 4))


def test_percentile_clips_and_scales_by_the_training_statistics() -> None:
    statistics = measure([np.arange(1000, dtype=np.float32)[None]], (10.0, 90.0))
    assert statistics[0].low == pytest.approx(99.9)
    assert statistics[0].high == pytest.approx(899.1)
    recipe = Recipe(None, None, "percentile", statistics=(Statistics(-100, 200, 50, 25),))
    result = normalize(torch.tensor([-1000.0, 50.0, 75.0, 3000.0]).view(1, 4, 1, 1), recipe)
    assert result.flatten().tolist() == [-6.0, 0.0, 1.0, 6.0]


def test_window_and_minmax_reach_from_0_to_1() -> None:
    volume = torch.tensor([-300.0, -175.0, 37.5, 250.0, 900.0]).view(1, 5, 1, 1)
    window = normalize(volume, Recipe(None, None, "window", (-175.0, 250.0)))
    assert window.flatten().tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert normalize(volume, Recipe(None, None, "minmax")).flatten()[[0, -1]].tolist() == [0.0, 1.0]


def test_padding_is_at_the_end_and_looks_like_air() -> None:
    volume = torch.arange(1.0, 9.0).view(1, 2, 2, 2)
    plain = pad_to(volume, (3, 2, 4), Recipe(None, None, "zscore"))
    assert plain.shape == (1, 3, 2, 4)
    assert torch.equal(plain[:, :2, :2, :2], volume)
    assert plain.sum() == volume.sum()
    ct = pad_to(volume, (3, 2, 4), Recipe(None, None, "percentile"))
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


def test_zscore_over_all_voxels_counts_the_zeros_too() -> None:
    volume = torch.zeros(1, 4, 4, 4)
    volume[:, :1] = 8
    result = normalize(volume, Recipe(None, None, "zscore_all"))
    assert abs(float(result.mean())) < 1e-6
    assert abs(float(result.std(correction=0)) - 1) < 1e-6
    assert not normalize(torch.full((1, 3, 3, 3), 5.0), Recipe(None, None, "zscore_all")).any()


def test_histograms_are_matched_channel_by_channel_whatever_gain_a_scanner_has() -> None:
    rng = np.random.default_rng(0)
    case = rng.gamma(2, 20, size=(2, 12, 12, 12)).astype(np.float32)
    case[:, :3] = 0
    landmarks = find_landmarks([histogram_percentiles(image) for image in (case, 5 * case)])
    recipe = Recipe(None, None, "histogram", landmarks=landmarks)
    once, again = (normalize(torch.from_numpy(image), recipe) for image in (case, np.where(case, 5 * case + 3, 0)))
    assert torch.allclose(once, again, atol=1e-3)
    assert not once[:, :3].any()
    assert len(landmarks) == 2
    assert all(row[0] == 0 and abs(row[-1] - 100) < 1e-9 and list(row) == sorted(row) for row in landmarks)


def test_histogram_matching_agrees_with_torchios() -> None:
    from torchio.transforms.preprocessing.intensity.histogram_standardization import _normalize

    rng = np.random.default_rng(1)
    image = rng.gamma(3, 10, size=(1, 10, 10, 10)).astype(np.float32)
    grid = np.sort(rng.uniform(0, 100, 13))
    percentiles = (1, 10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90, 99)
    shared = tuple(grid[percentiles.index(percentile)] for percentile in LANDMARK_PERCENTILES)
    theirs = _normalize(torch.from_numpy(image), grid, mask=image > 0)
    ours = normalize(torch.from_numpy(image), Recipe(None, None, "histogram", landmarks=(shared,)))
    expected = normalize(theirs.float(), Recipe(None, None, "zscore"))
    assert torch.allclose(ours, expected, atol=1e-4)
