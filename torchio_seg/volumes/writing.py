"""Write one volume so that it is complete or absent, in the space it came from.

The file is written under a hidden name in the same folder, flushed to the disk, read back through the strict
reader, held against length and checksums of what was handed over, and only then renamed. Header extensions and
keys of the input are not copied: they describe its intensities, and often its patient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from torchio_seg.errors import UsageError, VolumeError
from torchio_seg.volumes import metaimage, nifti_header, nrrd
from torchio_seg.volumes.draft import Draft
from torchio_seg.volumes.geometry import is_degenerate
from torchio_seg.volumes.metaimage_header import MetaHeader
from torchio_seg.volumes.names import WHOLE, listed, suffix
from torchio_seg.volumes.nrrd_header import NrrdHeader
from torchio_seg.volumes.scratch import file_of, rest
from torchio_seg.volumes.source import SLAB_BYTES
from torchio_seg.volumes.stream import GZIP
from torchio_seg.volumes.together import at_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torchio_seg.volumes.form import Form
    from torchio_seg.volumes.geometry import Affine, Array, Shape
    from torchio_seg.volumes.together import Naming


ACROSS = 8
"""So many slabs at once of an array whose planes lie across those of its file, of which all is read for each."""


@dataclass(frozen=True)
class _Format:
    """How files of one suffix come to be."""

    kinds: tuple[type, ...]
    """Of headers that outputs in their own format are given."""
    at: Callable[[Sequence[int], np.dtype[Any], Affine], Form]
    """With a new header, at a place."""
    like: Callable[[Sequence[int], np.dtype[Any], Any], Form]
    """With the header of an input, on its grid."""


_FORMATS: Mapping[str, _Format] = {
    ending: _Format(
        nifti_header.KINDS, partial(nifti_header.form_at, wbits=wbits), partial(nifti_header.form_like, wbits=wbits)
    )
    for ending, wbits in ((".nii.gz", GZIP), (".nii", None))
} | {
    ".nrrd": _Format((NrrdHeader,), nrrd.form_at, nrrd.form_like),
    ".mha": _Format((MetaHeader,), metaimage.form_at, metaimage.form_like),
}


def create(path: Path, array: Array, affine: Array, *, overwrite: bool = False) -> None:
    """Write a new file of `array` (I J K or C I J K) at `affine`, in millimetres; its suffix says in which format."""
    path = Path(path)
    stored = _stored(path, array)
    with draft_at(path, _file_shape(stored), stored.dtype, affine, overwrite=overwrite) as draft:
        _commit(draft, stored)


def draft_at(
    path: Path, shape: Sequence[int], dtype: np.dtype[Any], affine: Array, *, overwrite: bool = False
) -> Draft:
    """A new file of I J K or I J K C at `affine`, to be written plane by plane."""
    affine = np.asarray(affine, dtype=np.float64)
    if affine.shape != (4, 4) or is_degenerate(affine):
        raise VolumeError(f"{path}: {affine.tolist()} gives voxels no place; give a finite, invertible 4x4 affine")
    return Draft(path, _format_of(path).at(shape, dtype, affine), overwrite=overwrite)


class Like(Protocol):
    """What a result lies on the grid of: a volume, in memory or in a file."""

    @property
    def path(self) -> Path: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def affine(self) -> Affine: ...
    @property
    def header(self) -> Any: ...


def write_like(path: Path, array: Array, like: Like, *, overwrite: bool = False, naming: Naming = at_once) -> None:
    """Write `array` (I J K or C I J K), which need not be in memory, where `like` is.

    In the format of `like` with its header: affine, codes, spacing, units bit for bit; in another at its affine.
    """
    path = Path(path)
    stored = _stored(path, array)
    with draft_like(path, _file_shape(stored), stored.dtype, like, overwrite=overwrite) as draft:
        _commit(draft, stored, naming)


def draft_like(path: Path, shape: Sequence[int], dtype: np.dtype[Any], like: Like, *, overwrite: bool = False) -> Draft:
    """A file of I J K or I J K C where `like` is, to be written plane by plane."""
    if tuple(shape[:3]) != like.shape:
        raise VolumeError(
            f"{path}: the array has shape {tuple(shape[:3])} but {like.path.name} has {like.shape}; "
            "bring it back to the grid of the input before writing"
        )
    if path.exists() and like.path.exists() and path.samefile(like.path):
        raise UsageError(f"{path}: this is the input itself, which is never replaced; choose another output name")
    own = _format_of(path)
    if isinstance(like.header, own.kinds):
        return Draft(path, own.like(shape, dtype, like.header), overwrite=overwrite)
    return Draft(path, own.at(shape, dtype, like.affine), overwrite=overwrite)


def write_slabs_like(
    path: Path,
    label_map: Array,
    like: Like,
    pick: Callable[[Array], Array],
    *,
    overwrite: bool = False,
    naming: Naming = at_once,
) -> None:
    """Write what `pick` makes of a label map I J K, which need not be in memory, some planes at a time."""
    with draft_like(path, label_map.shape, pick(label_map[:1, :1, :1]).dtype, like, overwrite=overwrite) as draft:
        for planes in slabs_of(label_map):
            draft.add(pick(planes))
        draft.commit(naming)


def slabs_of(array: Array) -> Iterator[Array]:
    """(C) I J k in the order of a file; of an array that lies in a file, no more than this is in memory."""
    is_scattered = file_of(array) is not None and array.strides[-1] < max(array.strides)
    step = max(1, SLAB_BYTES * (ACROSS if is_scattered else 1) // array[..., 0].nbytes)
    for first in range(0, array.shape[-1], step):
        end = min(first + step, array.shape[-1])
        yield _gathered(array, first, end) if is_scattered else array[..., first:end]
        rest(array)


def _gathered(array: Array, first: int, end: int) -> Array:
    """A copy of planes that lie across those of the array's file, which is read some of its own planes at a time."""
    found = np.empty((*array.shape[:-1], end - first), array.dtype, order="F")
    slow = int(np.argmax(array.strides[-3:]))
    for source, target in [(array, found)] if array.ndim == 3 else zip(array, found, strict=True):
        planes, targets = np.moveaxis(source, slow, 0)[..., first:end], np.moveaxis(target, slow, 0)
        step = max(1, SLAB_BYTES * len(planes) // source.nbytes)
        for low in range(0, len(planes), step):
            targets[low : low + step] = planes[low : low + step]
            rest(array)
    return found


def _channels_of(array: Array) -> Iterator[Array]:
    """One channel after the other, each in slabs."""
    for channel in array if array.ndim == 4 else [array]:
        yield from slabs_of(channel)


def _stored(path: Path, array: Array) -> Array:
    """The voxels as they go into the file: I J K, or C I J K of several channels, in a type that readers agree on."""
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise VolumeError(f"{path}: an array of shape {array.shape} is no volume; give I J K or C I J K")
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
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


def _format_of(path: Path) -> _Format:
    ending = suffix(path, WHOLE)
    if ending is None:
        raise UsageError(f"{path}: volumes are written as {listed(WHOLE, last='or')}; end the name so")
    return _FORMATS[ending]


def _file_shape(stored: Array) -> tuple[int, ...]:
    """I J K, or I J K C, as headers have it."""
    return stored.shape if stored.ndim == 3 else (*stored.shape[1:], stored.shape[0])


def _commit(draft: Draft, stored: Array, naming: Naming = at_once) -> None:
    for slab in slabs_of(stored) if draft.form.channels_first else _channels_of(stored):
        draft.add(slab)
    draft.commit(naming)
