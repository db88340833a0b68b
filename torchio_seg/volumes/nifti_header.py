"""Headers of NIfTI files that are to be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from torchio_seg.volumes.form import Form
from torchio_seg.volumes.geometry import is_sheared, spacing_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchio_seg.volumes.geometry import Affine

KINDS = (nib.Nifti1Header, nib.Nifti2Header)
_SCANNER = 1  # NIfTI's code for scanner coordinates


def form_at(shape: Sequence[int], dtype: np.dtype[Any], affine: Affine, *, wbits: int | None) -> Form:
    """A new header whose sform and qform are the affine, in millimetres; a sheared one has no qform, so sform alone."""
    kind: Any = nib.Nifti1Header if max(shape) < 2**15 else nib.Nifti2Header
    header = kind()
    header.set_data_shape(shape)
    header["pixdim"][1:4] = spacing_of(affine)
    if not is_sheared(affine):
        header.set_qform(affine, _SCANNER)
    header.set_sform(affine, _SCANNER)
    header.set_xyzt_units("mm", "sec")
    return _form(header, shape, dtype, wbits)


def form_like(shape: Sequence[int], dtype: np.dtype[Any], found: Any, *, wbits: int | None) -> Form:
    """The header of an input for an output on its grid."""
    header = found.as_byteswapped("<")
    header.set_data_shape(shape)
    header["cal_min"] = header["cal_max"] = 0
    header.set_intent("none")
    return _form(header, shape, dtype, wbits)


def _form(header: Any, shape: Sequence[int], dtype: np.dtype[Any], wbits: int | None) -> Form:
    """Of a single file whose voxels are values of this type, without a scale and without extensions."""
    header.set_data_dtype(dtype)
    header["scl_slope"] = header["scl_inter"] = np.nan
    header["vox_offset"] = header.single_vox_offset
    header["magic"] = header.single_magic
    begin = header.binaryblock + bytes(4)  # four zeros: no extensions
    return Form(tuple(shape), dtype, header.get_best_affine(), b"", begin, wbits)
