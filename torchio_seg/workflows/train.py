"""`torchio-seg train`: from an experiment to a run folder with a trained, evaluated model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torchio_seg import checkpoint, components, devices, machine
from torchio_seg.config.comparing import differing
from torchio_seg.config.resolve import load
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import ConfigError, UsageError
from torchio_seg.files import write_text
from torchio_seg.progress import Progress, Silent
from torchio_seg.reports.curves import curves
from torchio_seg.trainer import Position
from torchio_seg.workflows import runs
from torchio_seg.workflows.assembly import make_plan, recall_plan
from torchio_seg.workflows.cases import anchored, needs_root, require_root
from torchio_seg.workflows.evaluate import Evaluation
from torchio_seg.workflows.job import Job, Surroundings
from torchio_seg.workflows.starvation import Adviser
from torchio_seg.workflows.stopping import stop_requests
from torchio_seg.workflows.storing import open_store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """What a training left behind."""

    folder: Path
    position: Position
    model: Path
    """Its best checkpoint, or the last where none was validated."""
    stopped_by: int | None
    """The signal that ended it before its last epoch, or None."""
    evaluation: Evaluation | None
    """Of the best model, where training ran to its end."""
    asked_to_stop: int | None = None
    """The signal that came while it trained, even too late to end it; whoever has more to do stops there."""


def start(
    experiment: Experiment, runs_folder: Path, *, folder: Path | None = None, progress: Progress | None = None
) -> Trained:
    """Train in a new run folder, which is made once everything fits together."""
    devices.choose(experiment.device)  # a device that is not there is found before any file is read
    if needs_root(experiment):
        require_root(experiment)
    experiment = anchored(experiment)
    progress = progress or Silent()
    with open_store(experiment.sampling.store).in_use():
        job = Job(experiment, make_plan(experiment, progress=progress))
        if folder is None:
            folder = runs.create(runs_folder, experiment.name)
        else:
            runs.claim(folder)
        return _train(job, folder, progress, resume=False)


def resume(folder: Path, changes: Mapping[str, Any], *, progress: Progress | None = None) -> Trained:
    """Go on where the last checkpoint of a run is; its length may be changed."""
    last = folder / "checkpoints" / "last"
    if not checkpoint.exists(last):
        raise UsageError(f"{folder} has no checkpoint to go on from (checkpoints/last); start a new training")
    earlier = load(folder / "config.yaml")
    experiment = load(folder / "config.yaml", changes)
    _require_same_training(experiment, earlier)
    progress = progress or Silent()
    with open_store(experiment.sampling.store).in_use():
        plan = recall_plan(experiment, checkpoint.read_card(last), runs.read_split(folder), progress=progress)
        return _train(Job(experiment, plan), folder, progress, resume=True)


def _train(job: Job, folder: Path, progress: Progress, *, resume: bool) -> Trained:
    with runs.locked(folder):
        tracker = components.assemble("trackers", job.experiment.tracker.section, folder)
        journal = runs.Journal(folder / "metrics.jsonl")
        adviser = Adviser(job.experiment, job.device.type, machine.num_processors())
        log_record = partial(_record, folder, journal, tracker, adviser=adviser)
        try:
            with stop_requests() as request:
                surroundings = Surroundings(folder, log_record, progress, lambda: request.signal is not None)
                trainer = job.trainer(surroundings, resume=resume)
                job.describe(folder)
                first = trainer.position.step
                journal.keep_until(first)
                finished = trainer.run()
            is_new = trainer.position.step > first or not job.is_evaluated(folder)
            evaluation = job.evaluate(surroundings) if finished and job.held_out and is_new else None
        finally:
            job.feed.close()
            journal.finish()
            tracker.finish()
    stopped_by = None if finished else request.signal
    return Trained(folder, trainer.position, runs.find_checkpoint(folder), stopped_by, evaluation, request.signal)


def _record(folder: Path, journal: runs.Journal, tracker: Any, record: Mapping[str, Any], *, adviser: Adviser) -> None:
    """Into the run's own journal first, then to the tracker, the curves and the screen."""
    journal.log(record)
    tracker.log(record)
    if record["kind"] in {"epoch", "validation"}:
        write_text(folder / "curves.svg", curves(journal.records, folder.name))
        _say(record)
        adviser(record)


def _require_same_training(experiment: Experiment, earlier: Experiment) -> None:
    """A resumed training keeps its settings; only its length and what does not touch its numbers may differ."""
    free = {
        "device",
        "dataset.root",
        "training.epochs",
        "sampling.num_workers",
        "sampling.store",
        "training.validation_every",
    }
    if forbidden := [key for key in differing(earlier, experiment) if key not in free]:
        raise ConfigError(f"a resumed training keeps its settings, but {', '.join(forbidden)} differ; start a new one")


def _say(record: Mapping[str, Any]) -> None:
    if record["kind"] == "epoch":
        log.info(
            "epoch %d  loss %s  %.1f patches/s  %.0f %% waiting for patches",
            record["epoch"],
            _number(record["loss"]),
            record["patches_per_second"],
            100 * record["waiting"],
        )
        return
    regions = "  ".join(f"{name} {_number(value)}" for name, value in record["dice"].items())
    log.info("validation  Dice %s  (%s)", _number(record["mean_dice"]), regions)


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"
