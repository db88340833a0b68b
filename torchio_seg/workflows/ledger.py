"""What is written of a training while it goes on: its own record first, then copies, curves and words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torchio_seg import checkpoint, components, devices, machine
from torchio_seg.files import write_text
from torchio_seg.metrics import METRICS
from torchio_seg.reports.album import Album
from torchio_seg.reports.curves import curves
from torchio_seg.tracking.guarded import Guarded
from torchio_seg.tracking.interface import Run, Shown
from torchio_seg.workflows import runs
from torchio_seg.workflows.gallery import Gallery
from torchio_seg.workflows.starvation import Adviser

if TYPE_CHECKING:
    from pathlib import Path

    from torchio_seg.config.sections import Experiment
    from torchio_seg.config.values import Component
    from torchio_seg.progress import Progress
    from torchio_seg.records import Dataset, Split
    from torchio_seg.workflows.evaluate import OnPrediction
    from torchio_seg.workflows.job import Job

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ledger:
    """Who is told what a training does."""

    log: Callable[[Mapping[str, Any]], None] = lambda _: None
    keep_until: Callable[[int, int], None] = lambda *_: None
    """Forget what was written of later steps than the first, and of later validations than the second."""
    saved: Callable[[str], None] = lambda _: None
    """A checkpoint of this name lies in the folder."""
    pictured: Callable[[str, bool], AbstractContextManager[OnPrediction | None]] = lambda *_: nullcontext()
    """Who looks at predictions of a part of the cases, and whether they are the last."""
    trained_on: tuple[str, ...] = ()
    """Training cases that are to be predicted for them at the end."""


@contextmanager
def opened(job: Job, folder: Path, progress: Progress) -> Iterator[Ledger]:
    """The ledger of a run, which the main process keeps; when it closes, the workers of all of them end."""
    try:
        if not job.peers.is_main:
            yield Ledger()
            return
        with runs.locked(folder), _kept(job, folder, progress) as ledger:
            yield ledger
    finally:
        job.feed.close()


@contextmanager
def _kept(job: Job, folder: Path, progress: Progress) -> Iterator[Ledger]:
    experiment = job.experiment
    journal = runs.Journal(folder / "metrics.jsonl")
    about = training_of(experiment, folder, job.facts)
    try:
        with tracked(experiment.tracker, about) as tracker:
            gallery = gallery_of(experiment, tracker, about, job.plan.dataset, split=job.plan.split, progress=progress)
            if not checkpoint.exists(folder / "checkpoints" / "last"):
                gallery.show_data()
            adviser = Adviser(experiment, job.device.type, job.peers.of_machine(machine.num_processors()))
            scribe = _Scribe(folder, journal, tracker, adviser)
            log_record = _measured(scribe.log, job)
            yield Ledger(log_record, journal.keep_until, scribe.saved, gallery.predictions, gallery.trained_on)
    finally:
        journal.finish()


@contextmanager
def tracked(section: Component, run: Run) -> Iterator[Guarded]:
    """The tracker of a run, which is told how it ended."""
    tracker = Guarded(section.name, lambda: components.assemble("trackers", section.section, run))
    try:
        yield tracker
    except BaseException:
        tracker.finish(failed=True)
        raise
    tracker.finish()


def gallery_of(
    experiment: Experiment, tracker: Guarded, run: Run, dataset: Dataset, *, split: Split, progress: Progress
) -> Gallery:
    """What shows cases to a run's tracker, and keeps pictures in its folder where that is wished."""
    audiences, wanted = [tracker], experiment.pictures
    if wanted.slices != "none":
        shown = Shown(wanted.cases, wanted.slices)
        audiences.append(Guarded("pictures", lambda: Album(run, shown)))
    return Gallery(audiences, dataset, experiment.preprocessing, split=split, progress=progress)


def training_of(experiment: Experiment, folder: Path, facts: Mapping[str, Any]) -> Run:
    """What trackers are told of a training."""
    is_one_of_several = (folder.parent / runs.SERIES).is_file()
    return Run(
        folder=folder,
        experiment=experiment.name,
        config=experiment.model_dump(mode="json"),
        facts=facts,
        metrics=tuple(METRICS),
        group=folder.parent.name if is_one_of_several else None,
    )


def _measured(log_record: Callable[[Mapping[str, Any]], None], job: Job) -> Callable[[Mapping[str, Any]], None]:
    """Records of epochs with the most memory that the GPU held so far."""

    def log_measured(record: Mapping[str, Any]) -> None:
        if record["kind"] == "epoch" and (held := devices.most_held(job.device)) is not None:
            record = {**record, "device_memory": held}
        log_record(record)

    return log_measured


class _Scribe:
    """Writes each record where it belongs."""

    def __init__(self, folder: Path, journal: runs.Journal, tracker: Guarded, adviser: Adviser) -> None:
        self.folder = folder
        self.journal = journal
        self.tracker = tracker
        self.adviser = adviser
        self._validation: Mapping[str, Any] | None = None
        """The latest, until a checkpoint of the model that it scored was saved."""

    def log(self, record: Mapping[str, Any]) -> None:
        """Into the run's own journal first, then to the tracker, the curves and the screen."""
        self.journal.log(record)
        self.tracker.log(record)
        if record["kind"] == "validation":
            self._validation = record
        if record["kind"] in {"epoch", "validation"}:
            write_text(self.folder / "curves.svg", curves(self.journal.records, self.folder.name))
        _say(record)
        self.adviser(record)

    def saved(self, name: str) -> None:
        """The first checkpoint after a validation is of the model that was validated: the best, or the last."""
        if self._validation is not None:
            record, self._validation = self._validation, None
            self.tracker.checkpoint(self.folder / "checkpoints" / name, record, is_best=name == "best")


def _say(record: Mapping[str, Any]) -> None:
    if record["kind"] == "epoch":
        skipped = f"  {record['skipped']} steps skipped" if record["skipped"] else ""
        log.info(
            "epoch %g  loss %s  %.1f patches/s  %.0f %% waiting for patches%s",
            *(record["epoch"], _number(record["loss"]), record["patches_per_second"], 100 * record["waiting"], skipped),
        )
    elif record["kind"] == "budget":
        log.info(
            "%.3g s a step, %.0f s a validation, %.0f s for the end: %d steps fit the time",
            *(record[key] for key in ("seconds_per_step", "validation", "ending", "num_steps")),
        )
    elif record["kind"] == "validation":
        regions = "  ".join(f"{name} {_number(value)}" for name, value in record["dice"].items())
        means = "".join(f"  {name} {_number(value)}" for name, value in record["measured"].items() if "/" not in name)
        so_far = "" if record.get("is_complete", True) else f"  of {record['num_cases']} cases so far"
        log.info("validation  Dice %s  (%s)%s%s", _number(record["mean_dice"]), regions, means, so_far)


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"
