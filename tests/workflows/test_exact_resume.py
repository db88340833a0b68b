"""A training that was stopped after any step, and went on, is bit for bit the one that never stopped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from torchio_seg import checkpoint
from torchio_seg.config.resolve import load, shipped
from torchio_seg.config.sections import Experiment
from torchio_seg.progress import Silent
from torchio_seg.workflows.assembly import make_plan
from torchio_seg.workflows.job import Job, Surroundings

SETTINGS: dict[str, Any] = {
    "dataset.cases": 8,
    "dataset.shape": [32, 32, 32],
    "split.test": 0,
    "split.validation": 2,
    "sampling.patch_size": [16, 16, 16],
    "sampling.patches_per_case": 2,
    "training.epochs": 2,
    "training.precision": "fp32",
    "training.ema": 0.8,
    "training.accumulate": 2,
    "training.validation_every": 1,
    "training.validation_cases": 1,
    "augmentation.spatial": [{"name": "affine", "probability": 0.5, "degrees": 15.0, "scale": 0.15}],
    "augmentation.intensity": [{"name": "torchio.RandomNoise", "p": 0.5}],
    "optimization.schedule": "warmup_cosine",
    "network.name": "segresnet",
    "network.init_filters": 8,
    "network.blocks_down": [1, 1],
    "network.blocks_up": [1],
    "network.dropout": 0.2,
    "device": "cpu",
}
NUM_STEPS = 6


@dataclass
class Course:
    """One stretch of a training, until it ends or so many steps are taken."""

    folder: Path
    stop_after: int = 10**9
    steps: int = 0
    losses: list[float] = field(default_factory=list)

    def log(self, record: Mapping[str, Any]) -> None:
        if record["kind"] == "step":
            self.steps += 1
            self.losses.append(record["loss"])

    def run(self, experiment: Experiment, *, resume: bool) -> bool:
        torch.manual_seed(1234 + self.steps)  # what a new process has is not what the old one had
        job = Job(experiment, make_plan(experiment))
        try:
            surroundings = Surroundings(
                self.folder, self.log, Silent(), lambda: self.steps >= self.stop_after, time.monotonic()
            )
            return job.trainer(surroundings, resume=resume).run()
        finally:
            job.feed.close()


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    folder = tmp_path_factory.mktemp("exact")
    places = {"dataset.root": str(folder / "data"), "sampling.store": str(folder / "store")}
    return load(shipped()["phantom"], SETTINGS | places)


@pytest.fixture(scope="module")
def whole(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Course:
    course = Course(tmp_path_factory.mktemp("whole"))
    assert course.run(experiment, resume=False)
    assert course.steps == NUM_STEPS
    return course


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


@pytest.mark.parametrize(("stop_after", "num_workers"), [(1, 0), (3, 2), (4, 0), (5, 1)])
def test_a_resumed_training_is_the_uninterrupted_one(
    experiment: Experiment, whole: Course, tmp_path: Path, stop_after: int, num_workers: int
) -> None:
    first = Course(tmp_path, stop_after)
    assert not first.run(experiment, resume=False)
    sampling = experiment.sampling.model_copy(update={"num_workers": num_workers})
    second = Course(tmp_path)
    assert second.run(experiment.model_copy(update={"sampling": sampling}), resume=True)
    assert first.losses + second.losses == whole.losses
    for name in ("last", "best"):
        there, here = (folder / "checkpoints" / name for folder in (whole.folder, tmp_path))
        ours, theirs = (checkpoint.read_weights(place, checkpoint.read_card(place)) for place in (here, there))
        assert equal(ours, theirs)
        assert equal(checkpoint.read_trainer_state(here), checkpoint.read_trainer_state(there))


def test_what_is_kept_as_the_model_is_not_the_last_step_s_own_weights(experiment: Experiment, whole: Course) -> None:
    last = whole.folder / "checkpoints" / "last"
    kept = checkpoint.read_weights(last, checkpoint.read_card(last))
    state = checkpoint.read_trainer_state(last)["stepper"]["average"]
    assert state["num_updates"] == NUM_STEPS
    names = [name for name, tensor in kept.items() if tensor.is_floating_point()]
    own = {tuple(tensor.shape) for tensor in state["own"]}
    assert {tuple(kept[name].shape) for name in names} == own
    assert any(not any(torch.equal(kept[name], tensor) for tensor in state["own"]) for name in names)
