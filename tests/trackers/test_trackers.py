"""What every tracker keeps, tested over whatever lies in the folder."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from torchio_seg import components
from torchio_seg.tracking.interface import Overlay, Picture, Run

DICE = {"tumour": None, "liver": 0.5}
RECORDS: tuple[dict[str, Any], ...] = (
    {"kind": "step", "epoch": 0.5, "step": 1, "loss": 0.9, "gradient_norm": 1.0, "skipped": False},
    {"kind": "epoch", "epoch": 1, "step": 2, "loss": None, "learning_rate": 0.01, "waiting": 0.1},
    {"kind": "budget", "epoch": 1, "step": 2, "num_steps": 7},
    {"kind": "validation", "epoch": 1, "step": 2, "loss": 0.7, "mean_dice": None, "dice": DICE, "improved": True},
    {"kind": "evaluation", "epoch": 1, "step": 2, "part": "test", "mean_dice": 0.5, "dice": DICE},
)
PICTURE = Picture(np.zeros((4, 6), np.uint8), (Overlay("ground-truth/liver", np.eye(4, 6, dtype=bool), 1, "liver"),))


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = tmp_path / "run"
    model = folder / "checkpoints" / "best"
    model.mkdir(parents=True)
    for name in ("model.safetensors", "model.json"):
        (model / name).write_text("{}")
    return Run(folder, "liver", config={"training": {"best": "liver"}}, facts={"regions": [{"name": "liver"}]})


def files_below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("name", components.names("trackers"))
def test_a_tracker_takes_all_there_is_and_writes_nowhere_but_in_its_folder(name: str, run: Run, tmp_path: Path) -> None:
    before = files_below(tmp_path)
    tracker = components.assemble("trackers", {"name": name}, run)
    table = tracker.table("media/data", ["Case", "Image"])
    table.add("a", PICTURE)
    table.finish()
    for record in RECORDS:
        assert tracker.log(record) is None
    tracker.checkpoint(run.folder / "checkpoints" / "best", RECORDS[3], is_best=True)
    tracker.used(run.folder / "checkpoints" / "best")
    assert tracker.finish() is None
    assert {path for path in files_below(tmp_path) - before if not path.is_relative_to(run.place)} == set()


@pytest.mark.parametrize("name", components.names("trackers"))
def test_a_tracker_can_be_finished_before_anything_was_logged(name: str, run: Run) -> None:
    components.assemble("trackers", {"name": name}, run).finish()
    components.assemble("trackers", {"name": name}, dataclasses.replace(run, job="evaluate")).finish(failed=True)


@pytest.mark.parametrize("name", components.names("trackers"))
def test_a_tracker_whose_package_is_missing_is_said_in_a_line(
    name: str, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for package in ("wandb", "tensorboard", "mlflow"):
        monkeypatch.setitem(sys.modules, package, None)
    with caplog.at_level("INFO", "torchio_seg"):
        tracker = components.assemble("trackers", {"name": name}, run)
    for record in RECORDS:
        tracker.log(record)
    tracker.finish()
    assert not run.place.exists()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("torchio_seg")]
    assert len(said) == (name != "none")
    assert all("not installed" in line and "metrics.jsonl" in line for line in said)
