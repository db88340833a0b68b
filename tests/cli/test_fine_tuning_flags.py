"""--init-from and --trust as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_runs import TINY, Call


def test_trust_is_said_on_the_command_line(
    trained: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        torch.jit.save(torch.jit.script(torch.nn.Conv3d(1, 2, 1)), tmp_path / "network.pt")
    monkeypatch.chdir(tmp_path)
    words = [
        "train",
        "--dataset",
        "phantom",
        *TINY,
        "--root",
        trained / "data" / "phantom",
        "--init-from",
        "network.pt",
    ]
    refused = call(*words)
    assert refused.code == 2
    assert "TorchScript" in refused.err
    assert "--trust" in refused.err
    trusted = call(*words, "--trust")
    assert trusted.code == 2
    assert "another network" in trusted.err, "it was opened, and holds one convolution"
    assert not (tmp_path / "runs").exists()


def test_a_run_that_is_not_there_is_said_before_anything_is_made(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("train", "--dataset", "phantom", *TINY, "--init-from", "runs/latest")
    assert result.code == 2
    assert str(tmp_path / "runs" / "latest") in result.err.replace("\n", "")
    assert not list(tmp_path.iterdir())


def test_a_resumed_training_does_not_take_other_weights(
    trained: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    result = call("train", "--resume", "runs/latest", "--init-from", "runs/latest")
    assert result.code == 2
    assert "init_from differ" in result.err
