"""NIfTI files byte by byte: honest ones, and ones whose header says something else."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (9, 8, 7)
AFFINE = np.array([[0.9, 0, 0, -4], [0, 1.1, 0, 5], [0, 0, 2, -6], [0, 0, 0, 1.0]])
VOXELS = np.random.default_rng(0).integers(-500, 500, SHAPE).astype(np.int16)


def content(voxels=VOXELS, kind=nib.Nifti1Image, affine=AFFINE, **fields) -> bytearray:
    """The bytes of an honest file, but for the header fields that are given."""
    image = kind(voxels, affine, dtype=voxels.dtype)
    image.set_qform(affine, 1, strip_shears=True)
    image.set_sform(affine, 1)
    plain = bytearray(image.to_bytes())
    header = image.header_class(bytes(plain[: image.header.sizeof_hdr]), check=False)
    for name, value in fields.items():
        header[name] = value
    plain[: image.header.sizeof_hdr] = header.binaryblock
    return plain


def write(folder: Path, plain: bytes, name="scan.nii.gz") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(plain, 1, mtime=0) if name.endswith(".gz") else plain)
    return path


def pixdim(*values):
    return np.array([*values, 1, 1, 1, 1], np.float32)


def changed(voxels, index, value):
    voxels = voxels.copy()
    voxels[index] = value
    return voxels
