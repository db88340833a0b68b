"""DICOM as input of prediction: which of several series is meant, from a folder or from an archive."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from torchio_seg.errors import DataError, UsageError
from torchio_seg.phantoms.dicom import Origin, write_series
from torchio_seg.volumes.dicom import Grid
from torchio_seg.volumes.nifti import Volume, create
from torchio_seg.workflows.dicom_inputs import is_dicom, open_images
from torchio_seg.workflows.inputs import find_cases

SHAPE = (6, 5, 4)
AFFINE = np.array([[-0.9, 0, 0, 30], [0, -1.1, 0, 40], [0, 0, 2.5, -7], [0, 0, 0, 1.0]])
OBLIQUE = AFFINE.copy()
OBLIQUE[:3, :3] = Rotation.from_euler("xyz", [20, -15, 30], degrees=True).as_matrix() @ AFFINE[:3, :3]
THORAX = Origin("P1", number=3, description="THORAX")
LIVER = Origin("P1", number=4, description="Liver venous")
SCOUT = Origin("P1", number=1, description="SCOUT")


def picture(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16)


def study(folder: Path, *origins: Origin) -> Path:
    """A folder with a series of each origin, their voxels seeded by their numbers."""
    for origin in origins:
        shape = (*SHAPE[:2], 1) if origin is SCOUT else SHAPE
        write_series(folder / f"s{origin.number}", picture(origin.number, shape), AFFINE, origin)
    return folder


def packed(folder: Path) -> Path:
    path = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.dcm")):
            archive.write(file, file.relative_to(folder))
    return path


def read_dicom(path: Path, wanted: str | None = None) -> Volume:
    """The series as prediction opens it, all slabs of it."""
    with open_images([path], 1, wanted=wanted, nonfinite="refuse") as scan:
        return Volume(path, scan.source.read(2, 0, scan.shape[2]).copy(), scan.affine, scan.header)


@pytest.mark.parametrize("affine", [AFFINE, OBLIQUE], ids=["axial", "oblique"])
@pytest.mark.parametrize("archived", [False, True], ids=["folder", "zip"])
def test_a_series_is_found_where_it_lies(tmp_path: Path, affine: np.ndarray, archived: bool) -> None:
    write_series(tmp_path / "study", picture(), affine, THORAX)
    path = packed(tmp_path / "study") if archived else tmp_path / "study"
    found = read_dicom(path)
    assert np.array_equal(found.array[0], picture())
    np.testing.assert_allclose(found.affine, affine, atol=1e-6)
    assert isinstance(found.header, Grid)
    assert [case.id for case in find_cases([str(path)], ["CT"])] == ["study"]


@pytest.mark.parametrize("archived", [False, True], ids=["folder", "zip"])
def test_several_series_are_listed_and_chosen_from(tmp_path: Path, archived: bool) -> None:
    folder = study(tmp_path / "study", THORAX, LIVER, SCOUT)
    path = packed(folder) if archived else folder
    with pytest.raises(UsageError, match="2 series are volumes; choose one with --series") as refused:
        find_cases([str(path)], ["CT"])
    for word in ("3", "THORAX", "CT", "4", "6 x 5", THORAX.series_uid, "Liver venous", LIVER.series_uid):
        assert word in str(refused.value), word
    assert "SCOUT" not in str(refused.value)
    unique_start = LIVER.series_uid[
        : next(n for n, (a, b) in enumerate(zip(THORAX.series_uid, LIVER.series_uid, strict=False)) if a != b) + 1
    ]
    for wanted in ("4", LIVER.series_uid, unique_start, "liver VENOUS"):
        assert np.array_equal(read_dicom(path, wanted).array[0], picture(4)), wanted
        assert [case.id for case in find_cases([str(path)], ["CT"], wanted)] == ["study_4"]


def test_the_only_volume_among_series_needs_no_choice(tmp_path: Path) -> None:
    path = study(tmp_path / "study", THORAX, SCOUT)
    assert np.array_equal(read_dicom(path).array[0], picture(3))
    assert [case.id for case in find_cases([str(path)], ["CT"])] == ["study"]


def test_a_choice_that_fits_none_or_several_lists_them(tmp_path: Path) -> None:
    path = study(tmp_path / "study", THORAX, SCOUT)
    study(path / "later", Origin("P1", number=3, description="THORAX", study="2"))
    for wanted, words in {
        "7": "no series is called '7'",
        "3": "2 series are called '3'",
        "THORAX": "2 series are",
    }.items():
        with pytest.raises(UsageError, match=words) as refused:
            read_dicom(path, wanted)
        assert THORAX.series_uid in str(refused.value)
    with pytest.raises(DataError, match="is no volume: it holds one image"):
        read_dicom(path, "1")


def test_damage_in_an_archive_is_told_by_its_place_in_it(tmp_path: Path) -> None:
    folder = study(tmp_path / "study", THORAX)
    file = folder / "s3" / "1-002.dcm"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"study\.zip/s3/1-002\.dcm"):
        read_dicom(packed(folder))
    file.unlink()
    with pytest.raises(DataError, match=r"1 slice is missing between 1-001\.dcm .* and 1-003\.dcm"):
        read_dicom(packed(folder))


def test_what_holds_no_dicom_is_said_to(tmp_path: Path) -> None:
    create(tmp_path / "scan.nii.gz", picture(), AFFINE)
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive:
        archive.write(tmp_path / "scan.nii.gz", "scan.nii.gz")
    with pytest.raises(DataError, match=r"scans\.zip holds no DICOM images"):
        find_cases([str(tmp_path / "scans.zip")], ["CT"])
    assert not is_dicom(tmp_path)
    with pytest.raises(UsageError, match="no DICOM among the inputs"):
        find_cases([str(tmp_path / "scan.nii.gz")], ["CT"], "3")


def test_series_are_channels_where_they_are_assigned(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        write_series(tmp_path / name, picture(number), AFFINE, Origin("P1", modality="MR", number=number))
    [case] = find_cases([f"T2w={tmp_path / 'b'}", f"FLAIR={tmp_path / 'a'}"], ["FLAIR", "T2w"])
    assert case.images == (tmp_path / "a", tmp_path / "b")
    with open_images(case.images, 2, wanted=None, nonfinite="refuse") as found:
        assert np.array_equal(found.source.read(2, 0, SHAPE[2]), np.stack([picture(0), picture(1)]))
    with pytest.raises(DataError, match="has 1 channel, the model takes 2"):
        find_cases([str(tmp_path / "a")], ["FLAIR", "T2w"])


def test_volumes_in_a_folder_come_before_dicom_unless_a_series_is_asked_for(tmp_path: Path) -> None:
    study(tmp_path / "study", THORAX)
    create(tmp_path / "study" / "scan.mha", picture(), AFFINE)
    assert [case.id for case in find_cases([str(tmp_path / "study")], ["CT"])] == ["scan"]
    assert [case.id for case in find_cases([str(tmp_path / "study")], ["CT"], "3")] == ["study"]
    shutil.rmtree(tmp_path / "study" / "s3")
    with pytest.raises(UsageError, match="no DICOM"):
        find_cases([str(tmp_path / "study")], ["CT"], "3")
