"""DICOM segmentations, read with a reader that shares nothing with what wrote them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_readers import references, segments
from findings import ALGORITHM, CLASSES, make, make_grid, noise
from series_files import GRIDS, edit

from torchio_seg.errors import UsageError, VolumeError
from torchio_seg.phantoms.dicom import Origin
from torchio_seg.volumes.dicom import Grid, arrange, scan
from torchio_seg.volumes.dicom_output import Findings, require_referable
from torchio_seg.volumes.dicom_seg import write_seg


def written(folder: Path, findings: Findings) -> Path:
    write_seg(folder / "seg.dcm", findings)
    return folder / "seg.dcm"


@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "files backwards"])
@pytest.mark.parametrize("name", GRIDS)
def test_every_voxel_is_where_it_was_found(tmp_path: Path, name: str, backwards: bool) -> None:
    grid = make_grid(tmp_path, GRIDS[name], backwards=backwards)
    label_map = noise(grid.shape)
    masks = segments(written(tmp_path, make(grid, label_map)), grid.affine, grid.shape)
    assert list(masks) == ["liver", "left kidney", "tumor"], "spleen has no voxel and no segment"
    for value, mask in enumerate(masks.values(), start=1):
        np.testing.assert_array_equal(mask, label_map == value)


def test_regions_that_overlap_are_segments_that_overlap(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, GRIDS["oblique"])
    label_map = noise(grid.shape)
    nested = {"whole tumor": (1, 2, 3), "tumor core": (2, 3), "enhancing tumor": (3,)}
    path = written(tmp_path, make(grid, label_map, nested))
    for name, mask in segments(path, grid.affine, grid.shape).items():
        np.testing.assert_array_equal(mask, np.isin(label_map, nested[name]))
    assert pydicom.dcmread(path).SegmentsOverlap == "YES"


def test_frames_that_are_empty_are_left_out(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, GRIDS["axial"])
    label_map = np.zeros(grid.shape, np.uint8)
    label_map[3:5, 4:6, 1:3] = 2
    dataset = pydicom.dcmread(written(tmp_path, make(grid, label_map)))
    assert (dataset.NumberOfFrames, [item.SegmentLabel for item in dataset.SegmentSequence]) == (2, ["left kidney"])


def test_where_nothing_was_found_every_class_has_one_empty_frame(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, GRIDS["axial"])
    path = written(tmp_path, make(grid, np.zeros(grid.shape, np.uint8)))
    masks = segments(path, grid.affine, grid.shape)
    assert list(masks) == list(CLASSES)
    assert not any(mask.any() for mask in masks.values())
    assert pydicom.dcmread(path).NumberOfFrames == len(CLASSES)


def test_patient_study_and_series_are_those_of_the_source(tmp_path: Path) -> None:
    origin = Origin("P7", modality="MR", number=3)
    grid = make_grid(tmp_path, GRIDS["sagittal"], origin=origin)
    found, other = (pydicom.dcmread(written(tmp_path / name, make(grid, noise(grid.shape)))) for name in _two(tmp_path))
    source = pydicom.dcmread(grid.slices[0].path)
    for keyword in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientIdentityRemoved"),
        *("StudyInstanceUID", "StudyID", "StudyDate", "AccessionNumber", "FrameOfReferenceUID"),
    ):
        assert found[keyword].value == source[keyword].value, keyword
    assert references(found) == {part.instance for part in grid.slices}
    assert found.ReferencedSeriesSequence[0].SeriesInstanceUID == origin.series_uid
    used = {origin.series_uid, *(part.instance for part in grid.slices)}
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
        assert len({found[keyword].value, other[keyword].value} - used) == 2, keyword
    assert (found.Modality, found.SegmentationType, found.SeriesNumber) == ("SEG", "BINARY", 1003)


def test_a_frame_refers_to_the_image_that_it_lies_on(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, GRIDS["oblique downwards"], backwards=True)
    dataset = pydicom.dcmread(written(tmp_path, make(grid, noise(grid.shape))))
    positions = {part.instance: part.position for part in grid.slices}
    for group in dataset.PerFrameFunctionalGroupsSequence:
        (source,) = group.DerivationImageSequence[0].SourceImageSequence
        assert list(positions[source.ReferencedSOPInstanceUID] or ()) == pytest.approx(
            group.PlanePositionSequence[0].ImagePositionPatient
        )


def test_segments_say_what_they_are_and_what_found_them(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, GRIDS["axial"])
    path = written(tmp_path, make(grid, noise(grid.shape), {"liver": (1,), "left kidney": (2,), "Grün\\x": (3,)}))
    liver, kidney, own = pydicom.dcmread(path).SegmentSequence
    assert [item.SegmentNumber for item in (liver, kidney, own)] == [1, 2, 3]
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    modifier = kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert (modifier.CodeValue, modifier.CodeMeaning) == ("7771000", "Left")
    assert own.SegmentLabel == "Grün/x"
    assert own.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Anatomical Structure"
    assert len({item.TrackingUID for item in (liver, kidney, own)}) == 3
    (algorithm,) = liver.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("torchio-seg", "1.2.3")
    assert ALGORITHM.sha256 in algorithm.AlgorithmParameters
    assert liver.SegmentAlgorithmType == "AUTOMATIC"


def test_frames_of_one_file_in_any_order_are_referred_to_one_by_one(tmp_path: Path) -> None:
    grid = many_in_one(tmp_path, GRIDS["oblique"], [4, 0, 6, 2, 5, 1, 3])
    label_map = noise(grid.shape)
    path = written(tmp_path, make(grid, label_map))
    masks = segments(path, grid.affine, grid.shape)
    for value, mask in enumerate(masks.values(), start=1):
        np.testing.assert_array_equal(mask, label_map == value)


def test_a_source_that_lacks_what_it_should_have_is_referred_to_all_the_same(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, GRIDS["axial"])
    for part in grid.slices:
        edit(part.path, AccessionNumber=None, StudyID=None, PatientBirthDate=None, SliceThickness=None)
    masks = segments(written(tmp_path, make(grid, noise(grid.shape))), grid.affine, grid.shape)
    np.testing.assert_array_equal(masks["liver"], noise(grid.shape) == 1)


def test_without_a_frame_of_reference_nothing_can_be_referred_to(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, GRIDS["axial"])
    for part in grid.slices:
        edit(part.path, FrameOfReferenceUID=None)
    (series,) = scan(tmp_path / "series").series
    with pytest.raises(VolumeError, match=r"no FrameOfReferenceUID.*write NIfTI"):
        require_referable(arrange(series))


def test_a_file_that_is_there_is_replaced_only_when_told(tmp_path: Path) -> None:
    findings = make(grid := make_grid(tmp_path, GRIDS["axial"]), noise(grid.shape))
    path = written(tmp_path, findings)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="--overwrite"):
        write_seg(path, findings)
    assert path.read_bytes() == before
    write_seg(path, findings, overwrite=True)
    assert path.read_bytes() != before


def test_a_file_that_reads_back_otherwise_is_not_kept(tmp_path: Path) -> None:
    """The label map changes while it is written: what lies on the disk is then not it."""
    grid = make_grid(tmp_path, GRIDS["axial"])
    label_map = Changing.of(noise(grid.shape))
    with pytest.raises(VolumeError, match="what was read back from the disk is not what was written"):
        write_seg(tmp_path / "seg.dcm", make(grid, label_map))
    assert [path.name for path in tmp_path.iterdir()] == ["series"]


def test_without_highdicom_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    grid = make_grid(tmp_path, GRIDS["axial"])
    with pytest.raises(UsageError, match=r"highdicom, which is not installed; pip install 'torchio-seg\[dicom\]'"):
        write_seg(tmp_path / "seg.dcm", make(grid, noise(grid.shape)))


class Changing(np.ndarray):
    """A label map in which one voxel differs whenever a single slice of it is taken."""

    @classmethod
    def of(cls, label_map: np.ndarray) -> Changing:
        return label_map.view(cls)

    def __getitem__(self, key):
        found = super().__getitem__(key)
        if isinstance(key, tuple) and isinstance(key[-1], int | np.integer):
            found = found.copy()
            found[0, 0] = 1 - found[0, 0] % 2
        return found


def _two(folder: Path) -> tuple[str, str]:
    for name in ("one", "two"):
        (folder / name).mkdir()
    return "one", "two"


def many_in_one(folder: Path, affine: np.ndarray, order: list[int]) -> Grid:
    """The series of `make_grid` as one enhanced file, its frames in this order."""
    single = make_grid(folder / "single", affine)
    planes = [pydicom.dcmread(single.slices[index].path) for index in order]
    made = planes[0]
    pixels = b"".join(plane.PixelData for plane in planes)
    groups = []
    for plane in planes:
        group, position = pydicom.Dataset(), pydicom.Dataset()
        position.ImagePositionPatient = plane.ImagePositionPatient
        group.PlanePositionSequence = [position]
        groups.append(group)
    shared, orientation, measures, values = (pydicom.Dataset() for _ in range(4))
    orientation.ImageOrientationPatient = made.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = made.PixelSpacing, made.SliceThickness
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = made.RescaleSlope, made.RescaleIntercept, "HU"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.PixelValueTransformationSequence = [values]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(made, keyword)
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedCTImageStorage
    made.NumberOfFrames, made.PixelData = len(planes), pixels
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [shared], groups
    (folder / "series").mkdir()
    made.save_as(folder / "series" / "all.dcm")
    (series,) = scan(folder / "series").series
    return arrange(series)
