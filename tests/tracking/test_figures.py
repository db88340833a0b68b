"""Names of what is logged."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from torchio_seg.config.resolve import load, shipped
from torchio_seg.errors import ConfigError
from torchio_seg.tracking.figures import all_names, axis_of, figures, outcome, require_known

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "tracking.md"


def test_what_is_undefined_or_not_finite_is_left_out() -> None:
    record = {"kind": "step", "step": 3, "loss": math.nan, "gradient_norm": math.inf}
    assert figures(record) == {"batch/batch_step": 3}
    record = {"kind": "validation", "epoch": 2, "loss": None, "mean_dice": 0.5, "dice": {"a": None, "b": 0.5}}
    wanted = {"validation/validation_step": 2, "validation/mean_dice": 0.5, "validation/mean_dice_b": 0.5}
    assert figures(record) == wanted
    assert figures({"kind": "budget", "step": 3}) == {}


def test_what_else_was_measured_is_logged_over_all_regions_and_of_each() -> None:
    measured = {"hd95": 3.0, "hd95/a": 2.0, "hd95/b": None, "surface_dice": math.inf}
    validation = {"kind": "validation", "epoch": 2, "loss": None, "mean_dice": None, "dice": {}, "measured": measured}
    assert figures(validation) == {
        "validation/validation_step": 2,
        "validation/mean_hd95": 3.0,
        "validation/mean_hd95_a": 2.0,
    }
    evaluation = {"kind": "evaluation", "part": "test", "mean_dice": 0.5, "dice": {"a": 0.25}, "measured": measured}
    assert outcome(evaluation, "mean_dice") == {
        "evaluation/part": "test",
        "evaluation/mean_dice": 0.5,
        "evaluation/mean_dice_a": 0.25,
        "evaluation/mean_hd95": 3.0,
        "evaluation/mean_hd95_a": 2.0,
    }


@pytest.mark.parametrize(("best", "value"), [("mean_dice", 0.4), ("loss", 0.9), ("b", 0.3)])
def test_the_best_is_what_the_experiment_goes_by(best: str, value: float) -> None:
    record = {"kind": "validation", "epoch": 2, "loss": 0.9, "mean_dice": 0.4, "dice": {"b": 0.3}, "improved": True}
    assert outcome(record, best) == {"best_metric": value, "best_metric_epoch": 2}
    assert outcome({**record, "improved": False}, best) == {}


def test_only_metrics_have_axes() -> None:
    assert axis_of("epoch/learning_rate") == "epoch/epoch_step"
    assert axis_of("epoch/epoch_step") is None
    assert axis_of("media/data") is None
    assert axis_of("best_metric") is None


def test_what_is_never_logged_cannot_be_renamed() -> None:
    require_known(["validation/mean_dice_liver", "media/data", "best_metric"], ["liver"])
    require_known(["evaluation/mean_hd95", "validation/mean_hd95_liver"], ["liver"], ["dice", "hd95"])
    with pytest.raises(ConfigError, match="did you mean 'validation/mean_dice_liver'"):
        require_known(["validation/mean_dice_livr"], ["liver"])


@pytest.mark.parametrize("name", ["brats_tutorial", "lctsc"])
def test_shipped_experiments_rename_what_is_logged(name: str) -> None:
    experiment = load(shipped()[name])
    regions = {"brats_tutorial": ("whole_tumor", "tumor_core", "enhancing_tumor"), "lctsc": ("Lung_R",)}[name]
    require_known(experiment.tracker.options["names"], regions)


def test_the_documentation_names_all_that_is_logged_and_nothing_else() -> None:
    told = set(re.findall(r"`((?:batch|epoch|validation|evaluation|media)/\w+|best_metric\w*)`", DOCUMENT.read_text()))
    assert told == all_names(["REGION"], ["dice", "METRIC"])
