"""Structure sets, read by our own reader and by one that shares nothing with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_readers import references, structures
from findings import CLASSES, make, make_grid, noise
from series_files import GRIDS

from torchio_seg.errors import VolumeError
from torchio_seg.phantoms.dicom import Origin
from torchio_seg.volumes.dicom_output import Findings
from torchio_seg.volumes.rtstruct import read_structures
from torchio_seg.volumes.rtstruct_masks import rasterise
from torchio_seg.volumes.rtstruct_writing import write_structures


def written(folder: Path, findings: Findings) -> Path:
    write_structures(folder / "rs.dcm", findings)
    return folder / "rs.dcm"


@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "files backwards"])
@pytest.mark.parametrize("name", GRIDS)
def test_both_readers_give_the_label_map_back_voxel_for_voxel(tmp_path: Path, name: str, backwards: bool) -> None:
    """Noise: holes, parts in holes, parts that meet in corners, a slice with nothing between others."""
    grid = make_grid(tmp_path, GRIDS[name], backwards=backwards)
    label_map = noise(grid.shape)
    path = written(tmp_path, make(grid, label_map))
    own = rasterise(read_structures(path), ["liver", "left kidney", "tumor"], grid)
    union, odd = (structures(path, grid.affine, grid.shape, rule) for rule in ("union", "odd"))
    assert list(own) == list(union) == list(odd), "spleen has no voxel and no region"
    for value, region in enumerate(own, start=1):
        for found in (own, union, odd):
            np.testing.assert_array_equal(found[region], label_map == value)


def test_regions_that_overlap_are_drawn_one_over_the_other(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, GRIDS["oblique"])
    nested = {"whole tumor": (1, 2, 3), "tumor core": (2, 3), "enhancing tumor": (3,)}
    masks = rasterise(read_structures(written(tmp_path, make(grid, noise(grid.shape), nested))), list(nested), grid)
    for name, labels in nested.items():
        np.testing.assert_array_equal(masks[name], np.isin(noise(grid.shape), labels))


def test_a_region_with_a_hole_is_one_closed_contour_a_slice(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, GRIDS["axial"])
    label_map = np.zeros(grid.shape, np.uint8)
    label_map[2:9, 1:8, 1:4] = 1
    label_map[4:7, 3:6, 1:4] = 0
    (drawn,) = pydicom.dcmread(written(tmp_path, make(grid, label_map))).ROIContourSequence
    assert [contour.ContourGeometricType for contour in drawn.ContourSequence] == ["CLOSED_PLANAR"] * 3


def test_contours_lie_on_the_slices_that_they_refer_to(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, GRIDS["oblique"], backwards=True)
    dataset = pydicom.dcmread(written(tmp_path, make(grid, noise(grid.shape))))
    parts = {part.instance: part for part in grid.slices}
    for drawn in dataset.ROIContourSequence:
        for contour in drawn.ContourSequence:
            part = parts[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            points = np.reshape(contour.ContourData, (-1, 3)).astype(float)
            normal = np.cross(*np.reshape(part.orientation, (2, 3)))
            assert np.abs((points - part.position) @ normal).max() < 1e-3
            assert contour.NumberOfContourPoints == len(points)


def test_who_where_and_what_is_stated(tmp_path: Path) -> None:
    origin = Origin("P7", number=3)
    grid = make_grid(tmp_path, GRIDS["sagittal"], origin=origin)
    dataset = pydicom.dcmread(written(tmp_path, make(grid, noise(grid.shape))))
    source = pydicom.dcmread(grid.slices[0].path)
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "FrameOfReferenceUID"):
        assert dataset[keyword].value == source[keyword].value, keyword
    assert references(dataset) == {part.instance for part in grid.slices}
    assert read_structures(tmp_path / "rs.dcm").series_uids == (origin.series_uid,)
    assert (dataset.Modality, dataset.SeriesNumber, dataset.ApprovalStatus) == ("RTSTRUCT", 2003, "UNAPPROVED")
    assert dataset.SeriesInstanceUID != origin.series_uid
    numbers = [roi.ROINumber for roi in dataset.StructureSetROISequence]
    assert numbers == [each.ReferencedROINumber for each in dataset.ROIContourSequence]
    assert numbers == [each.ReferencedROINumber for each in dataset.RTROIObservationsSequence]
    assert {roi.ReferencedFrameOfReferenceUID for roi in dataset.StructureSetROISequence} == {origin.frame_uid}
    kidney = dataset.RTROIObservationsSequence[1]
    assert kidney.RTROIIdentificationCodeSequence[0].CodeValue == "64033007"
    colors = [tuple(drawn.ROIDisplayColor) for drawn in dataset.ROIContourSequence]
    assert len(set(colors)) == len(colors)


def test_what_a_structure_set_must_have_by_the_standard_is_there(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, GRIDS["axial"])
    dataset = pydicom.dcmread(written(tmp_path, make(grid, noise(grid.shape))))
    for keyword in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime"),
        *("ReferringPhysicianName", "StudyID", "AccessionNumber", "Modality", "SeriesInstanceUID", "SeriesNumber"),
        *("OperatorsName", "Manufacturer", "StructureSetLabel", "StructureSetDate", "StructureSetTime"),
        *("StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence", "SOPClassUID"),
    ):
        assert keyword in dataset, keyword
    for observation in dataset.RTROIObservationsSequence:
        assert {"RTROIInterpretedType", "ROIInterpreter", "ObservationNumber"} <= set(observation.dir())


def test_where_nothing_was_found_every_class_is_a_region_without_contours(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, GRIDS["axial"])
    path = written(tmp_path, make(grid, np.zeros(grid.shape, np.uint8)))
    found = read_structures(path)
    assert [(roi.name, roi.contours) for roi in found.rois] == [(name, ()) for name in CLASSES]


def test_a_contour_longer_than_a_short_value_may_be_is_written_whole(tmp_path: Path) -> None:
    """A comb of many teeth: one contour of more than 64 kB."""
    from series_files import write

    from torchio_seg.volumes.dicom import arrange, scan

    write(tmp_path / "series", GRIDS["oblique"], shape=(64, 64, 2))
    (series,) = scan(tmp_path / "series").series
    grid = arrange(series)
    label_map = np.zeros(grid.shape, np.uint8)
    label_map[::2, :, 1] = label_map[:, ::2, 1] = 1
    path = written(tmp_path, make(grid, label_map))
    (contour,) = pydicom.dcmread(path).ROIContourSequence[0].ContourSequence
    assert sum(len(str(value)) + 1 for value in contour.ContourData) > 2**16
    np.testing.assert_array_equal(rasterise(read_structures(path), ["liver"], grid)["liver"], label_map == 1)


def test_contours_that_read_back_otherwise_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk gives back another number than it was given."""
    grid = make_grid(tmp_path, GRIDS["axial"])
    save = pydicom.Dataset.save_as

    def damaged(self: pydicom.Dataset, file: object, **options: object) -> None:
        contour = self.ROIContourSequence[0].ContourSequence[0]
        contour.ContourData = [float(value) + 5 * (number == 0) for number, value in enumerate(contour.ContourData)]
        save(self, file, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pydicom.Dataset, "save_as", damaged)
    with pytest.raises(VolumeError, match="the contours of 'liver' enclose something else"):
        write_structures(tmp_path / "rs.dcm", make(grid, noise(grid.shape)))
    assert [path.name for path in tmp_path.iterdir()] == ["series"]
