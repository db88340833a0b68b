"""What a training meets on its way: too little memory, too little time, a kill at any moment."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from torchio_seg import checkpoint
from torchio_seg.config.resolve import load, shipped
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import ConfigError, TrainingError
from torchio_seg.workflows.train import Situation, resume, start, with_smaller_batches

GREEDY = """
import torch


class Greedy(torch.nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.layer = torch.nn.Conv3d(channels, classes, 1)

    def forward(self, images):
        if self.training and len(images) > {most}:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.layer(images)


def build(in_channels, out_channels, patch_size):
    return Greedy(in_channels, out_channels)
"""


def experiment(folder: Path, **changes: Any) -> Experiment:
    settings = {
        "dataset.cases": 6,
        "dataset.shape": [32, 32, 32],
        "dataset.root": str(folder / "data"),
        "sampling.store": str(folder / "store"),
        "sampling.patch_size": [16, 16, 16],
        "sampling.patches_per_case": 4,
        "split.validation": 1,
        "split.test": 1,
        "training.epochs": 1,
        "training.precision": "fp32",
        "device": "cpu",
    }
    return load(shipped()["phantom"], settings | changes)


def records(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


@pytest.fixture
def greedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A network that takes no more than two patches at once."""
    (tmp_path / "greedy_network.py").write_text(GREEDY.format(most=2))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "greedy_network", raising=False)
    return "greedy_network.build"


def test_too_little_memory_is_said_with_what_to_set(tmp_path: Path, greedy: str) -> None:
    wanted = experiment(tmp_path, **{"network.name": greedy, "training.batch_size": 8})
    with pytest.raises(TrainingError, match=r"batches of 8 patches of 16 x 16 x 16: CUDA out of memory") as caught:
        start(wanted, tmp_path / "runs")
    for cure in ("--batch-size 4", "training.accumulate=2", "--auto", "--patch-size", "activation_checkpointing"):
        assert cure in str(caught.value)


def test_auto_takes_the_same_steps_in_smaller_batches(tmp_path: Path, greedy: str) -> None:
    changes = {"network.name": greedy, "training.batch_size": 8}
    trained = start(experiment(tmp_path, **changes), tmp_path / "runs", situation=Situation(may_shrink=True))
    kept = checkpoint.read_card(trained.folder / "checkpoints" / "last").experiment["training"]
    assert (kept["batch_size"], kept["accumulate"]) == (2, 4)

    (tmp_path / "greedy_network.py").write_text(GREEDY.format(most=8))
    del sys.modules["greedy_network"]
    whole = start(experiment(tmp_path, **changes), tmp_path / "runs")
    losses = [[record["loss"] for record in records(folder, "step")] for folder in (trained.folder, whole.folder)]
    assert len(losses[0]) == 2
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_run_goes_on_with_the_same_steps_in_smaller_batches_but_not_with_others(tmp_path: Path, greedy: str) -> None:
    (tmp_path / "greedy_network.py").write_text(GREEDY.format(most=4))
    same = {"network.name": greedy, "training.batch_size": 4, "optimization.schedule": "constant"}
    whole = start(experiment(tmp_path, **same, **{"training.epochs": 2}), tmp_path / "runs")
    first = start(experiment(tmp_path, **same), tmp_path / "runs")
    with pytest.raises(ConfigError, match="batch_size differ"):
        resume(first.folder, {"training.epochs": 2, "training.batch_size": 2})
    resume(first.folder, {"training.epochs": 2, "training.batch_size": 2, "training.accumulate": 2})
    losses = [[record["loss"] for record in records(run.folder, "step")] for run in (whole, first)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize(("size", "smaller"), [(8, (4, 2)), (6, (3, 2)), (5, (1, 5)), (9, (3, 3))])
def test_smaller_batches_are_parts_of_the_larger_one(tmp_path: Path, size: int, smaller: tuple[int, int]) -> None:
    found = with_smaller_batches(experiment(tmp_path, **{"training.batch_size": size}))
    assert found is not None
    assert (found.training.batch_size, found.training.accumulate) == smaller
    assert with_smaller_batches(experiment(tmp_path, **{"training.batch_size": 1})) is None


@pytest.mark.slow  # by the clock, so nothing else may begin to load the machine meanwhile
def test_a_training_ends_within_its_time_and_follows_its_schedule_to_the_end(tmp_path: Path) -> None:
    wanted = experiment(tmp_path, **{"training.max_time": "10s", "network.channels": [8, 16]})
    start(wanted.model_copy(update={"training": wanted.training.model_copy(update={"max_time": "1s"})}), tmp_path / "r")
    begun = time.monotonic()
    trained = start(wanted, tmp_path / "runs")
    taken = time.monotonic() - begun
    [budget] = records(trained.folder, "budget")
    assert taken < 10
    assert taken > 5
    assert trained.position.num_steps == budget["num_steps"]
    assert trained.position.step > 0.7 * budget["num_steps"]
    assert records(trained.folder, "evaluation")
    assert records(trained.folder, "validation")[-1]["step"] == trained.position.step


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    """Many kills; what is saved is whole each time, and training gets to its end all the same."""
    settings = [
        *("dataset.cases=6", "dataset.shape=[32,32,32]", "split.validation=1", "split.test=1"),
        *("sampling.patch_size=[16,16,16]", "sampling.patches_per_case=4", "training.save_every=2"),
        *("network.channels=[8,16]", "training.precision=fp32", "training.epochs=40", "training.validation_every=40"),
    ]
    base = [sys.executable, "-m", "torchio_seg", "train", "--device", "cpu", "-q"]
    first = [*base, "--dataset", "phantom", "-o", "run", *(word for each in settings for word in ("--set", each))]
    folder, chance, steps = tmp_path / "run", random.Random(0), [0]  # noqa: S311 (which moment it is matters to nobody)
    for number in range(20):
        command = first if number == 0 else [*base, "--resume", "run", "--epochs", str(40 + 40 * number)]
        with subprocess.Popen(command, cwd=tmp_path) as process:
            while process.poll() is None:
                done = _last_step(folder)
                if done > steps[-1] + chance.randrange(3, 30):
                    time.sleep(chance.random() * 0.05)
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.002)
        last = folder / "checkpoints" / "last"
        card = checkpoint.read_card(last)
        checkpoint.read_weights(last, card)
        state = checkpoint.read_trainer_state(last)
        assert state["position"]["step"] == card.progress["step"]
        assert state["position"]["step"] >= steps[-1]
        steps.append(state["position"]["step"])
    end = steps[-1] // 8 + 2
    done = subprocess.run([*base, "--resume", "run", "--epochs", str(end)], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert [record["step"] for record in records(folder, "step")] == list(range(1, 8 * end + 1))


def _last_step(folder: Path) -> int:
    try:
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        return max((json.loads(line).get("step", 0) for line in lines[-3:-1]), default=0)
    except (OSError, ValueError):
        return 0
