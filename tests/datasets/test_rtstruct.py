import json
from pathlib import Path
from typing import Any

import pytest

from torchio_seg.datasets import rtstruct
from torchio_seg.errors import DataError

IDS = ("LCTSC-002", "LCTSC-001")


def make_root(folder: Path, **changes: Any) -> Path:
    """What an import leaves, with empty volumes: listing cases never opens them."""
    root = folder / "lctsc_nifti"
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
        for case in IDS:
            (root / name / f"{case}.nii.gz").touch()
    lines = [f"{case},/d/{case}/0-ct,/d/{case}/1-rs/1-1.dcm,images/{case}.nii.gz,labels/{case}.nii.gz" for case in IDS]
    (root / "manifest.csv").write_text("\n".join(["id,ct_folder,rtstruct,image,mask", *lines, ""]))
    record = {
        "source": str(folder / "my data"),
        "complete": True,
        "labels": {"0": "background", "1": "Lung_R", "2": "Lung_L"},
        "failures": {},
        "cases": {case: {"modality": "CT"} for case in IDS},
    }
    (root / "import.json").write_text(json.dumps({**record, **changes}))
    return root


def refused(root: Path, *words: str, **options: Any) -> None:
    with pytest.raises(DataError) as caught:
        rtstruct.build(root, **options)
    for word in words:
        assert word in str(caught.value)


def test_cases_labels_and_modality_come_from_the_import(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    dataset = rtstruct.build(root)
    assert [case.id for case in dataset.cases] == ["LCTSC-001", "LCTSC-002"]
    assert dataset.cases[0].images == (root / "images" / "LCTSC-001.nii.gz",)
    assert dataset.cases[0].label == root / "labels" / "LCTSC-001.nii.gz"
    assert dataset.channels == ("CT",)
    assert dataset.is_ct
    assert [(region.name, region.value) for region in dataset.labels.regions] == [("Lung_R", 1), ("Lung_L", 2)]


def test_the_same_rois_may_be_named_again(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    assert rtstruct.build(root, rois=("Lung_R", "Lung_L")) == rtstruct.build(root)


def test_regions_overlap_and_replace_the_rois(tmp_path: Path) -> None:
    labels = rtstruct.build(make_root(tmp_path), regions={"lungs": (1, 2), "left": (2,)}).labels
    assert [(region.name, region.value) for region in labels.regions] == [("lungs", 1), ("left", 2)]
    assert not labels.exclusive


def test_regions_of_values_that_no_roi_has_are_refused(tmp_path: Path) -> None:
    refused(make_root(tmp_path), "'lungs'", "1 Lung_R, 2 Lung_L", regions={"lungs": (1, 3)})


@pytest.mark.parametrize("rois", [("Lung_R",), ("Lung_L", "Lung_R"), ("Heart",)])
def test_other_rois_than_those_imported_are_refused(tmp_path: Path, rois: tuple[str, ...]) -> None:
    refused(make_root(tmp_path), "with the ROIs Lung_R, Lung_L", "another folder", rois=rois)


def test_a_folder_of_dicom_is_answered_with_the_command_to_type(tmp_path: Path) -> None:
    root = tmp_path / "my data"
    root.mkdir()
    command = f"torchio-seg import rtstruct '{root}' '{root}_nifti' --roi Lung_R --roi 'Left Lung'"
    refused(root, command, rois=("Lung_R", "Left Lung"))


def test_without_rois_the_command_that_lists_them_is_given_too(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    refused(tmp_path / "raw", "--roi NAME", f"import rtstruct {tmp_path / 'raw'} --list")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "nowhere", "is not there")


def test_missing_files_are_listed(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / "labels" / "LCTSC-001.nii.gz").unlink()
    refused(root, "1 of 4 files", "labels/LCTSC-001.nii.gz")


def test_images_of_two_kinds_are_refused(tmp_path: Path) -> None:
    cases = {"LCTSC-001": {"modality": "CT"}, "LCTSC-002": {"modality": "MR"}}
    refused(make_root(tmp_path, cases=cases), "several kinds", "LCTSC-002 is MR")


def test_a_record_that_knows_not_all_cases_is_refused(tmp_path: Path) -> None:
    refused(make_root(tmp_path, cases={"LCTSC-001": {"modality": "CT"}}), "does not describe LCTSC-002", "import again")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,image\nA,images/A.nii.gz\n", "lacks the columns mask"),
        ("id,image,mask\nA,images/A.nii.gz\n", "line 2 is not complete"),
        ("id,image,mask\nA,../A.nii.gz,labels/A.nii.gz\n", "stay within"),
        ("", "lacks the columns id, image, mask"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str, words: str) -> None:
    root = make_root(tmp_path)
    (root / "manifest.csv").write_text(text)
    refused(root, "manifest.csv", words)


def test_a_patient_listed_twice_is_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    text = (root / "manifest.csv").read_text()
    (root / "manifest.csv").write_text(text + text.splitlines()[1] + "\n")
    refused(root, "LCTSC-002 more than once")


def test_patients_that_could_not_be_imported_are_named(tmp_path: Path) -> None:
    failures = {"LCTSC-009": "no RTSTRUCT file", "LCTSC-004": "1 slice is missing"}
    (note,) = rtstruct.build(make_root(tmp_path, failures=failures)).notes
    assert "left out: LCTSC-004, LCTSC-009 (import.json says why)" in note
    (tmp_path / "whole").mkdir()
    assert rtstruct.build(make_root(tmp_path / "whole")).notes == ()


def test_an_import_that_was_stopped_is_answered_with_the_command_that_ends_it(tmp_path: Path) -> None:
    root = make_root(tmp_path, complete=False)
    command = f"import rtstruct '{tmp_path / 'my data'}' {root} --roi Lung_R --roi Lung_L"
    refused(root, "did not run to its end", "run the same import again", command)
