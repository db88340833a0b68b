"""--wandb and track sync, as far as they can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import Call


@pytest.mark.parametrize("command", ["train", "crossval"])
def test_a_mode_that_is_none_names_those_there_are(command: str, call: Call) -> None:
    result = call(command, "--dataset", "phantom", "--wandb", "sometimes")
    assert result.code == 2
    assert "--wandb: got 'sometimes'" in result.err
    for mode in ("auto", "online", "offline", "disabled"):
        assert mode in result.err


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
