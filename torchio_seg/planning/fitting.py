"""The largest candidate that fits, by few measurements: arithmetic says which to try, what was measured decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, sqrt

from torchio_seg.errors import ConfigError
from torchio_seg.machine import in_units
from torchio_seg.memory import Outcome
from torchio_seg.planning.costs import PARAMETER_BYTES
from torchio_seg.planning.growth import find_edge, through
from torchio_seg.planning.ladder import Candidate

MOST_TRIALS = 5
FIRST_PRODUCTS = 2e10
"""Of the candidate that is tried first: about a second's work of two processors, next to nothing for a GPU."""
FIRST_BYTES_AN_ACTIVATION = 12.0
_MARGIN = 0.97
"""Of the budget, which candidates that were not tried are held to."""


@dataclass(frozen=True)
class Trial:
    """What steps of a candidate took."""

    candidate: Candidate
    fits: bool
    memory: int
    """Bytes that count against the budget."""
    fixed: int
    """Those of them that are not the network's."""
    seconds: float
    """A step."""
    outcome: Outcome
    """All that was measured."""


@dataclass(frozen=True)
class Limits:
    """What a candidate may take."""

    memory: int
    """Bytes."""
    is_fast_enough: Callable[[Candidate, float], bool]
    """Whether steps of so many seconds leave a training worth its name."""


@dataclass(frozen=True)
class Found:
    """The candidate that was chosen, and all that were tried."""

    best: Trial
    trials: tuple[Trial, ...]
    larger: Candidate | None
    """The next larger one, if there is any."""
    lacks: str
    """What that one is too large for: memory, time, or nothing where there is none."""
    is_enough: bool = True
    """Whether its steps are fast enough; the last of the ladder may be taken without."""


def find_largest(ladder: Sequence[Candidate], measure: Callable[[Candidate], Trial], limits: Limits) -> Found:
    """The first of the ladder that takes no more than it may; few of them are measured.

    Too slow is only what has something faster below it: the last one needs no more than to fit into memory.
    """
    rising = ladder[::-1]
    trials: dict[int, Trial] = {}

    def fits(place: int) -> bool:
        trials[place] = measure(rising[place])
        return _is_good(trials[place], rising[0], limits)

    def guess() -> int:
        known = list(trials.values())
        is_found = any(_is_good(trial, rising[0], limits) for trial in known)
        if len(known) >= MOST_TRIALS - (not is_found):
            return 0
        return _largest(rising, known, limits) if known else _first(rising, limits)

    edge = find_edge(len(rising), guess, fits, trust=True)
    known = list(trials.values())
    if edge.largest is None:
        raise _too_small(known[-1], limits)
    larger = rising[edge.largest + 1] if edge.largest + 1 < len(rising) else None
    best = trials[edge.largest]
    if best.seconds == inf:
        raise _too_slow(best)
    is_enough = limits.is_fast_enough(best.candidate, best.seconds)
    return Found(best, tuple(known), larger, _lacking(larger, known, limits), is_enough)


def expect(candidate: Candidate, trials: Sequence[Trial]) -> tuple[float, float]:
    """Bytes and seconds of a step, from the trial nearest to it in size."""
    known = [trial for trial in trials if trial.fits and trial.seconds < inf] or list(trials)
    nearest = min(known, key=lambda trial: abs(_ratio(trial.candidate, candidate)))
    weights = PARAMETER_BYTES * nearest.candidate.cost.parameters
    line = through(nearest.fixed + weights, nearest.candidate.cost.activations, nearest.memory)
    memory = line(candidate.cost.activations) + PARAMETER_BYTES * candidate.cost.parameters - weights
    more_work = candidate.cost.products / nearest.candidate.cost.products
    more_moved = candidate.cost.activations / nearest.candidate.cost.activations
    return memory, nearest.seconds * sqrt(more_work * more_moved)  # part of a step computes, part waits for memory


def _ratio(one: Candidate, other: Candidate) -> float:
    """0 where two are of one size, in either direction."""
    share = one.cost.activations / other.cost.activations
    return share - 1 if share > 1 else 1 / share - 1


def _first(rising: Sequence[Candidate], limits: Limits) -> int:
    """One that surely fits, and is large enough to tell about larger ones."""

    def is_safe(candidate: Candidate) -> bool:
        memory = FIRST_BYTES_AN_ACTIVATION * candidate.cost.activations + PARAMETER_BYTES * candidate.cost.parameters
        return candidate.cost.products <= FIRST_PRODUCTS and memory < limits.memory / 2

    return _last(rising, is_safe)


def _largest(rising: Sequence[Candidate], trials: Sequence[Trial], limits: Limits) -> int:
    """The last that should take no more than it may."""
    if not any(trial.fits for trial in trials):
        smallest = min(trial.candidate.cost.activations for trial in trials)
        return _last(rising, lambda candidate: candidate.cost.activations < smallest / 3)

    def should_fit(candidate: Candidate) -> bool:
        memory, seconds = expect(candidate, trials)
        return memory <= _MARGIN * limits.memory and limits.is_fast_enough(candidate, seconds)

    return _last(rising, should_fit)


def _last(rising: Sequence[Candidate], is_right: Callable[[Candidate], bool]) -> int:
    """The place of the last one of which it is true; the smallest where it is of none."""
    return next((at for at in range(len(rising) - 1, 0, -1) if is_right(rising[at])), 0)


def _is_good(trial: Trial, smallest: Candidate, limits: Limits) -> bool:
    if not trial.fits or trial.memory > limits.memory:
        return False
    return trial.candidate == smallest or limits.is_fast_enough(trial.candidate, trial.seconds)


def _lacking(candidate: Candidate | None, trials: Sequence[Trial], limits: Limits) -> str:
    if candidate is None:
        return ""
    memory, _ = expect(candidate, trials)
    tried = next((trial for trial in trials if trial.candidate == candidate), None)
    is_too_large = memory > _MARGIN * limits.memory if tried is None else not tried.fits
    return "memory" if is_too_large else "time"


def _too_slow(trial: Trial) -> ConfigError:
    return ConfigError(
        f"{_words(trial.candidate)}, the least there is to choose, were not done with two steps when a trial had to "
        "end: this machine is too slow or too busy for them. Plan when it is idle or where there is a GPU, or set "
        "smaller patches with --set sampling.patch_size=[I,J,K]"
    )


def _words(candidate: Candidate) -> str:
    size = " x ".join(map(str, candidate.patch_size))
    return f"{candidate.batch_size} patches of {size} voxels with {candidate.width} features"


def _too_small(trial: Trial, limits: Limits) -> ConfigError:
    needed = f"{in_units(trial.memory)} and more" if not trial.fits else in_units(trial.memory)
    return ConfigError(
        f"the budget of {in_units(limits.memory)} is too small: {_words(trial.candidate)}, the least there is to "
        f"choose, take {needed}. Give more memory with --ram-budget (on a GPU --vram-budget), or fewer patches with "
        "--set training.batch_size=1"
    )
