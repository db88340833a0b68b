"""A finished run, scored again on a part of its split."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg.ensemble import RECORD
from torchio_seg.errors import UsageError
from torchio_seg.files import near
from torchio_seg.metrics import DICE_ONLY, Measures
from torchio_seg.predictor.ensemble import Ensemble
from torchio_seg.progress import Progress
from torchio_seg.records import Split
from torchio_seg.workflows.beforehand import PARTS, require_word
from torchio_seg.workflows.cases import load_known
from torchio_seg.workflows.evaluate import (
    Evaluation,
    evaluate_cases,
    stem_of,
    what_scores_depend_on,
    write_evaluation,
)
from torchio_seg.workflows.ledger import gallery_of, tracked, training_of
from torchio_seg.workflows.models import LoadedModel
from torchio_seg.workflows.runs import EVALUATION, Journal, read_facts, read_split, run_of

if TYPE_CHECKING:
    from torchio_seg.checkpoint import ModelCard
    from torchio_seg.workflows.evaluate import OnPrediction, Predicted

Log = Callable[[Mapping[str, Any]], None]


def evaluate_run(
    loaded: LoadedModel,
    part: str | None,
    *,
    progress: Progress,
    measures: Measures = DICE_ONLY,
    overwrite: bool = False,
) -> tuple[Evaluation, Path]:
    """The scores on one part of the run's split, and where they were written (without suffix).

    Scores that were there must be among them, unless they may be replaced.
    """
    if isinstance(loaded.predictor, Ensemble):
        raise UsageError(
            f"{loaded.folder} is an ensemble, and each case was seen by some of its members; {RECORD} in it has the "
            "scores of the cases by those that did not see them. evaluate scores one run: name a fold's folder"
        )
    run = run_of(loaded.folder)
    split = read_split(run)
    part, ids = choose_part(split, part, str(run))
    settings = loaded.experiment.model_dump(mode="json")
    if not overwrite:
        require_none_lost(stem_of(run, part), what_scores_depend_on(loaded.card, settings), measures)
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
        log(evaluation.record | about_model(loaded.card, settings, measures))
    return evaluation, write_evaluation(run, evaluation, loaded.card, settings)


def require_none_lost(stem: Path, made_from: Mapping[str, Any], measures: Measures) -> None:
    """Refuse to replace scores that would not be among the new ones: of other weights, settings or metrics."""
    path = next((path for path in (stem.with_suffix(".json"), stem.with_suffix(".csv")) if path.exists()), None)
    if path is not None and (why := _what_is_lost(path, made_from, measures)):
        raise UsageError(f"{near(path)} holds scores {why}; --overwrite replaces them, or keep a copy first")


def _what_is_lost(path: Path, made_from: Mapping[str, Any], measures: Measures) -> str | None:
    """What a file of scores has that the new one will not have; None where nothing."""
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        before = Measures(**{**earlier["measures"], "names": tuple(earlier["measures"]["names"])})
        weights, settings = earlier["sha256"], earlier["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return "that do not say how they were made"
    if weights != made_from["sha256"]:
        return "of other weights"
    if settings != made_from["settings"]:
        return "by other settings"
    if lost := set(before.names) - set(measures.names):
        return f"of {', '.join(sorted(lost))} too"
    tolerance = before.tolerance_mm if "surface_dice" in before.names else measures.tolerance_mm
    same = replace(before, names=measures.names, tolerance_mm=tolerance) == measures
    return None if same else "by another --empty or --tolerance"


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


def about_model(card: ModelCard, settings: Mapping[str, Any], measures: Measures) -> dict[str, Any]:
    """Which model was scored, and how."""
    position: dict[str, Any] = {key: value for key, value in card.progress.items() if key in {"epoch", "step"}}
    return {**position, **what_scores_depend_on(card, settings), "measures": asdict(measures)}


def choose_part(split: Split, part: str | None, whose: str) -> tuple[str, tuple[str, ...]]:
    """The part of a split that is asked for, else the test cases, else those that validate; and their ids."""
    ids = {"training": split.training, "validation": split.validation, "test": split.test}
    part = part or ("test" if split.test else "validation")
    require_word("--split", part, PARTS)
    if not ids[part]:
        raise UsageError(f"{whose} has no {part} cases; it has " + ", ".join(f"{len(ids[p])} {p}" for p in PARTS))
    return part, ids[part]
