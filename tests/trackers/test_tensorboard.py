"""Event files hold the curves."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchio_seg import components
from torchio_seg.tracking.interface import Run

pytest.importorskip("tensorboard")


def test_numbers_stand_under_the_names_that_every_tracker_has(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = Run(tmp_path, "liver", config={"training": {"best": "mean_dice"}})
    tracker = components.assemble("trackers", {"name": "tensorboard"}, run)
    for step in (1, 2):
        tracker.log({"kind": "step", "epoch": 1, "step": step, "loss": step / 4, "gradient_norm": 1.0})
    dice = {"liver": 0.75}
    tracker.log(
        {"kind": "validation", "epoch": 1, "step": 2, "loss": 0.5, "mean_dice": 0.75, "dice": dice, "improved": True}
    )
    tracker.finish()
    events = EventAccumulator(str(run.place / "tensorboard" / run.name)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("batch/train_loss")] == [(1, 0.25), (2, 0.5)]
    assert [event.value for event in events.Scalars("validation/mean_dice_liver")] == [0.75]
    assert [event.value for event in events.Scalars("best_metric")] == [0.75]
    assert "config/text_summary" in events.Tags()["tensors"]
