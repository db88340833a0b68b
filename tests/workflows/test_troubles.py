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
from torchio_seg.workflows.train import Situation, resume, start, with_fewer_at_once

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
    with pytest.raises(TrainingError, match=r"8 patches of 16 x 16 x 16 at once: CUDA out of memory") as caught:
        start(wanted, tmp_path / "runs")
    for cure in ("training.patches_at_once=4", "--auto", "--patch-size", "activation_checkpointing"):
        assert cure in str(caught.value)


@pytest.mark.parametrize(("batch_size", "found"), [(8, 2), (3, 2)])
def test_auto_takes_the_same_steps_with_fewer_patches_at_once(
    tmp_path: Path, greedy: str, batch_size: int, found: int, caplog: pytest.LogCaptureFixture
) -> None:
    """16 patches an epoch: batches of 3 leave one out, and are taken as 2 and 1."""
    changes = {"network.name": greedy, "training.batch_size": batch_size}
    trained = start(experiment(tmp_path, **changes), tmp_path / "runs", situation=Situation(may_shrink=True))
    kept = checkpoint.read_card(trained.folder / "checkpoints" / "last").experiment["training"]
    assert (kept["batch_size"], kept["accumulate"], kept["patches_at_once"]) == (batch_size, 1, found)
    assert f"with {batch_size} patches at once: going on with" in caplog.text

    (tmp_path / "greedy_network.py").write_text(GREEDY.format(most=8))
    del sys.modules["greedy_network"]
    whole = start(experiment(tmp_path, **changes), tmp_path / "runs")
    steps = [[record["loss"] for record in records(folder, "step")] for folder in (trained.folder, whole.folder)]
    assert len(steps[0]) == 16 // batch_size
    assert steps[0] == pytest.approx(steps[1], rel=1e-5)
    norms = [[each["gradient_norm"] for each in records(folder, "step")] for folder in (trained.folder, whole.folder)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_memory_that_a_validation_lacks_is_not_blamed_on_the_step(tmp_path: Path, greedy: str) -> None:
    code = GREEDY.format(most=2).replace(
        "self.training and", "not self.training and torch.is_inference_mode_enabled() and"
    )
    (tmp_path / "greedy_network.py").write_text(code.replace("> 2", "> 0 and images.any()"))
    wanted = experiment(tmp_path, **{"network.name": greedy})
    with pytest.raises(TrainingError, match="while a case was predicted whole: CUDA out of memory") as caught:
        start(wanted, tmp_path / "runs", situation=Situation(may_shrink=True))
    assert "--patch-size" not in str(caught.value)
    [run] = (tmp_path / "runs").glob("*/*-*")
    assert checkpoint.exists(run / "checkpoints" / "last")


def test_memory_that_runs_out_inside_an_epoch_goes_on_where_it_was_saved(tmp_path: Path, greedy: str) -> None:
    """The network takes whole batches at first, and less from its fourth pass on."""
    code = GREEDY.format(most=2).replace("self.training and", "self.training and self.is_late() and")
    late = "    passes = 0\n\n    def is_late(self):\n        Greedy.passes += 1\n        return Greedy.passes > 3\n\n"
    (tmp_path / "greedy_network.py").write_text(code.replace("    def forward", late + "    def forward"))
    changes = {"network.name": greedy, "training.batch_size": 3, "training.save_every": 1}
    trained = start(experiment(tmp_path, **changes), tmp_path / "runs", situation=Situation(may_shrink=True))
    assert trained.position.step == 5
    assert [record["step"] for record in records(trained.folder, "step")] == [1, 2, 3, 4, 5]

    (tmp_path / "greedy_network.py").write_text(GREEDY.format(most=3))
    del sys.modules["greedy_network"]
    whole = start(experiment(tmp_path, **changes), tmp_path / "runs")
    losses = [[record["loss"] for record in records(folder, "step")] for folder in (trained.folder, whole.folder)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_run_goes_on_with_fewer_patches_at_once_but_not_with_other_steps(tmp_path: Path, greedy: str) -> None:
    (tmp_path / "greedy_network.py").write_text(GREEDY.format(most=4))
    same = {"network.name": greedy, "training.batch_size": 4, "optimization.schedule": "constant"}
    whole = start(experiment(tmp_path, **same, **{"training.epochs": 2}), tmp_path / "runs")
    first = start(experiment(tmp_path, **same), tmp_path / "runs")
    with pytest.raises(ConfigError, match="batch_size differ"):
        resume(first.folder, {"training.epochs": 2, "training.batch_size": 2})
    resume(first.folder, {"training.epochs": 2, "training.patches_at_once": 3})
    losses = [[record["loss"] for record in records(run.folder, "step")] for run in (whole, first)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_patience_that_no_validation_would_try_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    wanted = experiment(tmp_path, **{"split.fold": "all", "training.patience": 2})
    with pytest.raises(ConfigError, match=r"patience is 2 validations, but no case is kept .*every case.*=null"):
        start(wanted, tmp_path / "runs")
    assert not list((tmp_path / "store").glob("cases/*"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("size", "portions"), [(8, [4, 2, 1]), (6, [3, 2, 1]), (5, [3, 2, 1]), (1, [])])
def test_fewer_patches_at_once_are_half_of_what_did_not_fit(tmp_path: Path, size: int, portions: list[int]) -> None:
    wanted: Experiment | None = experiment(tmp_path, **{"training.batch_size": size})
    found = []
    while wanted is not None and (wanted := with_fewer_at_once(wanted)) is not None:
        assert wanted.training.batch_size == size
        found.append(wanted.training.portion)
    assert found == portions


def test_what_does_depend_on_patches_that_are_there_together_is_said(
    tmp_path: Path, greedy: str, caplog: pytest.LogCaptureFixture
) -> None:
    code = GREEDY.format(most=2).replace(
        "        self.layer =", "        self.norm = torch.nn.BatchNorm3d(channels)\n        self.layer ="
    )
    (tmp_path / "greedy_network.py").write_text(code.replace("self.layer(images)", "self.layer(self.norm(images))"))
    changes = {"network.name": greedy, "training.batch_size": 4, "loss.name": "dice", "loss.batch": True}
    start(experiment(tmp_path, **changes), tmp_path / "runs", situation=Situation(may_shrink=True))
    assert "in the same steps, but for Dice of a batch and batch norm" in caplog.text


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
    assert trained.position.step == trained.position.num_steps, "it is done, whether all steps or the time ended it"
    assert 0.7 * budget["num_steps"] < trained.position.step <= budget["num_steps"]
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
