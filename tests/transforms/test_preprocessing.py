from __future__ import annotations

import numpy as np
import pytest
import torch

from torchio_seg.transforms.preprocessing import (
    Recipe,
    Statistics,
    find_grids,
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
    blob = np.exp(-0.5 * ((grid - centre) ** 2).sum(-1) / 2.5**2)[None]
    affine = affine_of((1.0, 0.8, 2.0), (-1, 1, -1))
    expected = affine[:3, :3] @ centre + affine[:3, 3]
    for recipe in (NATIVE, Recipe((1.3, 1.1, 1.0), None, "none"), Recipe(None, (31, 17, 20), "none")):
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
    assert np.array_equal(grids.orientation.undo(grids.back(volume).numpy()), array)


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
