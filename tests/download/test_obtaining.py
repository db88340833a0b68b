"""From an archive on a server to a data set on disk."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from https_server import Server
from interruption import CtrlC

from torchio_seg.components import assemble
from torchio_seg.download.archive import Archive
from torchio_seg.errors import DataError
from torchio_seg.progress import Silent
from torchio_seg.workflows.download import obtain

DESCRIPTION = b"""{"name": "x", "modality": {"0": "MRI"}, "labels": {"0": "background", "1": "a"},
"training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]}"""


@pytest.fixture
def archive(server: Server) -> Archive:
    """A task of three files and two companions of macOS."""
    files = {"dataset.json": DESCRIPTION, "imagesTr/a.nii.gz": b"i" * 3_000_000, "labelsTr/a.nii.gz": b"l"}
    files |= {"._dataset.json": b"mac", "imagesTr/._a.nii.gz": b"mac"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"Task99_X/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    server.content = buffer.getvalue()
    return Archive("Task99_X.tar", server.url, hashlib.md5(server.content, usedforsecurity=False).hexdigest())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("keep", [False, True])
def test_a_data_set_is_made_and_its_archive_kept_only_if_asked(
    server: Server, archive: Archive, tmp_path: Path, keep: bool
) -> None:
    folder = tmp_path / "data" / "mine"
    obtain(archive, folder, keep_archive=keep, progress=Silent(), context=server.context)
    assert len(assemble("datasets", {"name": "decathlon"}, folder).cases) == 1
    assert names(folder) == ["dataset.json", "imagesTr", "labelsTr"]
    assert names(folder.parent) == [*(["Task99_X.tar"] if keep else []), "Task99_X.tar.json", "mine"]


def test_wherever_it_is_interrupted_the_same_call_completes_it_and_fetches_no_byte_twice(
    server: Server, archive: Archive, tmp_path: Path
) -> None:
    interrupted = 0
    for after in range(1, 10):  # three megabytes each: fetched, checked, unpacked
        folder = tmp_path / str(after) / "mine"
        server.sent.clear()
        with pytest.raises(KeyboardInterrupt):
            obtain(archive, folder, keep_archive=False, progress=CtrlC(after), context=server.context)
        assert not folder.exists()
        interrupted += 1
        received = len(server.sent)
        obtain(archive, folder, keep_archive=False, progress=Silent(), context=server.context)
        assert len(assemble("datasets", {"name": "decathlon"}, folder).cases) == 1
        assert names(folder.parent) == ["Task99_X.tar.json", "mine"]
        assert len(server.sent) == received + (after <= 3 and server.asked[-1] is not None)
    assert interrupted == 9


def test_a_place_that_is_taken_is_kept(server: Server, archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work").write_text("x")
    with pytest.raises(DataError, match="mine is not empty"):
        obtain(archive, tmp_path / "mine", keep_archive=False, progress=Silent(), context=server.context)
    assert names(tmp_path / "mine") == ["work"]
