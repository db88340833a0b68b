"""A cross-validation of four small cases: who predicts whom, what is run again, and what it leaves."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from torchio_seg import checkpoint, ensemble
from torchio_seg.config.resolve import choose
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import ConfigError, DataError, UsageError
from torchio_seg.predictor.ensemble import Ensemble
from torchio_seg.progress import Silent
from torchio_seg.records import Labels
from torchio_seg.volumes.nifti import create, read, read_label
from torchio_seg.workflows import series
from torchio_seg.workflows.crossval import Gathered, crossval
from torchio_seg.workflows.evaluate_run import evaluate_run
from torchio_seg.workflows.opening import load_model, require_alike
from torchio_seg.workflows.runs import newest_trained, read_split

IDS = [f"case{number}" for number in range(4)]
SMALL = {
    "device": "cpu",
    "preprocessing.spacing": "median",
    "split.folds": 2,
    "training.epochs": 1,
    "training.precision": "fp32",
    "sampling.patch_size": [16, 16, 16],
    "sampling.patches_per_case": 4,
    "sampling.num_workers": 0,
    "network.channels": [8, 16],
    "optimization.learning_rate": 0.02,
}


def experiment_of(root: Path, **changes: object) -> Experiment:
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return choose("folders", None, {**SMALL, "dataset.root": str(root), **named})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir()
    for number, name in enumerate(IDS):
        label = np.zeros((16, 16, 16), np.uint8)
        label[2 : 8 + number, 4:12, 4:12] = 1
        image = (3 * label + rng.normal(size=label.shape)).astype(np.float32)
        affine = np.diag([1.0, 1.0, 1.0 + 0.1 * number, 1.0])
        create(root / "images" / f"{name}.nii.gz", image, affine)
        create(root / "labels" / f"{name}.nii.gz", label, affine)
    return root


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Gathered:
    folder = tmp_path_factory.mktemp("series") / "cv"
    result = crossval(experiment_of(data), folder.parent, folder=folder)
    assert isinstance(result, Gathered)
    return result


@pytest.fixture
def own(done: Gathered, tmp_path: Path) -> Path:
    """A copy of the finished cross-validation that a test may spoil."""
    return Path(shutil.copytree(done.folder, tmp_path / "cv"))


def sha256_of(run: Path) -> str:
    return checkpoint.read_card(series.model_of(run)).sha256


def trained_at(folder: Path) -> dict[str, int]:
    """When each fold's weights were written."""
    files = folder.glob("fold_*/checkpoints/last/model.safetensors")
    return {file.parts[-4]: file.stat().st_mtime_ns for file in files}


def label_map(path: Path) -> np.ndarray:
    return read_label(path, [0, 1]).array[0]


def again(folder: Path, data: Path) -> Gathered:
    result = crossval(experiment_of(data), folder.parent, folder=folder)
    assert isinstance(result, Gathered)
    return result


# ── who predicts whom ───────────────────────────────────────────────────────────────────────────────────────────────


def test_every_case_is_predicted_once_by_the_fold_that_held_it_out(done: Gathered, data: Path) -> None:
    splits = {name: read_split(done.folder / name) for name in ("fold_0", "fold_1")}
    assert sorted(splits["fold_0"].validation + splits["fold_1"].validation) == IDS
    files = sorted(path.name for path in (done.folder / "out_of_fold").glob("*.nii.gz"))
    assert files == [f"{name}.nii.gz" for name in IDS]
    predicted_by = json.loads((done.folder / "out_of_fold" / "predicted_by.json").read_text())
    others_differ = []
    for name, split in splits.items():
        other = "fold_1" if name == "fold_0" else "fold_0"
        model, stranger = (load_model(series.model_of(done.folder / each)).predictor for each in (name, other))
        for case in split.validation:
            assert case not in split.training
            assert predicted_by[case] == sha256_of(done.folder / name)
            scan = read(data / "images" / f"{case}.nii.gz")
            written = label_map(done.folder / "out_of_fold" / f"{case}.nii.gz")
            assert np.array_equal(written, model(scan.array, scan.affine).label_map)
            others_differ.append(not np.array_equal(written, stranger(scan.array, scan.affine).label_map))
    assert any(others_differ)  # so that the check above tells the models apart


def test_scores_are_those_of_the_files_and_say_how_sure_they_are(done: Gathered, data: Path) -> None:
    content = json.loads((done.folder / "evaluation" / "out_of_fold.json").read_text())
    assert [row["case"] for row in content["cases"]] == IDS
    dices = []
    for row in content["cases"]:
        predicted = label_map(done.folder / "out_of_fold" / f"{row['case']}.nii.gz") == 1
        truth = label_map(data / "labels" / f"{row['case']}.nii.gz") == 1
        assert row["dice"] == 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum())
        dices.append(row["dice"])
    [spread] = content["spreads"]
    assert spread["mean"] == pytest.approx(np.mean(dices))
    assert spread["deviation"] == pytest.approx(np.std(dices, ddof=1))
    assert min(dices) <= spread["low"] <= spread["mean"] <= spread["high"] <= max(dices)
    assert (done.folder / "evaluation" / "out_of_fold.csv").is_file()
    assert content["folds"] == ["fold_0", "fold_1"]
    assert content["missing_folds"] == []
    assert 0.5 < content["mean_dice"] < 1  # it learns something, or the tests above tell little


def test_every_fold_sees_one_voxel_size_the_median_of_all(done: Gathered) -> None:
    cards = [checkpoint.read_card(series.model_of(done.folder / name)) for name in ("fold_0", "fold_1")]
    assert {card.recipe.spacing for card in cards} == {(1.0, 1.0, 1.15)}
    require_alike({"a": cards[0], "b": cards[1]})


# ── going on ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_call_trains_and_predicts_nothing(own: Path, data: Path, done: Gathered) -> None:
    before = trained_at(own)
    written = {path: path.stat().st_mtime_ns for path in (own / "out_of_fold").glob("*.nii.gz")}
    result = again(own, data)
    assert trained_at(own) == before
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert (result.summaries, result.spreads) == (done.summaries, done.spreads)


def test_only_the_fold_that_is_gone_is_run_again_to_the_same_result(own: Path, data: Path, done: Gathered) -> None:
    before = trained_at(own)
    shutil.rmtree(own / "fold_1")
    (own / "out_of_fold" / f"{read_split(own / 'fold_0').validation[0]}.nii.gz").unlink()
    result = again(own, data)
    assert trained_at(own)["fold_0"] == before["fold_0"]
    assert trained_at(own)["fold_1"] != before["fold_1"]
    assert sha256_of(own / "fold_1") == sha256_of(done.folder / "fold_1")
    assert result.summaries == done.summaries


def test_a_fold_that_was_killed_before_it_saved_anything_begins_anew(own: Path, data: Path, done: Gathered) -> None:
    shutil.rmtree(own / "fold_1" / "checkpoints")
    (own / "fold_1" / "finished.json").unlink()
    again(own, data)
    assert sha256_of(own / "fold_1") == sha256_of(done.folder / "fold_1")
    shutil.rmtree(own / "fold_1" / "checkpoints")
    (own / "fold_1" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=r"fold_1 holds no checkpoint .* \(thesis\.tex\)"):
        again(own, data)
    assert (own / "fold_1" / "thesis.tex").exists()


def test_some_folds_now_and_the_others_later_give_the_same(data: Path, tmp_path: Path, done: Gathered) -> None:
    folder = tmp_path / "cv"
    first = crossval(experiment_of(data), tmp_path, folder=folder, folds=[1])
    assert isinstance(first, Gathered)
    assert (first.folds, first.missing, first.num_cases) == (["fold_1"], ["fold_0"], 2)
    assert len(ensemble.read(folder / "ensemble").members) == 1
    second = crossval(experiment_of(data), tmp_path, folder=folder, folds=[0])
    assert isinstance(second, Gathered)
    assert (second.folds, second.missing) == (["fold_0", "fold_1"], [])
    assert second.summaries == done.summaries
    assert len(list((folder / "ensemble").iterdir())) == 3


class Interrupting(Silent):
    """Asks to stop when a piece of work of this name has advanced so many times."""

    def __init__(self, name: str, count: int) -> None:
        self.name, self.count = name, count
        self.open: list[str] = []

    def start(self, what: str, total: int | None) -> None:  # noqa: ARG002 (the protocol's signature)
        self.open.append(what)

    def finish(self) -> None:
        self.open.pop()

    def advance(self, parts: int = 1, **figures: float) -> None:  # noqa: ARG002 (the protocol's signature)
        if self.open[-1].startswith(self.name):
            self.count -= 1
            if self.count == 0:
                signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(("place", "count"), [("epoch", 2), ("cases", 1)])
def test_stopped_in_a_fold_it_saves_says_where_and_goes_on_to_the_same(
    data: Path, tmp_path: Path, done: Gathered, place: str, count: int
) -> None:
    """In a step, and so late that the fold was not scored any more."""
    folder = tmp_path / "cv"
    stopped = crossval(experiment_of(data), tmp_path, folder=folder, progress=Interrupting(place, count))
    state = checkpoint.read_trainer_state(folder / "fold_0" / "checkpoints" / "last")
    assert stopped == series.Stopped(folder, "fold_0", state["position"]["step"], signal.SIGINT)
    assert not (folder / "fold_1").exists()
    assert not series.is_finished(folder / "fold_0")
    result = again(folder, data)
    assert [sha256_of(folder / name) for name in result.folds] == [sha256_of(done.folder / name) for name in done.folds]
    assert result.summaries == done.summaries


def test_other_settings_other_cases_and_other_folders_are_refused(own: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"other settings: training\.epochs=2 would be new"):
        crossval(experiment_of(data, training__epochs=2), tmp_path, folder=own)
    crossval(experiment_of(data, sampling__num_workers=1), tmp_path, folder=own)
    more = tmp_path / "more"
    shutil.copytree(data, more)
    for folder in ("images", "labels"):
        shutil.copy(more / folder / "case0.nii.gz", more / folder / "case5.nii.gz")
        shutil.copy(more / folder / "case3.nii.gz", more / folder / "case6.nii.gz")
    with pytest.raises(DataError, match="fold_0 was trained on other cases"):
        crossval(experiment_of(more), tmp_path, folder=own)
    with pytest.raises(UsageError, match="already holds"):
        crossval(experiment_of(data), tmp_path, folder=own / "fold_0")
    with pytest.raises(ConfigError, match=r"split\.fold is 0"):
        crossval(experiment_of(data, split__fold=0), tmp_path)
    with pytest.raises(UsageError, match="names fold 2; there are 2, 0 to 1"):
        crossval(experiment_of(data), tmp_path, folds=[2])


# ── the ensemble ────────────────────────────────────────────────────────────────────────────────────────────────────


def prediction(model: Path, scan: Path) -> tuple[np.ndarray, np.ndarray]:
    volume = read(scan)
    found = load_model(model).predictor(volume.array, volume.affine)
    return found.probabilities, found.label_map


def test_an_ensemble_is_the_mean_of_its_members_wherever_it_lies(own: Path, data: Path, tmp_path: Path) -> None:
    scan = data / "images" / "case0.nii.gz"
    probabilities, found = prediction(own, scan)
    members = [prediction(series.model_of(own / name), scan)[0] for name in ("fold_0", "fold_1")]
    assert not np.array_equal(*members)
    np.testing.assert_allclose(probabilities, np.mean(members, axis=0), atol=1e-6)
    elsewhere = Path(shutil.copytree(own / "ensemble", tmp_path / "elsewhere"))
    shutil.rmtree(own)
    copied = prediction(elsewhere, scan)
    assert np.array_equal(copied[0], probabilities)
    assert np.array_equal(copied[1], found)


def test_two_equal_members_are_one_bit_for_bit(done: Gathered, data: Path, tmp_path: Path) -> None:
    model = series.model_of(done.folder / "fold_0")
    ensemble.write(tmp_path / "twins", {"a": model, "b": model}, (), {})
    scan = data / "images" / "case1.nii.gz"
    for alone, both in zip(prediction(model, scan), prediction(tmp_path / "twins", scan), strict=True):
        assert np.array_equal(alone, both)


def test_a_damaged_missing_or_foreign_member_is_named(own: Path, tmp_path: Path) -> None:
    folder = own / "ensemble"
    [member] = [path for path in folder.iterdir() if path.name.startswith("fold_1")]
    weights = member / "model.safetensors"
    whole = weights.read_bytes()
    weights.unlink()  # it may be the run's own file
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DataError, match=rf"{member.name}.*damaged"):
        load_model(folder)
    weights.write_bytes(whole)
    load_model(folder)
    card = member / "model.json"
    text = card.read_text()
    card.unlink()
    card.write_text(text.replace('"epoch": 1', '"epoch": 2'))
    with pytest.raises(DataError, match=rf"{member.name} is not the one"):
        load_model(folder)
    card.unlink()
    with pytest.raises(DataError, match=rf"{member.name} is missing"):
        load_model(folder)


def test_members_may_see_another_grid_but_no_other_channels_or_labels(done: Gathered) -> None:
    from dataclasses import replace

    card = checkpoint.read_card(series.model_of(done.folder / "fold_0"))
    other = replace(card, recipe=replace(card.recipe, spacing=(2.0, 1.0, 1.0)))
    require_alike({"fold_0": card, "fold_1": other})
    labels = Labels.of_classes({0: "background", 1: "another"})
    with pytest.raises(DataError, match="other labels"):
        require_alike({"fold_0": card, "fold_1": replace(card, labels=labels)})
    with pytest.raises(DataError, match="other channels"):
        require_alike({"fold_0": card, "fold_1": replace(card, channels=("CT",))})


def test_post_processing_is_applied_and_said(own: Path, data: Path) -> None:
    from torchio_seg.postprocessing import Step, apply

    scan = read(data / "images" / "case0.nii.gz")
    models = {name: series.model_of(own / name) for name in ("fold_0", "fold_1")}
    region = load_model(own).card.labels.regions[0].name
    step = Step(region, "drop_small", 1e6)
    ensemble.write(own / "ensemble", models, (), {})
    plain = load_model(own)
    ensemble.write(own / "ensemble", models, (step,), {})
    mended = load_model(own)
    assert isinstance(mended.predictor, Ensemble)
    assert mended.notes == ["2 models, mean of the members' probabilities", f"post-processing: {step}"]
    before, after = (model.predictor(scan.array, scan.affine) for model in (plain, mended))
    assert before.label_map.any()
    assert np.array_equal(after.label_map, apply(before.label_map, [step], mended.card.labels, 1.0))
    assert not after.label_map.any()
    assert not after.masks.any()
    assert np.array_equal(before.probabilities, after.probabilities)


def test_an_ensemble_is_not_scored_as_a_run_is_and_may_be_the_newest_model(own: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is an ensemble"):
        evaluate_run(load_model(own), None, progress=Silent())
    runs = tmp_path / "runs" / "folders"
    runs.mkdir(parents=True)
    own.rename(runs / "cv")
    assert newest_trained(tmp_path / "runs") == runs / "cv"
