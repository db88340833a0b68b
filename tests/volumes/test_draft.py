"""A file that comes plane by plane is the file that is written at once, or there is none."""

import os

import numpy as np
import pytest
from nifti_bytes import VOXELS, content, write

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.draft import in_file_order
from torchio_seg.volumes.nifti import draft_like, read, write_like

NAMES = ["out.nii.gz", "out.nii", "out.nrrd", "out.mha"]


@pytest.mark.parametrize("name", NAMES)
def test_planes_some_at_a_time_give_the_bytes_of_the_whole(tmp_path, name):
    like = read(write(tmp_path, content()))
    write_like(tmp_path / f"whole_{name}", VOXELS, like)
    for step in (1, 3, 100):
        with draft_like(tmp_path / name, VOXELS.shape, VOXELS.dtype, like, overwrite=True) as draft:
            for first in range(0, VOXELS.shape[2], step):
                draft.add(VOXELS[:, :, first : first + step])
            draft.commit()
        assert np.array_equal(read(tmp_path / name).array[0], VOXELS)
        if name.endswith(".nii"):
            assert (tmp_path / name).read_bytes() == (tmp_path / f"whole_{name}").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_committed_or_not_whole_leaves_nothing(tmp_path, name):
    like = read(write(tmp_path, content()))
    with draft_like(tmp_path / name, VOXELS.shape, VOXELS.dtype, like) as draft:
        draft.add(VOXELS)
    with (  # noqa: PT012
        pytest.raises(ValueError, match=f"{VOXELS[:, :, 0].nbytes} bytes of voxels were not handed over"),
        draft_like(tmp_path / name, VOXELS.shape, VOXELS.dtype, like) as draft,
    ):
        draft.add(VOXELS[:, :, 1:])
        draft.commit()
    reals = np.full(VOXELS.shape, np.nan, np.float32)
    with (
        pytest.raises(VolumeError, match="are NaN or beyond float32"),
        draft_like(tmp_path / name, VOXELS.shape, reals.dtype, like) as draft,
    ):
        draft.add(reals)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_keeps_something_else_is_found_out(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 64)).astype(np.uint8)
    like = read(write(tmp_path, content(np.zeros((64, 64, 64), np.uint8))))
    for place in (60, 400, 100_000):
        with draft_like(tmp_path / name, noise.shape, noise.dtype, like) as draft:
            draft.add(noise)
            [partial] = tmp_path.glob(".partial-*")
            file = os.open(partial, os.O_RDWR)
            wrong = bytes([os.pread(file, 1, place)[0] ^ 16])
            os.pwrite(file, wrong, place)
            os.close(file)
            with pytest.raises(VolumeError, match=r"what was read back .* is not what was written"):
                draft.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_voxels_are_laid_first_axis_fastest_whatever_their_layout():
    rng = np.random.default_rng(3)
    for order in ("C", "F"):
        for shape in ((5, 7, 3), (1, 1, 1), (4, 1, 9)):
            planes = np.asarray(rng.integers(0, 99, shape), np.int16, order=order)
            for view in (planes, planes[::-1], planes[:, :, ::-1], planes.transpose(1, 2, 0)):
                assert in_file_order(view).ravel().tobytes() == view.tobytes(order="F")
                assert in_file_order(view).flags.c_contiguous
