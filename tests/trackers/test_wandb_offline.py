"""An offline run read back holds everything that the sources show in W&B."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from offline_runs import OfflineRun, find, read
from PIL import Image
from small_experiment import with_tracker

from torchio_seg import checkpoint
from torchio_seg.config.dumping import to_yaml
from torchio_seg.config.sections import Experiment
from torchio_seg.workflows import runs
from torchio_seg.workflows.train import Trained, start

pytest.importorskip("wandb")
REGIONS = ("whole_tumor", "tumor_core", "enhancing_tumor")
CHANNELS = 4


@pytest.fixture(scope="module")
def trained(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("offline")
    names = {"validation/mean_dice": "val/metric"}
    wanted = with_tracker(experiment, artifacts="all", tags=["a", "b"], group="g", names=names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("HOME", str(folder))
        yield start(wanted, folder / "runs")


@pytest.fixture(scope="module")
def found(trained: Trained) -> OfflineRun:
    [log] = find(trained.folder)
    return read(log)


@pytest.fixture(scope="module")
def journal(trained: Trained) -> list[dict[str, object]]:
    return [json.loads(line) for line in (trained.folder / "metrics.jsonl").read_text().splitlines()]


def test_the_run_is_named_and_ended_well(found: OfflineRun, trained: Trained) -> None:
    assert found.facts.project == "phantom"
    assert found.facts.display_name == trained.folder.name
    assert (found.facts.job_type, found.facts.run_group, list(found.facts.tags)) == ("train", "g", ["a", "b"])
    assert found.exit_code == 0


def test_the_config_is_the_resolved_one_with_what_followed_from_it(
    found: OfflineRun, trained: Trained, experiment: Experiment
) -> None:
    assert found.config["optimization"] == experiment.model_dump(mode="json")["optimization"]
    facts = json.loads((trained.folder / "run.json").read_text())
    assert found.config["run"] == facts
    assert {"fingerprint", "split", "versions", "commits"} <= facts.keys()
    if (Path(__file__).resolve().parents[2] / ".git").exists():
        assert len(facts["commits"]["torchio-seg"].removesuffix("+changes")) == 40


def test_each_kind_of_metric_has_an_axis_of_its_own(found: OfflineRun) -> None:
    for kind in ("batch", "epoch", "validation"):
        assert found.axes[f"{kind}/*"] == f"{kind}/{kind}_step"
        assert found.axes[f"{kind}/{kind}_step"] == ""
    assert found.axes["val/metric"] == "validation/validation_step", "a renamed metric keeps its axis"


def test_curves_are_those_of_the_record(found: OfflineRun, journal: list[dict[str, object]]) -> None:
    names = {
        "step": {"batch/train_loss": "loss", "batch/batch_step": "step", "batch/gradient_norm": "gradient_norm"},
        "epoch": {
            "epoch/mean_train_loss": "loss",
            "epoch/learning_rate": "learning_rate",
            "epoch/epoch_step": "epoch",
            "epoch/patches_per_second": "patches_per_second",
            "epoch/starvation": "waiting",
        },
        "validation": {
            "validation/loss": "loss",
            "validation/validation_step": "epoch",
            "val/metric": "mean_dice",
        },
    }
    for kind, of_kind in names.items():
        records = [record for record in journal if record["kind"] == kind]
        assert records
        for name, key in of_kind.items():
            assert found.values(name) == [record[key] for record in records], name
    validations: list[dict[str, Any]] = [record for record in journal if record["kind"] == "validation"]
    for region in REGIONS:
        wanted = [record["dice"][region] for record in validations if record["dice"][region] is not None]
        assert found.values(f"validation/mean_dice_{region}") == wanted
        distances = [record["measured"][f"hd95/{region}"] for record in validations]
        assert None not in distances, "a region that is missed is as far off as can be"
        assert found.values(f"validation/mean_hd95_{region}") == distances
    assert found.values("validation/mean_hd95") == [record["measured"]["hd95"] for record in validations]
    assert not found.values("validation/mean_dice"), "it has another name here"
    steps = [row["_step"] for row in found.history]
    assert steps == sorted(set(steps)), "each row has a step of its own, and none goes back"


def test_the_summary_names_the_best_and_the_test(found: OfflineRun, journal: list[dict[str, object]]) -> None:
    best = [record for record in journal if record["kind"] == "validation" and record["improved"]][-1]
    assert found.summary["best_metric"] == best["mean_dice"]
    assert found.summary["best_metric_epoch"] == best["epoch"]
    [evaluation] = [record for record in journal if record["kind"] == "evaluation"]
    assert found.summary["evaluation/mean_dice"] == evaluation["mean_dice"]
    assert found.summary["evaluation/part"] == "test"


def test_the_data_is_shown_with_its_regions_before_training(found: OfflineRun, trained: Trained) -> None:
    columns, rows = found.table("media/data")
    assert columns == ["Split", "Data Index", "Slice Index", *(f"Image-Channel-{c}" for c in range(4)), "Case"]
    split = json.loads((trained.folder / "run.json").read_text())["split"]
    shown = list(dict.fromkeys((row[0], row[1], row[-1]) for row in rows))
    parts = (("train", split["training"]), ("validation", split["validation"]))
    assert shown == [(part, number, ids[number]) for part, ids in parts for number in (0, 1)]
    assert found.history[0].keys() >= {"media/data/_type"}, "logged before the first step"
    for row in rows:
        for cell in row[3:-1]:
            assert set(cell["masks"]) == {f"ground-truth/{region}" for region in REGIONS}


def test_predictions_have_a_picture_for_each_channel_and_region(found: OfflineRun) -> None:
    columns, rows = found.table("media/predictions")
    pictures = [f"Image-Channel-{channel}/{region}" for region in REGIONS for channel in range(CHANNELS)]
    assert columns == ["Split", "Data Index", "Slice Index", *pictures, "Case", *(f"Dice/{r}" for r in REGIONS)]
    artifact = found.table_artifact("media/predictions")
    for row in rows:
        for name, cell in zip(pictures, row[3 : 3 + len(pictures)], strict=True):
            region = name.split("/")[1]
            assert set(cell["masks"]) == {f"ground-truth/{region}", f"prediction/{region}"}
            predicted = np.array(Image.open(artifact.files[cell["masks"][f"prediction/{region}"]["path"]]))
            true = np.array(Image.open(artifact.files[cell["masks"][f"ground-truth/{region}"]["path"]]))
            assert set(np.unique(predicted)) <= {0, 2}
            assert set(np.unique(true)) <= {0, 1}
    names = {
        tuple(sorted((entry["id"], entry["name"]) for entry in json.loads(path.read_text())["class_set"]))
        for file, path in artifact.files.items()
        if file.endswith(".classes.json")
    }
    assert {((0, "background"), (1, region), (2, region)) for region in REGIONS} <= names


def test_predictions_show_a_few_cases_of_both_parts_and_their_slices(found: OfflineRun, trained: Trained) -> None:
    split = json.loads((trained.folder / "run.json").read_text())["split"]
    wanted = {
        "media/predictions": [("train", split["training"]), ("test", split["test"])],
        "media/validation_predictions": [("validation", split["validation"])],
    }
    for key, parts in wanted.items():
        columns, rows = found.table(key)
        case = columns.index("Case")
        shown = list(dict.fromkeys((row[0], row[1], row[case]) for row in rows))
        assert shown == [(part, number, ids[number]) for part, ids in parts for number in (0, 1)]
        assert len(rows) == 3 * len(shown), "three slices of each"
    _, rows = found.table("media/test_predictions")
    assert {row[0] for row in rows} == set(split["test"]), "training cases are no test"


def test_the_test_s_table_has_truth_beside_prediction(found: OfflineRun, trained: Trained) -> None:
    columns, rows = found.table("media/test_predictions")
    assert columns == ["Case", "Slice Index", "Ground Truth", "Prediction", "Dice"]
    assert trained.evaluation is not None
    by_case: dict[str, list[float]] = {}
    for score in trained.evaluation.scores:
        by_case.setdefault(score.case, []).extend([] if score.dice is None else [score.dice])
    for case, _, _, _, dice in rows:
        assert dice == pytest.approx(np.mean(by_case[case]))


def test_each_validation_is_a_version_of_the_model(
    found: OfflineRun, trained: Trained, journal: list[dict[str, object]]
) -> None:
    versions = [each for each in found.artifacts if each.type == "model"]
    validations = [record for record in journal if record["kind"] == "validation"]
    assert len(versions) == len(validations) == 2
    for version, record in zip(versions, validations, strict=True):
        assert version.name == f"{found.facts.run_id}-checkpoint"
        best = {"best"} if record["improved"] else set()
        assert set(version.aliases) == {"latest", f"epoch_{record['epoch']:g}"} | best
        assert version.metadata["mean_dice"] == record["mean_dice"]
        assert set(version.files) == {"model.safetensors", "model.json"}
        card = checkpoint.read_card(version.files["model.json"].parent)
        assert card.progress["step"] == record["step"]
        assert checkpoint.sha256_of(version.files["model.safetensors"]) == card.sha256


def test_tracking_changes_no_number(
    trained: Trained, experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    untracked = start(with_tracker(experiment, mode="disabled"), tmp_path / "runs")
    assert not (untracked.folder / "tracking").exists()
    mine, theirs = (numbers(each.folder) for each in (trained, untracked))
    assert mine == theirs
    for name in ("last", "best"):
        cards = [checkpoint.read_card(each.folder / "checkpoints" / name) for each in (trained, untracked)]
        assert cards[0].sha256 == cards[1].sha256
        states = [checkpoint.read_trainer_state(each.folder / "checkpoints" / name) for each in (trained, untracked)]
        assert torch.equal(*(state["generators"][0]["cpu"] for state in states))


def numbers(run: Path) -> list[dict[str, object]]:
    """The record without what follows from the clock."""
    clock = {"time", "seconds", "waiting", "patches_per_second"}
    records = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in record.items() if key not in clock} for record in records]


@pytest.mark.slow
def test_a_killed_training_leaves_what_it_had_logged(experiment: Experiment, tmp_path: Path) -> None:
    """Up to the second before."""
    (tmp_path / "mine.yaml").write_text(to_yaml(with_tracker(experiment, mode="offline")))
    command = [sys.executable, "-m", "torchio_seg", "train", "--config", "mine.yaml", "--epochs", "1000", "-o", "run"]
    environment = {**os.environ, "WANDB_MODE": "offline", "HOME": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as child:
        while not find(tmp_path / "run") or len(read(find(tmp_path / "run")[0]).history) < 3:
            assert child.poll() is None
            time.sleep(0.2)
        child.kill()
    [log] = find(tmp_path / "run")
    found = read(log)
    assert found.exit_code is None
    losses = [r["loss"] for r in runs.read_journal(tmp_path / "run" / "metrics.jsonl") if r["kind"] == "step"]
    assert found.values("batch/train_loss") == losses[: len(found.values("batch/train_loss"))]
