"""Files of which all get their names, or none, and what is said where a disk refuses in the middle of that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nifti_bytes import VOXELS, content, write

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.nifti import read, write_like
from torchio_seg.volumes.together import Together, clear_up, draft_name


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_drafts_are_hidden_until_all_are_named(tmp_path: Path) -> None:
    like = read(write(tmp_path, content()))
    (tmp_path / "b.nrrd").write_bytes(b"earlier")
    with Together() as drafts:
        for name in ("a.nii.gz", "b.nrrd"):
            write_like(tmp_path / name, VOXELS, like, overwrite=True, naming=drafts.add)
            assert not (tmp_path / "a.nii.gz").exists()
            assert (tmp_path / "b.nrrd").read_bytes() == b"earlier"
        drafts.name()
    assert sorted(contents(tmp_path)) == ["a.nii.gz", "b.nrrd", "scan.nii.gz"]
    assert all(np.array_equal(read(tmp_path / name).array[0], VOXELS) for name in ("a.nii.gz", "b.nrrd"))


def test_drafts_that_are_never_named_are_removed(tmp_path: Path) -> None:
    like = read(write(tmp_path, content()))
    before = contents(tmp_path)
    with Together() as drafts:
        write_like(tmp_path / "a.nii.gz", VOXELS, like, naming=drafts.add)
        assert len(contents(tmp_path)) == len(before) + 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize("was_there", [False, True])
def test_a_name_that_is_refused_at_last_is_said_with_what_is_replaced(tmp_path: Path, was_there: bool) -> None:
    like = read(write(tmp_path, content()))
    if was_there:
        (tmp_path / "a.nii.gz").write_bytes(b"earlier")
    before = contents(tmp_path)
    with Together() as drafts:
        for name in ("a.nii.gz", "b.nii.gz"):
            write_like(tmp_path / name, VOXELS, like, overwrite=True, naming=drafts.add)
        (tmp_path / "b.nii.gz" / "full").mkdir(parents=True)
        with pytest.raises(VolumeError, match=r"b\.nii\.gz: could not be given its name") as caught:
            drafts.name()
    if was_there:
        assert f"replaced already: {tmp_path / 'a.nii.gz'}" in str(caught.value)
        assert np.array_equal(read(tmp_path / "a.nii.gz").array[0], VOXELS)
    else:
        assert "what was there before is unchanged" in str(caught.value)
        assert contents(tmp_path) == before
    assert not list(tmp_path.glob(".partial-*"))


WRITER = """
import sys, time
import numpy as np
from torchio_seg.volumes.writing import draft_at
draft = draft_at(sys.argv[1], (4, 4, 4), np.dtype(np.uint8), np.eye(4))
print("at work", flush=True)
time.sleep(600)
"""


def test_what_a_killed_process_leaves_is_cleared_up_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    kept = [tmp_path / name for name in (".partial-mine.nii.gz", "partial-0123456789abcdef.nii.gz")]
    for file in (*kept, tmp_path / draft_name(".dcm")):
        file.touch()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "out.nii.gz")], stdout=subprocess.PIPE, text=True
    ) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "at work\n"
            assert clear_up(tmp_path) == 0
            assert len(contents(tmp_path)) == 4
        finally:
            writer.kill()
    assert clear_up(tmp_path) == 2
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_drafts_that_wait_for_their_names_are_not_left_over(tmp_path: Path) -> None:
    like = read(write(tmp_path, content()))
    with Together() as drafts:
        write_like(tmp_path / "a.nii.gz", VOXELS, like, naming=drafts.add)
        assert clear_up(tmp_path) == 0
        drafts.name()
    assert np.array_equal(read(tmp_path / "a.nii.gz").array[0], VOXELS)
    (tmp_path / draft_name(".nii.gz")).touch()
    assert clear_up(tmp_path) == 1
