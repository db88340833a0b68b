"""A local folder of MLflow holds settings, curves and which model is the best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from torchio_seg import components
from torchio_seg.tracking.interface import Run

pytest.importorskip("mlflow")


def track(run: Run, steps: range) -> None:
    tracker = components.assemble("trackers", {"name": "mlflow"}, run)
    for step in steps:
        tracker.log({"kind": "step", "epoch": 1, "step": step, "loss": step / 4, "gradient_norm": 1.0})
    tracker.checkpoint(run.folder / "checkpoints" / "best", {"epoch": 1}, is_best=True)
    tracker.finish()


def test_a_resumed_training_goes_on_in_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, "liver", config={"training": {"best": "mean_dice", "epochs": 3}}, facts={"fingerprint": "ab"})
    track(run, range(1, 3))
    track(run, range(3, 5))

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    client: Any = MlflowClient(tracking_uri=(run.place / "mlflow").as_uri())
    [kept] = client.search_runs([client.get_experiment_by_name("liver").experiment_id])
    assert kept.info.status == "FINISHED"
    assert kept.data.params["training.epochs"] == "3"
    assert kept.data.tags["best_model"] == str(tmp_path / "checkpoints" / "best")
    losses = client.get_metric_history(kept.info.run_id, "batch/train_loss")
    assert [(metric.step, metric.value) for metric in losses] == [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)]
