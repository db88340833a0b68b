"""Repeats of a small training: other seeds, one split, and how far they lie apart."""

from __future__ import annotations

import csv
import json
import shutil
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from torchio_seg.config.comparing import flat
from torchio_seg.config.resolve import choose, load
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import TrainingError, UsageError
from torchio_seg.volumes.nifti import create
from torchio_seg.workflows import series
from torchio_seg.workflows.repeats import Repeated, repeat
from torchio_seg.workflows.runs import find_checkpoint, read_split
from torchio_seg.workflows.train import Situation


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir()
    for number in range(3):
        label = np.zeros((16, 16, 16), np.uint8)
        label[2:10, 4:12, 4 + number : 12] = 1
        create(root / "images" / f"{number}.nii.gz", (label + rng.normal(size=label.shape)).astype("f4"), np.eye(4))
        create(root / "labels" / f"{number}.nii.gz", label, np.eye(4))
    changes = {
        "dataset.root": str(root),
        "device": "cpu",
        "seed": 5,
        "training.epochs": 1,
        "training.precision": "fp32",
        "sampling.patch_size": [16, 16, 16],
        "sampling.patches_per_case": 1,
        "sampling.num_workers": 0,
        "network.channels": [4, 8],
    }
    return choose("folders", None, changes)


@pytest.fixture(scope="module")
def done(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Repeated:
    folder = tmp_path_factory.mktemp("series") / "repeats"
    result = repeat(experiment, 2, folder.parent, folder=folder)
    assert isinstance(result, Repeated)
    return result


def test_repeats_differ_in_their_seed_alone(done: Repeated) -> None:
    assert done.runs == ["seed_5", "seed_6"]
    settings = [load(done.folder / name / "config.yaml") for name in done.runs]
    assert [each.seed for each in settings] == [5, 6]
    assert settings[0].model_copy(update={"seed": 6}) == settings[1]
    assert len({read_split(done.folder / name) for name in done.runs}) == 1
    weights = [(find_checkpoint(done.folder / name) / "model.safetensors").read_bytes() for name in done.runs]
    assert weights[0] != weights[1]


def test_mean_and_deviation_are_those_of_the_runs_own_scores(done: Repeated) -> None:
    scores = [json.loads((done.folder / name / "evaluation" / "validation.json").read_text()) for name in done.runs]
    assert done.part == "validation"
    region, mean = done.rows
    assert region.dice == tuple(score["regions"][0]["mean_dice"] for score in scores)
    assert mean.dice == tuple(score["mean_dice"] for score in scores)
    assert region.mean == pytest.approx(statistics.mean(region.dice))  # type: ignore[type-var]
    assert region.deviation == pytest.approx(statistics.stdev(region.dice))  # type: ignore[type-var]
    with (done.folder / "evaluation" / "repeats.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["region", "seed_5", "seed_6", "mean", "deviation"]
    assert float(rows[0]["mean"]) == pytest.approx(region.mean, abs=1e-6)


def test_more_repeats_run_only_those_that_are_new(done: Repeated, experiment: Experiment, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done.folder, tmp_path / "more"))
    before = [find_checkpoint(folder / name).stat().st_mtime_ns for name in done.runs]
    result = repeat(experiment, 3, tmp_path, folder=folder)
    assert isinstance(result, Repeated)
    assert result.runs == ["seed_5", "seed_6", "seed_7"]
    assert [find_checkpoint(folder / name).stat().st_mtime_ns for name in done.runs] == before
    assert [row.dice[:2] for row in result.rows] == [row.dice for row in done.rows]


def test_where_every_case_trains_there_is_a_last_model_and_nothing_to_compare(
    experiment: Experiment, tmp_path: Path
) -> None:
    every = experiment.model_copy(update={"split": experiment.split.model_copy(update={"fold": "all"})})
    result = repeat(every, 1, tmp_path, folder=tmp_path / "all")
    assert isinstance(result, Repeated)
    assert (result.part, result.rows) == (None, [])
    run = tmp_path / "all" / "seed_5"
    assert series.is_finished(run)
    assert find_checkpoint(run) == run / "checkpoints" / "last"
    assert len(read_split(run).training) == 3
    assert read_split(run).validation == ()


ALONE = """
import torch


class Alone(torch.nn.Conv3d):
    def forward(self, images):
        if self.training and len(images) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(images)


def build(in_channels, out_channels, patch_size):
    return Alone(in_channels, out_channels, 1)
"""


def test_each_repeat_finds_how_many_patches_fit_and_goes_on_with_as_many(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "alone_network.py").write_text(ALONE)
    monkeypatch.syspath_prepend(str(tmp_path))
    changes = {**flat(experiment.model_dump(mode="json", exclude={"network"})), "network.name": "alone_network.build"}
    wanted = choose("folders", None, changes | {"training.batch_size": 2})
    folder = tmp_path / "series"
    with pytest.raises(TrainingError, match=r"2 patches .* at once.*training.patches_at_once=1 .*--auto"):
        repeat(wanted, 2, tmp_path, folder=folder)
    result = repeat(wanted, 2, tmp_path, folder=folder, situation=Situation(may_shrink=True))
    assert isinstance(result, Repeated)
    settings = [load(folder / name / "config.yaml").training for name in result.runs]
    assert [(each.batch_size, each.patches_at_once) for each in settings] == [(2, 1)] * 2
    (folder / "seed_6" / series.FINISHED).unlink()
    caplog.clear()
    assert isinstance(repeat(wanted, 2, tmp_path, folder=folder), Repeated), "what was found is kept"
    assert "out of memory" not in caplog.text


def no_plan(dataset: str, changes: Mapping[str, Any]) -> series.Planned:
    raise AssertionError(f"{dataset} was planned, with {dict(changes)}")


def test_a_series_of_one_kind_is_not_gone_on_with_as_another(done: Repeated) -> None:
    with pytest.raises(UsageError, match="holds a series of repeats, not of folds"):
        series.recall(done.folder, "folds")
    with pytest.raises(UsageError, match="name what to train"):
        series.settle(None, None, {}, series.Place(done.folder / "seed_5", "repeats"), plan=no_plan)
    kept, _ = series.settle(None, None, {"device": "cpu"}, series.Place(done.folder, "repeats"), plan=no_plan)
    assert kept.seed == 5


def test_a_layout_is_planned_once_for_a_series(done: Repeated, experiment: Experiment, tmp_path: Path) -> None:
    def plan(dataset: str, changes: Mapping[str, Any]) -> series.Planned:
        return choose(dataset, None, changes), {"plan.yaml": "because"}

    new = series.Place(tmp_path / "new", "repeats")
    planned = series.settle("folders", None, {"seed": 7}, new, plan=plan)
    assert planned[0].seed == 7
    series.open_series(new, tmp_path, planned).make()
    assert (tmp_path / "new" / "plan.yaml").read_text() == "because"
    again, papers = series.settle("folders", None, {"seed": 7}, new, plan=no_plan)
    assert (again, dict(papers)) == (planned[0], {})
    with pytest.raises(UsageError, match="holds a series on folders, not on decathlon:Task04"):
        series.settle("decathlon:Task04", None, {}, new, plan=no_plan)
