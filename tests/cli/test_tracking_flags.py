"""--wandb and track sync, as far as they can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import TINY, Call


@pytest.mark.parametrize("command", ["train", "crossval"])
def test_a_mode_that_is_none_names_those_there_are(command: str, call: Call) -> None:
    result = call(command, "--dataset", "phantom", "--wandb", "sometimes")
    assert result.code == 2
    assert "--wandb: got 'sometimes'" in result.err
    for mode in ("auto", "online", "offline", "disabled"):
        assert mode in result.err


FULL_DISK = """
from torchio_seg.errors import DataError
from torchio_seg.tracking.interface import Nothing

class FullDisk(Nothing):
    def finish(self, *, failed=False):
        raise DataError("tracking/wandb.json could not be written: no space left on device")

def build(run):
    return FullDisk()
"""


@pytest.mark.slow
def test_a_training_whose_tracker_cannot_write_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    (tmp_path / "full_disk.py").write_text(FULL_DISK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    small = ("dataset.cases=5", "dataset.shape=[16,16,16]", "sampling.patch_size=[16,16,16]", "network.channels=[4,8]")
    quick = ("training.epochs=1", "sampling.patches_per_case=1", "tracker.name=full_disk.build")
    settings = [word for setting in (*small, *quick) for word in ("--set", setting)]
    result = call("train", "--dataset", "phantom", *TINY, *settings)
    assert result.code == 0, result.err
    assert result.err.count("tracking by full_disk.build ended (DataError: tracking/wandb.json could not") == 1
    assert (tmp_path / "runs" / "latest" / "metrics.jsonl").is_file()


def test_a_folder_without_a_record_cannot_be_sent(tmp_path: Path, call: Call) -> None:
    result = call("track", "sync", tmp_path)
    assert result.code == 2
    assert "is no run" in result.err


def test_nothing_is_sent_where_the_environment_forbids_it(tmp_path: Path, call: Call) -> None:
    pytest.importorskip("wandb")
    (tmp_path / "metrics.jsonl").write_text("")
    result = call("track", "sync", tmp_path)
    assert result.code == 2
    assert "WANDB_MODE is disabled" in result.err
