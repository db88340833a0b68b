from pathlib import Path

import pytest

from torchio_seg.errors import DataError
from torchio_seg.lock import only_here


def test_a_second_holder_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with (
        only_here(path),
        pytest.raises(DataError, match=r"another process is at work on .*data; wait"),
        only_here(path),
    ):
        pass
    with only_here(path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_takes_no_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(DataError, match=r"\.data\.lock cannot be made.*name a folder"),
        only_here(tmp_path / "file/data"),
    ):
        pass
