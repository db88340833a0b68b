"""A finished run, scored again on a part of its split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg.ensemble import RECORD
from torchio_seg.errors import UsageError
from torchio_seg.metrics import DICE_ONLY, Measures
from torchio_seg.predictor.ensemble import Ensemble
from torchio_seg.progress import Progress
from torchio_seg.records import Split
from torchio_seg.workflows.cases import load_known
from torchio_seg.workflows.evaluate import Evaluation, evaluate_cases, write_evaluation
from torchio_seg.workflows.ledger import gallery_of, tracked, training_of
from torchio_seg.workflows.models import LoadedModel
from torchio_seg.workflows.runs import EVALUATION, Journal, read_facts, read_split, run_of

if TYPE_CHECKING:
    from torchio_seg.checkpoint import ModelCard
    from torchio_seg.workflows.evaluate import OnPrediction, Predicted

PARTS = ("training", "validation", "test")
Log = Callable[[Mapping[str, Any]], None]


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
    split = read_split(run)
    part, ids = choose_part(split, part, str(run))
    dataset = load_known(loaded.experiment, loaded.card, progress=progress)
    cases = dataset.choose(ids)
    about = replace(training_of(loaded.experiment, run, read_facts(run)), job="evaluate", part=part)
    with tracked(loaded.experiment.tracker, about) as tracker, recorded(run, part, tracker.log) as log:
        tracker.used(loaded.folder)
        gallery = gallery_of(loaded.experiment, tracker, about, dataset, split=split, progress=progress)
        with gallery.predictions(part, True) as pictured:
            tell = partial(_tell, log, pictured)
            scores = evaluate_cases(
                loaded.predictor, cases, dataset, progress=progress, on_prediction=tell, measures=measures
            )
        evaluation = Evaluation(part, scores, measures)
        log(evaluation.record | about_model(loaded.card, measures))
    return evaluation, write_evaluation(run, evaluation, loaded.card)


def _tell(log: Log, pictured: OnPrediction | None, predicted: Predicted) -> None:
    log(predicted.record)
    if pictured is not None:
        pictured(predicted)


@contextmanager
def recorded(folder: Path, part: str, tell: Log) -> Iterator[Log]:
    """What writes a record of this part into evaluation/PART.jsonl in the folder, and then tells others."""
    place = folder / EVALUATION
    place.mkdir(parents=True, exist_ok=True)
    journal = Journal(place / f"{part}.jsonl", "make room and evaluate again")

    def log(record: Mapping[str, Any]) -> None:
        record = {**record, "part": part}
        journal.log(record)
        tell(record)

    try:
        yield log
    finally:
        journal.finish()


def about_model(card: ModelCard, measures: Measures) -> dict[str, Any]:
    """Which model was scored, and how."""
    position: dict[str, Any] = {key: card.progress[key] for key in ("epoch", "step") if key in card.progress}
    return {**position, "sha256": card.sha256, "measures": asdict(measures)}


def choose_part(split: Split, part: str | None, whose: str) -> tuple[str, tuple[str, ...]]:
    """The part of a split that is asked for, else the test cases, else those that validate; and their ids."""
    ids = {"training": split.training, "validation": split.validation, "test": split.test}
    part = part or ("test" if split.test else "validation")
    if part not in PARTS:
        raise UsageError(f"--split {part}: the parts are {', '.join(PARTS)}")
    if not ids[part]:
        raise UsageError(f"{whose} has no {part} cases; it has " + ", ".join(f"{len(ids[p])} {p}" for p in PARTS))
    return part, ids[part]
