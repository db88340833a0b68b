"""A layout whose list of cases is missing says what is there, and which layout reads that."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from torchio_seg.datasets import datalist, decathlon, nnunet, table
from torchio_seg.errors import DataError


def scan(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), path)


@pytest.mark.parametrize("layout", [datalist, decathlon, nnunet, table])
def test_folders_that_another_layout_reads_are_recognised(tmp_path: Path, layout: object) -> None:
    for name in ("a", "b"):
        scan(tmp_path / "images" / f"{name}.nii.gz")
        scan(tmp_path / "labels" / f"{name}.nii.gz")
    with pytest.raises(DataError) as refused:
        layout.build(tmp_path)  # type: ignore[attr-defined]
    said = str(refused.value)
    assert "images are in images/, label maps in labels/, which the layout 'folders' reads" in said
    assert f"--dataset folders --root {tmp_path}" in said


@pytest.mark.parametrize("layout", [datalist, decathlon, nnunet, table])
def test_else_what_is_there_is_named_and_what_would_work(tmp_path: Path, layout: object) -> None:
    scan(tmp_path / "loose.nii.gz")
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match=r"There is: other/, loose.nii.gz\n") as refused:
        layout.build(tmp_path)  # type: ignore[attr-defined]
    assert "images/CASE.nii.gz and labels/CASE.nii.gz" in str(refused.value)
