from __future__ import annotations

import numpy as np
import pytest
import torch
from whole_volumes import normalize

from torchio_seg.transforms.normalization import (
    LANDMARK_PERCENTILES,
    Moments,
    apply,
    learn_landmarks,
    learn_statistics,
    measure,
    outside,
)
from torchio_seg.transforms.recipe import Recipe, Statistics


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
    statistics = learn_statistics([np.arange(1000, dtype=np.float32)[None]], (10.0, 90.0))
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
    landmarks = learn_landmarks([measure(torch.from_numpy(image)) for image in (case, 5 * case)])
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


@pytest.mark.parametrize(
    "normalization", ["zscore", "zscore_all", "percentile", "minmax", "window", "histogram", "none"]
)
def test_a_part_normalised_alone_is_what_it_is_in_the_whole(normalization: str) -> None:
    rng = np.random.default_rng(3)
    volume = torch.from_numpy(rng.gamma(2, 20, size=(2, 9, 10, 11)).astype(np.float32)) - 15
    volume[:, :, :3] = 0
    landmarks = learn_landmarks([measure(volume), measure(3 * volume)])
    statistics = (Statistics(-9, 50, 12, 8), Statistics(0, 60, 20, 15))
    recipe = Recipe(None, None, normalization, (-5.0, 70.0), statistics, landmarks)  # type: ignore[arg-type]
    whole = normalize(volume, recipe)
    part = apply(volume[:, 2:7, 1:, 4:5].clone(), measure(volume), recipe)
    assert torch.equal(part, whole[:, 2:7, 1:, 4:5])
    assert torch.isfinite(whole).all()


def test_normalising_leaves_the_given_volume_as_it_was() -> None:
    volume = torch.randn(1, 5, 5, 5, generator=torch.Generator().manual_seed(1))
    before = volume.clone()
    for normalization in ("zscore", "zscore_all", "minmax"):
        normalize(volume, Recipe(None, None, normalization))  # type: ignore[arg-type]
        assert torch.equal(volume, before)


def test_moments_of_parts_join_to_those_of_the_whole() -> None:
    values = np.random.default_rng(0).normal(1e4, 3, 5000).astype(np.float32)
    joined = Moments.joined([Moments.of(values[:10]), Moments.of(values[10:10]), Moments.of(values[10:])])
    assert joined.number == 5000
    assert joined.mean == pytest.approx(values.astype(float).mean(), rel=1e-12)
    assert joined.std == pytest.approx(values.astype(float).std(), rel=1e-9)
    assert Moments.of(values[:0]).std == 0


def test_beyond_a_volume_lies_air() -> None:
    measures = measure(torch.tensor([-1000.0, 40, 900]).view(1, 3, 1, 1))
    assert outside(measures, Recipe(None, None, "zscore")) == [0.0]
    recipe = Recipe(None, None, "percentile", statistics=(Statistics(-100, 200, 50, 25),))
    assert outside(measures, recipe) == [-6.0]
