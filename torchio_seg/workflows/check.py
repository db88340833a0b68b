"""`torchio-seg check`: everything that is wrong with a data set, before a training finds out one by one."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torchio_seg import notices
from torchio_seg.check.checks import run_checks
from torchio_seg.check.copying import FIXES, changes_of, home_of, require_target, write_copy
from torchio_seg.check.finding import Finding, Report
from torchio_seg.check.gathering import gather
from torchio_seg.check.known import Files, Known
from torchio_seg.check.mending import find_mendings
from torchio_seg.check.text import SHOWN, counted, gathered
from torchio_seg.errors import DataError
from torchio_seg.facts import watch
from torchio_seg.files import write_json
from torchio_seg.progress import Silent
from torchio_seg.records import Split
from torchio_seg.splits import divide
from torchio_seg.workflows.cases import find_root, load_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from torchio_seg.config.sections import Experiment
    from torchio_seg.progress import Progress
    from torchio_seg.records import Dataset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checked:
    """A data set that was looked at, and what was found."""

    dataset: Dataset
    files: Files
    report: Report


def check_experiment(experiment: Experiment, *, verify: bool = False, progress: Progress | None = None) -> Checked:
    """Look at everything that an experiment would train, choose and test with."""
    started = time.perf_counter()
    with watch(verify=verify) as watched:
        dataset = load_dataset(experiment, progress=progress)
        files = gather(dataset.cases, progress=progress)
    split, findings = _divide(experiment, dataset, files)
    report = _report(experiment, dataset, split, files)
    seconds, findings = time.perf_counter() - started, [*findings, *report.findings]
    report = replace(report, findings=tuple(findings), num_read=watched.num_files, seconds=seconds)
    return Checked(dataset, files, report)


def check_dataset(
    experiment: Experiment, dataset: Dataset, split: Split, *, progress: Progress | None = None
) -> Report:
    """Look at every file of a data set that is divided already."""
    started = time.perf_counter()
    with watch() as watched:
        files = gather(dataset.cases, progress=progress)
    report = _report(experiment, dataset, split, files)
    return replace(report, num_read=watched.num_files, seconds=time.perf_counter() - started)


def require_sound(report: Report, experiment: Experiment) -> None:
    """Tell the warnings; raise where there are errors, all of which are in the message unless they are very many."""
    warnings = gathered(report.warnings)
    for warning in warnings[:SHOWN]:
        notices.say(log, logging.WARNING, warning)
    if len(warnings) > SHOWN:
        notices.say(log, logging.WARNING, f"and {len(warnings) - SHOWN} more; torchio-seg check lists them")
    if not report.errors:
        return
    lines = [f"  {finding}" for finding in report.errors[:SHOWN]]
    if len(report.errors) > SHOWN:
        lines.append(f"  and {len(report.errors) - SHOWN} more")
    listed = "\n".join(lines)
    raise DataError(
        f"{find_root(experiment)} cannot be trained on, {counted(len(report.errors), 'error')}:\n{listed}\n"
        "torchio-seg check lists all of them, and mends some with --fix"
    )


@dataclass(frozen=True)
class Fixed:
    """A mended copy of a data set."""

    changes: list[dict[str, str | int]]
    checked: Checked | None
    """The copy, looked at anew; None where there was nothing to mend and so there is no copy."""


def fix(experiment: Experiment, checked: Checked, target: Path, *, progress: Progress | None = None) -> Fixed:
    """Write a copy of the data set in which what can be mended without guessing is mended, and check the copy."""
    root = find_root(experiment)
    home = home_of(root)
    files = [path for case in checked.dataset.cases for path in case.files]
    require_target(home, target, files)
    mendings = find_mendings(checked.dataset, checked.files)
    if not mendings:
        return Fixed([], None)
    write_copy(home, target, files, mendings, progress=progress or Silent())
    section = experiment.dataset.model_copy(update={"root": target / root.relative_to(home)})
    copy = check_experiment(experiment.model_copy(update={"dataset": section}), progress=progress)
    changes = changes_of(home, mendings)
    left = [finding.as_json() for finding in copy.report.errors]
    write_json(target / FIXES, {"source": str(home.resolve()), "changes": changes, "left": left})
    return Fixed(changes, copy)


def refused(error: DataError) -> Report:
    """The report on a data set whose layout could not even list its cases."""
    reason, _, cure = str(error).partition("; ")
    return Report((Finding("error", "layout", reason, cure),))


def _report(experiment: Experiment, dataset: Dataset, split: Split, files: Files) -> Report:
    findings = run_checks(Known(dataset, split, experiment.preprocessing, files))
    return Report(findings, len(dataset.cases), files.num_files, notes=dataset.notes)


def _divide(experiment: Experiment, dataset: Dataset, files: Files) -> tuple[Split, list[Finding]]:
    """The split that a training would use; where there can be none, all cases train and a finding says why."""
    ids = tuple(case.id for case in dataset.cases)
    everyone = Split(ids, ())
    if len(set(ids)) < len(ids):  # which has a finding of its own
        return everyone, []
    classes = {
        case.id: frozenset(files.labels[case.label].values or ()) for case in dataset.cases if case.label is not None
    }
    try:
        return divide(dataset, experiment.split, classes), []
    except DataError as error:
        reason, _, cure = str(error).partition("; ")
        return everyone, [Finding("error", "split", reason, cure)]
