"""Post-processing is chosen where it helps on cases with a truth, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from torchio_seg.metrics import region_masks, score_case, summarize
from torchio_seg.postprocessing import Step, apply
from torchio_seg.records import Labels
from torchio_seg.workflows.choosing import Compared, choose_steps, is_better

CLASSES = Labels.of_classes({0: "background", 1: "liver", 2: "tumour", 9: "unlabelled"}, ignore=9)
NESTED = Labels.of_regions(
    {0: "background", 1: "oedema", 2: "necrosis", 4: "enhancing"},
    {"whole": (1, 2, 4), "core": (2, 4), "enhancing": (4,)},
)


def block(value: int, *, side: int = 6, size: int = 14) -> np.ndarray:
    volume = np.zeros((size, size, size), np.uint8)
    volume[1 : 1 + side, 1 : 1 + side, 1 : 1 + side] = value
    return volume


def with_speck(volume: np.ndarray, value: int, side: int = 2) -> np.ndarray:
    volume = volume.copy()
    volume[-side:, -side:, -side:] = value
    return volume


def dice_of(cases: list[Compared], steps: tuple[Step, ...], labels: Labels) -> list[float | None]:
    scores = []
    for case in cases:
        predicted = apply(case.predicted, steps, labels, case.voxel_mm3)
        masks = region_masks(predicted, labels) & (case.truth != labels.ignore)
        names = [region.name for region in labels.regions]
        scores += score_case(case.case, masks, region_masks(case.truth, labels), names)
    return [summary.mean_dice for summary in summarize(scores)]


def test_what_removes_specks_is_chosen_and_what_is_reported_is_what_scoring_gives() -> None:
    truth = block(1)
    cases = [Compared(str(n), with_speck(truth, 1, side), truth, 2.0) for n, side in enumerate((1, 2, 3))]
    choice = choose_steps(lambda: cases, CLASSES)
    assert [(step.region, step.action) for step in choice.steps] == [("liver", "drop_small")]
    assert choice.steps[0].below_mm3 == 100.0  # the least that takes 27 voxels of 2 mm3
    assert choice.before == dice_of(cases, (), CLASSES)
    assert choice.after == dice_of(cases, choice.steps, CLASSES) == [1.0, None]


def test_what_does_not_help_is_not_chosen() -> None:
    truth = with_speck(block(1), 1)
    perfect = Compared("a", truth, truth, 1.0)
    nothing = Compared("b", np.zeros_like(truth), truth, 1.0)
    empty = Compared("c", np.zeros_like(truth), np.zeros_like(truth), 1.0)
    for cases in ([perfect], [nothing], [empty], [perfect, nothing, empty]):
        choice = choose_steps(lambda cases=cases: cases, CLASSES)  # type: ignore[misc]
        assert choice.steps == ()
        assert choice.before == choice.after


def test_a_gain_in_one_region_that_costs_another_is_not_taken() -> None:
    """Dropping the small whole tumour would take a true core with it."""
    truth = np.zeros((14, 14, 14), np.uint8)
    truth[-2:, -2:, -2:] = 2
    predicted = with_speck(block(1), 2)
    cases = [Compared("a", predicted, truth, 1.0)]
    assert not [step for step in choose_steps(lambda: cases, NESTED).steps if step.region == "whole"]


def test_regions_that_nest_are_mended_each_by_itself() -> None:
    truth = block(1, side=10)
    truth[2:8, 2:8, 2:8] = 2
    predicted = truth.copy()
    predicted[9, 9, 9] = 4  # a speck of enhancing tumour, core too, in the oedema
    predicted[-2:, -2:, -1] = 1
    predicted[4, 4, 4] = 1  # a hole in the core
    cases = [Compared("a", predicted, truth, 1.0)]
    choice = choose_steps(lambda: cases, NESTED)
    assert np.array_equal(apply(predicted, choice.steps, NESTED, 1.0), truth)
    assert choice.after == [1.0, 1.0, None]


def test_an_invented_region_may_go_where_others_show_that_it_helps() -> None:
    sick, healthy = block(1), np.zeros((14, 14, 14), np.uint8)
    cases = [Compared("sick", sick, sick, 1.0), Compared("healthy", with_speck(healthy, 1), healthy, 1.0)]
    choice = choose_steps(lambda: cases, CLASSES)
    assert choice.steps == (Step("liver", "drop_small", 10.0),)
    assert (choice.before, choice.after) == ([0.5, None], [1.0, None])


def test_no_volume_is_dropped_that_is_more_than_half_of_the_smallest_true_one() -> None:
    truth = block(1, side=4)  # 64 mm3, so that 30 is tried and 100 is not
    large = [Compared("a", with_speck(truth, 1, side=3), truth, 1.0)]
    small = [Compared("a", with_speck(truth, 1, side=2), truth, 1.0)]
    assert choose_steps(lambda: large, CLASSES).steps == (Step("liver", "drop_small", 30.0),)
    assert choose_steps(lambda: small, CLASSES).steps == (Step("liver", "drop_small", 10.0),)
    tiny = block(1, side=2)  # 8 mm3: no volume at all
    cases = [Compared("a", with_speck(tiny, 1, side=1), tiny, 1.0)]
    assert choose_steps(lambda: cases, CLASSES).steps == (Step("liver", "keep_largest"),)


def test_voxels_to_ignore_count_for_nothing() -> None:
    truth = with_speck(block(1), 9, side=3)
    cases = [Compared("a", with_speck(block(1), 1, side=3), truth, 1.0)]
    assert dice_of(cases, (), CLASSES) == [1.0, None]
    assert choose_steps(lambda: cases, CLASSES).steps == ()


@pytest.mark.parametrize("labels", [CLASSES, NESTED], ids=["classes", "nested"])
def test_on_noise_the_choice_is_never_worse_in_any_region(labels: Labels) -> None:
    rng = np.random.default_rng(0)
    values = np.array([0, 0, 0, *(region.value for region in labels.regions)], np.uint8)
    cases = []
    for number in range(3):
        truth = rng.choice(values, (5, 5, 5)).repeat(2, 0).repeat(2, 1).repeat(2, 2)
        predicted = np.where(rng.random(truth.shape) < 0.1, rng.choice(values, truth.shape), truth)
        cases.append(Compared(str(number), predicted, truth, 1.5))
    choice = choose_steps(lambda: cases, labels)
    before, after = dice_of(cases, (), labels), dice_of(cases, choice.steps, labels)
    assert (choice.before, choice.after) == (before, after)
    assert all(new >= old for new, old in zip(after, before, strict=True) if old is not None)  # type: ignore[operator]
    assert not choice.steps or is_better(after, before)


def test_better_means_a_region_visibly_higher_and_none_lower() -> None:
    assert is_better([0.6, 0.5], [0.5, 0.5])
    assert is_better([0.502, 0.5], [0.5, 0.5])
    assert not is_better([0.5005, 0.5005], [0.5, 0.5])
    assert not is_better([0.9, 0.4], [0.5, 0.5])
    assert not is_better([0.5, 0.5], [0.5, 0.5])
    assert is_better([None, 0.5], [0.0, 0.5])
    assert is_better([None], [0.0])
    assert not is_better([None], [None])
    assert is_better([None, 0.6], [None, 0.5])
