from pathlib import Path

import numpy as np
import pydicom
import pytest

from torchio_seg.phantoms import dicom
from torchio_seg.phantoms.catalogue import KINDS
from torchio_seg.phantoms.scanner import Phantom
from torchio_seg.volumes.contours import trace
from torchio_seg.volumes.dicom import read_series, scan
from torchio_seg.volumes.rtstruct import read_structures
from torchio_seg.volumes.rtstruct_masks import rasterise
from torchio_seg.volumes.scanline import fill

KIND = KINDS["thorax"]


def draw(index: int) -> Phantom:
    return KIND.draw((24, 20, 18), 0, index, 1)


def write(root: Path, index: int = 0) -> Path:
    phantom = draw(index)
    masks = {name: phantom.label == value for value, name in KIND.labels.items() if value}
    return dicom.write_patient(root, f"P{index}", phantom.image[0], phantom.affine, masks)


@pytest.mark.parametrize("index", range(4))
def test_a_patient_reads_back_as_the_same_voxels_at_the_same_places(tmp_path: Path, index: int) -> None:
    phantom = draw(index)
    contents = scan(write(tmp_path, index))
    volume = read_series(contents.series[0])
    masks = rasterise(read_structures(contents.structures[0]), list(KIND.labels.values())[1:], volume.grid)
    label = sum(value * masks[name] for value, name in KIND.labels.items() if value)
    to_stored = np.linalg.inv(phantom.affine) @ volume.affine
    places = np.stack(np.meshgrid(*map(np.arange, label.shape), indexing="ij"), axis=-1)
    there = places @ to_stored[:3, :3].T + to_stored[:3, 3]
    assert np.abs(there - np.rint(there)).max() < 1e-4
    i, j, k = np.moveaxis(np.rint(there).astype(int), -1, 0)
    np.testing.assert_array_equal(volume.array[0], phantom.image[0][i, j, k])
    np.testing.assert_array_equal(label, phantom.label[i, j, k])


def test_slices_are_axial_with_rows_to_the_left_and_columns_to_the_back(tmp_path: Path) -> None:
    for index in range(4):
        contents = scan(write(tmp_path, index))
        directions = np.array(contents.series[0].slices[0].orientation)
        assert directions[0] > 0.9
        assert directions[4] > 0.9


def test_folders_are_those_of_the_public_collection(tmp_path: Path) -> None:
    patient = write(tmp_path)
    (study,) = patient.iterdir()
    ct, structures = sorted(study.iterdir())
    assert patient == tmp_path / "P0"
    assert ct.name.startswith("0-")
    assert structures.name.startswith("1-")
    assert sorted(path.name for path in ct.iterdir())[:2] == ["1-001.dcm", "1-002.dcm"]
    assert [path.name for path in structures.iterdir()] == ["1-1.dcm"]


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    files = [path.relative_to(first) for path in sorted(first.rglob("*.dcm"))]
    assert len(files) > 10
    assert all((first / file).read_bytes() == (second / file).read_bytes() for file in files)


def test_uids_are_valid_and_name_one_thing_each(tmp_path: Path) -> None:
    write(tmp_path, 0)
    write(tmp_path, 1)
    files = [pydicom.dcmread(path) for path in tmp_path.rglob("*.dcm")]
    instances = [file.SOPInstanceUID for file in files]
    assert len(set(instances)) == len(instances)
    assert all(uid.is_valid for uid in instances)
    assert len({file.SeriesInstanceUID for file in files}) == 4
    assert len({file.StudyInstanceUID for file in files}) == 2


def test_contours_refer_to_the_slice_that_they_lie_on(tmp_path: Path) -> None:
    contents = scan(write(tmp_path))
    heights = {part.instance: part.position for part in contents.series[0].slices}
    normal = np.cross(*np.array(contents.series[0].slices[0].orientation).reshape(2, 3))
    for roi in pydicom.dcmread(contents.structures[0]).ROIContourSequence:
        for contour in roi.ContourSequence:
            image = heights[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            assert np.dot(normal, contour.ContourData[:3]) == pytest.approx(np.dot(normal, image), abs=1e-4)


def test_values_beyond_16_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="16 bits"):
        dicom.write_series(tmp_path, np.full((3, 3, 2), 40_000), np.eye(4), dicom.Origin("P1"))


@pytest.mark.parametrize("seed", range(6))
def test_traced_contours_fill_to_the_mask_they_came_from(seed: int) -> None:
    mask = np.random.default_rng(seed).random((11, 8)) > 0.45
    np.testing.assert_array_equal(fill(trace(mask), mask.shape), mask)


def test_a_rectangle_is_traced_by_its_four_corners() -> None:
    mask = np.zeros((6, 5), bool)
    mask[1:4, 2:4] = True
    (loop,) = trace(mask)
    assert sorted(map(tuple, loop.tolist())) == [(0.5, 1.5), (0.5, 3.5), (3.5, 1.5), (3.5, 3.5)]
