"""Which kinds of output there are, and what a model's classes are called in DICOM."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchio_seg.config.resolve import load, shipped
from torchio_seg.errors import ConfigError, UsageError
from torchio_seg.records import Case
from torchio_seg.volumes.nifti import create
from torchio_seg.workflows.beforehand import parse_kinds
from torchio_seg.workflows.dicom_outputs import names_one, read_codes, require_dicom, require_volume_name


def test_kinds_are_repeated_or_listed() -> None:
    assert parse_kinds([]) == ()
    assert parse_kinds(["nifti", "dicom-seg"]) == parse_kinds(["nifti, DICOM-SEG,nifti"]) == ("nifti", "dicom-seg")
    with pytest.raises(UsageError, match=r"--to: got 'dicomseg', did you mean 'dicom-seg'\?"):
        parse_kinds(["dicomseg"])


def test_what_is_no_dicom_has_nothing_to_refer_to(tmp_path: Path) -> None:
    import numpy as np

    create(tmp_path / "scan.nii.gz", np.zeros((3, 3, 3), np.uint8), np.eye(4))
    cases = [Case("scan", (tmp_path / "scan.nii.gz",))]
    require_dicom(cases, ("nifti",))
    for kind in ("dicom-seg", "rtstruct"):
        with pytest.raises(UsageError, match=rf"--to {kind}: .*scan.nii.gz is not DICOM"):
            require_dicom(cases, ("nifti", kind))


def test_a_name_in_dcm_is_for_one_file(tmp_path: Path) -> None:
    assert names_one(tmp_path / "a.dcm", ("dicom-seg",))
    assert not names_one(tmp_path / "a.dcm", ("dicom-seg", "rtstruct"))
    assert not names_one(tmp_path / "a.dcm", ())
    with pytest.raises(UsageError, match=r"end it in \.dcm"):
        require_volume_name(tmp_path / "a.nii", ("rtstruct",))
    with pytest.raises(UsageError, match=r"end it in \.nii\.gz"):
        require_volume_name(tmp_path / "a.mha", ("nifti", "rtstruct"))
    require_volume_name(tmp_path / "a.mha", ())


def test_terms_are_settings_of_an_experiment() -> None:
    codes = {"type": ["52988006", "SCT", "Lesion"], "category": "lesion"}
    experiment = load(shipped()["phantom"], {"codes.lesion": codes})
    assert experiment.codes["lesion"].type == ("52988006", "SCT", "Lesion")
    with pytest.raises(ConfigError, match=r"codes\.lesion\.category"):
        load(shipped()["phantom"], {"codes.lesion": {**codes, "category": "organ"}})


@pytest.mark.parametrize("head", ["", "codes:\n  "])
def test_terms_are_read_from_a_file_with_or_without_its_heading(tmp_path: Path, head: str) -> None:
    (tmp_path / "codes.yaml").write_text(head + 'lesion: {type: ["52988006", SCT, Lesion]}\n')
    assert read_codes(tmp_path / "codes.yaml", ["rtstruct"]) == {"lesion": {"type": ["52988006", "SCT", "Lesion"]}}
    with pytest.raises(UsageError, match="terms are for DICOM; ask for it with --to dicom-seg"):
        read_codes(tmp_path / "codes.yaml", ["nifti"])
