"""Voxels arrive as they were stored, in bounded memory, or not at all."""

import gzip
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from nifti_bytes import AFFINE, SHAPE, VOXELS, changed, content, write

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.nifti import read, read_geometry, read_label

REAL = VOXELS.astype(np.float32)

BAD_VOXELS = {
    "dimensions larger than the data": (content(dim=[3, 9, 8, 70, 1, 1, 1, 1]), "truncated|more than a gzip file"),
    "dimensions slightly larger": (content(dim=[3, 9, 8, 8, 1, 1, 1, 1]), "truncated: 1360 of 1504 bytes"),
    "dimensions smaller than the data": (content(dim=[3, 9, 8, 6, 1, 1, 1, 1]), "more than the 1216 bytes"),
    "bytes after the data": (content() + b"\0", "more than the 1360 bytes"),
    "scaled beyond float32": (content(REAL, scl_slope=3e38, scl_inter=0), "beyond float32"),
    "NaN voxel": (content(changed(REAL, (1, 2, 3), np.nan)), "1 of 504 voxels is NaN"),
    "infinite voxels": (content(changed(REAL, (slice(2), 0, 0), np.inf)), "2 of 504 voxels are NaN"),
    "only NaN": (content(REAL * np.nan), "504 of 504"),
    "beyond float32": (content(changed(VOXELS.astype(float), (0, 0, 0), 1e300)), "1 of 504 .* beyond float32"),
}


@pytest.mark.parametrize(("plain", "words"), BAD_VOXELS.values(), ids=BAD_VOXELS)
def test_voxels_that_cannot_be_trusted_are_refused(tmp_path, plain, words):
    with pytest.raises(VolumeError, match=rf"scan.nii.gz: .*({words})"):
        read(write(tmp_path, plain))


@pytest.mark.parametrize("sizes", [(9, 8, 70), (9, 8, 8), (9, 8, 6)])
def test_plain_file_must_have_exactly_the_described_size(tmp_path, sizes):
    path = write(tmp_path, content(dim=[3, *sizes, 1, 1, 1, 1]), "scan.nii")
    with pytest.raises(VolumeError, match=f"1360 bytes, the header describes {352 + 2 * np.prod(sizes)}"):
        read(path)


def test_budget_counts_what_the_voxels_become(tmp_path):
    path = write(tmp_path, content(scl_slope=2, scl_inter=0))
    with pytest.raises(VolumeError, match="budget"):
        read(path, max_bytes=VOXELS.nbytes)
    assert read(path, max_bytes=2 * VOXELS.nbytes).array.nbytes == 2 * VOXELS.nbytes


def test_reading_takes_one_copy_of_memory(tmp_path):
    voxels = np.zeros((256, 256, 256), np.int16)
    path = write(tmp_path, content(voxels, scl_slope=0.5, scl_inter=1))
    code = (
        "import re, sys; from pathlib import Path; from torchio_seg.volumes.nifti import read\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before = peak(); array = read(Path(sys.argv[1])).array\n"
        "sys.exit(f'{peak() - before} KiB' if peak() - before > 1.2 * array.nbytes / 1024 else 0)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)


TYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4"]


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii", "SCAN.NII.GZ"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_format_and_byte_order_gives_equal_voxels(tmp_path, dtype, order, kind, name):
    voxels = np.abs(VOXELS % 100).astype(dtype)
    image = kind(voxels, AFFINE, kind.header_class(endianness=order), dtype=dtype)
    image.set_sform(AFFINE, 1)
    plain = image.to_bytes()
    (tmp_path / name).write_bytes(gzip.compress(plain) if name.lower().endswith("gz") else plain)
    volume = read(tmp_path / name)
    assert np.array_equal(volume.array[0], voxels)
    assert volume.array.dtype == np.dtype(dtype)
    assert np.array_equal(volume.affine, image.header.get_best_affine())
    assert (volume.shape, volume.num_channels) == (SHAPE, 1)
    np.testing.assert_allclose(volume.spacing, (0.9, 1.1, 2), rtol=1e-6)
    geometry = read_geometry(tmp_path / name)
    assert (geometry.shape, geometry.num_channels, geometry.dtype) == (SHAPE, 1, np.dtype(dtype))
    assert np.array_equal(geometry.affine, volume.affine)


def test_doubles_become_float32(tmp_path):
    volume = read(write(tmp_path, content(REAL.astype(np.float64) / 3)))
    assert volume.array.dtype == np.float32
    assert np.array_equal(volume.array[0], (REAL.astype(np.float64) / 3).astype(np.float32))


@pytest.mark.parametrize(("slope", "intercept"), [(np.nan, np.nan), (0, 0), (0, 7), (1, 0), (np.nan, 3)])
def test_slope_that_means_nothing_leaves_integers_alone(tmp_path, slope, intercept):
    volume = read(write(tmp_path, content(scl_slope=slope, scl_inter=intercept)))
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array[0], VOXELS)


@pytest.mark.parametrize(("slope", "intercept"), [(2, 0), (1, -1024), (0.1, 3), (-1, 0)])
def test_scaled_voxels_agree_with_nibabel(tmp_path, slope, intercept):
    path = write(tmp_path, content(scl_slope=slope, scl_inter=intercept))
    array = read(path).array
    assert array.dtype == np.float32
    assert np.array_equal(array[0], nib.load(path).get_fdata().astype(np.float32))


def test_volume_larger_than_one_piece_is_whole(tmp_path):
    voxels = np.random.default_rng(3).integers(0, 9, (101, 103, 57, 2)).astype(np.uint8)
    assert np.array_equal(read(write(tmp_path, content(voxels))).array, np.moveaxis(voxels, -1, 0))


def test_header_extensions_are_passed_over(tmp_path):
    image = nib.Nifti1Image(VOXELS, AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"long " * 50))
    nib.save(image, tmp_path / "scan.nii.gz")
    assert np.array_equal(read(tmp_path / "scan.nii.gz").array[0], VOXELS)


LABELS = np.random.default_rng(4).integers(0, 8, SHAPE)


def test_labels_become_the_smallest_unsigned_type(tmp_path):
    for allowed, dtype in (({0, 7}, np.uint8), (range(256), np.uint8), (range(257), np.uint16)):
        label = read_label(write(tmp_path, content((LABELS // 7 * 7).astype(np.int16))), allowed)
        assert label.array.dtype == dtype
        assert np.array_equal(label.array[0], LABELS // 7 * 7)


def test_labels_stored_with_a_scale_factor_are_rounded_not_truncated(tmp_path):
    image = nib.Nifti1Image(LABELS.astype(np.float32), AFFINE)
    image.set_data_dtype(np.uint8)
    nib.save(image, tmp_path / "label.nii.gz")
    assert not np.array_equal(np.asarray(nib.load(tmp_path / "label.nii.gz").dataobj).astype(int), LABELS)
    assert np.array_equal(read_label(tmp_path / "label.nii.gz", range(8)).array[0], LABELS)


@pytest.mark.parametrize("slope", [np.nan, 1])
@pytest.mark.parametrize("value", [0.5, 0.97, 1.02])
def test_labels_that_are_no_whole_numbers_are_refused_with_examples(tmp_path, value, slope):
    path = write(tmp_path, content(changed(LABELS.astype(np.float32), (0, 0, 0), value), scl_slope=slope, scl_inter=0))
    with pytest.raises(VolumeError, match=rf"1 of 504 voxels are no whole numbers, such as \[{value}\]"):
        read_label(path, range(8))


def test_label_within_a_hundredth_of_a_whole_number_is_that_number(tmp_path):
    voxels = LABELS.astype(np.float32) + 0.004
    assert np.array_equal(read_label(write(tmp_path, content(voxels)), range(8)).array[0], LABELS)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.int64])
@pytest.mark.parametrize("value", [-1, 9, 256, 30000])
def test_values_outside_the_labels_are_refused_and_listed(tmp_path, value, dtype):
    path = write(tmp_path, content(changed(LABELS * 0, (0, 0, 0), value).astype(dtype)))
    with pytest.raises(
        VolumeError, match=rf"\[{min(0, value)}, {max(0, value)}\], but the labels are \[0, 1, 4\].*{value}"
    ):
        read_label(path, [0, 1, 4])


def test_label_map_of_two_channels_is_refused(tmp_path):
    with pytest.raises(VolumeError, match="2 channels; a label map has one"):
        read_label(write(tmp_path, content(np.zeros((4, 4, 4, 2), np.uint8))), [0])
