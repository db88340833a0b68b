"""The largest candidate that fits is found by few measurements."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest

from torchio_seg.errors import ConfigError
from torchio_seg.memory import Outcome
from torchio_seg.planning.costs import PARAMETER_BYTES
from torchio_seg.planning.fitting import MOST_TRIALS, Found, Limits, Trial, find_largest
from torchio_seg.planning.ladder import Candidate, Space, make_ladder

LADDER = make_ladder(Space((138, 170, 138), (1.0, 1.0, 1.0), 387, 4, 3))
IMPORTS = 450 * 2**20
NOTHING = Outcome(True, 0, 0)


def machine(
    budget: float, *, bytes_each: float = 11.0, speed: float = 1e11, extra: float = 0.0
) -> Callable[..., Trial]:
    """A machine whose memory and time follow from arithmetic; what exceeds the budget is ended."""

    def measure(candidate: Candidate) -> Trial:
        cost = candidate.cost
        memory = IMPORTS + PARAMETER_BYTES * cost.parameters + bytes_each * cost.activations + extra
        fits = memory <= budget
        seconds = 3 * cost.products / speed if fits else float("inf")
        return Trial(candidate, fits, round(memory if fits else budget + 1), IMPORTS, seconds, NOTHING)

    return measure


def search(budget: float, most_seconds: float = float("inf"), **kind: float) -> Found:
    limits = Limits(round(budget), lambda _, seconds: seconds <= most_seconds)
    return find_largest(LADDER, machine(budget, **kind), limits)


@pytest.mark.parametrize("gigabytes", [0.8, 1, 2, 4, 8, 16, 64, 1000])
@pytest.mark.parametrize("bytes_each", [6.0, 11.0, 25.0])
def test_what_is_chosen_fits_and_the_next_larger_does_not(gigabytes: float, bytes_each: float) -> None:
    budget = gigabytes * 1e9
    found = search(budget, bytes_each=bytes_each)
    assert found.best.memory <= budget
    assert len(found.trials) <= MOST_TRIALS
    if found.larger is not None:
        assert machine(float("inf"), bytes_each=bytes_each)(found.larger).memory > 0.96 * budget
        assert found.lacks == "memory"


def test_a_larger_budget_never_gives_a_smaller_batch_of_patches() -> None:
    chosen = [search(budget * 1e8).best.candidate for budget in range(8, 200, 3)]
    voxels = [candidate.voxels for candidate in chosen]
    assert voxels == sorted(voxels)
    assert len(set(voxels)) > 10


def test_less_time_gives_cheaper_steps() -> None:
    slow, fast = search(8e9), search(8e9, most_seconds=2.0)
    assert fast.best.seconds <= 2 < slow.best.seconds
    assert fast.lacks == "time"
    assert slow.lacks == "memory"


def test_where_nothing_is_fast_enough_the_cheapest_is_taken() -> None:
    assert search(8e9, most_seconds=1e-6).best.candidate == LADDER[-1]
    assert not search(8e9, most_seconds=1e-9).is_enough
    assert search(8e9, most_seconds=2.0).is_enough


def test_a_machine_that_gets_no_step_of_the_least_done_is_an_error_that_says_so() -> None:
    """Every trial is ended by the clock, so nothing is known of any step."""
    tried: list[Candidate] = []

    def measure(candidate: Candidate) -> Trial:
        tried.append(candidate)
        return Trial(candidate, True, IMPORTS, 0, inf, NOTHING)

    with pytest.raises(ConfigError, match=r"2 patches of 32 x 32 x 32 .* not done with two steps.*idle"):
        find_largest(LADDER, measure, Limits(8 * 10**9, lambda _, seconds: seconds < 15))
    assert tried[-1] == LADDER[-1], "the least was given its chance"


def test_a_wrong_guess_is_mended_by_what_was_measured() -> None:
    """Twice the memory that an activation has at first sight, and a large part that does not grow."""
    found = search(6e9, bytes_each=30.0, extra=2e9)
    assert 3e9 < found.best.memory <= 6e9


def test_a_budget_that_nothing_fits_says_what_the_least_would_take() -> None:
    with pytest.raises(ConfigError, match=r"budget of 300 MB is too small: 2 patches of 32 x 32 x 32 .*--ram-budget"):
        search(3e8)
