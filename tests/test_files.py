from __future__ import annotations

import math
from pathlib import Path

import pytest

from torchio_seg.errors import DataError
from torchio_seg.files import write_json, write_text


def test_a_file_is_replaced_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "one")
    write_text(tmp_path / "a.txt", "zwölf\n")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "zwölf\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_numbers_that_json_does_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": math.nan})
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone"):
        write_text(tmp_path / "gone" / "a.txt", "x")
