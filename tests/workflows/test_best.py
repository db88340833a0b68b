"""What tells the best model: names, directions, and a model that misses everything, which is never it."""

from __future__ import annotations

import numpy as np
import pytest

from torchio_seg.errors import ConfigError
from torchio_seg.metrics import score_case
from torchio_seg.records import RegionScore
from torchio_seg.workflows.best import Best, parse_best

REGIONS = ["whole", "core"]


def scores(best: Best, *moves: int | None) -> list[RegionScore]:
    """Of cases whose regions are predicted some voxels off, or not at all."""
    truth = np.zeros((2, 20, 10, 10), bool)
    truth[:, 5:10, 3:7, 3:7] = True
    found = []
    for number, move in enumerate(moves):
        predicted = truth & False if move is None else np.roll(truth, move, 1)
        found += score_case(str(number), predicted, truth, REGIONS, measures=best.measures, spacing=(2, 2, 2))
    return found


@pytest.mark.parametrize(
    ("name", "falls"),
    [("mean_dice", False), ("loss", True), ("core", False), ("hd95", True), ("hd95/core", True), ("iou/whole", False)],
)
def test_the_direction_follows_from_the_metric(name: str, falls: bool) -> None:
    best = parse_best(name, REGIONS)
    assert best.falls == falls
    assert (name in best.falling) == falls
    assert "loss" in best.falling


def test_only_what_is_asked_for_is_measured_in_a_validation() -> None:
    assert all(score.more == {} for score in scores(parse_best("mean_dice", REGIONS), 1))
    assert all(set(score.more) == {"hd95"} for score in scores(parse_best("hd95/core", REGIONS), 1))


def test_a_distance_is_the_mean_over_cases_and_regions_or_of_one_region() -> None:
    for name in ("hd95", "hd95/core"):
        best = parse_best(name, REGIONS)
        assert best.of(scores(best, 1, 2)) == {name: pytest.approx(3.0)}


def test_a_model_that_misses_a_case_is_worse_than_one_that_is_far_off() -> None:
    best = parse_best("hd95", REGIONS)
    far, missed = (best.of(scores(best, 0, move))["hd95"] for move in (7, None))
    assert far is not None
    assert missed is not None
    assert missed > far


@pytest.mark.parametrize("name", ["luck", "volume_error", "hd95/liver", "hd95/", "lesions_found"])
def test_a_number_that_no_validation_gives_is_answered_with_those_that_there_are(name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"validations give mean_dice, loss, whole, core, and dice, iou, .*hd95/whole"
    ):
        parse_best(name, REGIONS)
