"""What was trained is listed, and two runs are told apart."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from small_runs import Call

from torchio_seg.config.resolve import load, shipped, to_yaml

DICE = {"liver": 0.25, "spleen": 0.75}


def make_run(folder: Path, dice: list[float | None], changes: dict[str, Any], age_s: float = 0.0) -> Path:
    """A run's folder as far as lists look at it."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(load(shipped()["phantom"], changes)))
    records: list[dict[str, Any]] = [
        {"kind": "step", "step": 1, "epoch": 0.5},
        {"kind": "epoch", "step": 2, "epoch": 1.0},
    ]
    records += [{"kind": "validation", "epoch": 1.0, "mean_dice": value, "dice": DICE} for value in dice]
    records.append({"kind": "evaluation", "part": "test", "mean_dice": 0.625, "dice": DICE})
    journal = folder / "metrics.jsonl"
    journal.write_text("".join(json.dumps(record) + "\n" for record in records) + '{"kind": "epoch", "epo')
    os.utime(journal, (time.time() - age_s,) * 2)
    return folder


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_run(tmp_path / "runs" / "phantom" / "old", [0.5, None, 0.375], {"network.name": "segresnet"}, age_s=3 * 86400)
    make_run(tmp_path / "runs" / "phantom" / "cv" / "fold_0", [], {"training.epochs": 7}, age_s=600)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_are_listed_the_newest_first(two: Path, call: Call) -> None:
    result = call("runs")
    assert result.code == 0, result.err
    lines = [line for line in result.out.splitlines() if "phantom/" in line]
    assert ["fold_0" in line for line in lines] == [True, False]
    assert [word in lines[1] for word in ("phantom/old", "segresnet", " 1 ", "0.500", "0.625", "3 days")] == [True] * 6
    assert [word in lines[0] for word in ("phantom/cv/fold_0", "unet", "n/a", "10 minutes")] == [True] * 4


def test_what_differs_is_shown_and_what_is_the_same_is_not(two: Path, call: Call) -> None:
    result = call("runs", "compare", "runs/phantom/old", "runs/phantom/cv/fold_0")
    assert result.code == 0, result.err
    settings, scores = result.out.split("Dice")[0], result.out
    assert "network.name" in settings
    assert "training.epochs" in settings
    assert "training.batch_size" not in settings
    [epochs] = [line for line in settings.splitlines() if "training.epochs" in line]
    assert "18" in epochs
    assert "7" in epochs
    [best] = [line for line in scores.splitlines() if "best validation: mean" in line]
    assert "0.500" in best
    assert "n/a" in best


def test_where_nothing_was_trained_the_cure_is_named(tmp_path: Path, call: Call) -> None:
    result = call("runs", "--runs", tmp_path)
    assert result.code == 2
    assert "--runs" in result.err
    result = call("runs", "compare", tmp_path, tmp_path)
    assert result.code == 2
    assert "is no run" in result.err
