"""What trackers are told of a training, and of its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from torchio_seg.config.resolve import load, shipped
from torchio_seg.tracking.guarded import Guarded
from torchio_seg.tracking.interface import Nothing
from torchio_seg.workflows import runs
from torchio_seg.workflows.ledger import _Scribe, training_of


def test_runs_of_a_series_are_one_group(tmp_path: Path) -> None:
    experiment = load(shipped()["phantom"])
    folder = tmp_path / "20260101-000000-calm-wren" / "fold_0"
    folder.mkdir(parents=True)
    assert training_of(experiment, folder, {}).group is None
    (folder.parent / runs.SERIES).write_text("{}")
    assert training_of(experiment, folder, {}).group == "20260101-000000-calm-wren"


class Listening(Nothing):
    """Remembers what was saved."""

    def __init__(self) -> None:
        self.saved: list[tuple[str, int, bool]] = []

    def checkpoint(self, folder: Path, record: Mapping[str, Any], *, is_best: bool) -> None:
        self.saved.append((folder.name, record["step"], is_best))


@pytest.fixture
def listening() -> Listening:
    return Listening()


def test_a_checkpoint_is_told_of_once_it_is_the_one_that_was_validated(tmp_path: Path, listening: Listening) -> None:
    tracker = Guarded("theirs", lambda: listening)
    journal = runs.Journal(tmp_path / "metrics.jsonl")
    scribe = _Scribe(tmp_path, journal, tracker, adviser=lambda _: None)  # type: ignore[arg-type]
    validation = {"kind": "validation", "epoch": 1, "loss": 0.5, "mean_dice": 0.5, "dice": {}, "measured": {}}
    scribe.saved("last")  # the end of an epoch, before its validation
    scribe.log({**validation, "step": 4, "improved": True})
    scribe.saved("best")
    scribe.saved("last")
    scribe.saved("last")
    scribe.log({**validation, "step": 8, "improved": False})
    scribe.saved("last")
    journal.finish()
    assert listening.saved == [("best", 4, True), ("last", 8, False)]
