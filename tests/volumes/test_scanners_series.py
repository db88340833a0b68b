"""Series that scanners made, as pydicom ships them for its own tests: few pixels, headers as they are in hospitals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.dicom import arrange, read_series, scan, told

STUDIES = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"

pytestmark = pytest.mark.skipif(not STUDIES.is_dir(), reason="this pydicom comes without its test files")


def test_a_heart_is_read_as_its_headers_lie() -> None:
    [series] = scan(STUDIES / "98892001" / "CT5N").series
    volume = read_series(series)
    assert volume.array.shape == (1, 16, 16, 5)
    assert np.linalg.norm(volume.affine[:3, :3], axis=0) == pytest.approx([0.488281, 0.488281, 2.5], abs=1e-5)
    bottom = min(
        (pydicom.dcmread(file) for file in (STUDIES / "98892001" / "CT5N").iterdir()),
        key=lambda header: header.ImagePositionPatient[2],
    )
    x, y, z = map(float, bottom.ImagePositionPatient)
    assert volume.affine[:3, 3] == pytest.approx([-x, -y, z])
    units = bottom.pixel_array.T * float(bottom.RescaleSlope) + float(bottom.RescaleIntercept)
    assert np.array_equal(volume.array[0, :, :, 0], units)


def test_a_folder_of_patients_holds_one_series_for_each_that_was_made() -> None:
    found = {series.description: series for series in scan(STUDIES / "98892001").series}
    assert {name: bool(series.no_volume) for name, series in found.items()} == {
        "Scout": True,
        "SmartScore - Gated 0.5 sec": False,
    }


def test_slices_that_were_not_copied_are_counted_and_named() -> None:
    [series] = scan(STUDIES / "77654033" / "CT2").series
    with pytest.raises(VolumeError, match=r"161 slices are missing between 17106 .* and 17136"):
        arrange(series)


def test_projections_around_an_axis_are_no_volume() -> None:
    [series] = scan(STUDIES / "98892003" / "MR700").series
    assert "7 orientations" in series.no_volume


def test_many_faults_are_told_by_the_first_of_them() -> None:
    damaged = scan(STUDIES / "TINY_ALPHA").damaged
    assert len(damaged) == 50
    message = told("nothing", damaged)
    assert len(message) < 1000
    assert message.endswith("and 47 more such")
