"""A few validation cases at a time: which, what is known of all, and that luck in the draw tells nothing."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from torchio_seg.metrics import mean_dice, summarize
from torchio_seg.records import RegionScore
from torchio_seg.workflows.rotation import Rotation

CASES = ("a", "b", "c", "d", "e")
EASE = {"a": 0.9, "b": 0.8, "c": 0.5, "d": 0.3, "e": 0.2}


def scores(cases: tuple[str, ...], epoch: int, slope: float) -> list[RegionScore]:
    """Of a model that becomes better or worse by the same everywhere."""
    return [
        RegionScore(case, region, EASE[case] + slope * epoch, 10, 10, {"hd95": None})
        for case in cases
        for region in ("organ", "lesion")
    ]


def dice(rotation: Rotation) -> float:
    found = mean_dice(summarize([score for each in rotation.known for score in each.scores]))
    assert found is not None
    return found


@pytest.mark.parametrize(("few", "length"), [(None, 1), (1, 5), (2, 3), (4, 2), (5, 1), (9, 1)])
def test_each_case_has_its_turn(few: int | None, length: int) -> None:
    rotation = Rotation(CASES, few)
    assert rotation.length == length
    for first in range(4):
        turns = [rotation.turn(first + number) for number in range(length)]
        assert {case for turn in turns for case in turn} == set(CASES)
        assert all(len(set(turn)) == min(few or 5, 5) for turn in turns)
    assert rotation.turn(None) == CASES


@pytest.mark.parametrize("slope", [-0.01, 0.01])
def test_models_are_compared_as_they_become_better_or_worse_not_as_cases_are_easy(slope: float) -> None:
    rotation = Rotation(CASES, 2)
    course = []
    for epoch in range(12):
        turn = rotation.turn(epoch)
        rotation.renew(scores(turn, epoch, slope), [0.5] * len(turn))
        assert rotation.is_complete == (epoch >= 2)
        if rotation.is_complete:
            course.append(dice(rotation))
    assert all((after - before) * slope > 0 for before, after in pairwise(course))
    rotation.renew(scores(CASES, 12, slope), [0.5] * 5)
    assert dice(rotation) == pytest.approx(sum(EASE.values()) / 5 + 12 * slope), "all cases anew leave nothing old"


def test_what_is_known_is_kept_with_a_checkpoint(tmp_path: Path) -> None:
    rotation = Rotation(CASES, 2)
    rotation.renew(scores(("d", "a"), 0, 0.0), [0.25, 0.75])
    torch.save(rotation.state(), tmp_path / "state.pt")
    again = Rotation(CASES, 2)
    again.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert again.known == rotation.known
    assert [(found.scores[0].case, found.loss) for found in again.known] == [("a", 0.75), ("d", 0.25)]
    assert not again.is_complete


def test_nothing_is_kept_where_every_validation_has_all_cases() -> None:
    rotation = Rotation(CASES, None)
    rotation.renew(scores(CASES, 0, 0.0), [0.5] * 5)
    assert rotation.is_complete
    assert rotation.state() == {}
