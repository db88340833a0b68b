import csv
import json
import logging
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_patients import affine, image, make_patients, masks

from torchio_seg.datasets import rtstruct
from torchio_seg.errors import DataError, UsageError
from torchio_seg.progress import Silent
from torchio_seg.workflows.dicom_patients import find_patients
from torchio_seg.workflows.importing import import_rtstruct, prepare_root


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_patients(tmp_path / "raw")


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    volume = nib.load(path)
    return np.asarray(volume.dataobj), volume.affine


def test_images_and_labels_are_those_of_the_patients(source: Path, tmp_path: Path) -> None:
    done = import_rtstruct(source, tmp_path / "out", ["Lung", "Cord"])
    assert (done.written, done.kept, done.failures) == (["P0", "P1", "P2"], [], [])
    expected = masks()["Lung"] + 2 * masks()["Cord"]
    for number in range(3):
        voxels, where = load(tmp_path / "out" / "images" / f"P{number}.nii.gz")
        np.testing.assert_array_equal(voxels, image(number))
        np.testing.assert_allclose(where, affine(number), atol=1e-5)
        label, label_where = load(tmp_path / "out" / "labels" / f"P{number}.nii.gz")
        np.testing.assert_array_equal(label, expected)
        np.testing.assert_array_equal(where, label_where)


def test_the_manifest_names_sources_and_files(source: Path, tmp_path: Path) -> None:
    import_rtstruct(source, tmp_path / "out", ["Lung"])
    with (tmp_path / "out" / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["P0", "P1", "P2"]
    assert rows[1]["image"] == "images/P1.nii.gz"
    assert rows[1]["mask"] == "labels/P1.nii.gz"
    assert Path(rows[1]["ct_folder"]).name.startswith("0-")
    assert Path(rows[1]["rtstruct"]).is_file()


def test_the_layout_reads_an_import_without_options(source: Path, tmp_path: Path) -> None:
    import_rtstruct(source, tmp_path / "out", ["Heart", "Cord"])
    dataset = rtstruct.build(tmp_path / "out")
    assert [region.name for region in dataset.labels.regions] == ["Heart", "Cord"]
    assert len(dataset.cases) == 3
    assert dataset.channels == ("CT",)


def test_where_rois_overlap_the_later_one_is_kept_and_said(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import_rtstruct(source, tmp_path / "out", ["Lung", "Heart"])
    label, _ = load(tmp_path / "out" / "labels" / "P0.nii.gz")
    num_heart = int(masks()["Heart"].sum())
    assert np.count_nonzero(label == 2) == num_heart
    assert f"P0: {num_heart} voxels of ROI 'Heart' lie in ROIs named before it" in caplog.text


def test_an_roi_of_which_nothing_is_left_is_refused(source: Path, tmp_path: Path) -> None:
    done = import_rtstruct(source, tmp_path / "out", ["Heart", "Lung"])
    assert len(done.failures) == 3
    assert "nothing is left of Heart" in done.failures[0]


def test_a_second_run_reads_nothing_again(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    import_rtstruct(source, out, ["Lung"])
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    done = import_rtstruct(source, out, ["Lung"])
    assert (done.written, done.kept) == ([], ["P0", "P1", "P2"])
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")} == before


def test_what_changed_or_is_missing_is_made_again(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    import_rtstruct(source, out, ["Lung"])
    next((source / "P1").rglob("1-003.dcm")).touch()
    (out / "labels" / "P2.nii.gz").unlink()
    assert import_rtstruct(source, out, ["Lung"]).written == ["P1", "P2"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_other_rois_or_another_order_do_not_replace_an_import(source: Path, tmp_path: Path) -> None:
    import_rtstruct(source, tmp_path / "out", ["Lung", "Heart"])
    before = contents(tmp_path / "out")
    for rois in (["Cord"], ["Heart", "Lung"]):
        with pytest.raises(DataError, match=r"imported with the ROIs Lung, Heart, not .*another folder"):
            import_rtstruct(source, tmp_path / "out", rois)
    assert contents(tmp_path / "out") == before


def test_other_patients_do_not_replace_an_import(source: Path, tmp_path: Path) -> None:
    import_rtstruct(source, tmp_path / "out", ["Lung"])
    before = contents(tmp_path / "out")
    other = make_patients(tmp_path / "other", 1)
    with pytest.raises(DataError, match=r"holds the import of .*raw, not of .*other; import into another folder"):
        import_rtstruct(other, tmp_path / "out", ["Lung"])
    assert contents(tmp_path / "out") == before


def test_a_source_that_was_moved_is_still_the_same(source: Path, tmp_path: Path) -> None:
    import_rtstruct(source, tmp_path / "out", ["Lung"])
    source.rename(tmp_path / "moved")
    assert import_rtstruct(tmp_path / "moved", tmp_path / "out", ["Lung"]).kept == ["P0", "P1", "P2"]


def test_patients_that_are_gone_or_renamed_are_taken_out_with_their_files(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    import_rtstruct(source, out, ["Lung"])
    shutil.rmtree(source / "P0")
    (source / "P2").rename(source / "P9")
    done = import_rtstruct(source, out, ["Lung"])
    assert (done.written, done.kept) == (["P9"], ["P1"])
    assert [case.id for case in rtstruct.build(out).cases] == ["P1", "P9"]
    assert sorted(path.name for path in out.rglob("*.nii.gz")) == 2 * ["P1.nii.gz"] + 2 * ["P9.nii.gz"]
    assert "their files were removed: P0, P2" in caplog.text


def test_two_imports_do_not_mix(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    class Meeting(Silent):
        def advance(self, *_: int, **__: float) -> None:
            with pytest.raises(DataError, match="another process is at work"):
                import_rtstruct(source, out, ["Lung"])

    assert import_rtstruct(source, out, ["Lung"], progress=Meeting()).written == ["P0", "P1", "P2"]


def test_an_import_of_which_all_patients_fail_leaves_no_folder(source: Path, tmp_path: Path) -> None:
    assert len(import_rtstruct(source, tmp_path / "out", ["Lugn"]).failures) == 3
    assert not (tmp_path / "out").exists()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").write_text("mine")
    import_rtstruct(source, tmp_path / "own", ["Lugn"])
    assert list(contents(tmp_path / "own")) == ["notes.txt"]
    assert import_rtstruct(source, tmp_path / "own", ["Lung"]).failures == []


def test_a_bad_patient_does_not_stop_the_others(source: Path, tmp_path: Path) -> None:
    next((source / "P1").rglob("1-003.dcm")).unlink()
    shutil.rmtree(next((source / "P2").glob("*/1-*")))
    done = import_rtstruct(source, tmp_path / "out", ["Lung"])
    assert done.written == ["P0"]
    assert "P1: series 1" in done.failures[0]
    assert "1 slice is missing" in done.failures[0]
    assert "P2: no RTSTRUCT file" in done.failures[1]
    dataset = rtstruct.build(tmp_path / "out")
    assert [case.id for case in dataset.cases] == ["P0"]
    assert "left out: P1, P2" in dataset.notes[0]
    assert "slice is missing" in json.loads((tmp_path / "out" / "import.json").read_text())["failures"]["P1"]


def test_a_patient_that_turns_bad_is_taken_out(source: Path, tmp_path: Path) -> None:
    import_rtstruct(source, tmp_path / "out", ["Lung"])
    next((source / "P1").rglob("1-003.dcm")).unlink()
    import_rtstruct(source, tmp_path / "out", ["Lung"])
    assert [case.id for case in rtstruct.build(tmp_path / "out").cases] == ["P0", "P2"]
    assert not (tmp_path / "out" / "labels" / "P1.nii.gz").exists()


def test_an_interrupted_import_is_not_trained_on_and_goes_on_where_it_stopped(source: Path, tmp_path: Path) -> None:
    class Stopping(Silent):
        def advance(self, parts: int = 1, **_: float) -> None:
            raise KeyboardInterrupt(parts)

    with pytest.raises(KeyboardInterrupt):
        import_rtstruct(source, tmp_path / "out", ["Cord"], progress=Stopping())
    with pytest.raises(DataError, match=f"run the same import again.*import rtstruct {source} .*out --roi Cord"):
        rtstruct.build(tmp_path / "out")
    done = import_rtstruct(source, tmp_path / "out", ["Cord"])
    assert (done.written, done.kept) == (["P1", "P2"], ["P0"])
    assert len(rtstruct.build(tmp_path / "out").cases) == 3


@pytest.mark.parametrize("rois", [[], ["Lung", "lung"], ["background"], [" "]])
def test_rois_that_cannot_be_labels_are_refused(source: Path, tmp_path: Path, rois: list[str]) -> None:
    with pytest.raises(UsageError, match="ROIs"):
        import_rtstruct(source, tmp_path / "out", rois)


def test_of_two_structure_sets_the_one_with_the_rois_is_taken(source: Path, tmp_path: Path) -> None:
    first = next((source / "P0").rglob("1-1.dcm"))
    other = pydicom.dcmread(first)
    other.StructureSetROISequence[0].ROIName = "Lung old"
    other.save_as(first.with_name("2.dcm"))
    assert "P0" in import_rtstruct(source, tmp_path / "out", ["Lung"]).written
    done = import_rtstruct(source, tmp_path / "other", ["Heart"])
    assert "2 structure sets hold these ROIs" in done.failures[0]


def test_a_series_that_is_not_there_is_named(source: Path, tmp_path: Path) -> None:
    path = next((source / "P0").rglob("1-1.dcm"))
    dataset = pydicom.dcmread(path)
    reference = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    reference.RTReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    dataset.save_as(path)
    done = import_rtstruct(source, tmp_path / "out", ["Lung"])
    assert "1.2.3" in done.failures[0]
    assert "THORAX" in done.failures[0]


def test_a_set_that_names_no_series_fits_the_one_of_its_frame(source: Path, tmp_path: Path) -> None:
    path = next((source / "P0").rglob("1-1.dcm"))
    dataset = pydicom.dcmread(path)
    del dataset.ReferencedFrameOfReferenceSequence
    dataset.save_as(path)
    assert "P0" in import_rtstruct(source, tmp_path / "out", ["Lung"]).written


# ── whose folder is whose ───────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_of_patients_has_one_for_each(source: Path) -> None:
    (source / "notes").mkdir()
    (source / "notes" / "readme.txt").write_text("hello")
    assert [patient.id for patient in find_patients(source)] == ["P0", "P1", "P2"]


def test_a_patients_own_folder_is_one_patient(source: Path) -> None:
    assert [patient.id for patient in find_patients(source / "P0")] == ["P0"]
    (study,) = (source / "P0").iterdir()
    assert len(find_patients(study)) == 1
    assert len(find_patients(next(study.glob("0-*")))) == 1


def test_patients_who_were_all_called_the_same_stay_apart(source: Path) -> None:
    for path in source.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.PatientID = "ANON"
        dataset.save_as(path)
    assert [patient.id for patient in find_patients(source)] == ["P0", "P1", "P2"]


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no DICOM"):
        find_patients(tmp_path)


# ── training from DICOM ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_root_of_dicom_is_imported_once_beside_it(source: Path, tmp_path: Path) -> None:
    root = prepare_root(source, ["Lung"])
    assert root == tmp_path / "raw_nifti"
    record = (root / "import.json").read_text()
    assert prepare_root(source, ["Lung"]) == root
    assert (root / "import.json").read_text() == record
    assert prepare_root(root, []) == root
    assert json.loads(record)["labels"] == {"0": "background", "1": "Lung"}


def test_other_rois_do_not_replace_what_another_training_reads(source: Path) -> None:
    prepare_root(source, ["Lung"])
    with pytest.raises(DataError, match="imported with the ROIs Lung, not Cord"):
        prepare_root(source, ["Cord"])


def test_a_root_of_dicom_needs_rois(source: Path) -> None:
    with pytest.raises(DataError, match=r"name the ROIs.*--list"):
        prepare_root(source, [])


def test_training_does_not_start_without_a_patient_that_failed(source: Path) -> None:
    next((source / "P1").rglob("1-003.dcm")).unlink()
    with pytest.raises(DataError, match=r"1 patients below .* P1: .*on the 2 others with --root .*raw_nifti"):
        prepare_root(source, ["Lung"])


def test_training_without_any_patient_offers_no_folder(source: Path) -> None:
    with pytest.raises(DataError, match=r"3 patients below .*remove them$"):
        prepare_root(source, ["Lugn"])


def test_a_name_in_other_letters_is_said(source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "torchio_seg")
    import_rtstruct(source, tmp_path / "out", ["LUNG"])
    assert caplog.text.count("ROI 'Lung' is taken for 'LUNG'") == 3
