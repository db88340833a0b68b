"""How long to train, in what portions, and when to look: from the time that there is and the time that a step takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, prod

from torchio_seg.planning.ladder import Candidate
from torchio_seg.planning.spacing import Size

MOST_STEPS = 250_000
"""nnU-Net's 1000 epochs of 250."""
FEWEST_STEPS = 800
"""That a network should have; candidates whose steps take too long for so many are not chosen."""
ENOUGH_STEPS = 3000
"""That come before more features, or patches of a batch, than the fewest."""
LONGEST_STEP_S = 15.0
SHORT = 10_000
"""Steps below which Adam, which is fast at first, is taken in place of nnU-Net's SGD."""
EPOCH_STEPS = 250
DAY_S = 86_400
START_S = 20
"""For imports, checks and the first patches."""
_AT_WORK = 0.9
"""Of the time, steps: the others go by waiting, saving and talking."""
_VALIDATING = 0.1
"""Of the time, at most."""
_MOST_VALIDATIONS, _FEWEST_EPOCHS = 20, 10
_FORWARD = 1 / 3
"""Of a step's time, a prediction of as many patches."""
OVERLAP = 0.5


@dataclass(frozen=True)
class Cohort:
    """How many cases there are for what."""

    num_training: int
    num_validation: int
    num_test: int
    patches_per_case: int | None = None
    """Where somebody has chosen it."""


@dataclass(frozen=True)
class Schedule:
    """The length of a training and its portions."""

    steps: int
    epochs: int
    patches_per_case: int
    validation_every: int
    steps_per_epoch: int
    seconds_per_epoch: float
    """Without validation."""
    seconds: float
    """In all."""
    is_given: bool = False
    """Whether somebody has said how many steps or epochs there are."""
    is_in_epochs: bool = False
    """Whether that was a number of epochs."""

    def of(self, steps: int, *, is_in_epochs: bool) -> Schedule:
        """The same with a length that is given."""
        epochs = ceil(steps / self.steps_per_epoch)
        seconds = self.seconds + (steps - self.steps) * self.seconds_per_epoch / self.steps_per_epoch
        every = min(self.validation_every, epochs)
        return replace(
            self,
            steps=steps,
            epochs=epochs,
            seconds=seconds,
            validation_every=every,
            is_given=True,
            is_in_epochs=is_in_epochs,
        )


def plan_schedule(
    candidate: Candidate, seconds: float, cohort: Cohort, most_seconds: float, *, most_steps: int = MOST_STEPS
) -> Schedule:
    """As many steps as fit into the time beside validation and the last evaluation, no more than nnU-Net takes."""
    looking = _seconds_a_look(candidate, seconds, cohort.num_validation)
    last = _seconds_a_look(candidate, seconds, cohort.num_test or cohort.num_validation)
    looks = max(1, min(_MOST_VALIDATIONS, int(_VALIDATING * most_seconds / looking))) if looking else 0
    left = most_seconds - START_S - looks * looking - last
    steps = max(1, min(most_steps, int(_AT_WORK * left / seconds)))
    batch = candidate.batch_size
    portion = max(1, min(EPOCH_STEPS, steps // _FEWEST_EPOCHS))
    patches = cohort.patches_per_case or max(1, round(portion * batch / cohort.num_training))
    steps_per_epoch = max(1, cohort.num_training * patches // batch)
    epochs = ceil(steps / steps_per_epoch)
    return Schedule(
        steps=steps,
        epochs=epochs,
        patches_per_case=patches,
        validation_every=max(1, ceil(epochs / looks)) if looks else epochs,
        steps_per_epoch=steps_per_epoch,
        seconds_per_epoch=steps_per_epoch * seconds / _AT_WORK,
        seconds=START_S + steps * seconds / _AT_WORK + min(looks, epochs) * looking + last,
    )


def is_enough(candidate: Candidate, seconds: float, cohort: Cohort, most_seconds: float) -> bool:
    """Whether steps of so many seconds leave a training worth its name."""
    if seconds > LONGEST_STEP_S:
        return False
    return plan_schedule(candidate, seconds, cohort, most_seconds).steps >= fewest_steps(candidate)


def fewest_steps(candidate: Candidate) -> int:
    """That must fit the time for it to be chosen."""
    return FEWEST_STEPS if candidate.is_slim else ENOUGH_STEPS


def num_windows(shape: Size, patch_size: Size) -> int:
    """Patches that cover a volume in prediction."""
    step = [max(1, side - 2 * int(side * OVERLAP / 2)) for side in patch_size]
    return prod(1 + ceil(max(0, n - side) / each) for n, side, each in zip(shape, patch_size, step, strict=True))


def _seconds_a_look(candidate: Candidate, seconds: float, num_cases: int) -> float:
    """To predict so many cases."""
    windows = num_cases * num_windows(candidate.space.shape, candidate.patch_size)
    return windows * _FORWARD * seconds / candidate.batch_size
