"""What patches cost in accuracy: the same network trained for the same time on patches and on whole volumes."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchio_seg.config.resolve import resolve
from torchio_seg.config.sections import Experiment
from torchio_seg.network_sizes import Size
from torchio_seg.progress import Progress
from torchio_seg.workflows.memory_benchmark import Results, Selection
from torchio_seg.workflows.memory_points import Bench, Point
from torchio_seg.workflows.train import start

log = logging.getLogger(__name__)


def train_all(
    results: Results,
    experiment: Experiment,
    selection: Selection,
    *,
    max_time: str,
    progress: Progress | None = None,
) -> None:
    """Train each network on each patch and whole whose step fits, unless it was already, and score the best model."""
    for point in selection.points():
        if point.work != "training" or point.checkpointing or not results.points[point].fits:
            continue
        about = {"network": point.network, "patch": point.patch, "precision": point.precision, "max_time": max_time}
        if any(all(each[key] == value for key, value in about.items()) for each in results.accuracy):
            continue
        own = _experiment(results.bench, experiment, point, max_time)
        with tempfile.TemporaryDirectory() as folder:
            trained = start(own, Path(folder), progress=progress)
        if trained.stopped_by is not None:
            raise KeyboardInterrupt
        if trained.evaluation is None or trained.evaluation.mean_dice is None:
            log.warning("%s on %s has no Dice: no case kept apart could be scored", point.network, _where(point))
            continue
        found = {"dice": round(trained.evaluation.mean_dice, 4), "steps": trained.position.step}
        results.accuracy.append(about | found)
        results.save()
        log.info("%s on %s: Dice %.3f after %d steps", point.network, _where(point), found["dice"], found["steps"])


def _where(point: Point) -> str:
    return "the whole volume" if point.patch is None else f"patches of {point.patch}"


def _experiment(bench: Bench, experiment: Experiment, point: Point, max_time: str) -> Experiment:
    size = bench.size_of(point)
    changes: dict[str, Any] = {
        "network.name": point.network,
        "training.precision": point.precision,
        "training.max_time": max_time,
        "training.steps": None,
        "training.batch_size": bench.base.training.batch_size,
        "prediction.batch_size": 1,
        "tracker.name": "none",
    }
    changes |= _whole(size) if point.patch is None else {"sampling.patch_size": list(size)}
    return resolve(experiment.model_dump(mode="json"), changes, "the benchmark with these options")


def _whole(size: Size) -> Mapping[str, Any]:
    """Every volume filled to the size of the largest."""
    return {"sampling.mode": "whole", "sampling.patch_size": list(size), "preprocessing.crop_or_pad": list(size)}
