"""`torchio-seg crossval`: a model for each fold, every case predicted by the one that has not seen it, an ensemble."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torchio_seg import checkpoint, devices, ensemble
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import ConfigError, DataError, UsageError
from torchio_seg.metrics import Spread, Summary, mean_dice, spreads, summarize
from torchio_seg.progress import Progress, Silent
from torchio_seg.records import Dataset, Split
from torchio_seg.reports.scores import write_scores
from torchio_seg.splits import divide, num_folds
from torchio_seg.workflows import runs, series
from torchio_seg.workflows.assembly import median_spacing
from torchio_seg.workflows.beforehand import ENSEMBLE
from torchio_seg.workflows.cases import anchored, find_classes, load_dataset, needs_root, require_root
from torchio_seg.workflows.choosing import Choice, choose_steps
from torchio_seg.workflows.opening import require_alike
from torchio_seg.workflows.out_of_fold import FOLDER, predict_out_of_fold
from torchio_seg.workflows.train import Situation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gathered:
    """What the folds that are finished gave together."""

    folder: Path
    folds: list[str]
    missing: list[str]
    """The folds that are not finished."""
    num_cases: int
    summaries: list[Summary]
    spreads: list[Spread]
    choice: Choice

    @property
    def mean_dice(self) -> float | None:
        return mean_dice(self.summaries)


def crossval(
    experiment: Experiment,
    runs_folder: Path,
    *,
    folder: Path | None = None,
    folds: Sequence[int] | None = None,
    progress: Progress | None = None,
    situation: Situation | None = None,
) -> Gathered | series.Stopped:
    """Train these folds, or all, as far as they are not finished, and gather what all finished ones predict."""
    progress, situation = progress or Silent(), situation or Situation()
    if experiment.split.fold is not None:
        raise ConfigError(
            f"split.fold is {experiment.split.fold}, but a cross-validation trains every fold; leave it null. --folds "
            "names those to train now"
        )
    devices.choose(experiment.device)
    if needs_root(experiment):
        require_root(experiment)
    experiment = anchored(experiment)
    dataset = load_dataset(experiment, progress=progress)
    experiments = _of_folds(experiment, dataset)
    splits = _divide(experiments, dataset, progress)
    experiment, experiments = _with_one_grid(experiments, dataset, splits)
    chosen = _choose(list(experiments), folds)
    place, planned = series.Place(folder, "folds"), (experiment, situation.papers)
    whole = series.open_series(place, runs_folder, planned)
    folder = whole.folder
    _require_same_cases(folder, splits)
    if stopped := series.run_all(whole, {name: experiments[name] for name in chosen}, progress, situation):
        return stopped
    try:
        with runs.locked(folder):
            return _gather(folder, experiment, dataset, splits, progress=progress)
    except KeyboardInterrupt as stop:
        stop.add_note(f"stopped; what is trained and predicted is kept, and crossval -o {folder} goes on")
        raise


def _of_folds(experiment: Experiment, dataset: Dataset) -> dict[str, Experiment]:
    """The experiment of each fold, by the name of its run."""
    return {
        f"fold_{fold}": experiment.model_copy(update={"split": experiment.split.model_copy(update={"fold": fold})})
        for fold in range(num_folds(dataset, experiment.split))
    }


def _choose(names: Sequence[str], folds: Sequence[int] | None) -> list[str]:
    if folds is None:
        return list(names)
    if unknown := [fold for fold in folds if fold not in range(len(names))]:
        raise UsageError(f"--folds names fold {unknown[0]}; there are {len(names)}, 0 to {len(names) - 1}")
    return [names[fold] for fold in sorted(set(folds))]


def _divide(experiments: Mapping[str, Experiment], dataset: Dataset, progress: Progress) -> dict[str, Split]:
    """How each fold divides the cases; no case may be held out by two."""
    classes = find_classes(dataset, progress=progress)
    splits = {name: divide(dataset, experiment.split, classes) for name, experiment in experiments.items()}
    holders: dict[str, str] = {}
    for name, split in splits.items():
        for case in split.validation:
            if case in holders:
                raise DataError(
                    f"case {case} is held out by {holders[case]} and by {name}: this division is no cross-validation. "
                    "Use split.method=k_fold"
                )
            holders[case] = name
    return splits


def _with_one_grid(
    experiments: Mapping[str, Experiment], dataset: Dataset, splits: Mapping[str, Split]
) -> tuple[Experiment, dict[str, Experiment]]:
    """The experiment and its folds with one voxel size: the median is that of all cases that are not for the test."""
    first = next(iter(experiments.values()))
    update: dict[str, Any] = {}
    if first.preprocessing.spacing == "median":
        test = set(next(iter(splits.values())).test)
        spacing = median_spacing([case for case in dataset.cases if case.id not in test])
        log.info(
            "voxel size %.3g x %.3g x %.3g mm in every fold, the median of all that are not for the test", *spacing
        )
        update = {"preprocessing": first.preprocessing.model_copy(update={"spacing": spacing})}
    folds = {name: experiment.model_copy(update=update) for name, experiment in experiments.items()}
    common = first.split.model_copy(update={"fold": None})
    return first.model_copy(update={**update, "split": common}), folds


def _require_same_cases(folder: Path, splits: Mapping[str, Split]) -> None:
    """Runs that are there already divided the cases as they are divided now."""
    for name, split in splits.items():
        if (folder / name / "run.json").is_file() and runs.read_split(folder / name) != split:
            raise DataError(
                f"{folder / name} was trained on other cases than the data set's division gives now; give the data "
                "that it was begun with (--root), or cross-validate anew in another folder (-o)"
            )


def _gather(
    folder: Path, experiment: Experiment, dataset: Dataset, splits: Mapping[str, Split], *, progress: Progress
) -> Gathered:
    names = series.finished(folder, list(splits))
    models = {name: series.model_of(folder / name) for name in names}
    require_alike({name: checkpoint.read_card(model) for name, model in models.items()})
    held_out = {models[name]: splits[name].validation for name in names}
    predictions = predict_out_of_fold(folder / FOLDER, held_out, dataset, device=experiment.device, progress=progress)
    scores = predictions.scores()
    log.info("trying post-processing on the %d cases", len(predictions.cases))
    choice = choose_steps(lambda: predictions, dataset.labels)
    missing = [name for name in splits if name not in names]
    gathered = Gathered(folder, names, missing, len(predictions.cases), summarize(scores), spreads(scores), choice)
    facts = _facts(gathered, dataset)
    (folder / "evaluation").mkdir(exist_ok=True)
    write_scores(
        folder / "evaluation" / FOLDER, scores, summaries=gathered.summaries, mean=gathered.mean_dice, facts=facts
    )
    ensemble.write(folder / ENSEMBLE, models, choice.steps, facts)
    return gathered


def _facts(gathered: Gathered, dataset: Dataset) -> dict[str, Any]:
    """What is written beside the scores."""
    names = [region.name for region in dataset.labels.regions]
    choice = gathered.choice
    return {
        "dataset": dataset.name,
        "folds": gathered.folds,
        "missing_folds": gathered.missing,
        "num_cases": gathered.num_cases,
        "spreads": [asdict(spread) for spread in gathered.spreads],
        "postprocessing": {
            "steps": [asdict(step) for step in choice.steps],
            "dice_without": dict(zip(names, choice.before, strict=True)),
            "dice_with": dict(zip(names, choice.after, strict=True)),
        },
    }
