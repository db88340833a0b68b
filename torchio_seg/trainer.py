"""Training: optimize a network on a stream of patches, within a number of steps, stoppable after any of them."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from torchio_seg import devices
from torchio_seg.memory import resident_bytes
from torchio_seg.progress import Progress, Silent
from torchio_seg.records import ValidationLeft
from torchio_seg.step import Stepper, StepResult
from torchio_seg.timing import EpochClock, StepTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torchio_seg.config.sections import Training
    from torchio_seg.records import Validation
    from torchio_seg.step import Pair
    from torchio_seg.timing import Allowance

    Validate = Callable[[int | None, Progress], Validation]

log = logging.getLogger(__name__)


@dataclass
class Position:
    """How far training is; the only thing besides the stepper that changes while it runs."""

    epoch: int = 0
    """Epochs that are complete."""
    batches_done: int = 0
    """Of the epoch after those."""
    step: int = 0
    num_steps: int | None = None
    """In all; None until the first steps have told how many fit into the time."""
    skipped: int = 0
    """Steps that left the weights as they were."""
    validated_at: int = 0
    """The step of the latest validation."""
    best_score: float | None = None
    best_epoch: float | None = None
    validations_since_best: int = 0


@dataclass(frozen=True)
class Parts:
    """What a training is made of; each is ready to be called."""

    stepper: Stepper
    batches: Callable[[int, int], Iterator[Pair]]
    """Images and masks of an epoch from some batch on, always the same for the same epoch."""
    batches_per_epoch: int
    validate: Validate | None
    """Of all cases, or of the n-th subset of them, unless `ValidationLeft`; None where no case is kept for it."""
    save: Callable[[str, Position], None]
    """Keep the model as `best` or `last`."""
    log: Callable[[Mapping[str, Any]], None]
    should_stop: Callable[[], bool]
    progress: Progress = field(default_factory=Silent)
    allowance: Allowance | None = None
    """None where the number of steps alone ends the training."""
    falling: tuple[str, ...] = ("loss",)
    """What of a validation is better the lower it is."""
    num_ranks: int = 1
    """How many processes take each step together, each with batches of its own."""


class Trainer:
    """Takes the steps that are left from a position."""

    def __init__(self, parts: Parts, settings: Training, position: Position) -> None:
        self.parts = parts
        self.settings = settings
        self.position = position
        self._timer = StepTimer()
        self._latest: dict[str, float] = {}
        """Of the latest validation, for whoever watches."""

    def run(self) -> bool:
        """Train to the end; False where a stop was asked for before."""
        position, num_epochs = self.position, self._num_epochs()
        with self._shown("training", None if num_epochs is None else num_epochs - position.epoch):
            try:
                if position.step:
                    self._validate_if_due()  # which a stop may have kept from being done
                while not self.is_over():
                    self._train_epoch()
                    self.parts.save("last", position)
                    if self.parts.should_stop() and not self.is_over():
                        return False
                    self._validate_if_due()
                    self._timer.interrupt()
                    self.parts.progress.advance(1, **self._latest)
            except ValidationLeft:
                return False
        return True

    def is_over(self) -> bool:
        """Whether all steps are taken, or no hope of a better model is left."""
        position, patience = self.position, self.settings.patience
        has_all_steps = position.num_steps is not None and position.step >= position.num_steps
        return has_all_steps or (patience is not None and position.validations_since_best >= patience)

    def _train_epoch(self) -> None:
        """The steps of one epoch that are not done yet, or those until training ends in between."""
        clock = EpochClock()
        losses: list[float] = []
        with self._shown(f"epoch {self.position.epoch + 1}", self._steps_left_of_epoch()):
            for pairs in clock.waiting(self._groups()):
                result = self.parts.stepper(pairs)
                losses.append(result.loss)
                clock.patches += self.parts.num_ranks * sum(len(images) for images, _ in pairs)
                self._after_step(result, len(pairs), clock)
                if self.is_over() or self.parts.should_stop():
                    break
        if self.position.batches_done >= self.parts.batches_per_epoch:
            self.position.epoch += 1
            self.position.batches_done = 0
        rate = self.parts.stepper.learning_rate
        self._log("epoch", loss=_mean(losses), learning_rate=rate, skipped=self.position.skipped, **clock.figures())

    def _groups(self) -> Iterator[list[Pair]]:
        """The batches that are left of this epoch, as many at a time as one step takes."""
        left = iter(self.parts.batches(self.position.epoch, self.position.batches_done))
        while group := list(islice(left, self.settings.accumulate)):
            yield group

    def _after_step(self, result: StepResult, num_batches: int, clock: EpochClock) -> None:
        position = self.position
        position.step += 1
        position.batches_done += num_batches
        position.skipped += result.skipped
        self._log("step", **asdict(result))
        self._show(result.loss, clock)
        if position.num_steps is None:
            self._reckon()
        self._heed_deadline()
        every = self.settings.save_every
        if every is not None and position.step % every == 0 and not self.is_over():
            self.parts.save("last", position)

    def _show(self, loss: float, clock: EpochClock) -> None:
        """What a watcher sees of a step."""
        figures, held = clock.figures(), devices.held(self.parts.stepper.device)
        self.parts.progress.advance(
            loss=loss,
            learning_rate=self.parts.stepper.learning_rate,
            patches_per_second=figures["patches_per_second"],
            waiting=figures["waiting"],
            memory=resident_bytes(os.getpid()) if held is None else held,
        )

    def _reckon(self) -> None:
        """Fix the number of steps once enough of them are timed."""
        self._timer.mark()
        allowance = self.parts.allowance
        if allowance is None or not allowance.timing_is_over(self._timer):
            return
        between = self.settings.validation_every * self._steps_per_epoch
        seconds_per_step = self._timer.seconds_per_step
        more = allowance.reckon(seconds_per_step, between)
        self.position.num_steps = self.position.step + more
        self.parts.stepper.expect(self.position.num_steps)
        self._log(
            "budget", num_steps=self.position.num_steps, seconds_per_step=seconds_per_step, **asdict(allowance.upkeep)
        )

    def _heed_deadline(self) -> None:
        """Let the training have no more steps than it took, where no time is left for others."""
        position, allowance = self.position, self.parts.allowance
        if allowance is None or self.is_over() or not allowance.is_up():
            return
        log.warning("time is up after %d of %s steps", position.step, position.num_steps or "an unknown number of")
        position.num_steps = position.step

    def _validate_if_due(self) -> None:
        """At the end of the training, and of every so many epochs."""
        position, is_last = self.position, self.is_over()
        is_due = position.batches_done == 0 and position.epoch % self.settings.validation_every == 0
        if self.parts.validate is None or position.validated_at == position.step or not (is_due or is_last):
            return
        self._validate(self.parts.validate, whole=is_last)
        self._heed_deadline()
        if self.is_over() and not is_last and self.settings.validation_cases is not None:
            self._validate(self.parts.validate, whole=True)  # a few cases end nothing before all are asked
        self.parts.save("last", position)

    def _validate(self, validate: Validate, *, whole: bool) -> None:
        """Score the model as it is, and keep it unless an earlier one was better."""
        position = self.position
        subset = None if whole else position.epoch // self.settings.validation_every - 1
        with self.parts.stepper.averaged():
            validation = validate(subset, self.parts.progress)
        position.validated_at = position.step
        score = validation.score(self.settings.best, falls=self.settings.best in self.parts.falling)
        best = position.best_score
        improved = score is not None and (best is None or score >= best)  # of equal ones the later is kept
        if validation.is_complete:
            position.validations_since_best = 0 if improved and score != best else position.validations_since_best + 1
        if improved:
            position.best_score, position.best_epoch = score, self._epochs_done
        self._log("validation", improved=improved, **asdict(validation))
        if validation.mean_dice is not None:
            self._latest = {"dice": validation.mean_dice}
        if improved:
            self.parts.save("best", position)

    @property
    def _steps_per_epoch(self) -> int:
        return -(-self.parts.batches_per_epoch // self.settings.accumulate)

    @property
    def _epochs_done(self) -> float:
        """Parts of an epoch counted."""
        position = self.position
        return round(position.epoch + position.batches_done / self.parts.batches_per_epoch, 3)

    def _num_epochs(self) -> int | None:
        num_steps = self.position.num_steps
        return None if num_steps is None else -(-num_steps // self._steps_per_epoch)

    def _steps_left_of_epoch(self) -> int:
        left = -(-(self.parts.batches_per_epoch - self.position.batches_done) // self.settings.accumulate)
        num_steps = self.position.num_steps
        return left if num_steps is None else min(left, num_steps - self.position.step)

    def _log(self, kind: str, **figures: Any) -> None:
        self.parts.log({"kind": kind, "epoch": self._epochs_done, "step": self.position.step, **figures})

    @contextmanager
    def _shown(self, what: str, total: int | None) -> Iterator[None]:
        self.parts.progress.start(what, total)
        try:
            yield
        finally:
            self.parts.progress.finish()


def _mean(values: list[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None
