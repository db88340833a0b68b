"""A training that takes seconds, and ways to track it."""

from __future__ import annotations

from typing import Any

from torchio_seg.config.sections import Experiment

SETTINGS: dict[str, Any] = {
    "dataset.cases": 7,
    "dataset.shape": [24, 24, 16],
    "split.validation": 2,
    "split.test": 2,
    "sampling.patch_size": [16, 16, 16],
    "sampling.patches_per_case": 1,
    "training.epochs": 2,
    "training.batch_size": 2,
    "training.precision": "fp32",
    "training.validation_every": 1,
    "training.metrics": ["hd95"],
    "network.channels": [4, 8],
    "network.num_res_units": 0,
    "device": "cpu",
}


def with_tracker(experiment: Experiment, **options: Any) -> Experiment:
    """The experiment with other options of its tracker."""
    section = experiment.tracker.model_copy(update=options)
    return experiment.model_copy(update={"tracker": section})
