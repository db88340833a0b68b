"""How long a training is, from the time there is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from torchio_seg.planning.ladder import SMALLEST_BATCH, WIDTHS, Candidate, Space
from torchio_seg.planning.schedule import DAY_S, MOST_STEPS, Cohort, is_enough, num_windows, plan_schedule

SPACE = Space((36, 50, 35), (1.0, 1.0, 1.0), 136, 1, 3)
CANDIDATE = Candidate((40, 56, 40), 4, 32, SPACE)
SLIM = replace(CANDIDATE, batch_size=SMALLEST_BATCH, width=WIDTHS[-1])
COHORT = Cohort(136, 17, 17)


@pytest.mark.parametrize("minutes", [5, 15, 120, 1440])
@pytest.mark.parametrize("seconds", [0.05, 0.5, 2.4])
def test_everything_fits_the_time_and_little_of_it_is_left(minutes: int, seconds: float) -> None:
    schedule = plan_schedule(CANDIDATE, seconds, COHORT, 60 * minutes)
    assert schedule.seconds <= 60 * minutes
    assert schedule.steps == MOST_STEPS or schedule.seconds > 0.9 * 60 * minutes
    assert schedule.epochs * schedule.steps_per_epoch >= schedule.steps
    assert (schedule.epochs - 1) * schedule.steps_per_epoch < schedule.steps


def test_no_training_is_longer_than_nnunets() -> None:
    assert plan_schedule(CANDIDATE, 0.001, COHORT, DAY_S).steps == MOST_STEPS


def test_validation_takes_a_tenth_of_the_time_at_most() -> None:
    """A hundred cases of 8 x 8 x 8 windows at a third of a second each take an hour and more."""
    shape = (180, 252, 180)
    windows = 100 * num_windows(shape, CANDIDATE.patch_size)
    candidate = replace(CANDIDATE, space=replace(SPACE, shape=shape))
    schedule = plan_schedule(candidate, 1.0, Cohort(10, 100, 0), 12 * 3600)
    looks = schedule.epochs // schedule.validation_every
    assert looks * windows / 12 <= 0.1 * 12 * 3600
    assert looks >= 1


def test_windows_cover_the_volume_with_their_overlap() -> None:
    assert num_windows((36, 50, 35), (40, 56, 40)) == 1
    assert num_windows((80, 56, 40), (40, 56, 40)) == 3
    assert num_windows((81, 56, 40), (40, 56, 40)) == 4


def test_slow_steps_are_not_enough() -> None:
    assert is_enough(SLIM, 0.8, COHORT, 900)
    assert not is_enough(SLIM, 1.5, COHORT, 900)
    assert not is_enough(SLIM, 60.0, COHORT, 100 * DAY_S)


@pytest.mark.parametrize("more", [{"width": 24}, {"batch_size": 3}], ids=["features", "patches"])
def test_more_than_the_least_asks_for_more_steps(more: dict[str, int]) -> None:
    larger = replace(SLIM, **more)
    assert not is_enough(larger, 0.8, COHORT, 900)
    assert is_enough(larger, 0.8, COHORT, 4 * 900)
    given = replace(SPACE, width=larger.width, batch_size=larger.batch_size)
    assert is_enough(replace(larger, space=given), 0.8, COHORT, 900)


def test_few_steps_have_short_epochs_and_the_time_of_the_validations_that_there_will_be() -> None:
    whole = plan_schedule(CANDIDATE, 1.0, COHORT, DAY_S)
    few = plan_schedule(CANDIDATE, 1.0, COHORT, DAY_S, most_steps=400).of(400, is_in_epochs=False)
    assert (few.steps, few.is_given) == (400, True)
    assert few.steps_per_epoch < 400 / 5 < whole.steps_per_epoch
    assert few.epochs * few.steps_per_epoch >= 400
    least = 400 / 0.9 + few.epochs // few.validation_every * 17 / 12  # a case is one window, a third of a step of four
    assert least < few.seconds < least + 60


def test_a_length_of_ones_own_is_kept() -> None:
    schedule = plan_schedule(CANDIDATE, 2.4, COHORT, 900)
    ten = schedule.of(10, is_in_epochs=False)
    assert (ten.steps, ten.epochs, ten.validation_every) == (10, 1, 1)
    assert ten.seconds < schedule.seconds
    assert (schedule.is_given, ten.is_given, ten.is_in_epochs) == (False, True, False)
