"""Write one volume so that it is complete or absent, in the space it came from.

The file is written under a hidden name in the same folder, flushed to the disk, read back through the strict
reader, held against length and checksums of what was handed over, and only then renamed. Header extensions of the
input are not copied: they describe its intensities, and often its patient.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import nibabel as nib
import numpy as np

from torchio_seg.errors import UsageError, VolumeError
from torchio_seg.volumes.draft import Draft
from torchio_seg.volumes.geometry import is_degenerate, is_sheared, spacing_of
from torchio_seg.volumes.scratch import rest
from torchio_seg.volumes.source import SLAB_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torchio_seg.volumes.geometry import Array, Shape

_SCANNER = 1  # NIfTI's code for scanner coordinates


def create(path: Path, array: Array, affine: Array, *, overwrite: bool = False) -> None:
    """Write a new file of `array` (I J K or C I J K) whose sform and qform are `affine`, in millimetres.

    A sheared affine has no qform, so it is written as sform alone.
    """
    path = Path(path)
    stored = _stored(path, array)
    kind: Any = nib.Nifti1Header if max(stored.shape) < 2**15 else nib.Nifti2Header
    header = kind()
    header.set_data_shape(stored.shape)
    affine = np.asarray(affine, dtype=np.float64)
    if affine.shape != (4, 4) or is_degenerate(affine):
        raise VolumeError(f"{path}: {affine.tolist()} gives voxels no place; give a finite, invertible 4x4 affine")
    header["pixdim"][1:4] = spacing_of(affine)
    if not is_sheared(affine):
        header.set_qform(affine, _SCANNER)
    header.set_sform(affine, _SCANNER)
    header.set_xyzt_units("mm", "sec")
    with Draft(path, _plain(header, stored.dtype), overwrite=overwrite) as draft:
        _commit(draft, stored)


class Like(Protocol):
    """What a result lies on the grid of: a volume, in memory or in a file."""

    @property
    def path(self) -> Path: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def header(self) -> Any: ...


def write_like(path: Path, array: Array, like: Like, *, overwrite: bool = False) -> None:
    """Write `array` (I J K or C I J K) with the header of `like`: affine, codes, spacing, units bit for bit."""
    path = Path(path)
    stored = _stored(path, array)
    with draft_like(path, stored.shape, stored.dtype, like, overwrite=overwrite) as draft:
        _commit(draft, stored)


def draft_like(path: Path, shape: Sequence[int], dtype: np.dtype[Any], like: Like, *, overwrite: bool = False) -> Draft:
    """A file of I J K or I J K C to be written plane by plane, with the header of `like`."""
    if tuple(shape[:3]) != like.shape:
        raise VolumeError(
            f"{path}: the array has shape {tuple(shape[:3])} but {like.path.name} has {like.shape}; "
            "bring it back to the grid of the input before writing"
        )
    if path.exists() and like.path.exists() and path.samefile(like.path):
        raise UsageError(f"{path}: this is the input itself, which is never replaced; choose another output name")
    header = like.header.as_byteswapped("<")
    header.set_data_shape(shape)
    header["cal_min"] = header["cal_max"] = 0
    header.set_intent("none")
    return Draft(path, _plain(header, dtype), overwrite=overwrite)


def write_slabs_like(
    path: Path, label_map: Array, like: Like, pick: Callable[[Array], Array], *, overwrite: bool = False
) -> None:
    """Write what `pick` makes of a label map I J K, which need not be in memory, some planes at a time."""
    with draft_like(path, label_map.shape, pick(label_map[:1, :1, :1]).dtype, like, overwrite=overwrite) as draft:
        for planes in slabs_of(label_map):
            draft.add(pick(planes))
        draft.commit()


def slabs_of(array: Array) -> Iterator[Array]:
    """I J k in the order of a file; of an array that lies in a file, no more than this stays in memory."""
    step = max(1, SLAB_BYTES // array[:, :, 0].nbytes)
    for first in range(0, array.shape[2], step):
        yield array[:, :, first : first + step]
        rest(array)


def _stored(path: Path, array: Array) -> Array:
    """The voxels as they go into the file: I J K, or I J K C, in a type that NIfTI readers agree on."""
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise VolumeError(f"{path}: an array of shape {array.shape} is no volume; give I J K or C I J K")
    if array.ndim == 4:
        array = array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)
    with np.errstate(over="ignore"):
        return array.astype(_storage_type(path, array), copy=False)


def _storage_type(path: Path, array: Array) -> np.dtype[Any]:
    """bool becomes uint8, every float becomes float32, 64-bit integers become int32 where their values fit."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        return np.dtype("<u1")
    if kind == "f":
        return np.dtype("<f4")
    if kind in "iu" and size < 8:
        return array.dtype.newbyteorder("<")
    if kind in "iu" and int(array.min()) >= -(2**31) and int(array.max()) < 2**31:
        return np.dtype("<i4")
    raise VolumeError(
        f"{path}: {array.dtype} voxels cannot be stored so that every reader agrees; "
        "give bool, integers within 32 bits, or real numbers"
    )


def _plain(header: Any, dtype: np.dtype[Any]) -> Any:
    """The header, of a single file whose voxels are values of this type, without a scale."""
    header.set_data_dtype(dtype)
    header["scl_slope"] = header["scl_inter"] = np.nan
    header["vox_offset"] = header.single_vox_offset
    header["magic"] = header.single_magic
    return header


def _commit(draft: Draft, stored: Array) -> None:
    for channel in [stored] if stored.ndim == 3 else np.moveaxis(stored, -1, 0):
        draft.add(channel)
    draft.commit()
