"""`torchio-seg runs`: what was trained, and how two trainings differ."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchio_seg.config.comparing import flat
from torchio_seg.config.reading import read_mapping
from torchio_seg.errors import ConfigError, UsageError

_ABSENT = "-"
_BEST, _END = "best validation", "at the end"


@dataclass(frozen=True)
class Listed:
    """One run."""

    folder: Path
    dataset: str
    network: str
    epochs: float
    """Trained so far."""
    best_dice: float | None
    """The highest mean of a validation."""
    final_dice: float | None
    """Of the best model on the cases kept apart, where training ran to its end."""
    age_s: float
    """Since something was last recorded."""


@dataclass(frozen=True)
class Compared:
    """Two runs side by side."""

    settings: list[tuple[str, str, str]]
    """Those that differ: key, and the value in each."""
    scores: list[tuple[str, float | None, float | None]]


def list_runs(folder: Path) -> list[Listed]:
    """Every run below a folder, the newest first."""
    journals = sorted({path for pattern in ("*/*/", "*/*/*/") for path in folder.glob(f"{pattern}metrics.jsonl")})
    found = [_look_at(path.parent) for path in journals if (path.parent / "config.yaml").is_file()]
    if not found:
        raise UsageError(f"no run below {folder.resolve()}; train one, or name the folder of runs with --runs")
    return sorted(found, key=lambda run: run.age_s)


def compare(one: Path, other: Path) -> Compared:
    """Which settings of two runs differ, and how each scored."""
    first, second = (flat(_settings(run)) for run in (one, other))
    keys = [key for key in {**first, **second} if first.get(key, _ABSENT) != second.get(key, _ABSENT)]
    settings = [(key, str(first.get(key, _ABSENT)), str(second.get(key, _ABSENT))) for key in keys]
    scores = [_scores(run) for run in (one, other)]
    return Compared(settings, [(name, scores[0].get(name), scores[1].get(name)) for name in {**scores[0], **scores[1]}])


def _look_at(run: Path) -> Listed:
    journal = run / "metrics.jsonl"
    settings, scores = _settings(run), _scores(run)
    dataset, network = (str(_part(settings, part)) for part in ("dataset", "network"))
    *_, last = ({"epoch": 0}, *records(journal, "epoch"))
    final = next((value for name, value in scores.items() if name.endswith(f"{_END}: mean")), None)
    age_s = time.time() - journal.stat().st_mtime
    return Listed(run, dataset, network, last["epoch"], scores.get(f"{_BEST}: mean"), final, age_s)


def _scores(run: Path) -> dict[str, float | None]:
    """Dice of the best validation and of the evaluation, mean and regions."""
    found: dict[str, float | None] = {}
    validations = [record for record in records(run / "metrics.jsonl", "validation") if record["mean_dice"] is not None]
    if validations:
        found |= _named(_BEST, max(validations, key=lambda record: float(record["mean_dice"])))
    for record in records(run / "metrics.jsonl", "evaluation"):
        found |= _named(f"{record['part']} {_END}", record)
    return found


def _named(name: str, record: Mapping[str, Any]) -> dict[str, float | None]:
    regions = {f"{name}: {region}": value for region, value in record.get("dice", {}).items()}
    return {f"{name}: mean": record["mean_dice"], **regions}


def records(journal: Path, kind: str) -> Iterator[dict[str, Any]]:
    """Those of a kind; the lines of others, of which there may be hundreds of thousands, are not parsed."""
    mark = f'"kind": "{kind}"'
    with journal.open(encoding="utf-8") as lines:
        for line in lines:
            if mark in line and line.endswith("\n"):
                yield json.loads(line)


def _settings(run: Path) -> dict[str, Any]:
    if not (run / "config.yaml").is_file() or not (run / "metrics.jsonl").is_file():
        raise UsageError(
            f"{run} is no run: it lacks config.yaml or metrics.jsonl; torchio-seg runs lists those there are"
        )
    return read_mapping(run / "config.yaml")


def _part(settings: Mapping[str, Any], part: str) -> Any:
    section = settings.get(part)
    if not isinstance(section, dict) or "name" not in section:
        raise ConfigError(f"a run's config.yaml names no {part}")
    return section["name"]
