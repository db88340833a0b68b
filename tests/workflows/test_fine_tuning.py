"""Trainings that begin with weights of earlier ones."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from torchio_seg import checkpoint
from torchio_seg.config.reading import read_mapping
from torchio_seg.config.resolve import load, shipped
from torchio_seg.errors import ConfigError, DataError, UsageError
from torchio_seg.workflows.runs import find_checkpoint
from torchio_seg.workflows.train import Situation, resume, start

SMALL: dict[str, Any] = {
    "device": "cpu",
    "dataset.cases": 4,
    "dataset.shape": [16, 16, 16],
    "split.validation": 1,
    "split.test": 0,
    "training.epochs": 1,
    "training.precision": "fp32",
    "sampling.patch_size": [16, 16, 16],
    "sampling.patches_per_case": 1,
    "network.channels": [4, 8],
}
STILL = {"optimization.learning_rate": 1e-30, "optimization.schedule": "constant", "optimization.weight_decay": 0.0}
"""A training that changes no parameter, so that what it saves is what it began with."""


def train(folder: Path, changes: dict[str, Any], *, trust: bool = False) -> Path:
    root = folder / ("data" if "dataset.channels" not in changes else "other_data")
    experiment = load(shipped()["phantom"], {**SMALL, "dataset.root": str(root), **changes})
    return start(experiment, folder / "runs", situation=Situation(trust=trust)).folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def earlier(place: Path) -> Path:
    """The run that others begin with."""
    return train(place, {})


def parameters_of(run: Path) -> dict[str, torch.Tensor]:
    """Weights without running statistics, which training moves at any learning rate."""
    folder = find_checkpoint(run)
    weights = checkpoint.read_weights(folder, checkpoint.read_card(folder))
    return {name: tensor for name, tensor in weights.items() if not name.endswith(("mean", "var", "tracked"))}


def record_of(run: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((run / "run.json").read_text())["initial_weights"]
    return record


def test_a_training_begins_with_the_weights_of_a_run(place: Path, earlier: Path) -> None:
    run = train(place, {**STILL, "init_from": str(earlier), "seed": 5})
    before, after = parameters_of(earlier), parameters_of(run)
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_the_run_records_where_its_weights_are_from(place: Path, earlier: Path) -> None:
    run = train(place, {"init_from": str(earlier), "preprocessing.normalization": "minmax"})
    card = checkpoint.read_card(find_checkpoint(earlier))
    record = record_of(run)
    assert record["sha256"] == card.sha256
    assert record["differences"] == ["normalization: zscore there, minmax here"]
    assert (record["begun_anew"], record["not_used"]) == ([], [])
    assert read_mapping(run / "config.yaml")["init_from"] == str(earlier)
    assert checkpoint.read_card(find_checkpoint(run)).initial == record
    assert "trust" not in (run / "config.yaml").read_text()


def test_other_channels_are_said_and_the_first_layer_begins_anew(
    place: Path, earlier: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "torchio_seg"):
        run = train(place, {**STILL, "init_from": str(earlier), "dataset.channels": 1})
    record = record_of(run)
    assert all("the first layer's" in layer for layer in record["begun_anew"])
    assert "(4 x 4 x 3 x 3 x 3 there, 4 x 1 x 3 x 3 x 3 here)" in record["begun_anew"][0]
    [difference] = record["differences"]
    assert difference.startswith("channels: ")
    said = "\n".join(caplog.messages)
    assert record["begun_anew"][0] in said
    assert difference in said
    before, after = parameters_of(earlier), parameters_of(run)
    same = [
        name for name in before if before[name].shape == after[name].shape and torch.equal(before[name], after[name])
    ]
    assert len(same) > len(before) // 2


def test_a_resumed_training_reads_them_no_more_and_may_name_no_others(place: Path, earlier: Path) -> None:
    moving = place / "moving"
    shutil.copytree(earlier, moving)
    run = train(place, {"init_from": str(moving)})
    record = record_of(run)
    shutil.rmtree(moving)
    with pytest.raises(ConfigError, match="init_from differ"):
        resume(run, {"init_from": str(earlier)})
    resume(run, {"training.epochs": 2})
    assert record_of(run) == record
    assert read_mapping(run / "config.yaml")["init_from"] == str(moving)


def test_weights_that_cannot_be_used_stop_before_a_run_is_made(place: Path, earlier: Path, tmp_path: Path) -> None:
    torch.save(torch.nn.Conv3d(1, 1, 1).state_dict(), tmp_path / "other.pt")
    damaged = tmp_path / "damaged"
    shutil.copytree(find_checkpoint(earlier), damaged)
    with (damaged / checkpoint.WEIGHTS).open("r+b") as file:
        file.seek(-3, 2)
        file.write(b"abc")
    (tmp_path / "empty").mkdir()
    before = sorted((place / "runs").rglob("run.json"))
    for given, error, words in (
        (tmp_path / "gone", UsageError, "is not there"),
        (tmp_path / "empty", UsageError, "no model of ours, no MONAI bundle"),
        (damaged, DataError, "damaged"),
        (tmp_path / "other.pt", UsageError, "another network"),
    ):
        with pytest.raises(error, match=words):
            train(place, {"init_from": str(given)})
    with pytest.raises(UsageError, match=r"made for network\.name=unet, network\.channels=\[4, 8\]"):
        train(place, {"init_from": str(earlier), "network.channels": [8, 16]})
    assert sorted((place / "runs").rglob("run.json")) == before
