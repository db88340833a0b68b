"""A finished run, scored again on a part of its split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torchio_seg.ensemble import RECORD
from torchio_seg.errors import UsageError
from torchio_seg.metrics import DICE_ONLY, Measures
from torchio_seg.predictor.ensemble import Ensemble
from torchio_seg.progress import Progress
from torchio_seg.records import Split
from torchio_seg.workflows.beforehand import PARTS, require_word
from torchio_seg.workflows.cases import load_known
from torchio_seg.workflows.evaluate import Evaluation, evaluate_cases, write_evaluation
from torchio_seg.workflows.gallery import Gallery
from torchio_seg.workflows.ledger import tracked, training_of
from torchio_seg.workflows.models import LoadedModel
from torchio_seg.workflows.runs import read_facts, read_split, run_of


def evaluate_run(
    loaded: LoadedModel, part: str | None, *, progress: Progress, measures: Measures = DICE_ONLY
) -> tuple[Evaluation, Path]:
    """The scores on one part of the run's split, and where they were written (without suffix)."""
    if isinstance(loaded.predictor, Ensemble):
        raise UsageError(
            f"{loaded.folder} is an ensemble, and each case was seen by some of its members; {RECORD} in it has the "
            "scores of the cases by those that did not see them. evaluate scores one run: name a fold's folder"
        )
    run = run_of(loaded.folder)
    part, ids = choose_part(read_split(run), part, str(run))
    dataset = load_known(loaded.experiment, loaded.card, progress=progress)
    cases = dataset.choose(ids)
    about = replace(training_of(loaded.experiment, run, read_facts(run)), job="evaluate")
    with tracked(loaded.experiment.tracker, about) as tracker:
        tracker.used(loaded.folder)
        with Gallery(tracker, dataset, loaded.experiment.preprocessing).predictions(part, True) as on_prediction:
            scores = evaluate_cases(
                loaded.predictor, cases, dataset, progress=progress, on_prediction=on_prediction, measures=measures
            )
        evaluation = Evaluation(part, scores, measures)
        tracker.log(evaluation.record)
    return evaluation, write_evaluation(run, evaluation, loaded.card)


def choose_part(split: Split, part: str | None, whose: str) -> tuple[str, tuple[str, ...]]:
    """The part of a split that is asked for, else the test cases, else those that validate; and their ids."""
    ids = {"training": split.training, "validation": split.validation, "test": split.test}
    part = part or ("test" if split.test else "validation")
    require_word("--split", part, PARTS)
    if not ids[part]:
        raise UsageError(f"{whose} has no {part} cases; it has " + ", ".join(f"{len(ids[p])} {p}" for p in PARTS))
    return part, ids[part]
