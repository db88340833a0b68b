"""A volume's file that is written plane by plane, and has its name only once it is whole, on the disk and read back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np
from isal import isal_zlib

from torchio_seg.errors import UsageError, VolumeError
from torchio_seg.lock import at_work_in
from torchio_seg.volumes.form import SIZE_DIGITS
from torchio_seg.volumes.names import suffix
from torchio_seg.volumes.opening import open_volume
from torchio_seg.volumes.stream import GZIP, ByteStream, open_file
from torchio_seg.volumes.together import at_once, draft_name

if TYPE_CHECKING:
    from torchio_seg.volumes.form import Form
    from torchio_seg.volumes.geometry import Array
    from torchio_seg.volumes.together import Naming

_LEVEL = 1
"""Of isal's 0 to 3: the second is no smaller on label maps, the third takes six times as long and is larger."""
_LAID_BYTES = 1 << 23
"""Brought into the order of the file at a time; measured, as fewer planes and more of them take longer."""
_READ_BYTES = 1 << 18
_BLOCK_BYTES = 1 << 17
"""Turned at a time; four times as many or as few take longer."""


class Draft:
    """Under a hidden name in the folder of the file until it is named; removed where `commit` never comes."""

    def __init__(self, path: Path, form: Form, *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.form = form
        require_free(self.path, overwrite=overwrite)
        self._partial = self.path.with_name(draft_name(str(suffix(self.path))))
        self._sum = _Sum()
        self._missing = form.voxels_size
        self._is_handed_over = False
        with self._told(), contextlib.ExitStack() as hold:
            hold.enter_context(at_work_in(self.path.parent))
            descriptor = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)  # less what the umask takes
            self._file: BinaryIO = os.fdopen(descriptor, "w+b")
            self._hold = hold.pop_all()
        self._squeeze = None if form.wbits is None else isal_zlib.compressobj(_LEVEL, wbits=form.wbits)
        try:
            with self._told():
                self._file.write(form.plain)
            self._put(memoryview(form.begin))
        except BaseException:
            self.discard()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def add(self, planes: Array) -> None:
        """The next voxels in the order of the file: I J k of one channel after the other, or C I J k side by side."""
        step = max(1, _LAID_BYTES // max(1, planes[..., 0].nbytes))
        for first in range(0, planes.shape[-1], step):
            piece = planes[..., first : first + step]
            if piece.dtype.kind == "f" and (num_bad := piece.size - np.count_nonzero(np.isfinite(piece))):
                some = f"{num_bad} voxels are" if num_bad > 1 else "a voxel is"
                raise VolumeError(f"{self.path}: at least {some} NaN or beyond float32; not written")
            content = in_file_order(piece.astype(self.form.dtype, copy=False))
            self._missing -= content.nbytes
            self._put(content.reshape(-1).view(np.uint8).data)

    def commit(self, naming: Naming = at_once) -> None:
        """Nothing is missing: flush it, read it back, and have it named."""
        if self._missing:
            raise ValueError(f"{self.path}: {self._missing} bytes of voxels were not handed over")
        with self._told():
            if self._squeeze is not None:
                self._file.write(self._squeeze.flush())
            plain = self.form.plain_for(self._file.tell() - len(self.form.plain))
            if self.form.size_at is not None:
                self._file.seek(self.form.size_at)
                self._file.write(plain[self.form.size_at :][:SIZE_DIGITS])
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._require_equal(plain)
            naming(self._partial, self.path)
            self._is_handed_over = True

    def discard(self) -> None:
        """Leave nothing of what was not committed."""
        with contextlib.suppress(OSError):  # a full disk says so once more
            self._file.close()
        if not self._is_handed_over:
            self._partial.unlink(missing_ok=True)
        self._hold.close()

    def _put(self, content: memoryview) -> None:
        self._sum.add(content)
        with self._told():
            self._file.write(content if self._squeeze is None else self._squeeze.compress(content))

    def _require_equal(self, plain: bytes) -> None:
        """Read the file as strictly as any input, and hold its content against the sums of what was handed over."""
        try:
            with open_volume(self._partial) as (_, layout):
                is_placed = np.array_equal(layout.geometry.affine, self.form.affine)
            is_same = _sum_of_file(self._partial, plain, self.form) == self._sum
            problem = "" if is_placed and is_same else "header or voxels differ"
        except VolumeError as error:
            problem = str(error)
        if problem:
            raise VolumeError(
                f"{self.path}: what was read back from the disk is not what was written ({problem}); nothing was kept"
            )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise VolumeError(
                f"{self.path}: could not be written ({error.strerror or error}); free space or choose another folder, "
                "then run again. What was there before is unchanged"
            ) from error


class _Sum:
    """Length and two checksums of some bytes, which chance does not bring together."""

    def __init__(self) -> None:
        self._length, self._crc, self._adler = 0, 0, 1

    def add(self, content: memoryview) -> None:
        self._length += len(content)
        self._crc = isal_zlib.crc32(content, self._crc)
        self._adler = isal_zlib.adler32(content, self._adler)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sum) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


def _sum_of_file(path: Path, plain: bytes, form: Form) -> _Sum:
    """Of what is wrapped in it; none where it begins with anything else than what was to come first."""
    found = _Sum()
    with open_file(path) as file:
        if file.read(len(plain)) != plain:
            return found
        is_wrapped = form.wbits is not None
        stream = ByteStream(file, path, compressed=is_wrapped, start=len(plain), wbits=form.wbits or GZIP)
        stream.require_size(form.content_size)
        buffer = memoryview(bytearray(min(_READ_BYTES, form.content_size)))
        while left := form.content_size - stream.position:
            piece = buffer[: min(left, len(buffer))]
            stream.fill(piece, form.content_size)
            found.add(piece)
        stream.finish(form.content_size)
    return found


def in_file_order(planes: Array) -> Array:
    """Voxels I J k (C I J k) as they lie in a file, first axis fastest: contiguous k J I (C); a view where possible."""
    if planes.flags.f_contiguous or planes.strides[0] == planes.itemsize or planes.ndim == 4:
        return np.ascontiguousarray(planes.T)
    i, j, k = planes.shape
    laid = np.empty((k, j, i), planes.dtype)
    step = max(1, _BLOCK_BYTES // max(1, i * k * planes.itemsize))
    for first in range(0, j, step):  # two steps within the processor's cache: faster than one
        rows = planes[:, first : first + step].transpose(1, 0, 2)
        if rows.strides[-1] == rows.itemsize:
            rows = rows.view(f"V{k * rows.itemsize}")  # k voxels are moved as one
        laid[:, first : first + step] = np.ascontiguousarray(rows).view(planes.dtype).transpose(2, 0, 1)
    return laid


def require_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a name that we cannot or must not write to, before any work."""
    if not path.parent.is_dir():
        raise VolumeError(f"{path}: the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise UsageError(f"{path}: this is a folder; name a file")
    if os.path.lexists(path) and not overwrite:
        raise UsageError(f"{path}: exists already; pass --overwrite to replace it, or choose another name")
