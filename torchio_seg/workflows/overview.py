"""`torchio-seg runs`: what was trained, how far and how well, from what each run wrote down itself."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchio_seg.config.comparing import flat
from torchio_seg.config.reading import read_mapping
from torchio_seg.errors import ConfigError, DataError, UsageError
from torchio_seg.workflows.runs import EVALUATION, read_journal, read_split

CONFIG, RECORD = "config.yaml", "metrics.jsonl"
MEAN = "mean"
_DEEPEST = 3
"""Folders between the folder of all runs and a run: the experiment, a series, the run."""


@dataclass(frozen=True)
class Overview:
    """A run, as its files tell."""

    folder: Path
    settings: Mapping[str, Any]
    """By dotted key."""
    position: Mapping[str, int]
    """Epoch and step that the last line of the training was written in."""
    planned: tuple[str, int] | None
    """epochs or steps, and how many there will be; None where that is not settled yet."""
    best: Mapping[str, Any] | None
    """What was written of the validation that its best checkpoint is from."""
    evaluations: Mapping[str, float | None]
    """Mean Dice of the last evaluation of each part of the cases."""
    changed: float
    """When something was written last, in seconds since 1970."""
    is_running: bool
    has_ended: bool
    """Whether it came to its end, by its length or, where it ended sooner, by the evaluation that follows."""

    @property
    def state(self) -> str:
        """What has become of it."""
        if self.is_running:
            return "running"
        if self.has_ended:
            return "finished"
        step = self.position["step"]
        return f"stopped at step {step}" if step else "stopped before its first step"

    @property
    def best_dice(self) -> float | None:
        """Of the validation cases, at the best checkpoint."""
        return None if self.best is None else self.best["mean_dice"]


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side."""

    runs: tuple[Overview, Overview]
    settings: Mapping[str, tuple[Any, Any]]
    """Those that are not the same."""
    dice: Mapping[str, tuple[float | None, float | None]]
    """Of the validation cases at the best checkpoints: each region's, and the mean."""
    measured: Mapping[str, tuple[float | None, float | None]]
    """What else was measured of them, over all regions."""
    same_cases: bool | None
    """Whether the same cases of the same data validated; None where a run does not tell."""


def survey_runs(folder: Path) -> tuple[list[Overview], list[str]]:
    """The runs below a folder, the one that was written to last at the end, and what of it cannot be read."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; name the folder of your trainings with --runs DIR")
    found, unreadable = [], []
    for run in _runs_below(folder, _DEEPEST):
        try:
            found.append(look_at(run))
        except DataError as error:
            unreadable.append(str(error))
    return sorted(found, key=lambda run: run.changed), unreadable


def look_at(run: Path) -> Overview:
    """What a run's own files tell."""
    if not (run / CONFIG).is_file():
        raise UsageError(f"{run} is not a run: it holds no {CONFIG}; 'torchio-seg runs' lists those that there are")
    record = run / RECORD
    try:
        settings = flat(read_mapping(run / CONFIG))
        whole = [line for line in record.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        last = json.loads(next((line for line in reversed(whole) if _AN_EVALUATION not in line), "{}"))
        lines = [json.loads(line) for line in whole if _A_STEP not in line]  # of those there may be 100 000
        kinds = {kind: [line for line in lines if line["kind"] == kind] for kind in _KINDS}
        evaluations = sorted([*kinds["evaluation"], *_evaluations(run)], key=lambda line: line.get("time", 0))
        changed = record.stat().st_mtime
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise DataError(f"{run} cannot be read: {error}") from error
    improved = [line for line in kinds["validation"] if line.get("improved")]
    return Overview(
        run,
        settings,
        position := {name: int(last.get(name) or 0) for name in ("epoch", "step")},
        planned := _planned(settings, kinds["budget"]),
        improved[-1] if improved else None,
        {line["part"]: line["mean_dice"] for line in evaluations},
        changed,
        _is_locked(run / ".lock"),
        has_ended=_AN_EVALUATION in "".join(whole[-1:]) or _is_at(position, planned),
    )


def compare(one: Path, other: Path) -> Comparison:
    """How two runs differ, in what they were told and in how well they did."""
    runs = look_at(one), look_at(other)
    keys = sorted(runs[0].settings.keys() | runs[1].settings.keys())
    pairs = {key: (runs[0].settings.get(key), runs[1].settings.get(key)) for key in keys}
    dice = [{**run.best["dice"], MEAN: run.best["mean_dice"]} if run.best else {} for run in runs]
    regions = [name for name in dict.fromkeys([*dice[0], *dice[1]]) if name != MEAN]
    more = [run.best.get("measured", {}) if run.best else {} for run in runs]
    names = [name for name in dict.fromkeys([*more[0], *more[1]]) if "/" not in name]
    return Comparison(
        runs,
        {key: pair for key, pair in pairs.items() if pair[0] != pair[1]},
        {name: (dice[0].get(name), dice[1].get(name)) for name in (*regions, MEAN)},
        {name: (more[0].get(name), more[1].get(name)) for name in names},
        _are_of_the_same_cases(runs),
    )


def _are_of_the_same_cases(runs: tuple[Overview, Overview]) -> bool | None:
    """Whether both were validated on the same cases, by their ids and their data sets' names."""
    try:
        (one, of_one), (other, of_other) = (
            (run.settings.get("dataset.name"), set(read_split(run.folder).validation)) for run in runs
        )
    except DataError:
        return None
    return one == other and of_one == of_other


_KINDS = ("validation", "evaluation", "budget")
_A_STEP, _AN_EVALUATION = '"kind": "step"', '"kind": "evaluation"'


def _runs_below(folder: Path, depth: int) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_dir():
            continue  # runs/latest is one of the others
        if (path / CONFIG).is_file():
            yield path
        elif depth > 1:
            yield from _runs_below(path, depth - 1)


def _evaluations(run: Path) -> list[dict[str, Any]]:
    """Those that `torchio-seg evaluate` has recorded."""
    records = [record for path in sorted((run / EVALUATION).glob("*.jsonl")) for record in read_journal(path)]
    return [record for record in records if record["kind"] == "evaluation"]


def _planned(settings: Mapping[str, Any], budgets: list[dict[str, Any]]) -> tuple[str, int] | None:
    if settings.get("training.max_time") is not None:
        return ("steps", budgets[-1]["num_steps"]) if budgets else None
    if settings.get("training.steps") is not None:
        return "steps", settings["training.steps"]
    return "epochs", settings["training.epochs"]


def _is_at(position: Mapping[str, int], planned: tuple[str, int] | None) -> bool:
    """Whether all that was planned is done."""
    return planned is not None and position[planned[0].removesuffix("s")] >= planned[1]


def _is_locked(path: Path) -> bool:
    """Whether a training holds the run; a shared lock that is at once given back keeps nobody out."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
