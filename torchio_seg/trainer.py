"""Training: optimize a network on a stream of patches, within a number of epochs, stoppable after any step."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from torchio_seg.progress import Progress, Silent
from torchio_seg.step import Stepper, StepResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torchio_seg.config.sections import Training
    from torchio_seg.step import Pair


@dataclass(frozen=True)
class Validation:
    """What whole-volume prediction of the validation cases gave."""

    mean_dice: float | None
    """Over regions that could be scored; None where none could."""
    loss: float | None
    dice: Mapping[str, float | None] = field(default_factory=dict)
    """Of each region, over the cases where it is defined."""


@dataclass
class Position:
    """How far training is; the only thing besides the stepper that changes while it runs."""

    epoch: int = 0
    """Epochs that are complete."""
    batches_done: int = 0
    """Of the epoch after those."""
    step: int = 0
    best_dice: float | None = None
    best_epoch: int | None = None


@dataclass(frozen=True)
class Parts:
    """What a training is made of; each is ready to be called."""

    stepper: Stepper
    batches: Callable[[int, int], Iterator[Pair]]
    """Images and masks of an epoch from some batch on, always the same for the same epoch."""
    batches_per_epoch: int
    validate: Callable[[Progress], Validation] | None
    """None where no case is kept for it."""
    save: Callable[[str, Position], None]
    """Keep the model as `best` or `last`."""
    log: Callable[[Mapping[str, Any]], None]
    should_stop: Callable[[], bool]
    progress: Progress = field(default_factory=Silent)


class Trainer:
    """Runs the epochs that are left from a position."""

    def __init__(self, parts: Parts, settings: Training, position: Position | None = None) -> None:
        self.parts = parts
        self.settings = settings
        self.position = position or Position()

    def run(self) -> bool:
        """Train to the last epoch; False where a stop was asked for before."""
        self.parts.progress.start("training", self.settings.epochs - self.position.epoch)
        try:
            while self.position.epoch < self.settings.epochs:
                complete = self._train_epoch()
                if complete and self._validation_is_due() and self.parts.validate is not None:
                    self._validate(self.parts.validate)
                self.parts.save("last", self.position)
                if not complete or (self.parts.should_stop() and self.position.epoch < self.settings.epochs):
                    return False
                self.parts.progress.advance()
        finally:
            self.parts.progress.finish()
        return True

    def _train_epoch(self) -> bool:
        """Every step of one epoch that is not done yet; False where a stop was asked for in between."""
        clock = _Clock()
        losses: list[float] = []
        self.parts.progress.start(f"epoch {self.position.epoch + 1}/{self.settings.epochs}", self._steps_per_epoch())
        try:
            for pairs in clock.waiting(self._groups()):
                result = self.parts.stepper(pairs)
                losses.append(result.loss)
                clock.patches += sum(len(images) for images, _ in pairs)
                self._after_step(result, len(pairs), clock)
                if self.parts.should_stop() and self.position.batches_done < self.parts.batches_per_epoch:
                    return False
        finally:
            self.parts.progress.finish()
        self.position.epoch += 1
        self.position.batches_done = 0
        self._log("epoch", loss=_mean(losses), learning_rate=self.parts.stepper.learning_rate, **clock.figures())
        return True

    def _groups(self) -> Iterator[list[Pair]]:
        """The batches that are left of this epoch, as many at a time as one step takes."""
        left = iter(self.parts.batches(self.position.epoch, self.position.batches_done))
        while group := list(islice(left, self.settings.accumulate)):
            yield group

    def _steps_per_epoch(self) -> int:
        return -(-(self.parts.batches_per_epoch - self.position.batches_done) // self.settings.accumulate)

    def _after_step(self, result: StepResult, num_batches: int, clock: _Clock) -> None:
        self.position.step += 1
        self.position.batches_done += num_batches
        self._log("step", **{"epoch": self.position.epoch + 1, **asdict(result)})
        self.parts.progress.advance(loss=result.loss, patches_per_second=clock.figures()["patches_per_second"])

    def _validation_is_due(self) -> bool:
        epoch = self.position.epoch
        return epoch % self.settings.validation_every == 0 or epoch == self.settings.epochs

    def _validate(self, validate: Callable[[Progress], Validation]) -> None:
        """Score the model as it is, and keep it unless an earlier one was better."""
        validation = validate(self.parts.progress)
        best = self.position.best_dice
        improved = validation.mean_dice is not None and (best is None or validation.mean_dice >= best)
        if improved:
            self.position.best_dice, self.position.best_epoch = validation.mean_dice, self.position.epoch
        self._log("validation", improved=improved, **asdict(validation))
        if improved:
            self.parts.save("best", self.position)

    def _log(self, kind: str, **figures: Any) -> None:
        self.parts.log({"kind": kind, "epoch": self.position.epoch, "step": self.position.step, **figures})


class _Clock:
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


def _mean(values: list[float]) -> float | None:
    finite = [value for value in values if value == value]  # noqa: PLR0124 (not NaN)
    return sum(finite) / len(finite) if finite else None
