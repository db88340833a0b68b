"""How much time a training may take, and how many steps fit into it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from torchio_seg.step import Pair

T = TypeVar("T")

MARGIN = 0.02
"""Share of the time that is kept back for what nobody timed."""
WARM_UP_STEPS, FEWEST_TIMED_STEPS = 3, 8
LATER_STEPS = 1.05
"""How much longer they are reckoned to take than those that were timed: a schedule that ends early costs next to
nothing, one that is cut off at the deadline ends with steps too large."""
TIMED_SHARE, LONGEST_TIMING_S = 0.04, 60.0
"""Steps are timed for so much of the time, then their number is fixed."""


@dataclass(frozen=True)
class Upkeep:
    """Seconds that go to other things than steps."""

    validation: float
    ending: float
    """The last validation and the evaluation of the best model."""


class Agree(Protocol):
    """Of what processes that train together measure, each by its own clock, the one that all of them go by."""

    def __call__(self, own: T, /) -> T: ...


def _own(own: T) -> T:
    return own


class Allowance:
    """The time from the start of a command until its training must have ended."""

    def __init__(self, seconds: float, began: float, rehearse: Callable[[], Upkeep], agree: Agree = _own) -> None:
        self.seconds = seconds
        self.end = began + (1 - MARGIN) * seconds
        """By `time.monotonic`, as is when it began."""
        self._rehearse = rehearse
        self._agree = agree

    @cached_property
    def upkeep(self) -> Upkeep:
        """Measured once, when it is first needed."""
        return self._agree(self._rehearse())

    def is_up(self) -> bool:
        """Whether the time that is left is needed for the ending."""
        return self._agree(self.end - time.monotonic() <= self.upkeep.ending)

    def timing_is_over(self, timer: StepTimer) -> bool:
        """Whether the timed steps tell how long a step takes."""
        enough = min(TIMED_SHARE * self.seconds, LONGEST_TIMING_S)
        return self._agree(timer.num_steps >= FEWEST_TIMED_STEPS and timer.seconds >= enough)

    def reckon(self, seconds_per_step: float, steps_between_validations: float) -> int:
        """How many more steps fit, their validations included."""
        each = LATER_STEPS * seconds_per_step + self.upkeep.validation / steps_between_validations
        return self._agree(max(0, int((self.end - time.monotonic() - self.upkeep.ending) / each)))


class StepTimer:
    """The mean time from one step to the next, from the first warm ones on, waiting for patches included."""

    def __init__(self) -> None:
        self._intervals: list[float] = []
        self._last: float | None = None

    def mark(self) -> None:
        """A step is done."""
        now = time.perf_counter()
        if self._last is not None:
            self._intervals.append(now - self._last)
        self._last = now

    def interrupt(self) -> None:
        """Something else is done before the next step, which is not counted."""
        self._last = None

    @property
    def num_steps(self) -> int:
        return max(0, len(self._intervals) - WARM_UP_STEPS)

    @property
    def seconds(self) -> float:
        return sum(self._intervals[WARM_UP_STEPS:])

    @property
    def seconds_per_step(self) -> float:
        return self.seconds / self.num_steps


class EpochClock:
    """How long an epoch takes, and how much of it training waits for patches."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.waited = 0.0
        self.patches = 0

    def waiting(self, groups: Iterator[list[Pair]]) -> Iterator[list[Pair]]:
        """The same groups, the time until each is there being counted."""
        while True:
            asked = time.perf_counter()
            group = next(groups, None)
            self.waited += time.perf_counter() - asked
            if group is None:
                return
            yield group

    def figures(self) -> dict[str, float]:
        seconds = max(time.perf_counter() - self.start, 1e-9)
        return {
            "seconds": seconds,
            "patches_per_second": self.patches / seconds,
            "waiting": self.waited / seconds,
        }
