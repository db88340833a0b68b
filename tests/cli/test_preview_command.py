"""`torchio-seg preview` as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from small_runs import TINY, Call


def test_a_sheet_is_drawn_and_the_command_says_what_is_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("preview", "--dataset", "phantom", *TINY, "--cases", 2)
    assert result.code == 0, result.err
    with Image.open("preview.png") as image:
        assert f"preview.png ({image.width} x {image.height} pixels)" in result.out
    for words in ("phantom_001, phantom_002", "32 x 32 x 32 voxels of phantom_001", "flip, scale_shift"):
        assert words in result.out
    again = call("preview", "--dataset", "phantom", *TINY)
    assert again.code == 2
    assert "preview.png is there already" in again.err
    assert call("preview", "--dataset", "phantom", *TINY, "--overwrite", "--cases", 1).code == 0


def test_two_experiments_at_once_are_refused(call: Call) -> None:
    result = call("preview", "--dataset", "phantom", "--config", "mine.yaml")
    assert result.code == 2
    assert "give one of them" in result.err
