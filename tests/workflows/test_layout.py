"""Which memory layout a plan takes is measured, once, and the user's word stands over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from torchio_seg.config.resolve import choose
from torchio_seg.memory import Outcome
from torchio_seg.planning.fitting import Trial
from torchio_seg.planning.ladder import Candidate, Space, make_ladder
from torchio_seg.records import Dataset, Labels
from torchio_seg.workflows.trying import Tryer, rig_of

DATASET = Dataset("some", ("image",), Labels.of_classes({0: "background", 1: "organ"}), ())

CANDIDATE = make_ladder(Space((32, 32, 32), (1.0, 1.0, 1.0), 10, 1, 2))[0]


class Clocked(Tryer):
    """Steps of known length in place of measured ones."""

    def __init__(self, first: float, last: float, changes: Mapping[str, Any], *, fits: bool = True) -> None:
        rig = rig_of(choose("folders", None, {"device": "cpu"}), 2**30, None, None)
        super().__init__({}, changes, DATASET, rig, 0, CANDIDATE)
        self.seconds, self.last_fits, self.tried = (first, last), fits, list[bool]()

    def _try(self, candidate: Candidate, *, channels_last: bool) -> Trial:
        self.tried.append(channels_last)
        outcome = Outcome(fits=True, before=1, peak=1)
        return Trial(candidate, not channels_last or self.last_fits, 1, 0, self.seconds[channels_last], outcome)


def test_the_faster_layout_is_taken_and_kept() -> None:
    tryer = Clocked(1.0, 0.8, {})
    assert tryer(CANDIDATE).seconds == 0.8
    assert tryer(replace(CANDIDATE)).seconds == 0.8
    assert tryer.tried == [False, True, True]


@pytest.mark.parametrize(("last", "fits"), [(0.99, True), (0.5, False)])
def test_what_is_hardly_faster_or_too_large_is_not(last: float, fits: bool) -> None:
    tryer = Clocked(1.0, last, {}, fits=fits)
    assert [tryer(CANDIDATE).seconds, tryer(CANDIDATE).seconds] == [1.0, 1.0]
    assert tryer.tried == [False, True, False]


def test_processes_that_train_together_share_the_machine() -> None:
    experiment = choose("folders", None, {"device": "cpu"})
    alone, shared = (rig_of(experiment, None, None, None, num_local=number) for number in (1, 64))
    assert shared.ram_budget < alone.ram_budget
    assert shared.surroundings.num_workers == 1
    assert rig_of(experiment, 2**30, None, None, num_local=64).ram_budget == 2**30, "which somebody gave for each"


def test_a_layout_that_was_set_is_not_measured() -> None:
    tryer = Clocked(1.0, 0.5, {"training.channels_last": True})
    tryer(CANDIDATE)
    assert tryer.tried == [False]
