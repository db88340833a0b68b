"""Every way we know in which a NIfTI header can lie, and what is unusual but true."""

import struct
import time

import nibabel as nib
import numpy as np
import pytest
from nifti_bytes import AFFINE, SHAPE, VOXELS, content, pixdim, write

from torchio_seg import memory
from torchio_seg.errors import VolumeError
from torchio_seg.volumes.nifti import read, read_geometry

REAL = VOXELS.astype(np.float32)
RGB = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])

BAD_HEADERS = {
    "negative dimension": (content(dim=[3, 9, -8, 7, 1, 1, 1, 1]), "impossible"),
    "zero dimension": (content(dim=[3, 9, 0, 7, 1, 1, 1, 1]), "impossible"),
    "no rank": (content(dim=[0, 9, 8, 7, 1, 1, 1, 1]), "impossible"),
    "rank 8": (content(dim=[8, 9, 8, 7, 1, 1, 1, 1]), "impossible"),
    "voxels a million bytes in": (content(vox_offset=1e6), "truncated|more than a gzip file"),
    "voxels beyond any header": (content(vox_offset=1e9), "begin at byte 1e\\+09"),
    "voxels before the file": (content(vox_offset=-100), "begin at byte -100"),
    "voxels at byte 0": (content(vox_offset=0), "begin at byte 0; .* between 352"),
    "voxels within the header": (content(vox_offset=348), "begin at byte 348"),
    "voxels at half a byte": (content(vox_offset=352.5), "begin at byte 352.5"),
    "voxels nowhere": (content(vox_offset=np.nan), "begin at byte nan"),
    "NIfTI-2 with the offset of NIfTI-1": (content(kind=nib.Nifti2Image, vox_offset=352), "between 544"),
    "size of header 999": (struct.pack("<i", 999) + content()[4:], "not NIfTI: .* 348 or 540"),
    "bad magic": (content(magic=b"nop"), "magic is b'nop"),
    "magic of a pair": (content(magic=b"ni1"), "half of a pair"),
    "random bytes": (np.random.default_rng(1).bytes(2000), "not NIfTI"),
    "shorter than a header": (content()[:200], "truncated: 200 of 348"),
    "infinite slope": (content(scl_slope=np.inf, scl_inter=0), "slope inf and intercept 0"),
    "NaN intercept": (content(scl_slope=2, scl_inter=np.nan), "slope 2 and intercept nan"),
    "1-D": (content(VOXELS[:, 0, 0]), "1-D with sizes \\[9\\]"),
    "2-D": (content(VOXELS[:, :, 0]), "2-D with sizes \\[9, 8\\]"),
    "5-D": (content(np.zeros((4, 4, 4, 2, 3), np.int16)), "5-D with sizes"),
    "5-D vector": (content(np.zeros((4, 4, 4, 1, 3), np.int16)), "5-D with sizes"),
    "RGB": (content(RGB), "RGB voxels .*type 128"),
    "complex": (content(REAL.astype(np.complex64)), "complex voxels .*type 32"),
    "unknown type": (content(datatype=9999), "unknown voxels .*type 9999"),
    "bits that are not the type's": (content(bitpix=8), "int16 voxels said to have 8 bits"),
    "no orientation": (content(qform_code=0, sform_code=0), "qform_code and sform_code are both 0"),
    "qform and sform 10 mm apart": (content(qoffset_x=6), "up to 10 mm apart"),
    "qform and sform mirrored": (content(srow_x=[-0.9, 0, 0, -4]), "mm apart"),
    "sheared sform beside a qform": (content(srow_x=[0.9, 0.3, 0, -4]), "mm apart"),
    "sform of zeros": (content(srow_x=0, srow_y=0, srow_z=0), "sform .* singular"),
    "sform with NaN": (content(srow_x=np.nan), "sform .* not finite"),
    "sform flattening the volume": (content(qform_code=0, srow_z=[0, 1.1, 0, 0]), "sform .* singular"),
    "qform with NaN": (content(sform_code=0, quatern_b=np.nan), "qform .* not finite"),
    "qform that is no rotation": (content(sform_code=0, quatern_b=2), "qform is no rotation"),
    "negative pixdim": (content(pixdim=pixdim(1, -0.9, 1.1, 2)), "spacings must be positive"),
    "zero pixdim": (content(pixdim=pixdim(1, 0, 1.1, 2)), "spacings must be positive"),
    "infinite pixdim": (content(pixdim=pixdim(1, np.inf, 1.1, 2)), "spacings must be positive"),
    "odd qfac": (content(pixdim=pixdim(0.5, 0.9, 1.1, 2)), "first number -1, 0 or 1"),
    "pixdim beside the affine": (content(qform_code=0, pixdim=pixdim(1, 0.9, 1.1, 3)), "pixdim says spacing"),
}


@pytest.mark.parametrize(("plain", "words"), BAD_HEADERS.values(), ids=BAD_HEADERS)
@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii"])
@pytest.mark.parametrize("reader", [read, read_geometry])
def test_header_that_lies_is_refused_by_file_name_and_reason(tmp_path, plain, words, name, reader):
    with pytest.raises(VolumeError, match=f"(?s){name}: .*({words})"):
        reader(write(tmp_path, plain, name))


def test_huge_header_is_refused_at_once_without_memory(tmp_path):
    path = write(tmp_path, content(kind=nib.Nifti2Image, dim=[3, 30000, 30000, 30000, 1, 1, 1, 1]))
    peak = memory.Peak()  # what this process took before does not count
    before, start = peak.bytes, time.process_time()
    with pytest.raises(VolumeError, match="more than a gzip file of"):
        read(path)
    assert time.process_time() - start < 1
    assert peak.bytes - before < 50 * 2**20


@pytest.mark.parametrize(("sizes", "num_channels"), [((9, 8, 7, 1, 1), 1), ((9, 8, 7, 2), 2), ((9, 8, 7, 2, 1), 2)])
def test_fourth_axis_is_channels_and_further_ones_of_length_1_are_ignored(tmp_path, sizes, num_channels):
    voxels = np.arange(np.prod(sizes), dtype=np.int16).reshape(sizes)
    volume = read(write(tmp_path, content(voxels, dim=[len(sizes), *sizes, *[1] * (7 - len(sizes))])))
    assert (volume.num_channels, volume.shape) == (num_channels, SHAPE)
    assert np.array_equal(volume.array, np.moveaxis(voxels.reshape(*SHAPE, -1), -1, 0))


def test_qform_alone_and_sform_alone_place_the_volume(tmp_path):
    for missing in ("qform_code", "sform_code"):
        np.testing.assert_allclose(read(write(tmp_path, content(**{missing: 0}))).affine, AFFINE, atol=1e-6)


def test_what_a_float32_quaternion_loses_near_180_degrees_is_no_disagreement(tmp_path):
    angle = np.pi - 2e-4
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert read(write(tmp_path, content(np.zeros((64, 64, 9), np.int16), affine=affine))).shape == (64, 64, 9)


def test_sheared_volume_is_read_and_says_so(tmp_path):
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.2
    spacing = np.linalg.norm(sheared[:3, :3], axis=0)
    path = write(tmp_path, content(affine=sheared, qform_code=0, pixdim=pixdim(1, *spacing)))
    assert read(path).is_sheared
    assert read_geometry(path).is_sheared
    assert not read(write(tmp_path, content())).is_sheared
