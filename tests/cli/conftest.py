"""A small trained run that the tests of the command line share, and a way to call the command line in-process."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from small_runs import TINY, Call, Result

from torchio_seg.cli import main
from torchio_seg.cli.screen import Screen


def exit_code(*words: object) -> int:
    """How `torchio-seg` with these words ends, in this process."""
    Screen.shared.cache_clear()  # a command has a process, and a screen, of its own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["torchio-seg", *map(str, words)])
        try:
            main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run `torchio-seg` with these words, on a wide screen unless a test sets another."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> Result:
        capfd.readouterr()
        code = exit_code(*words)
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/phantom and runs/, after `torchio-seg train --dataset phantom` made small."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert exit_code("train", "--dataset", "phantom", *TINY) == 0
    return folder


@pytest.fixture
def work(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the run, and three scans in `in`."""
    (tmp_path / "runs").symlink_to(trained / "runs")
    (tmp_path / "in").mkdir()
    for image in sorted((trained / "data" / "phantom" / "imagesTr").glob("*.nii.gz"))[:3]:
        shutil.copy(image, tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    return tmp_path
