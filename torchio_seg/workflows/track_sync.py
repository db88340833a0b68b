"""`torchio-seg track sync`: what a run has recorded, told to W&B afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torchio_seg import checkpoint, components
from torchio_seg.config.resolve import load
from torchio_seg.errors import DataError, UsageError
from torchio_seg.reports.album import read_album
from torchio_seg.tracking.figures import DATA
from torchio_seg.tracking.wandb_mode import choose
from torchio_seg.tracking.wandb_session import recall, record_file
from torchio_seg.workflows import runs
from torchio_seg.workflows.ledger import training_of

if TYPE_CHECKING:
    from pathlib import Path

    from torchio_seg.config.sections import Experiment
    from torchio_seg.config.values import Component
    from torchio_seg.progress import Progress
    from torchio_seg.reports.album import Kept
    from torchio_seg.tracking.interface import Run, Tracker

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Told:
    """A training, or an evaluation of its model, as it was recorded."""

    run: Run
    records: Records

    @property
    def known(self) -> dict[str, Any] | None:
        """Which run of W&B it is; None where it is none, or one that ended before all of this was recorded."""
        known, latest = recall(record_file(self.run)), max((each.get("time", 0) for each in self.records), default=0)
        return None if known is None or known.get("ended", 0) < latest else known

    @property
    def place(self) -> str | None:
        """Where it is at W&B; None where not all of it is there."""
        known = self.known
        return f"{known['entity']}/{known['project']}/{known['id']}" if known and known["is_sent"] else None


def sync(folder: Path, changes: Mapping[str, Any], *, again: bool = False, progress: Progress) -> list[str]:
    """Replay the records of a run that are not at W&B yet, its training first, and say where they are then.

    Models and pictures that were kept go too, unless tracker.artifacts or tracker.slices is none.
    """
    if not (folder / "metrics.jsonl").is_file():
        raise UsageError(f"{folder} is no run: it has no metrics.jsonl; name a run's folder, as runs/latest")
    if (choice := choose("online")).mode != "online":
        reason = choice.reason or f"WANDB_MODE is {choice.mode}; unset it"
        raise UsageError(f"nothing can be sent to W&B: {reason}")
    with runs.locked(folder):
        experiment = load(folder / "config.yaml", {"tracker.name": "wandb", "tracker.mode": "online", **changes})
        told = list(_told(experiment, folder))
        waiting = [each for each in told if again or each.place is None]
        if not waiting:
            raise UsageError(f"{folder} is at W&B already, as {told[0].place}; --again sends it again")
        return [_send(each, experiment.tracker, progress) for each in waiting]


def _told(experiment: Experiment, folder: Path) -> Iterator[Told]:
    """The training, and of each part the last evaluation that came to its end."""
    training = training_of(experiment, folder, runs.read_facts(folder))
    yield Told(training, runs.read_journal(folder / "metrics.jsonl"))
    for path in sorted((folder / runs.EVALUATION).glob("*.jsonl")):
        ends = [record for record in runs.read_journal(path) if record["kind"] == "evaluation"]
        if ends:
            told = Told(replace(training, job="evaluate", part=path.stem), ends[-1:])
            yield replace(told, run=replace(told.run, was_tracked=told.known is not None))


def _send(told: Told, section: Component, progress: Progress) -> str:
    tracker: Tracker = components.assemble("trackers", section.section, told.run)
    try:
        _replay(tracker, told, progress)
    except BaseException:
        tracker.finish(failed=True)
        raise
    tracker.finish()
    if (place := told.place) is None:
        raise DataError(f"W&B did not take all of {told.run.name}; the record is as it was, try again later")
    return place


def _replay(tracker: Tracker, told: Told, progress: Progress) -> None:
    tables = read_album(told.run) if tracker.shown is not None else []
    for table in tables:
        if table.key == DATA:
            _show(tracker, table, progress)
    progress.start("records", len(told.records))
    try:
        for record in told.records:
            tracker.log(record)
            progress.advance()
    finally:
        progress.finish()
    for table in tables:
        if table.key != DATA:
            _show(tracker, table, progress)
    if told.run.job == "train":
        _hand_over_model(tracker, told)
    elif (model := _scored(told)) is not None:
        tracker.used(model)


def _show(tracker: Tracker, table: Kept, progress: Progress) -> None:
    rows = tracker.table(table.key, table.columns)
    progress.start(f"table {table.folder.name}", len(table.rows))
    try:
        for cells in table:
            rows.add(*cells)
            progress.advance()
    finally:
        progress.finish()
    rows.finish()


def _hand_over_model(tracker: Tracker, told: Told) -> None:
    """The best checkpoint, or the last where none was the best."""
    validations = [record for record in told.records if record["kind"] == "validation"]
    best = next((record for record in reversed(validations) if record["improved"]), None)
    last = validations[-1] if validations else None
    for name, scored in (("best", best), ("last", last)):
        model = told.run.folder / "checkpoints" / name
        if scored is not None and checkpoint.exists(model):
            tracker.checkpoint(model, scored, is_best=name == "best")
            return


def _scored(told: Told) -> Path | None:
    """The checkpoint that was evaluated; None where another has taken its place since."""
    for name in ("best", "last"):
        model = told.run.folder / "checkpoints" / name
        if checkpoint.exists(model) and checkpoint.read_card(model).sha256 == told.records[-1]["sha256"]:
            return model
    return None
