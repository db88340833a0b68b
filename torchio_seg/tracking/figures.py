"""The names under which trackers log what the record of a run says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torchio_seg.components import suggestion
from torchio_seg.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

AXES = {
    "batch/*": "batch/batch_step",
    "epoch/*": "epoch/epoch_step",
    "validation/*": "validation/validation_step",
}
"""What the horizontal axis of each kind of metric is."""
DATA, VALIDATION = "media/data", "media/validation_predictions"
PREDICTIONS, TEST = "media/predictions", "media/test_predictions"
"""Tables."""
BEST, BEST_EPOCH = "best_metric", "best_metric_epoch"

_NAMES: dict[str, dict[str, str]] = {
    "step": {
        "step": "batch/batch_step",
        "loss": "batch/train_loss",
        "gradient_norm": "batch/gradient_norm",
    },
    "epoch": {
        "epoch": "epoch/epoch_step",
        "loss": "epoch/mean_train_loss",
        "learning_rate": "epoch/learning_rate",
        "patches_per_second": "epoch/patches_per_second",
        "waiting": "epoch/starvation",
        "seconds": "epoch/seconds",
        "skipped": "epoch/skipped_steps",
        "device_memory": "epoch/gpu_memory_bytes",
    },
    "validation": {
        "epoch": "validation/validation_step",
        "loss": "validation/loss",
        "mean_dice": "validation/mean_dice",
    },
}
_EVALUATION = {"mean_dice": "evaluation/mean_dice"}


def figures(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record that make curves; what is undefined or not finite is left out."""
    kind = record["kind"]
    found = {name: record.get(key) for key, name in _NAMES.get(kind, {}).items()}
    if kind == "validation":
        found |= _of_regions(record)
    return _known(found)


def outcome(record: Mapping[str, Any], best: str) -> dict[str, float | str]:
    """What a record adds to the run's summary; `best` is what tells the best model."""
    if record["kind"] == "validation" and record["improved"]:
        measured = record.get("measured", {})  # where something else than Dice and loss tells the best
        value = {"mean_dice": record["mean_dice"], "loss": record["loss"], **measured, **record["dice"]}[best]
        return {**_known({BEST: value}), BEST_EPOCH: record["epoch"]}
    if record["kind"] == "evaluation":
        found = {name: record.get(key) for key, name in _EVALUATION.items()}
        found |= _of_regions(record)
        return {**_known(found), "evaluation/part": record["part"]}
    return {}


def all_names(regions: Iterable[str], metrics: Iterable[str] = ("dice",)) -> set[str]:
    """Every name that may be logged of a run with these regions and metrics."""
    names = {name for kind in (*_NAMES.values(), _EVALUATION) for name in kind.values()}
    means = [f"{part}/mean_{metric}" for part in ("validation", "evaluation") for metric in metrics]
    names |= {*means, *(f"{mean}_{region}" for region in regions for mean in means)}
    return names | {BEST, BEST_EPOCH, DATA, VALIDATION, PREDICTIONS, TEST, "evaluation/part"}


def require_known(given: Iterable[str], regions: Iterable[str], metrics: Iterable[str] = ("dice",)) -> None:
    """Refuse to rename what is never logged."""
    known = all_names(regions, metrics)
    for name in given:
        if name not in known:
            raise ConfigError(f"tracker.names: nothing is logged as '{name}'{suggestion(name, tuple(sorted(known)))}")


def axis_of(name: str) -> str | None:
    """The axis that a metric of this name belongs to; None for the axes themselves, and for what is no curve."""
    axis = AXES.get(f"{name.split('/', maxsplit=1)[0]}/*")
    return None if axis == name else axis


def _of_regions(record: Mapping[str, Any]) -> dict[str, float | None]:
    """The Dice of each region; what else was measured, over all of them and of each."""
    found = {("dice", region): value for region, value in record.get("dice", {}).items()}
    for name, value in record.get("measured", {}).items():
        metric, _, region = name.partition("/")
        found[metric, region] = value
    means = {"_".join(filter(None, ("mean", *names))): value for names, value in found.items()}
    return {f"{record['kind']}/{name}": value for name, value in means.items()}


def _known(found: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}
