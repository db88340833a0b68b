"""Online, against a server of our own on the loopback address: logging, models up and down, resuming, its death."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from offline_runs import find
from small_experiment import with_tracker
from wandb_server import KEY, WandbServer

from torchio_seg import checkpoint, components
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import DataError, UsageError
from torchio_seg.progress import Progress, Silent
from torchio_seg.tracking import wandb_models, wandb_session
from torchio_seg.tracking.interface import Run
from torchio_seg.workflows import runs
from torchio_seg.workflows.evaluate_run import evaluate_run
from torchio_seg.workflows.opening import load_model
from torchio_seg.workflows.predict import predict
from torchio_seg.workflows.predict_case import Output
from torchio_seg.workflows.predict_tracked import track_predictions
from torchio_seg.workflows.track_sync import sync
from torchio_seg.workflows.train import Trained, resume, start

wandb = pytest.importorskip("wandb")


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    server = WandbServer()
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    for module in (wandb_session, wandb_models):
        monkeypatch.setattr(module, "FINISH_S", 120)  # what nobody reaches whose server answers
    wandb.teardown()  # what an earlier test has set up knows another server
    yield server
    wandb.teardown()
    server.stop()


class Interrupting(Silent):
    """Does something once a piece of work begins."""

    def __init__(self, piece: str, act: Any) -> None:
        self.piece = piece
        self.act = act

    def start(self, what: str, total: int | None) -> None:  # noqa: ARG002 (the protocol's)
        if what == self.piece:
            self.act()


def train(experiment: Experiment, folder: Path, progress: Progress | None = None, **options: Any) -> Trained:
    """With few pictures, of which another file has more."""
    return start(with_tracker(experiment, cases=1, slices=1, **options), folder / "runs", progress=progress)


def identity(run: Path) -> str:
    return str(json.loads((run / "tracking" / "wandb.json").read_text())["id"])


def weights(trained: Trained) -> dict[str, torch.Tensor]:
    last = trained.folder / "checkpoints" / "last"
    return checkpoint.read_weights(last, checkpoint.read_card(last))


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    children = [
        int(child) for tasks in Path(f"/proc/{pid}/task").glob("*/children") for child in tasks.read_text().split()
    ]
    return [*children, *(other for child in children for other in descendants(child))]


def test_a_training_is_logged_and_its_best_model_comes_back(
    server: WandbServer, experiment: Experiment, tmp_path: Path, shared: Path
) -> None:
    trained = train(experiment, tmp_path)
    name = identity(trained.folder)
    history = server.history(name)
    steps = [json.loads(line) for line in (trained.folder / "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in steps if record["kind"] == "step"]
    assert [row["batch/train_loss"] for row in history if "batch/train_loss" in row] == losses
    assert server.summary(name)["best_metric"] is not None
    assert {artifact.type for artifact in server.artifacts} == {"model", "run_table"}
    assert all(artifact.is_committed for artifact in server.artifacts)
    assert not list((trained.folder / "tracking" / "checkpoints").iterdir()), "they go once they are there"

    best = server.named(f"{name}-checkpoint:best")
    assert best is not None
    loaded = load_model(Path(f"wandb:me/phantom/{name}-checkpoint:best"), changes={"device": "cpu"})
    assert loaded.card == checkpoint.read_card(trained.folder / "checkpoints" / "best")
    with pytest.raises(DataError, match="could not be fetched"):
        load_model(Path(f"wandb:me/phantom/{name}-checkpoint:worst"))
    with pytest.raises(UsageError, match="ENTITY/PROJECT"):
        load_model(Path("wandb:something"))

    [run] = set(server.runs)
    with pytest.raises(UsageError, match="is at W&B already"):
        sync(trained.folder, {}, progress=Silent())
    evaluate_run(load_model(trained.folder, changes={"device": "cpu"}), "validation", progress=Silent())
    [evaluation] = server.runs.keys() - {run}
    assert server.runs[evaluation]["jobType"] == "evaluate"
    assert server.summary(evaluation)["evaluation/part"] == "validation"
    assert server.used == [best.id], "the model that was evaluated is part of its lineage"

    image = min((shared / "data" / "imagesTr").glob("*.nii.gz"))
    predictions = predict(loaded, [str(image)], Output(tmp_path / "out.nii.gz"))
    track_predictions(loaded, predictions, tmp_path / "out.nii.gz", progress=Silent())
    [inference] = server.runs.keys() - {run, evaluation}
    assert server.runs[inference]["jobType"] == "inference"
    assert server.used == [best.id, best.id]
    assert server.history(inference)[-1]["media/predictions"]["nrows"] == 1


def test_a_resumed_training_goes_on_in_the_same_run(
    server: WandbServer, experiment: Experiment, tmp_path: Path
) -> None:
    shorter = experiment.model_copy(update={"training": experiment.training.model_copy(update={"epochs": 1})})
    trained = train(shorter, tmp_path)
    name = identity(trained.folder)
    resumed = resume(trained.folder, {"training.epochs": 2})
    assert identity(trained.folder) == name
    assert set(server.runs) == {name}
    history = server.history(name)
    assert [row["_step"] for row in history] == sorted({row["_step"] for row in history})
    assert [row["batch/batch_step"] for row in history if "batch/batch_step" in row] == list(
        range(1, resumed.position.step + 1)
    )
    assert sum("media/data" in row for row in history) == 1, "the data is shown once"


def test_a_server_that_dies_does_not_stop_a_training(
    server: WandbServer, experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (wandb_session, wandb_models):
        monkeypatch.setattr(module, "FINISH_S", 2)
    trained = train(experiment, tmp_path, Interrupting("epoch 2", server.stop))
    assert trained.evaluation is not None
    kinds = [record["kind"] for record in runs.read_journal(trained.folder / "metrics.jsonl")]
    assert kinds.count("epoch") == 2
    assert kinds[-1] == "evaluation"
    assert not json.loads((trained.folder / "tracking" / "wandb.json").read_text())["is_sent"]


def test_offline_no_server_is_asked_though_there_is_a_key(server: WandbServer, tmp_path: Path) -> None:
    run = Run(tmp_path, "liver", config={"training": {"best": "mean_dice"}})
    tracker = components.assemble("trackers", {"name": "wandb", "mode": "offline"}, run)
    tracker.log({"kind": "step", "epoch": 1, "step": 1, "loss": 0.5, "gradient_norm": 1.0})
    tracker.finish()
    assert len(find(tmp_path)) == 1
    assert [*server.asked, *server.streams, *server.uploads] == []


@pytest.mark.slow
def test_where_no_server_answers_the_run_is_kept_here(
    server: WandbServer, experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb_session, "INIT_S", 1)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    trained = train(experiment, tmp_path)
    assert trained.evaluation is not None
    assert json.loads((trained.folder / "tracking" / "wandb.json").read_text())["mode"] == "offline"
    assert len(find(trained.folder)) == 1


@pytest.mark.slow
def test_a_dead_process_of_wandb_does_not_stop_a_training(
    server: WandbServer, experiment: Experiment, tmp_path: Path
) -> None:
    def kill() -> None:
        ours = [pid for pid in descendants(os.getpid()) if b"wandb-core" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert ours
        for pid in ours:
            os.kill(pid, signal.SIGKILL)

    trained = train(experiment, tmp_path, Interrupting("epoch 2", kill))
    assert trained.evaluation is not None
    untracked = train(experiment, tmp_path / "untracked", mode="disabled")
    assert all(torch.equal(*pair) for pair in zip(weights(trained).values(), weights(untracked).values(), strict=True))


def test_what_was_not_tracked_is_sent_afterwards(server: WandbServer, experiment: Experiment, tmp_path: Path) -> None:
    pictures = experiment.pictures.model_copy(update={"cases": 1, "slices": 1})
    trained = train(experiment.model_copy(update={"pictures": pictures}), tmp_path, mode="disabled")
    evaluation, _ = evaluate_run(load_model(trained.folder, changes={"device": "cpu"}), "validation", progress=Silent())
    assert not server.runs
    places = sync(trained.folder, {"tracker.project": "later"}, progress=Silent())
    name = identity(trained.folder)
    assert places[0] == f"me/later/{name}"
    records = runs.read_journal(trained.folder / "metrics.jsonl")
    history = server.history(name)
    for kind, key, metric in (
        ("step", "loss", "batch/train_loss"),
        ("epoch", "learning_rate", "epoch/learning_rate"),
        ("validation", "mean_dice", "validation/mean_dice"),
    ):
        wanted = [record[key] for record in records if record["kind"] == kind]
        assert [row[metric] for row in history if metric in row] == wanted
    shown = {key: row[key]["nrows"] for row in history for key in row if key.startswith("media/")}
    assert shown == {
        "media/data": 2,
        "media/predictions": 2,
        "media/test_predictions": 1,
        "media/validation_predictions": 1,
    }
    best = server.named(f"{name}-checkpoint:best")
    assert best is not None
    assert server.files_of(best)["model.safetensors"] == (trained.model / "model.safetensors").read_bytes()

    [other] = server.runs.keys() - {name}
    assert places[1:] == [f"me/later/{other}"]
    assert server.runs[other]["jobType"] == "evaluate"
    assert server.summary(other)["evaluation/mean_dice"] == evaluation.mean_dice
    assert server.history(other)[-1].keys() & {"media/predictions", "media/test_predictions"}
    assert server.used == [best.id], "the model that was evaluated is part of its lineage"
    with pytest.raises(UsageError, match="is at W&B already"):
        sync(trained.folder, {}, progress=Silent())
    evaluate_run(load_model(trained.folder, changes={"device": "cpu"}), "validation", progress=Silent())
    sync(trained.folder, {}, progress=Silent())
    assert len(server.runs) == 3, "an evaluation is a run of its own each time"
