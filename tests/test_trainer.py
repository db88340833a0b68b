"""The loop alone, on a network of one convolution: what it does, in which order, and how it stops."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from test_step import pair, stepper

from torchio_seg import timing
from torchio_seg.config.sections import Training
from torchio_seg.records import Validation, ValidationLeft
from torchio_seg.step import Pair
from torchio_seg.timing import Allowance, Upkeep
from torchio_seg.trainer import Parts, Position, Trainer

BATCHES = 5
SECONDS = 0.01
"""A batch, by the clock that some trainings go by."""
UPKEEP = Upkeep(validation=0.05, ending=0.2)


@dataclass
class Clock:
    """Moved on by batches and validations alone, so that no other work on the machine counts."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic


@dataclass
class Watched:
    """A training whose every call to the outside is kept."""

    settings: Training
    dice: list[float | None] = field(default_factory=list)
    stop_after: int = 10**9
    saved: list[tuple[str, int, int]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    seen: list[tuple[int, int]] = field(default_factory=list)
    subsets: list[int | None] = field(default_factory=list)
    allowance: Allowance | None = None
    clock: Clock = field(default_factory=Clock)

    def batches(self, epoch: int, first: int) -> Iterator[Pair]:
        for number in range(first, BATCHES):
            self.seen.append((epoch, number))
            self.clock.now += SECONDS
            yield pair(100 * epoch + number)

    def validate(self, subset: int | None, _: object) -> Validation:
        self.subsets.append(subset)
        self.clock.now += UPKEEP.validation
        return Validation(self.dice.pop(0) if self.dice else 0.5, 0.1, {"a": 0.5})

    def steps(self) -> int:
        return sum(record["kind"] == "step" for record in self.records)

    def trainer(self, position: Position | None = None) -> Trainer:
        self.stepper = stepper(self.settings, "adamw")
        parts = Parts(
            stepper=self.stepper,
            batches=self.batches,
            batches_per_epoch=BATCHES,
            validate=self.validate,
            save=lambda name, at: self.saved.append((name, at.epoch, at.batches_done)),
            log=lambda record: self.records.append(dict(record)),
            should_stop=lambda: self.steps() >= self.stop_after,
            allowance=self.allowance,
        )
        per_epoch = -(-BATCHES // self.settings.accumulate)
        num_steps = None if self.allowance else self.settings.steps or self.settings.epochs * per_epoch
        return Trainer(parts, self.settings, position or Position(num_steps=num_steps))


def test_every_epoch_takes_every_batch_once_and_is_saved() -> None:
    watched = Watched(Training(epochs=3, validation_every=2))
    assert watched.trainer().run()
    assert watched.seen == [(epoch, number) for epoch in range(3) for number in range(BATCHES)]
    epochs = [epoch for name, epoch, _ in watched.saved if name == "last"]
    assert epochs == [1, 2, 2, 3, 3], "before a validation, which a kill may end, and after it"
    assert [record["epoch"] for record in watched.records if record["kind"] == "validation"] == [2, 3]


def test_accumulation_makes_fewer_steps_of_all_batches() -> None:
    watched = Watched(Training(epochs=1, accumulate=2))
    watched.trainer().run()
    assert watched.steps() == 3
    assert len(watched.seen) == BATCHES


def test_the_best_is_kept_and_what_cannot_be_scored_is_never_best() -> None:
    watched = Watched(Training(epochs=5, validation_every=1), dice=[None, 0.4, 0.6, None, 0.5])
    trainer = watched.trainer()
    trainer.run()
    assert [entry[1] for entry in watched.saved if entry[0] == "best"] == [2, 3]
    assert (trainer.position.best_score, trainer.position.best_epoch) == (0.6, 3)


@pytest.mark.parametrize("stop_after", [1, 3, 5, 7, 12])
def test_a_stopped_training_goes_on_to_the_same_weights(stop_after: int) -> None:
    settings = Training(epochs=3)
    whole = Watched(settings)
    whole.trainer().run()

    stopped = Watched(settings, stop_after=stop_after)
    first = stopped.trainer()
    assert not first.run()
    assert stopped.steps() == stop_after
    assert stopped.saved[-1] == ("last", *divmod(stop_after, BATCHES))
    state = stopped.stepper.state()
    kept = {name: tensor.clone() for name, tensor in stopped.stepper.network.state_dict().items()}

    resumed = Watched(settings)
    second = resumed.trainer(replace(first.position))
    resumed.stepper.network.load_state_dict(kept)
    resumed.stepper.restore(state)
    assert second.run()
    for name, tensor in whole.stepper.network.state_dict().items():
        assert torch.equal(tensor, resumed.stepper.network.state_dict()[name])
    assert second.position.step == 3 * BATCHES


def test_records_tell_loss_rate_speed_and_waiting() -> None:
    watched = Watched(Training(epochs=1))
    watched.trainer().run()
    [epoch] = [record for record in watched.records if record["kind"] == "epoch"]
    losses = [record["loss"] for record in watched.records if record["kind"] == "step"]
    assert epoch["loss"] == pytest.approx(sum(losses) / len(losses))
    assert epoch["patches_per_second"] > 0
    assert 0 <= epoch["waiting"] <= 1
    assert epoch["learning_rate"] == watched.stepper.learning_rate


def test_a_number_of_steps_ends_training_inside_an_epoch_with_a_validation() -> None:
    watched = Watched(Training(steps=8, validation_every=1))
    trainer = watched.trainer()
    assert trainer.run()
    assert (trainer.position.step, trainer.position.epoch, trainer.position.batches_done) == (8, 1, 3)
    validations = [record for record in watched.records if record["kind"] == "validation"]
    assert [(record["epoch"], record["step"]) for record in validations] == [(1, 5), (1.6, 8)]
    assert watched.subsets == [0, None]
    assert watched.saved[-1] == ("last", 1, 3)


def test_a_longer_training_goes_on_inside_the_epoch_where_the_shorter_one_ended() -> None:
    whole = Watched(Training(steps=12))
    whole.trainer().run()
    short = Watched(Training(steps=8))
    first = short.trainer()
    first.run()
    longer = Watched(Training(steps=12))
    second = longer.trainer(replace(first.position, num_steps=12))
    longer.stepper.network.load_state_dict(short.stepper.network.state_dict())
    longer.stepper.restore(short.stepper.state())
    assert second.run()
    assert short.seen[:8] + longer.seen == whole.seen
    for name, tensor in whole.stepper.network.state_dict().items():
        assert torch.equal(tensor, longer.stepper.network.state_dict()[name])


def test_saving_every_few_steps_keeps_the_place() -> None:
    watched = Watched(Training(epochs=2, save_every=2))
    watched.trainer().run()
    assert watched.saved[:5] == [("last", 0, 2), ("last", 0, 4), ("last", 1, 0), ("last", 1, 1), ("last", 1, 3)]


def test_training_ends_when_validations_bring_nothing_better_for_long_enough() -> None:
    watched = Watched(Training(epochs=9, validation_every=1, patience=2), dice=[0.3, 0.5, 0.4, None, 0.9])
    trainer = watched.trainer()
    assert trainer.run()
    assert trainer.position.epoch == 4
    assert trainer.position.best_epoch == 2


def test_as_good_as_the_best_is_kept_in_its_place_and_tries_patience() -> None:
    watched = Watched(Training(epochs=9, validation_every=1, patience=3), dice=[0.0] * 9)
    trainer = watched.trainer()
    assert trainer.run()
    assert (trainer.position.epoch, trainer.position.best_epoch) == (4, 4)


@pytest.mark.parametrize(("best", "chosen"), [("mean_dice", 2), ("loss", 1), ("a", 3), ("hd95", 2)])
def test_the_best_is_told_by_what_the_settings_name(best: str, chosen: int) -> None:
    watched = Watched(Training(epochs=3, validation_every=1, best=best))
    given = [
        Validation(0.3, 0.1, {"a": 0.2}, measured={"hd95": 7.0}),
        Validation(0.6, 0.2, {"a": 0.1}, measured={"hd95": 3.0}),
        Validation(0.5, float("nan"), {"a": 0.3}, measured={"hd95": None}),
    ]
    trainer = watched.trainer()
    object.__setattr__(trainer.parts, "validate", lambda *_: given.pop(0))
    object.__setattr__(trainer.parts, "falling", ("loss", "hd95"))
    trainer.run()
    assert trainer.position.best_epoch == chosen


def test_steps_that_are_timed_tell_how_many_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(Training(max_time="2s", validation_every=1))
    monkeypatch.setattr(timing, "time", watched.clock)
    watched.allowance = Allowance(2.0, watched.clock.now, lambda: UPKEEP)
    trainer = watched.trainer()
    assert trainer.run()
    [budget] = [record for record in watched.records if record["kind"] == "budget"]
    assert trainer.position.num_steps == budget["num_steps"] >= trainer.position.step
    assert 1.5 < watched.clock.now < 2.0 - UPKEEP.ending + UPKEEP.validation
    assert budget["seconds_per_step"] == pytest.approx(SECONDS)
    rates = [record["learning_rate"] for record in watched.records if record["kind"] == "epoch"]
    assert rates[-1] == pytest.approx(0.1)  # a constant schedule
    each = SECONDS + UPKEEP.validation / BATCHES
    assert (budget["num_steps"] - budget["step"]) * each == pytest.approx(2.0 - 0.04 - 0.2, abs=0.3)


def test_time_that_is_up_ends_training_as_it_is() -> None:
    watched = Watched(Training(max_time="1s"))
    watched.allowance = Allowance(1.0, time.monotonic() - 5, lambda: Upkeep(0.0, 0.1))
    trainer = watched.trainer()
    assert trainer.run()
    assert trainer.position.step == trainer.position.num_steps == 1, "so that it is known to have ended"
    assert watched.subsets == [None]


def test_a_deadline_that_comes_in_a_validation_lets_no_more_steps_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(Training(max_time="1s", validation_every=1, validation_cases=1))
    monkeypatch.setattr(timing, "time", watched.clock)
    watched.allowance = Allowance(4 * BATCHES * SECONDS, 0.0, lambda: Upkeep(validation=0.0, ending=0.12))
    trainer = watched.trainer()
    assert trainer.run()
    assert trainer.position.step == trainer.position.num_steps == BATCHES
    assert watched.subsets == [0, None]


@pytest.mark.parametrize(("settings", "left_at"), [(Training(epochs=3, validation_every=1), 5), (Training(steps=8), 8)])
def test_a_stop_in_a_validation_leaves_it_to_the_resumed_training(settings: Training, left_at: int) -> None:
    whole = Watched(settings)
    whole.trainer().run()
    watched = Watched(settings)
    first = watched.trainer()

    def leave(*_: object) -> Validation:
        raise ValidationLeft

    object.__setattr__(first.parts, "validate", leave)
    assert not first.run()
    assert (first.position.step, first.position.validated_at) == (left_at, 0)
    assert watched.saved[-1] == ("last", *divmod(left_at, BATCHES))
    resumed = Watched(settings)
    assert resumed.trainer(replace(first.position)).run()
    assert resumed.subsets == whole.subsets


def test_a_stop_at_an_epochs_end_saves_at_once_and_leaves_its_validation_to_the_resumed_training() -> None:
    whole = Watched(Training(epochs=3, validation_every=1))
    whole.trainer().run()
    watched = Watched(Training(epochs=3, validation_every=1), stop_after=BATCHES)
    first = watched.trainer()
    assert not first.run()
    assert watched.saved == [("last", 1, 0)]
    assert watched.subsets == []
    resumed = Watched(Training(epochs=3, validation_every=1))
    assert resumed.trainer(first.position).run()
    assert resumed.subsets == whole.subsets == [0, 1, None]


def test_what_tells_of_some_cases_alone_is_never_best_and_tries_no_patience() -> None:
    watched = Watched(Training(epochs=9, validation_every=1, validation_cases=2, patience=2))
    trainer = watched.trainer()
    given = [Validation(0.9, 0.1, is_complete=False)] * 3 + [Validation(dice, 0.1) for dice in (0.4, 0.3, 0.2, 0.1)]
    object.__setattr__(trainer.parts, "validate", lambda *_: given.pop(0))
    assert trainer.run()
    assert (trainer.position.best_score, trainer.position.best_epoch) == (0.4, 4)
    assert trainer.position.epoch == 6, "two validations that can be compared brought nothing better"


def test_before_patience_ends_all_cases_are_asked() -> None:
    settings = Training(epochs=9, validation_every=1, validation_cases=2, patience=1)
    watched = Watched(settings, dice=[0.5, 0.4, 0.3])
    assert watched.trainer().run()
    assert watched.subsets == [0, 1, None]
    watched = Watched(settings, dice=[0.5, 0.4, 0.6, 0.5, 0.2])
    assert watched.trainer().run()
    assert watched.subsets == [0, 1, None, 2, None], "what all cases find better gives new patience"
