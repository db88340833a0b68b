"""Headers of NIfTI files that are to be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from torchio_seg.volumes.geometry import is_sheared, spacing_of

if TYPE_CHECKING:
    from torchio_seg.volumes.geometry import Affine, Array

NIFTI_HEADERS = (nib.Nifti1Header, nib.Nifti2Header)
_SCANNER = 1  # NIfTI's code for scanner coordinates


def header_at(stored: Array, affine: Affine) -> Any:
    """A new header whose sform and qform are the affine, in millimetres; a sheared one has no qform, so sform alone."""
    kind: Any = nib.Nifti1Header if max(stored.shape) < 2**15 else nib.Nifti2Header
    header = kind()
    header.set_data_shape(stored.shape)
    header["pixdim"][1:4] = spacing_of(affine)
    if not is_sheared(affine):
        header.set_qform(affine, _SCANNER)
    header.set_sform(affine, _SCANNER)
    header.set_xyzt_units("mm", "sec")
    return _of_values(header, stored)


def header_like(stored: Array, found: Any) -> Any:
    """The header of an input for an output on its grid."""
    header = found.as_byteswapped("<")
    header.set_data_shape(stored.shape)
    header["cal_min"] = header["cal_max"] = 0
    header.set_intent("none")
    return _of_values(header, stored)


def _of_values(header: Any, stored: Array) -> Any:
    """Of one file, whose voxels are values as they are."""
    header.set_data_dtype(stored.dtype)
    header["scl_slope"] = header["scl_inter"] = np.nan
    header["vox_offset"] = header.single_vox_offset
    header["magic"] = header.single_magic
    return header
