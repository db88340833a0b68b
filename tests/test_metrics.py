"""Dice is held against counting by hand and against MONAI; what cannot be measured is said, never NaN."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice

from torchio_seg.errors import DataError
from torchio_seg.metrics import (
    Spread,
    Summary,
    bootstrap_interval,
    dice,
    mean_dice,
    region_masks,
    score_case,
    spreads,
    summarize,
)
from torchio_seg.records import Labels, RegionScore


def mask(*voxels):
    """Eight voxels, those given being set."""
    cube = np.zeros(8, bool)
    cube[list(voxels)] = True
    return cube.reshape(2, 2, 2)


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        (mask(0, 1, 2), mask(1, 2, 3), 2 * 2 / 6),
        (mask(0), mask(0, 1, 2), 2 * 1 / 4),
        (mask(0, 1, 2), mask(0), 2 * 1 / 4),
        (mask(*range(8)), mask(*range(8)), 1),
        (mask(5), mask(5), 1),
        (mask(0, 1), mask(2, 3), 0),
        (mask(), mask(4), 0),
        (mask(4), mask(), 0),
        (mask(), mask(), None),
    ],
)
def test_dice_on_eight_voxels_counted_by_hand(predicted, truth, expected):
    assert dice(predicted, truth) == expected


def test_dice_agrees_with_monai_wherever_there_is_something_to_find():
    rng = np.random.default_rng(0)
    for density in (0.02, 0.3, 0.9):
        predicted, truth = (rng.random((4, 9, 8, 7)) < density for _ in range(2))
        theirs = compute_dice(torch.from_numpy(predicted[None]), torch.from_numpy(truth[None]))[0]
        ours = [score.dice for score in score_case("case", predicted, truth, "abcd")]
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_large_masks_do_not_overflow():
    full = np.ones((700, 700, 20), bool)
    assert dice(full, full) == 1


def test_probabilities_and_other_grids_are_refused():
    with pytest.raises(TypeError, match="boolean, these are float64"):
        dice(np.ones((2, 2, 2)), mask())
    with pytest.raises(DataError, match=r"case 7: .* \(1, 2, 2, 1\), the truth \(1, 2, 2, 2\)"):
        score_case("7", mask()[None, :, :, :1], mask()[None], ["lesion"])
    with pytest.raises(ValueError, match="zip"):
        score_case("7", mask()[None], mask()[None], ["lesion", "organ"])


def test_scores_count_voxels_of_truth_and_prediction_apart():
    (score,) = score_case("7", mask(0, 1, 2)[None], mask(2)[None], ["lesion"])
    assert (score.case, score.region, score.true_voxels, score.predicted_voxels) == ("7", "lesion", 1, 3)
    assert score.dice == 0.5
    assert not score.missed
    assert not score.invented


def test_regions_overlap_as_their_labels_say():
    names = {0: "background", 1: "necrosis", 2: "oedema", 4: "enhancing"}
    labels = Labels.of_regions(names, {"whole": (1, 2, 4), "core": (1, 4), "enhancing": (4,)})
    label_map = np.array([0, 1, 2, 4, 4, 2, 0, 0], np.uint8).reshape(2, 2, 2)
    masks = region_masks(label_map, labels)
    assert masks.dtype == np.bool_
    assert np.array_equal(masks, np.stack([mask(1, 2, 3, 4, 5), mask(1, 3, 4), mask(3, 4)]))


def test_exclusive_classes_never_include_the_background():
    labels = Labels.of_classes({0: "background", 1: "liver", 2: "tumour"})
    masks = region_masks(np.array([[[0, 1, 2, 2]]]), labels)
    assert masks.tolist() == [[[[False, True, False, False]]], [[[False, False, True, True]]]]


def test_summary_counts_what_is_missed_invented_and_empty_and_averages_only_what_is_defined():
    pairs = [(mask(0), mask(0)), (mask(), mask(1)), (mask(2), mask()), (mask(), mask())]
    scores = [score_case(str(n), guess[None], fact[None], ["lesion"])[0] for n, (guess, fact) in enumerate(pairs)]
    assert summarize(scores) == [Summary("lesion", 1 / 3, num_scored=3, num_missed=1, num_invented=1, num_empty=1)]


def test_regions_are_summarized_in_order_of_first_appearance():
    scores = score_case("1", np.stack([mask(0)] * 3), np.stack([mask(0)] * 3), ["whole", "core", "apex"])
    assert [summary.region for summary in summarize(scores * 2)] == ["whole", "core", "apex"]


def test_mean_over_regions_leaves_undefined_ones_out_and_is_none_where_nothing_is_defined():
    nothing = summarize(score_case("1", mask()[None], mask()[None], ["absent"]))
    half = summarize(score_case("1", mask(0)[None], mask(0, 1, 2)[None], ["lesion"]))
    assert nothing == [Summary("absent", None, num_scored=0, num_missed=0, num_invented=0, num_empty=1)]
    missed = summarize(score_case("1", mask()[None], mask(0)[None], ["missed"]))
    assert mean_dice(nothing + half) == 0.5
    assert mean_dice(nothing + half + missed) == 0.25
    assert mean_dice(nothing) is None
    assert mean_dice([]) is None
    assert summarize([]) == []


# ── how sure a mean is ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_interval_of_a_mean_is_about_as_wide_as_theory_says():
    values = np.random.default_rng(0).normal(0.8, 0.05, 200)
    low, high = bootstrap_interval(values.tolist())
    standard_error = values.std() / np.sqrt(200)
    assert low == pytest.approx(values.mean() - 1.96 * standard_error, abs=0.1 * standard_error)
    assert high == pytest.approx(values.mean() + 1.96 * standard_error, abs=0.1 * standard_error)


def test_the_interval_covers_the_mean_and_narrows_with_more_cases_and_less_confidence():
    values = np.random.default_rng(1).beta(8, 2, 100).tolist()
    low, high = bootstrap_interval(values)
    assert low < sum(values) / 100 < high
    few_low, few_high = bootstrap_interval(values[:10])
    assert high - low < (few_high - few_low) / 2
    half_low, half_high = bootstrap_interval(values, confidence=0.5)
    assert low < half_low < half_high < high


def test_the_interval_is_the_same_each_time_and_another_with_another_seed():
    values = [0.2, 0.9, 0.7, 0.4]
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval([0.2, 0.9, 0.7])
    assert bootstrap_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


def test_a_true_mean_lies_inside_nineteen_of_twenty_intervals():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(40):
        low, high = bootstrap_interval(rng.normal(0.5, 0.1, 40).tolist())
        hits += low < 0.5 < high
    assert 34 <= hits <= 40


def test_spreads_leave_out_what_is_undefined_and_say_nothing_of_fewer_than_two_cases():
    def score(region, dice):
        return RegionScore("case", region, dice, 1, 1)

    scores = [score("a", 0.4), score("b", None), score("a", None), score("c", 0.7), score("a", 0.8)]
    first, empty, single = spreads(scores)
    assert (first.region, first.mean) == ("a", pytest.approx(0.6))
    assert first.deviation == pytest.approx(0.4 / np.sqrt(2))
    assert (first.low, first.high) == (0.4, 0.8)
    assert empty == Spread("b", None, None, None, None, 0)
    assert single == Spread("c", 0.7, None, None, None, 1)
