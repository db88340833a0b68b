"""A series that is decoded into a file and read a slab at a time is the series that is read whole."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from series_files import GRIDS, edit, write

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.dicom import open_series, read_series, scan
from torchio_seg.volumes.nifti import Volume
from torchio_seg.volumes.source import InMemory


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("slope", ["1", "0.5"], ids=["whole", "scaled"])
def test_slabs_along_every_axis_are_those_of_the_volume(tmp_path: Path, grid: str, slope: str) -> None:
    for file in write(tmp_path, GRIDS[grid]):
        edit(file, RescaleSlope=slope)
    [series] = scan(tmp_path).series
    whole = read_series(series)
    expected = Volume(tmp_path, whole.array, whole.affine, whole.grid)
    with open_series(tmp_path, series, held_bytes=0) as found:
        assert not isinstance(found.source, InMemory)
        assert (found.path, found.shape) == (tmp_path, expected.shape)
        assert found.header.slices == whole.grid.slices
        assert np.array_equal(found.affine, whole.affine)
        assert found.source.read(2, 0, 1).dtype == (np.float32 if slope == "0.5" else np.int32)
        for axis in range(3):
            for first, end in ((0, 1), (2, 5), (0, found.shape[axis])):
                slab = whole.array[(slice(None),) * (1 + axis) + (slice(first, end),)]
                assert np.array_equal(found.source.read(axis, first, end), slab), (axis, first)
        assert found.ranges == expected.ranges
        assert [sample.tolist() for sample in found.samples] == [
            whole.array[0].ravel(order="F").tolist()  # all of so few
        ]


def test_a_small_series_stays_in_memory(tmp_path: Path) -> None:
    write(tmp_path)
    [series] = scan(tmp_path).series
    with open_series(tmp_path, series) as found:
        assert isinstance(found.source, InMemory)
        assert np.array_equal(found.source.array, read_series(series).array)


def test_no_more_than_a_slab_is_in_memory(tmp_path: Path) -> None:
    write(tmp_path, shape=(512, 512, 60))
    [series] = scan(tmp_path).series
    peaks = []
    for held_bytes in (2**30, 0):
        tracemalloc.start()
        with open_series(tmp_path, series, held_bytes=held_bytes) as found:
            found.source.read(2, 3, 5)
            peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    whole = 4 * 512 * 512 * 60
    assert peaks[0] > whole
    assert peaks[1] < 32 * 2**20 < whole


def test_a_plane_that_cannot_be_decoded_ends_it_by_its_name(tmp_path: Path) -> None:
    files = write(tmp_path)
    files[3].write_bytes(files[3].read_bytes()[:-20])
    [series] = scan(tmp_path).series
    with pytest.raises(VolumeError, match=files[3].name), open_series(tmp_path, series, held_bytes=0):
        pass
