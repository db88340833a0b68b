"""Whether a training that is to go on has anything left to do, from its own records, before anything is prepared."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from torchio_seg import checkpoint
from torchio_seg.trainer import Position
from torchio_seg.workflows.runs import EVALUATION

if TYPE_CHECKING:
    from torchio_seg.config.sections import Experiment, Training
    from torchio_seg.records import Split


def find_end(folder: Path, experiment: Experiment, earlier: Experiment, split: Split) -> Position | None:
    """Where a run ended that is trained, validated and evaluated as these settings ask for; None where it goes on.

    `earlier`: the settings that it had until now.
    """
    position = Position(**checkpoint.read_trainer_state(folder / "checkpoints" / "last")["position"])
    is_validated = not split.validation or position.validated_at == position.step
    part = "test" if split.test else "validation" if split.validation else None
    is_evaluated = part is None or (folder / EVALUATION / f"{part}.json").is_file()
    if not (is_validated and is_evaluated and _is_over(position, experiment.training, earlier.training)):
        return None
    return position


def _is_over(position: Position, now: Training, earlier: Training) -> bool:
    """By the length that is wanted now, or because no better model came for long."""
    if now.patience is not None and position.validations_since_best >= now.patience:
        return _length(now) == _length(earlier)  # another length has a new patience
    if now.max_time is not None:
        return now.max_time == earlier.max_time and position.step >= (position.num_steps or math.inf)
    if now.steps is not None:
        return position.step >= now.steps
    return position.epoch >= now.epochs


def _length(training: Training) -> tuple[object, ...]:
    return training.max_time, training.steps, training.epochs
