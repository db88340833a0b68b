"""What every tracker keeps, tested over whatever lies in the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchio_seg import components

RECORDS = (
    {"kind": "step", "epoch": 1, "step": 1, "loss": 0.9},
    {"kind": "epoch", "epoch": 1, "loss": 0.8, "learning_rate": 0.01},
    {"kind": "validation", "epoch": 1, "loss": 0.7, "mean_dice": None, "dice": {"tumour": None, "liver": 0.5}},
)


def files_below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("name", components.names("trackers"))
def test_a_tracker_takes_every_record_and_writes_nowhere_but_in_its_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("home", "here", "run"):
        (tmp_path / place).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    before = files_below(tmp_path)

    tracker = components.assemble("trackers", {"name": name}, tmp_path / "run")
    for record in RECORDS:
        assert tracker.log(record) is None
    assert tracker.finish() is None

    assert {path for path in files_below(tmp_path) - before if not path.is_relative_to(tmp_path / "run")} == set()


@pytest.mark.parametrize("name", components.names("trackers"))
def test_a_tracker_can_be_finished_before_anything_was_logged(name: str, tmp_path: Path) -> None:
    components.assemble("trackers", {"name": name}, tmp_path).finish()
