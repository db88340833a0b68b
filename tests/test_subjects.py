"""From the files of a case to a subject: one grid, the right channels, read when needed."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from torchio_seg.errors import DataError
from torchio_seg.records import Case
from torchio_seg.subjects import read_case_label, read_channels
from torchio_seg.volumes.geometry import Orientation
from torchio_seg.volumes.nifti import create, read_geometry, read_label

SHAPE = (5, 6, 7)
AFFINE = np.diag([1.0, 1.5, 2.0, 1.0])


def moved(affine: np.ndarray, millimetres: float) -> np.ndarray:
    return affine + np.array([[0, 0, 0, millimetres], [0] * 4, [0] * 4, [0] * 4])


def image(path: Path, value: int = 0, *, channels: int = 1, affine: np.ndarray = AFFINE) -> Path:
    create(path, np.full((channels, *SHAPE), value, np.int16), affine)
    return path


def label(path: Path, affine: np.ndarray = AFFINE, shape: tuple[int, ...] = SHAPE) -> Path:
    voxels = np.zeros((1, *shape), np.uint8)
    voxels[0, 1, 2, 3] = 2
    create(path, voxels, affine)
    return path


def test_files_of_one_grid_become_the_channels_in_their_order(tmp_path: Path) -> None:
    files = [image(tmp_path / f"{value}.nii.gz", value) for value in (3, 1, 2)]
    volume = read_channels(files, 3)
    assert volume.array.shape == (3, *SHAPE)
    assert [int(channel.min()) for channel in volume.array] == [3, 1, 2]
    assert [int(channel.max()) for channel in volume.array] == [3, 1, 2]
    assert np.array_equal(volume.affine, AFFINE)
    assert volume.path == files[0]


def test_a_file_of_all_channels_is_the_same_as_a_file_for_each(tmp_path: Path) -> None:
    whole = image(tmp_path / "whole.nii.gz", 4, channels=2)
    parts = [image(tmp_path / f"{number}.nii.gz", 4) for number in range(2)]
    assert np.array_equal(read_channels([whole], 2).array, read_channels(parts, 2).array)


def test_a_channel_that_lies_a_millimetre_off_is_refused_with_the_distance(tmp_path: Path) -> None:
    files = [image(tmp_path / "a.nii.gz"), image(tmp_path / "b.nii.gz", affine=moved(AFFINE, 1.0))]
    with pytest.raises(
        DataError, match=r"b\.nii\.gz is not on the grid of .*a\.nii\.gz: .* up to 1 mm apart; resample"
    ):
        read_channels(files, 2)


def test_a_channel_of_another_shape_is_refused_with_both_shapes(tmp_path: Path) -> None:
    files = [image(tmp_path / "a.nii.gz"), label(tmp_path / "b.nii.gz", shape=(5, 6, 8))]
    with pytest.raises(DataError, match="5 x 6 x 8 voxels, not 5 x 6 x 7"):
        read_channels(files, 2)


def test_another_number_of_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 channels, 3 are expected"):
        read_channels([image(tmp_path / "a.nii.gz", channels=2)], 3)


@pytest.mark.parametrize(
    ("affine", "shape"), [(moved(AFFINE, 1.0), SHAPE), (AFFINE, (5, 6, 8)), (np.diag([1.0, 1.5, 2.2, 1.0]), SHAPE)]
)
def test_a_label_off_the_grid_of_its_image_is_refused(
    tmp_path: Path, affine: np.ndarray, shape: tuple[int, ...]
) -> None:
    case = Case("c", (image(tmp_path / "image.nii.gz"),), label(tmp_path / "label.nii.gz", affine, shape))
    with pytest.raises(
        DataError, match=r"case c: label .*label\.nii\.gz .*does not lie on the grid of .*image\.nii\.gz"
    ):
        read_case_label(case, (0, 2))


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product((False, True), repeat=3)))
def test_a_label_stored_along_other_axes_comes_back_on_those_of_its_image(
    tmp_path: Path, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    """All 48 ways to store one label map give the same voxels and the image's own affine."""
    affine = AFFINE.copy()
    affine[:3, :3] = Rotation.from_euler("xyz", (17, -9, 23), degrees=True).as_matrix() @ AFFINE[:3, :3]
    voxels = np.random.default_rng(0).integers(0, 3, (1, *SHAPE)).astype(np.uint8)
    stored = Orientation(axes, flips)
    create(tmp_path / "label.nii.gz", stored.apply(voxels), stored.apply_affine(affine, SHAPE))
    case = Case("c", (image(tmp_path / "image.nii.gz", affine=affine),), tmp_path / "label.nii.gz")
    found = read_case_label(case, (0, 1, 2))
    assert np.array_equal(found.array, voxels)
    assert np.array_equal(found.affine, read_geometry(case.images[0]).affine)


def test_a_label_in_another_place_is_refused_with_the_gap(tmp_path: Path) -> None:
    away = label(tmp_path / "label.nii.gz", moved(AFFINE, 105.0))
    case = Case("c", (image(tmp_path / "image.nii.gz"),), away)
    with pytest.raises(DataError, match="the two do not overlap, they are 100 mm apart"):
        read_case_label(case, (0, 2))


def test_a_case_without_label_cannot_be_asked_for_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="case c has no label map"):
        read_case_label(Case("c", (image(tmp_path / "image.nii.gz"),)), (0, 2))


def test_a_label_takes_the_affine_of_its_image_to_the_last_bit(tmp_path: Path) -> None:
    """Writers round differently; TorchIO compares the affines of a subject more strictly than that."""
    nearly = moved(AFFINE, 2e-4)
    case = Case("c", (image(tmp_path / "image.nii.gz"),), label(tmp_path / "label.nii.gz", nearly))
    assert np.array_equal(read_case_label(case, (0, 2)).affine, AFFINE)
    assert not np.array_equal(read_label(case.label, (0, 2)).affine, AFFINE)
