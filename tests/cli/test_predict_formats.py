"""`torchio-seg predict` in whatever format: the same labels in the same place, written in the format of the input."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from small_runs import Call

from torchio_seg.phantoms.dicom import Origin, write_series
from torchio_seg.volumes.alignment import turn_onto
from torchio_seg.volumes.nifti import create, read
from torchio_seg.workflows.in_python import load_model

CHANNELS = ("FLAIR", "T1w", "T1gd", "T2w")


@pytest.fixture
def scan(work: Path, call: Call) -> Path:
    """A scan as NIfTI, with its prediction beside it in `nifti`."""
    path = work / "in" / "phantom_000.nii.gz"
    result = call("predict", path, "-o", "nifti", "--probabilities")
    assert result.code == 0, result.err
    return path


def expected(scan: Path, what: str = "seg") -> np.ndarray:
    return read(scan.parents[1] / "nifti" / f"{scan.name.removesuffix('.nii.gz')}_{what}.nii.gz").array


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_predictions_are_in_the_format_of_their_input_and_equal_in_all(
    work: Path, scan: Path, call: Call, ending: str
) -> None:
    volume = read(scan)
    create(work / f"scan{ending}", volume.array, volume.affine)
    result = call("predict", f"scan{ending}", "-o", "out", "--probabilities", "--regions")
    assert result.code == 0, result.err
    names = ("seg", "probabilities", "whole_tumor", "tumor_core", "enhancing_tumor")
    assert sorted(path.name for path in (work / "out").iterdir()) == sorted(f"scan_{name}{ending}" for name in names)
    for name in ("seg", "probabilities"):
        found = read(work / "out" / f"scan_{name}{ending}")
        assert np.array_equal(found.array, expected(scan, name))
        assert np.array_equal(found.affine, volume.affine)
    assert f"scan_seg{ending}: voxels of whole_tumor" in result.out


def test_a_name_for_the_output_chooses_its_format(work: Path, scan: Path, call: Call) -> None:
    for name in ("a.mha", "b.nrrd", "c.nii"):
        assert call("predict", scan, "-o", f"named/{name}").code == 0
        assert np.array_equal(read(work / "named" / name).array, expected(scan))
    for name in ("d.mhd", "e.nhdr", "f.zip"):
        refused = call("predict", scan, "-o", name)
        assert refused.code == 2
        assert "label maps are written as .nii.gz, .nii, .nrrd or .mha" in refused.err


def test_a_folder_of_several_formats_leaves_out_what_was_predicted_in_it(work: Path, scan: Path, call: Call) -> None:
    volume = read(scan)
    (work / "mixed").mkdir()
    shutil.copy(scan, work / "mixed" / "a.nii.gz")
    for name in ("b.nrrd", "c.mha"):
        create(work / "mixed" / name, volume.array, volume.affine)
    assert call("predict", "mixed/a.nii.gz", "-o", "mixed/a_seg.nrrd").code == 0
    assert call("predict", "mixed", "-o", "mixed").code == 0
    made = ["a_seg.nii.gz", "a_seg.nrrd", "b_seg.nrrd", "c_seg.mha"]
    assert sorted(path.name for path in (work / "mixed").glob("*_seg.*")) == made
    again = call("predict", "mixed", "-o", "mixed")
    assert "3 of 3 were there already" in again.out


def test_python_predicts_files_of_every_format(work: Path, scan: Path) -> None:
    volume = read(scan)
    model = load_model("runs/latest", device="cpu")
    for name in ("scan.nrrd", "scan.mha"):
        create(work / name, volume.array, volume.affine)
        assert np.array_equal(np.asarray(model.predict(work / name).dataobj), expected(scan)[0])


def test_series_of_dicom_become_nifti_where_they_lie(work: Path, scan: Path, call: Call) -> None:
    volume = read(scan)
    stored = np.rint(volume.array * 100 / volume.array.max()).astype(np.int16)
    create(work / "scan.nii.gz", stored, volume.affine)
    words = []
    for channel, name in enumerate(CHANNELS):
        for number in (1, 2):
            origin = Origin("P1", modality="MR", number=number, description=f"{name} {number}")
            write_series(work / name / str(number), stored[channel if number == 2 else 0], volume.affine, origin)
        words.append(f"{name}={name}")
    with zipfile.ZipFile(work / "T2w.zip", "w") as archive:
        for file in (work / "T2w").rglob("*.dcm"):
            archive.write(file, file.relative_to(work))
    words[-1] += ".zip"
    listed = call("predict", *words)
    assert (listed.code, "FLAIR 2" in listed.err, "--series" in listed.err) == (2, True, True)
    result = call("predict", *words, "--series", "2", "-o", "dicom")
    assert result.code == 0, result.err
    assert call("predict", "scan.nii.gz", "-o", "plain").code == 0
    [written] = (work / "dicom").iterdir()
    assert written.name == "FLAIR_2_seg.nii.gz"
    found, plain = read(written), read(work / "plain" / "scan_seg.nii.gz")
    turn = turn_onto(found, plain)  # slices are stored along their normal, this scan runs against it
    assert turn is not None
    assert np.array_equal(turn.apply(found.array), plain.array)
