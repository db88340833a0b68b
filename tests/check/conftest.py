"""A memory of facts for each test, and a way to call the command line in-process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from torchio_seg.cli import main
from torchio_seg.cli.screen import Screen


@pytest.fixture(autouse=True)
def own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test has read is not known to another."""
    monkeypatch.setenv("TORCHIO_SEG_CACHE", str(tmp_path / "memory"))


@pytest.fixture
def check(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run `torchio-seg check --dataset decathlon` with these words: exit code, stdout, stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        settings = [f"split.{part}" for part in ("validation=1", "test=0")] + ["preprocessing.spacing=native"]
        given = [word for setting in settings for word in ("--set", setting)]
        monkeypatch.setattr(sys, "argv", ["torchio-seg", "check", *given, *map(str, words)])
        monkeypatch.setenv("COLUMNS", "80")
        Screen.shared.cache_clear()  # a command has a process, and a screen, of its own
        capfd.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        captured = capfd.readouterr()
        return int(str(code)), captured.out, captured.err

    return run
