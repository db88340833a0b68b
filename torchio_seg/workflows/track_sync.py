"""`torchio-seg track sync`: what a run has recorded, told to W&B afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torchio_seg import checkpoint, components
from torchio_seg.config.resolve import load
from torchio_seg.errors import DataError, UsageError
from torchio_seg.tracking.interface import FOLDER, Tracker
from torchio_seg.tracking.wandb_mode import choose
from torchio_seg.tracking.wandb_session import recall
from torchio_seg.workflows import runs
from torchio_seg.workflows.ledger import training_of

if TYPE_CHECKING:
    from pathlib import Path

    from torchio_seg.progress import Progress


def sync(folder: Path, changes: Mapping[str, Any], *, again: bool = False, progress: Progress) -> str:
    """Replay the record of a run, and say where it is then; the model goes too, unless tracker.artifacts is none."""
    if not (folder / "metrics.jsonl").is_file():
        raise UsageError(f"{folder} is no run: it has no metrics.jsonl; name a run's folder, as runs/latest")
    if (choice := choose("online")).mode != "online":
        reason = choice.reason or f"WANDB_MODE is {choice.mode}; unset it"
        raise UsageError(f"nothing can be sent to W&B: {reason}")
    with runs.locked(folder):
        if not again and (known := recall(folder / FOLDER)) is not None and known.get("is_sent"):
            raise UsageError(f"{folder} is at W&B already, as {_place(known)}; --again sends it again")
        experiment = load(folder / "config.yaml", {"tracker.name": "wandb", "tracker.mode": "online", **changes})
        records = runs.read_journal(folder / "metrics.jsonl")
        run = training_of(experiment, folder, runs.read_facts(folder))
        tracker: Tracker = components.assemble("trackers", experiment.tracker.section, run)
        try:
            _replay(tracker, records, folder, progress)
        except BaseException:
            tracker.finish(failed=True)
            raise
        tracker.finish()
        if not (known := recall(folder / FOLDER)) or not known["is_sent"]:
            raise DataError(f"W&B did not take all of {folder}; the record is as it was, try again later")
    return _place(known)


def _place(known: Mapping[str, Any]) -> str:
    return f"{known['entity']}/{known['project']}/{known['id']}"


def _replay(tracker: Tracker, records: list[dict[str, Any]], folder: Path, progress: Progress) -> None:
    progress.start("records", len(records))
    try:
        for record in records:
            tracker.log(record)
            progress.advance()
    finally:
        progress.finish()
    validations = [record for record in records if record["kind"] == "validation"]
    best = next((record for record in reversed(validations) if record["improved"]), None)
    last = validations[-1] if validations else None
    for name, scored in (("best", best), ("last", last)):
        if scored is not None and checkpoint.exists(folder / "checkpoints" / name):
            tracker.checkpoint(folder / "checkpoints" / name, scored, is_best=name == "best")
            return
