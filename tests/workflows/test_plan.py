"""From a data set to a plan, and from the plan to a training."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from torchio_seg import devices, memory
from torchio_seg.config.reading import read_mapping
from torchio_seg.config.resolve import load, resolve
from torchio_seg.errors import ConfigError
from torchio_seg.machine import in_units
from torchio_seg.phantoms.cohort import choose
from torchio_seg.phantoms.layouts.catalogue import write_layout
from torchio_seg.records import Dataset, Labels
from torchio_seg.volumes.nifti import create
from torchio_seg.workflows import trial
from torchio_seg.workflows.plan import Planned, make, write_plan
from torchio_seg.workflows.plan_begin import Wishes
from torchio_seg.workflows.train import start

COMMAND = "torchio-seg plan --dataset folders"
SMALL = {"device": "cpu", "split.validation": 1, "training.max_time": "1h", "training.channels_last": False}
"""How the faster memory layout is found is held by the tests of the layout, and of the command."""


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plan") / "data"
    write_layout(root, "folders", choose("thorax", cases=5, shape=(28, 24, 24), channels=1, seed=1))
    return root


@pytest.fixture(scope="module")
def planned(scans: Path) -> Planned:
    return make(Wishes("folders", changes={**SMALL, "dataset.root": str(scans), "dataset.channels": ["CT"]}))


def test_the_file_holds_every_setting_and_loads_as_it_was_planned(planned: Planned, tmp_path: Path) -> None:
    beside = write_plan(planned, tmp_path / "plan.yaml", COMMAND)
    assert load(tmp_path / "plan.yaml") == planned.experiment
    assert read_mapping(tmp_path / "plan.yaml") == planned.experiment.model_dump(mode="json")
    assert json.loads(beside.read_text())["num_cases"] == 4


def test_the_first_lines_say_what_it_is_the_command_and_the_reasons(planned: Planned, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    write_plan(planned, path, COMMAND)
    comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert comments[0].startswith("# A plan for ")
    assert comments[1] == f"# torchio-seg train --config {path}"
    text = "\n".join(comments)
    for what in ("voxel size", "patch", "batch", "network", "length", "RAM", "VRAM", "disk", "an epoch"):
        assert f"# {what} " in text, what
    assert all(len(line) <= 120 for line in comments)


def test_it_follows_from_the_data(planned: Planned) -> None:
    experiment = planned.experiment
    assert experiment.preprocessing.normalization == "percentile", "the channel is CT"
    median = np.median(planned.fingerprint.spacings, axis=0)
    assert experiment.preprocessing.spacing == pytest.approx(median.tolist()), "explicit numbers"
    assert not isinstance(experiment.preprocessing.spacing, str)
    assert all(side >= whole - 8 for side, whole in zip(experiment.sampling.patch_size, (28, 24, 24), strict=True))
    assert experiment.network.name == "dynunet"
    assert experiment.training.max_time == "1h"
    assert experiment.dataset.root is not None
    assert experiment.dataset.root.is_absolute()


@pytest.mark.slow
def test_the_plan_trains_to_its_end_and_is_evaluated(planned: Planned, tmp_path: Path) -> None:
    write_plan(planned, tmp_path / "plan.yaml", COMMAND)
    one = {"training.epochs": 1, "training.max_time": None, "sampling.num_workers": 0, "sampling.patches_per_case": 1}
    trained = start(load(tmp_path / "plan.yaml", one), tmp_path / "runs")
    assert trained.position.step >= 1
    assert trained.evaluation is not None


def test_what_the_user_sets_stands(scans: Path) -> None:
    own = {"sampling.patch_size": [16, 16, 16], "training.batch_size": 1, "training.steps": 7, "network.residual": True}
    changes = {**SMALL, **own, "training.max_time": None, "dataset.root": str(scans)}
    experiment = make(Wishes("folders", changes=changes)).experiment
    assert experiment.sampling.patch_size == (16, 16, 16)
    assert (experiment.training.batch_size, experiment.training.steps) == (1, 7)
    assert experiment.network.options["residual"] is True
    assert experiment.preprocessing.normalization == "zscore", "the channel is not called CT"


def test_another_network_is_planned_as_it_comes_with_patches_that_it_takes(scans: Path) -> None:
    changes = {**SMALL, "network.name": "unet", "network.channels": [4, 8, 16, 32], "training.batch_size": 1}
    planned = make(Wishes("folders", changes={**changes, "dataset.root": str(scans)}))
    network = planned.experiment.network
    assert (network.name, network.options["channels"]) == ("unet", [4, 8, 16, 32])
    assert "strides" not in network.options
    assert all(side % 8 == 0 for side in planned.experiment.sampling.patch_size)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampling.patch_size": [30, 30, 30]}, "does not suit dynunet; use 32 x 32 x 32"),
        (
            {"network.name": "unetr", "sampling.patch_size": [24, 24, 24]},
            "multiple of 16: use 32 x 32 x 32",
        ),
        ({"network.name": "segresnot"}, "did you mean 'segresnet'"),
        ({"training": {"batch_size": 4}}, "set single keys"),
    ],
)
def test_what_cannot_be_planned_is_said(scans: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(Wishes("folders", changes={**SMALL, **changes, "dataset.root": str(scans)}))


def test_a_budget_below_the_imports_is_an_error_that_says_what_is_needed(scans: Path) -> None:
    with pytest.raises(ConfigError, match=r"the budget of 210 MB is too small"):
        make(Wishes("folders", changes={**SMALL, "dataset.root": str(scans)}, ram_budget=200 * 2**20))


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_patch_for_which_bf16_is_unsound_is_tried_in_fp32_unless_bf16_was_asked_for(
    is_ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a CPU that computes in bf16, which that of the test may not."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    devices._computes_bf16.cache_clear()
    settings = {"device": "cpu", "training.precision": "bf16", "sampling.patch_size": [32, 32, 32]}
    experiment = resolve({"name": "x", "dataset": {"name": "phantom"}, "network": {"name": "unet"}}, settings, "x")
    dataset = Dataset("x", ("CT",), Labels.of_classes({0: "background", 1: "organ"}), ())
    argument = json.loads(json.dumps(trial.describe(experiment, dataset, None, or_fp32=is_ours)))
    try:
        if is_ours:
            assert trial.take_steps(argument)["precision"] == "fp32"
        else:
            with pytest.raises(ConfigError, match=r"training\.precision=bf16"):
                trial.take_steps(argument)
    finally:
        devices._computes_bf16.cache_clear()


def test_a_validation_that_exceeds_the_budget_is_warned_of(
    scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the logits of a case far larger than the others."""
    shutil.copytree(scans, tmp_path / "data")
    image = np.zeros((256, 200, 160), np.float32)
    image[:80] = np.random.default_rng(0).integers(1, 9, (80, 1, 1))
    label = np.zeros(image.shape, np.uint8)
    label[10:30, 10:30, 10:30] = 1
    for folder, array in (("images", image), ("labels", label)):
        create(tmp_path / "data" / folder / "large.nii.gz", array, np.eye(4))
    changes = {**SMALL, "dataset.root": str(tmp_path / "data"), "dataset.channels": ["CT"]}
    budget = memory.resident_bytes(os.getpid()) + 600 * 2**20
    make(Wishes("folders", changes=changes, ram_budget=budget))
    [warning] = [record.message for record in caplog.records if "will need" in record.message]
    assert f"more than the {in_units(budget)} that it may" in warning


def test_the_epoch_that_is_told_is_one_that_will_be(scans: Path) -> None:
    changes = {**SMALL, "training.max_time": None, "training.steps": 20, "dataset.root": str(scans)}
    short = make(Wishes("folders", changes=changes))
    lines = {line.what: str(line) for line in short.needs}
    steps = int(re.search(r"for (\d+) steps", lines["an epoch"])[1])
    assert steps < 20
    training = short.experiment.training
    assert steps == short.experiment.sampling.patches_per_case * 4 // training.batch_size
    own = make(Wishes("folders", changes={**changes, "sampling.patches_per_case": 100}))
    [told] = [str(line) for line in own.needs if line.what == "an epoch"]
    assert "of which the training takes 20" in told
