"""Write one volume so that it is complete or absent, in the space it came from.

The file is written under a hidden name in the same folder, flushed to the disk, read back through the strict
reader, compared voxel by voxel, and only then renamed. Header extensions and keys of the input are not
copied: they describe its intensities, and often its patient.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from torchio_seg.errors import UsageError, VolumeError
from torchio_seg.volumes import metaimage, nifti_header, nrrd
from torchio_seg.volumes.content import LEVELS, planes
from torchio_seg.volumes.geometry import is_degenerate
from torchio_seg.volumes.metaimage_header import MetaHeader
from torchio_seg.volumes.names import WHOLE, listed, suffix
from torchio_seg.volumes.nrrd_header import NrrdHeader
from torchio_seg.volumes.reading import read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

    from torchio_seg.volumes.geometry import Affine, Array
    from torchio_seg.volumes.reading import Volume


@dataclass(frozen=True)
class _Format:
    """How files of one suffix are written."""

    kinds: tuple[type, ...]
    """Of headers that outputs of their own format are given."""
    header_at: Callable[[Array, Affine], Any]
    """A new header, for voxels at a place."""
    header_like: Callable[[Array, Any], Any]
    """The header of an input, for voxels on its grid."""
    affine_of: Callable[[Any], Affine]
    write: Callable[[BinaryIO, Array, Any], None]


def create(path: Path, array: Array, affine: Array, *, overwrite: bool = False) -> None:
    """Write a new file of `array` (I J K or C I J K) at `affine`, in millimetres; its suffix says in which format."""
    path = Path(path)
    stored = _stored(path, array)
    affine = np.asarray(affine, dtype=np.float64)
    if affine.shape != (4, 4) or is_degenerate(affine):
        raise VolumeError(f"{path}: {affine.tolist()} gives voxels no place; give a finite, invertible 4x4 affine")
    _write(path, stored, _format_of(path).header_at(stored, affine), overwrite=overwrite)


def write_like(path: Path, array: Array, like: Volume, *, overwrite: bool = False) -> None:
    """Write `array` (I J K or C I J K) where `like` is.

    In the format of `like` with its header: affine, codes, spacing, units bit for bit; in another at its affine.
    """
    path = Path(path)
    stored = _stored(path, array)
    if stored.shape[:3] != like.shape:
        raise VolumeError(
            f"{path}: the array has shape {stored.shape[:3]} but {like.path.name} has {like.shape}; "
            "bring it back to the grid of the input before writing"
        )
    if path.exists() and like.path.exists() and path.samefile(like.path):
        raise UsageError(f"{path}: this is the input itself, which is never replaced; choose another output name")
    own = _format_of(path)
    is_own = isinstance(like.header, own.kinds)
    header = own.header_like(stored, like.header) if is_own else own.header_at(stored, like.affine)
    _write(path, stored, header, overwrite=overwrite)


def _stored(path: Path, array: Array) -> Array:
    """The voxels as they go into the file: I J K, or I J K C, in a type that NIfTI readers agree on."""
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise VolumeError(f"{path}: an array of shape {array.shape} is no volume; give I J K or C I J K")
    if array.ndim == 4:
        array = array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)
    with np.errstate(over="ignore"):
        array = array.astype(_storage_type(path, array), copy=False)
    if array.dtype.kind == "f" and (num_bad := array.size - np.count_nonzero(np.isfinite(array))):
        raise VolumeError(f"{path}: {num_bad} of {array.size} voxels are NaN or beyond float32; not written")
    return array


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


def _write(path: Path, stored: Array, header: Any, *, overwrite: bool) -> None:
    """Write, check and rename; whatever happens on the way, nothing but a complete file carries the name."""
    _require_free(path, overwrite=overwrite)
    partial = path.with_name(f".partial-{secrets.token_hex(8)}{suffix(path)}")
    try:
        _write_file(partial, stored, header)
        _require_equal(partial, stored, header)
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise VolumeError(
            f"{path}: could not be written ({error.strerror or error}); free space or choose another folder, "
            "then run again. What was there before is unchanged"
        ) from error
    except VolumeError as error:
        raise VolumeError(
            f"{path}: what was read back from the disk is not what was written ({error}); nothing was kept"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _require_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a name that we cannot or must not write to, before any work."""
    if not path.parent.is_dir():
        raise VolumeError(f"{path}: the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise UsageError(f"{path}: this is a folder; name a file")
    if os.path.lexists(path) and not overwrite:
        raise UsageError(f"{path}: exists already; pass --overwrite to replace it, or choose another name")


def _format_of(path: Path) -> _Format:
    ending = suffix(path, WHOLE)
    if ending is None:
        raise UsageError(f"{path}: volumes are written as {listed(WHOLE, last='or')}; end the name so")
    return _FORMATS[ending]


def _write_file(path: Path, stored: Array, header: Any) -> None:
    """The bytes of a file; the same voxels give the same bytes on any day."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # the umask takes away what it must
    with os.fdopen(descriptor, "wb") as file:
        _format_of(path).write(file, stored, header)
        file.flush()
        os.fsync(file.fileno())


def _write_compressed(file: BinaryIO, stored: Array, header: Any) -> None:
    with gzip.GzipFile("", "wb", compresslevel=LEVELS[stored.itemsize], fileobj=file, mtime=0) as compressed:
        _write_content(compressed, stored, header)


def _write_content(file: BinaryIO | gzip.GzipFile, stored: Array, header: Any) -> None:
    """Header, four zero bytes for "no extensions", then planes, first axis fastest."""
    file.write(header.binaryblock + bytes(4))
    file.writelines(planes(stored, channels_first=False))


def _require_equal(path: Path, stored: Array, header: Any) -> None:
    """Read the file back as strictly as any input, and compare."""
    found = read(path, max_bytes=2 * stored.nbytes)
    affine = _format_of(path).affine_of(header)
    expected = stored[None] if stored.ndim == 3 else np.moveaxis(stored, -1, 0)
    if not np.array_equal(found.array, expected) or not np.array_equal(found.affine, affine):
        raise VolumeError("voxels or affine differ")


def sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power loss."""
    with contextlib.suppress(OSError):  # some network file systems cannot; the file is complete all the same
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _as_it_is(_: Array, header: Any) -> Any:
    """Headers of text hold nothing of an input but where it is."""
    return header


def _affine_of_nifti(header: Any) -> Affine:
    affine: Affine = header.get_best_affine()
    return affine


def _affine_of_text(header: NrrdHeader | MetaHeader) -> Affine:
    return header.affine


_NIFTI = _Format(
    nifti_header.NIFTI_HEADERS, nifti_header.header_at, nifti_header.header_like, _affine_of_nifti, _write_content
)
_FORMATS: Mapping[str, _Format] = {
    ".nii": _NIFTI,
    ".nii.gz": replace(_NIFTI, write=_write_compressed),
    ".nrrd": _Format((NrrdHeader,), nrrd.header_at, _as_it_is, _affine_of_text, nrrd.write_nrrd),
    ".mha": _Format((MetaHeader,), metaimage.header_at, _as_it_is, _affine_of_text, metaimage.write_metaimage),
}
