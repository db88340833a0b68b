"""The loop alone, on a network of one convolution: what it does, in which order, and how it stops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from test_step import pair, stepper

from torchio_seg.config.sections import Training
from torchio_seg.step import Pair
from torchio_seg.trainer import Parts, Position, Trainer, Validation

BATCHES = 5


@dataclass
class Watched:
    """A training whose every call to the outside is kept."""

    settings: Training
    dice: list[float | None] = field(default_factory=list)
    stop_after: int = 10**9
    saved: list[tuple[str, int, int]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    seen: list[tuple[int, int]] = field(default_factory=list)

    def batches(self, epoch: int, first: int) -> Iterator[Pair]:
        for number in range(first, BATCHES):
            self.seen.append((epoch, number))
            yield pair(100 * epoch + number)

    def validate(self, _: object) -> Validation:
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
        )
        return Trainer(parts, self.settings, position)


def test_every_epoch_takes_every_batch_once_and_is_saved() -> None:
    watched = Watched(Training(epochs=3, validation_every=2))
    assert watched.trainer().run()
    assert watched.seen == [(epoch, number) for epoch in range(3) for number in range(BATCHES)]
    assert [entry for entry in watched.saved if entry[0] == "last"] == [("last", 1, 0), ("last", 2, 0), ("last", 3, 0)]
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
    assert (trainer.position.best_dice, trainer.position.best_epoch) == (0.6, 3)


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
