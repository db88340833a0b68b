import shlex
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_patients import image, make_patients
from PIL import Image
from small_runs import Call

from torchio_seg.phantoms.dicom import Origin, write_series


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_patients(tmp_path / "raw", 2)


def test_importing_contours_says_what_was_made_and_what_comes_next(source: Path, call: Call) -> None:
    result = call("import", "rtstruct", source, "out", "--roi", "Lung", "--roi", "Cord")
    assert result.code == 0
    assert "2 patients imported, 0 were there already" in result.out
    assert "1 Lung" in result.out
    assert "train --dataset rtstruct --root out" in result.out
    assert (
        "0 patients imported, 2 were" in call("import", "rtstruct", source, "out", "--roi", "Lung", "--roi", "Cord").out
    )


def test_the_command_that_comes_next_is_understood(source: Path, call: Call) -> None:
    result = call("import", "rtstruct", source, "out", "--roi", "Lung", "--roi", "Cord")
    words = shlex.split(result.out.splitlines()[-1])
    assert call("check", *words[words.index("--dataset") :]).code == 0


def test_unknown_rois_are_answered_with_those_that_there_are(source: Path, call: Call) -> None:
    result = call("import", "rtstruct", source, "out", "--roi", "Lugn")
    assert result.code == 1
    assert "did you mean 'Lung'?" in result.err
    assert "Lung, Heart, Cord" in result.err


@pytest.mark.parametrize("words", [["out"], ["--roi", "Lung"], []])
def test_contours_need_a_folder_and_regions(source: Path, call: Call, words: list[str]) -> None:
    result = call("import", "rtstruct", source, *words)
    assert result.code == 2
    assert "--list" in result.err


def test_listing_counts_rois_and_draws_them(source: Path, tmp_path: Path, call: Call) -> None:
    path = next((source / "P1").rglob("1-1.dcm"))
    dataset = pydicom.dcmread(path)
    dataset.StructureSetROISequence[2].ROIName = "Spine"
    dataset.ROIContourSequence[2].ContourSequence[0].ContourGeometricType = "OPEN_PLANAR"
    dataset.save_as(path)
    result = call("import", "rtstruct", source, "--list", "--picture", "p.png")
    assert result.code == 0
    rows = {line.split("│")[1].strip(): line for line in result.out.splitlines() if line.startswith("│")}
    assert "2 of 2" in rows["Lung"]
    assert "1 of 2" in rows["Spine"]
    assert "not closed in 1" in rows["Spine"]
    assert "patient P0" in result.out
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size[0] == 1560
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_listing_goes_on_after_a_bad_patient(source: Path, call: Call) -> None:
    for path in (source / "P0").rglob("1-1.dcm"):
        path.unlink()
    result = call("import", "rtstruct", source, "--list")
    assert result.code == 1
    assert "P0: no RTSTRUCT file" in result.err
    assert "1 of 2" in result.out
    assert "rois.png (patient P1)" in result.out


def test_a_picture_that_is_there_is_replaced_only_when_asked(source: Path, tmp_path: Path, call: Call) -> None:
    (tmp_path / "rois.png").write_bytes(b"mine")
    result = call("import", "rtstruct", source, "--list")
    assert result.code == 2
    assert "rois.png is there already" in result.err
    assert "--overwrite" in result.err
    assert (tmp_path / "rois.png").read_bytes() == b"mine"
    assert call("import", "rtstruct", source, "--list", "--overwrite").code == 0
    assert (tmp_path / "rois.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize(("name", "words"), [("no/p.png", "there is no folder no"), ("p.jpg", "ends in .png")])
def test_a_picture_that_cannot_be_written_is_said_once_and_first(
    source: Path, call: Call, name: str, words: str
) -> None:
    result = call("import", "rtstruct", source, "--list", "--picture", name)
    assert result.code == 2
    assert result.err.count(words) == 1
    assert "Lung" not in result.out


def test_a_picture_whose_writing_fails_is_said_once_beside_the_table(source: Path, tmp_path: Path, call: Call) -> None:
    (tmp_path / "p.png").mkdir()
    result = call("import", "rtstruct", source, "--list", "--picture", "p.png", "--overwrite")
    assert result.code == 1
    assert result.err.count("could not be written") == 1
    assert "2 of 2" in result.out


def test_an_import_takes_no_overwrite(source: Path, call: Call) -> None:
    result = call("import", "rtstruct", source, "out", "--roi", "Lung", "--overwrite")
    assert result.code == 2
    assert "--list" in result.err


def test_an_import_with_other_rois_is_refused(source: Path, tmp_path: Path, call: Call) -> None:
    assert call("import", "rtstruct", source, "out", "--roi", "Lung").code == 0
    before = (tmp_path / "out" / "import.json").read_bytes()
    result = call("import", "rtstruct", source, "out", "--roi", "Cord")
    assert result.code == 1
    assert "imported with the ROIs Lung, not Cord" in result.err
    assert "another folder" in result.err
    assert (tmp_path / "out" / "import.json").read_bytes() == before


# ── series ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An MR study: a localizer, two volumes of one name, and one that lacks a slice; the patient's name everywhere."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "study"
    grid = np.diag([-1.0, -1.5, 2.0, 1.0])
    sagittal = np.array([[0, 0, -2.0, 0], [-1, 0, 0, 0], [0, -1.5, 0, 0], [0, 0, 0, 1]])
    write_series(folder / "a", image(0)[:, :, :3], grid, Origin("P1", "MR", 1, "localizer"))
    write_series(folder / "b", image(1)[:, :, 3:6], sagittal, Origin("P1", "MR", 1, "localizer"))
    write_series(folder / "c", image(2), grid, Origin("P1", "MR", 2, "T1 / sag, Gd"))
    write_series(folder / "d", image(3), sagittal, Origin("P1", "MR", 2, "T1 / sag, Gd", study="2"))
    write_series(folder / "e", image(4), grid, Origin("P1", "MR", 4, "T2 doe"))
    (folder / "e" / "1-004.dcm").unlink()
    for path in folder.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.PatientName, dataset.PatientIdentityRemoved = "Doe^Jane", "NO"
        dataset.save_as(path)
    return folder


def test_every_volume_is_written_and_what_is_none_is_named(study: Path, tmp_path: Path, call: Call) -> None:
    result = call("import", "dicom", study, "out")
    assert result.code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "P1_2_T1-sag-Gd.nii.gz",
        "P1_2_T1-sag-Gd_2.nii.gz",
    ]
    assert "passed over: series 1 'localizer'" in result.out
    assert "2 orientations" in result.out
    assert "1 slice is missing" in result.err
    assert "doe" not in (result.out + result.err).casefold()
    volumes = [np.asarray(nib.load(path).dataobj) for path in (tmp_path / "out").iterdir()]
    assert sorted(int(volume.sum()) for volume in volumes) == sorted(int(image(n).sum()) for n in (2, 3))


def test_one_series_is_chosen_by_number_or_uid(study: Path, tmp_path: Path, call: Call) -> None:
    uid = Origin("P1", "MR", 2, study="2").series_uid
    assert call("import", "dicom", study, "out", "--series", uid).code == 0
    (path,) = (tmp_path / "out").iterdir()
    np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj).sum(), image(3).sum())
    result = call("import", "dicom", study, "more", "--series", "1")
    assert result.code == 1
    assert "is no volume" in result.err
    result = call("import", "dicom", study, "more", "--series", "7")
    assert result.code == 2
    assert uid in result.err


def test_files_that_exist_are_replaced_only_when_asked(study: Path, call: Call) -> None:
    assert call("import", "dicom", study, "out", "--series", "2").code == 0
    result = call("import", "dicom", study, "out", "--series", "2")
    assert result.code == 1
    assert "--overwrite" in result.err
    assert call("import", "dicom", study, "out", "--series", "2", "--overwrite").code == 0


def test_series_are_listed_with_what_keeps_them_from_being_volumes(study: Path, tmp_path: Path, call: Call) -> None:
    result = call("import", "dicom", study, "--list")
    assert result.code == 0
    assert "orientations" in result.out
    assert "missing" in result.out
    assert "T1 / sag, Gd" in result.out
    assert "doe" not in result.out.casefold()
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_a_folder_without_images_is_refused(tmp_path: Path, call: Call) -> None:
    result = call("import", "dicom", tmp_path, tmp_path / "out")
    assert result.code == 1
    assert "holds no DICOM images" in result.err
