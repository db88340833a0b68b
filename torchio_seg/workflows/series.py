"""A series of runs in one folder: each is trained once, and a series that was stopped goes on where it was.

FOLDER/series.json          what the runs have in common
FOLDER/fold_0/              a run, with finished.json once it is at its end
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from torchio_seg import checkpoint
from torchio_seg.config.comparing import differing
from torchio_seg.config.resolve import choose, is_layout, load, resolve, split_name
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import ConfigError, DataError, UsageError
from torchio_seg.files import write_json, write_text
from torchio_seg.progress import Progress
from torchio_seg.workflows import runs
from torchio_seg.workflows.train import Situation, Trained, resume, start

log = logging.getLogger(__name__)

Kind = Literal["folds", "repeats"]
Planned = tuple[Experiment, Mapping[str, str]]
"""An experiment, and texts that tell how it came about, by the names of their files."""
NO_PAPERS: Mapping[str, str] = MappingProxyType({})
FINISHED = "finished.json"
FREE = ("device", "dataset.root", "sampling.num_workers", "sampling.store", "training.patches_at_once")
"""What may change while a series is under way: nothing that its numbers follow from."""
_BEGUN = {
    ".lock",
    "config.yaml",
    "run.json",
    "metrics.jsonl",
    "curves.svg",
    "checkpoints",
    "evaluation",
    "pictures",
    "tracking",
    FINISHED,
}
"""What lies in a run's folder."""


@dataclass(frozen=True)
class Stopped:
    """A series that was asked to stop, and where."""

    folder: Path
    run: str
    step: int
    signal: int


@dataclass(frozen=True)
class Place:
    """Where a series is kept, and what its runs differ in."""

    folder: Path | None
    """None: a new one is made."""
    kind: Kind


@dataclass(frozen=True)
class Series:
    """Runs that belong together, and where they are kept."""

    folder: Path
    kind: Kind
    experiment: Experiment
    """What all of them have in common."""
    papers: Mapping[str, str]
    """Texts to keep in a new folder, by the names of their files."""
    is_unnamed: bool
    """Whether nobody has chosen the folder, so that runs/latest is to point to it."""

    def make(self) -> None:
        """Make the folder of a new series; one that was made meanwhile must be of the same settings."""
        if kept := recall(self.folder, self.kind):
            _require_same(self.folder, kept, self.experiment)
            return
        runs.claim(self.folder)
        record = {"kind": self.kind, "experiment": self.experiment.model_dump(mode="json")}
        write_json(self.folder / runs.SERIES, record)
        for name, text in self.papers.items():
            write_text(self.folder / name, text)
        if self.is_unnamed:
            runs.point_to(self.folder)


def settle(
    dataset: str | None,
    config: Path | None,
    changes: Mapping[str, Any],
    place: Place,
    *,
    plan: Callable[[str, Mapping[str, Any]], Planned],
) -> Planned:
    """What all runs follow: the experiment that is named, that of the series there, or one planned for a layout."""
    if config is not None or (dataset is not None and not is_layout(dataset)):
        return choose(dataset, config, changes), NO_PAPERS
    kept = None if place.folder is None else recall(place.folder, place.kind, changes)
    if kept is None:
        if dataset is not None:
            return plan(dataset, changes)
        where = "" if place.folder is None else f"; {place.folder} holds no series of {place.kind} that could go on"
        raise UsageError(f"name what to train: --dataset NAME or --config FILE{where}")
    if dataset is not None:
        if kept.dataset.name != split_name(dataset)[0]:
            was = kept.dataset.name
            raise UsageError(f"{place.folder} holds a series on {was}, not on {dataset}; name another folder with -o")
        log.info("%s goes on by the plan that it was begun with", place.folder)
    return kept, NO_PAPERS


def recall(folder: Path, kind: Kind, changes: Mapping[str, Any] | None = None) -> Experiment | None:
    """The settings that the runs of a series have in common, changed; None where the folder holds no series yet."""
    if not (path := folder / runs.SERIES).is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        found, settings = record["kind"], dict(record["experiment"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} does not tell what the series is: {error}") from error
    if found != kind:
        raise UsageError(f"{folder} holds a series of {found}, not of {kind}; name another folder with -o")
    return resolve(settings, changes or {}, str(path))


def open_series(place: Place, runs_folder: Path, planned: Planned) -> Series:
    """The series that a folder holds, if it has these settings, or a new one, of which nothing is made yet."""
    experiment, papers = planned
    if place.folder is None:
        folder = runs.name(runs_folder, experiment.name)
    elif kept := recall(folder := place.folder, place.kind):
        _require_same(folder, kept, experiment)
    else:
        runs.require_free(folder)
    return Series(folder.absolute(), place.kind, experiment, papers, is_unnamed=place.folder is None)


def run_all(
    whole: Series, experiments: Mapping[str, Experiment], progress: Progress, situation: Situation
) -> Stopped | None:
    """Train every run of these that is not finished; where that was stopped, or None.

    A new series has its folder once the first run can begin: what is refused before leaves nothing.
    """
    folder = whole.folder
    for name, experiment in experiments.items():  # what cannot go on is said before anything trains
        if (folder / name / "config.yaml").is_file():
            _require_same(folder / name, load(folder / name / "config.yaml"), experiment)
    for number, (name, experiment) in enumerate(experiments.items()):
        if is_finished(folder / name):
            log.info("%s is finished", name)
            continue
        log.info("%s, %d of %d", name, number + 1, len(experiments))
        try:
            own = replace(situation, began=time.monotonic(), papers=NO_PAPERS, before_folder=whole.make)
            trained = _train(folder / name, experiment, progress, own)
        except KeyboardInterrupt as stop:
            if folder.exists():  # which is told in place of how that run alone would go on
                stop.__notes__ = [
                    f"stopped in {name}; what was saved is kept; the same command with -o {folder} goes on"
                ]
            raise
        if trained.stopped_by is None:
            _mark(folder / name)
        if trained.asked_to_stop is not None:
            return Stopped(folder, name, trained.position.step, trained.asked_to_stop)
    return None


def is_finished(run: Path) -> bool:
    """Whether a run of a series was trained to its end, and its model is still the one from then."""
    try:
        mark = json.loads((run / FINISHED).read_text(encoding="utf-8"))
        is_same = mark["sha256"] == checkpoint.read_card(model_of(run)).sha256
        split = runs.read_split(run)
    except (OSError, ValueError, KeyError, TypeError, UsageError, DataError):
        return False
    part = "test" if split.test else "validation"
    has_scores = (run / "evaluation" / f"{part}.json").is_file()
    return is_same and (has_scores or not (split.test or split.validation))


def finished(folder: Path, names: Sequence[str]) -> list[str]:
    """Those of these runs that are."""
    return [name for name in names if is_finished(folder / name)]


def model_of(run: Path) -> Path:
    """The checkpoint that a series goes by: the last one, for the best was chosen on the very cases it is scored on."""
    return run / "checkpoints" / "last"


def _train(run: Path, experiment: Experiment, progress: Progress, situation: Situation) -> Trained:
    """A run from its beginning, or from where it was stopped."""
    if checkpoint.exists(model_of(run)):
        changes = differing(load(run / "config.yaml"), experiment)
        if experiment.training.patches_at_once is None:
            changes.pop("training.patches_at_once", None)  # found to fit where nobody had said what does
        return resume(run, changes, progress=progress, situation=situation)
    if run.exists():
        _clear(run)
    return start(experiment, run.parent, folder=run, progress=progress, situation=situation)


def _clear(run: Path) -> None:
    """Take away what is left of a training that was stopped before it had saved anything."""
    if foreign := sorted({path.name for path in run.iterdir()} - _BEGUN):
        raise UsageError(
            f"{run} holds no checkpoint to go on from, but files that are not a training's ({', '.join(foreign[:3])}); "
            "put them elsewhere, then run this again"
        )
    with runs.locked(run):
        shutil.rmtree(run)


def _mark(run: Path) -> None:
    card = checkpoint.read_card(model_of(run))
    write_json(run / FINISHED, {"sha256": card.sha256, "epoch": card.progress["epoch"], "step": card.progress["step"]})


def _require_same(folder: Path, kept: Experiment, wanted: Experiment) -> None:
    changes: Mapping[str, Any] = differing(kept, wanted)
    if other := [
        f"{key}={changes[key]}" for key in changes if key not in FREE and not key.startswith(("tracker.", "pictures."))
    ]:
        raise ConfigError(
            f"{folder} was begun with other settings: {', '.join(other[:5])} would be new. All runs of a series have "
            "the same; leave these as they were, or name another folder with -o"
        )
