"""Files of which all get their names, or none, and what is said where a disk refuses in the middle of that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nifti_bytes import VOXELS, content, write

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.nifti import read, write_like
from torchio_seg.volumes.together import Together


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
