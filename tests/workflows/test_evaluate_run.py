"""A run scored again: on the data it was trained on, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from torchio_seg.config.resolve import choose
from torchio_seg.errors import DataError, UsageError
from torchio_seg.metrics import METRICS, Measures
from torchio_seg.progress import Silent
from torchio_seg.volumes.nifti import create
from torchio_seg.workflows.evaluate_run import evaluate_run
from torchio_seg.workflows.opening import load_model
from torchio_seg.workflows.runs import read_journal
from torchio_seg.workflows.train import resume, start

SMALL = {
    "device": "cpu",
    "training.epochs": 1,
    "training.precision": "fp32",
    "sampling.patch_size": [16, 16, 16],
    "sampling.patches_per_case": 1,
    "sampling.num_workers": 0,
    "network.channels": [8, 16],
}


class StoppingAtTheSecondCase(Silent):
    """A user who is impatient."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.num_cases = 0

    def start(self, what: str, total: int | None) -> None:  # noqa: ARG002 (the protocol's)
        self.pieces.append(what)

    def advance(self, parts: int = 1, **figures: float) -> None:  # noqa: ARG002 (the protocol's)
        self.num_cases += self.pieces[-1] == "cases"
        if self.num_cases == 2:
            raise KeyboardInterrupt

    def finish(self) -> None:
        self.pieces.pop()


def write_cases(root: Path, values: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(4):
        label = np.zeros((16, 16, 16), np.uint8)
        label[2:6], label[8:12] = values
        image = rng.normal(size=label.shape).astype(np.float32)
        create(root / "images" / f"{number}.nii.gz", image, np.eye(4), overwrite=True)
        create(root / "labels" / f"{number}.nii.gz", label, np.eye(4), overwrite=True)


def test_labels_that_have_changed_since_are_not_scored_as_others(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_cases(root, (1, 2))
    trained = start(choose("folders", None, {**SMALL, "dataset.root": str(root)}), tmp_path / "runs")
    loaded = load_model(trained.folder)
    evaluate_run(loaded, None, progress=Silent())
    write_cases(root, (3, 2))
    assert set(np.unique(nib.load(root / "labels" / "0.nii.gz").get_fdata())) == {0, 2, 3}  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"other labels than when the model was trained: label 2 \[2\], label 3 \[3\]"):
        evaluate_run(loaded, None, progress=Silent())


def test_a_finished_run_that_is_resumed_touches_its_held_out_cases_no_more(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_cases(root, (1, 2))
    experiment = choose("folders", None, {**SMALL, "dataset.root": str(root), "split.test": 1})
    trained = start(experiment, tmp_path / "runs")
    assert trained.evaluation is not None
    assert resume(trained.folder, {}).evaluation is None
    longer = resume(trained.folder, {"training.epochs": 2})
    assert longer.evaluation is not None
    (trained.folder / "evaluation" / "test.json").unlink()
    assert resume(trained.folder, {"training.epochs": 2}).evaluation is not None


def test_a_run_is_told_apart_by_a_distance_and_scored_by_every_metric(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_cases(root, (1, 2))
    experiment = choose(
        "folders",
        None,
        {
            **SMALL,
            "dataset.root": str(root),
            "training.best": "hd95",
            "training.epochs": 2,
            "training.validation_every": 1,
        },
    )
    trained = start(experiment, tmp_path / "runs")
    lines = (trained.folder / "metrics.jsonl").read_text().splitlines()
    validations = [record for record in map(json.loads, lines) if record["kind"] == "validation"]
    distances = [record["measured"]["hd95"] for record in validations]
    assert [record["improved"] for record in validations] == [True, distances[1] <= distances[0]]
    loaded = load_model(trained.folder)
    assert loaded.card.progress["best_hd95"] == min(distances)
    measures = Measures(tuple(METRICS), penalize=True)
    evaluation, stem = evaluate_run(loaded, None, progress=Silent(), measures=measures, overwrite=True)
    found = json.loads(stem.with_suffix(".json").read_text())
    assert list(found["metrics"]) == list(METRICS)
    assert found["metrics"]["hd95"]["mean"] == pytest.approx(min(distances))
    assert found["measures"]["tolerance_mm"] == 1.0
    assert all(set(score.more) | {"dice"} == set(METRICS) for score in evaluation.scores)
    lines = (trained.folder / "evaluation" / "validation.jsonl").read_text().splitlines()
    *cases, whole = map(json.loads, lines)
    assert [record["case"] for record in cases] == list(dict.fromkeys(score.case for score in evaluation.scores))
    by_place = {(score.case, score.region): score for score in evaluation.scores}
    for record in cases:
        for region, value in record["dice"].items():
            score = by_place[record["case"], region]
            assert value == score.dice
            assert {name: record["measured"][f"{name}/{region}"] for name in score.more} == score.more
    assert whole["kind"] == "evaluation"
    assert whole["measured"]["hd95"] == found["metrics"]["hd95"]["mean"]
    assert whole["sha256"] == loaded.card.sha256
    assert whole["measures"]["penalize"]

    written = stem.with_suffix(".json").read_bytes()
    other = load_model(trained.folder, changes={"prediction.overlap": 0.25})
    for model, others, why in (
        (loaded, Measures(("dice", "hd95"), penalize=True), "holds scores of assd, iou, .* too; --overwrite"),
        (loaded, Measures(tuple(METRICS)), "by another --empty"),
        (other, measures, "by other settings"),
    ):
        with pytest.raises(UsageError, match=why):
            evaluate_run(model, None, progress=Silent(), measures=others)
    assert stem.with_suffix(".json").read_bytes() == written
    again, _ = evaluate_run(loaded, None, progress=Silent(), measures=measures)
    assert again.scores == evaluation.scores
    evaluate_run(other, None, progress=Silent(), measures=Measures(("dice",)), overwrite=True)
    assert json.loads(stem.with_suffix(".json").read_text())["settings"]["prediction"]["overlap"] == 0.25

    kept = read_journal(trained.folder / "evaluation" / "validation.jsonl")
    assert [record["kind"] for record in kept] == [*["case"] * len(cases), "evaluation"] * 3, "one after the other"
    assert [set(record["measured"]) for record in kept[-1:]] == [set()], "no more than was asked for"
    assert kept[-1]["settings"]["prediction"]["overlap"] == 0.25

    with pytest.raises(KeyboardInterrupt):
        evaluate_run(loaded, "training", progress=StoppingAtTheSecondCase())
    begun = read_journal(trained.folder / "evaluation" / "training.jsonl")
    assert [record["kind"] for record in begun] == ["case", "case"], "what was scored before is kept"
    assert not (trained.folder / "evaluation" / "training.json").exists()


def test_what_a_training_scored_itself_is_scored_again_unasked_with_more_metrics(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_cases(root, (1, 2))
    trained = start(choose("folders", None, {**SMALL, "dataset.root": str(root), "split.test": 1}), tmp_path / "runs")
    assert trained.evaluation is not None
    evaluation, _ = evaluate_run(
        load_model(trained.folder), None, progress=Silent(), measures=Measures(("dice", "iou"))
    )
    assert [score.dice for score in evaluation.scores] == [score.dice for score in trained.evaluation.scores]


def test_metrics_of_a_training_are_measured_in_validations_and_at_its_end(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_cases(root, (1, 2))
    settings = {**SMALL, "dataset.root": str(root), "training.metrics": ["surface_dice", "lesions_missed"]}
    trained = start(choose("folders", None, settings), tmp_path / "runs")
    records = read_journal(trained.folder / "metrics.jsonl")
    measured = {record["kind"]: record["measured"] for record in records if "measured" in record}
    regions = [region["name"] for region in json.loads((trained.folder / "run.json").read_text())["regions"]]
    wanted = {
        name for metric in ("surface_dice", "lesions_missed") for name in (metric, *(f"{metric}/{r}" for r in regions))
    }
    assert set(measured["validation"]) == set(measured["evaluation"]) == wanted
    scores = json.loads((trained.folder / "evaluation" / "validation.json").read_text())
    assert scores["metrics"]["surface_dice"]["mean"] == measured["evaluation"]["surface_dice"]
    with pytest.raises(UsageError, match="no metric 'hd59', did you mean 'hd95'"):
        start(choose("folders", None, {**settings, "training.metrics": ["hd59"]}), tmp_path / "others")
    assert not (tmp_path / "others").exists()
