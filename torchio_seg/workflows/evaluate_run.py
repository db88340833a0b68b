"""A finished run, scored again on a part of its split."""

from __future__ import annotations

import json
from pathlib import Path

from torchio_seg.errors import DataError, UsageError
from torchio_seg.progress import Progress
from torchio_seg.workflows.cases import load_dataset
from torchio_seg.workflows.evaluate import Evaluation, evaluate_cases, write_evaluation
from torchio_seg.workflows.models import LoadedModel
from torchio_seg.workflows.runs import run_of

PARTS = ("training", "validation", "test")


def evaluate_run(loaded: LoadedModel, part: str | None, *, progress: Progress) -> tuple[Evaluation, Path]:
    """The scores on one part of the run's split, and where they were written (without suffix)."""
    run = run_of(loaded.folder)
    split = _read_split(run)
    part = part or ("test" if split["test"] else "validation")
    if part not in PARTS:
        raise UsageError(f"--split {part}: the parts are {', '.join(PARTS)}")
    if not split[part]:
        raise UsageError(f"{run} has no {part} cases; it has " + ", ".join(f"{len(split[p])} {p}" for p in PARTS))
    dataset = load_dataset(loaded.experiment)
    by_id = {case.id: case for case in dataset.cases}
    if missing := [case_id for case_id in split[part] if case_id not in by_id]:
        raise DataError(f"{len(missing)} {part} cases of {run} are not in the data any more, {missing[0]} among them")
    cases = [by_id[case_id] for case_id in split[part]]
    evaluation = Evaluation(part, evaluate_cases(loaded.predictor, cases, dataset, progress=progress))
    return evaluation, write_evaluation(run, evaluation, loaded.card)


def _read_split(run: Path) -> dict[str, list[str]]:
    try:
        split: dict[str, list[str]] = json.loads((run / "run.json").read_text(encoding="utf-8"))["split"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{run / 'run.json'} does not tell the run's split: {error}") from error
    return split
