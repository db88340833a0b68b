"""The bytes of one volume's file, each read once, every count and checksum held."""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from isal import isal_zlib

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.names import suffix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_INPUT_SIZE = 1 << 16
_GZIP_MARK = b"\x1f\x8b"
GZIP, ZLIB = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS
"""How zlib is told what its data are wrapped in."""
_DAMAGED: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stubs call the class an object
_MAX_RATIO = 1032  # DEFLATE cannot expand further
_FOREIGN = {
    b"version https://git-lfs": "a git-lfs pointer, not the scan it stands for; run `git lfs pull`",
    b"<!doctype html": "a web page, not a scan; download it again, signed in where the site asks for that",
    b"<html": "a web page, not a scan; download it again, signed in where the site asks for that",
}


@contextmanager
def open_stream(path: Path) -> Iterator[ByteStream]:
    """The content of a NIfTI file, once its name and its first bytes agree on what it is."""
    with open_file(path) as file:
        start = file.read(2)
        file.seek(0)
        _require_honest(path, start)
        yield ByteStream(file, path, compressed=start == _GZIP_MARK)


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """A file at its beginning, once that is not plainly something else than a volume."""
    if path.is_dir():
        raise VolumeError(f"{path}: this is a folder; name one file")
    try:
        with path.open("rb") as file:
            _require_volume(path, file.read(64))
            file.seek(0)
            yield file
    except FileNotFoundError as error:
        reason = "is a link to a file that does not exist" if path.is_symlink() else "does not exist"
        raise VolumeError(f"{path}: {reason}; check the name, or restore the file") from error
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read ({error.strerror or error}); check permissions and disk") from error


def _require_volume(path: Path, start: bytes) -> None:
    """Recognise what is plainly something else, by its first bytes."""
    if not start:
        raise VolumeError(f"{path}: the file is empty (0 bytes); copy or download it again")
    for mark, meaning in _FOREIGN.items():
        if start.lstrip().lower().startswith(mark):
            raise VolumeError(f"{path}: this is {meaning}")


def _require_honest(path: Path, start: bytes) -> None:
    """Hold that a NIfTI file is compressed if and only if its name says so."""
    compressed = start[:2] == _GZIP_MARK
    if compressed and suffix(path) == ".nii":
        raise VolumeError(f"{path}: the content is gzip although the name ends in .nii; rename it to .nii.gz")
    if not compressed and suffix(path) == ".nii.gz":
        raise VolumeError(
            f"{path}: the content is not gzip although the name ends in .nii.gz; "
            "rename it to .nii if it is a plain NIfTI file, else copy it again"
        )


class ByteStream:
    """The content of an open file in order, decompressed on the way; a read is exact or an error."""

    def __init__(self, file: BinaryIO, path: Path, *, compressed: bool, start: int = 0, wbits: int = GZIP) -> None:
        """`start` is where in the file the content begins, `wbits` how it is wrapped where it is compressed."""
        self.path = path
        self.compressed = compressed
        self.start = start
        self.file_size = path.stat().st_size - start
        self.position = 0
        self._file = file
        self._pending = b""
        self._wbits, self._kind = wbits, "gzip" if wbits == GZIP else "zlib"
        self._inflater = isal_zlib.decompressobj(wbits)

    def require_size(self, expected: int) -> None:
        """Hold, before anything is allocated, that a file of this size can have `expected` bytes of content."""
        if not self.compressed and self.file_size != expected:
            problem = "is truncated" if self.file_size < expected else "has bytes that the header does not describe"
            raise VolumeError(
                f"{self.path}: the file {problem}: {self.file_size} bytes, the header describes {expected}; "
                "copy or download it again"
            )
        if self.compressed and expected > self.file_size * _MAX_RATIO:
            raise VolumeError(
                f"{self.path}: the header describes {expected} bytes, more than a {self._kind} file of "
                f"{self.file_size} bytes can hold; header or file is damaged, copy or download it again"
            )

    def fill(self, view: memoryview, expected: int) -> None:
        """Fill `view` with the next bytes; `expected` is the length of all content, for the message."""
        num_read = self._inflate(view) if self.compressed else self._read(view)
        self.position += num_read
        if num_read < len(view):
            raise VolumeError(
                f"{self.path}: truncated: {self.position} of {expected} bytes are there"
                f"{', unpacked' if self.compressed else ''}; copy or download it again"
            )

    def finish(self, expected: int) -> None:
        """Hold that nothing follows, and that the checksum over all that was read is right."""
        view = memoryview(bytearray(1))
        if self._inflate(view) if self.compressed else self._read(view):
            raise VolumeError(
                f"{self.path}: more than the {expected} bytes that the header describes; its dimensions do not fit "
                "its voxels. Export it again"
            )
        if self.compressed and not self._inflater.eof:
            raise VolumeError(
                f"{self.path}: truncated: the checksum of its {self._kind} data is missing; copy or download it again"
            )

    def _read(self, view: memoryview) -> int:
        done = 0
        while done < len(view) and (piece := self._file.read(len(view) - done)):
            view[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def _inflate(self, view: memoryview) -> int:
        """Decompress into `view` until it is full or the file ends; several gzip members are one content."""
        done = 0
        while done < len(view):
            self._pending = self._pending or self._file.read(_INPUT_SIZE)
            is_over = not self._pending
            if self._inflater.eof:
                if is_over or not self._begins_anew():
                    break
                self._inflater = isal_zlib.decompressobj(self._wbits)
            try:
                piece = self._inflater.decompress(self._pending, len(view) - done)
            except _DAMAGED as error:
                raise VolumeError(
                    f"{self.path}: damaged: the {self._kind} data are wrong near byte {self.position + done} of the "
                    f"content ({error}); copy or download it again"
                ) from error
            self._pending = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            view[done : done + len(piece)] = piece
            done += len(piece)
            if is_over and not piece:  # the inflater keeps some of its output back, also when it has all input
                break
        return done

    def _begins_anew(self) -> bool:
        """Whether a member follows the one that is over; zeros, as tapes and copies by blocks add, are passed over."""
        while self._pending and not (left := self._pending.lstrip(b"\0")):
            self._pending = self._file.read(_INPUT_SIZE)
        if not self._pending:
            return False
        self._pending = left
        if len(self._pending) == 1:
            self._pending += self._file.read(1)
        if self._wbits != GZIP or self._pending.startswith(_GZIP_MARK):
            return True
        raise VolumeError(
            f"{self.path}: {len(self._pending)} or more bytes follow the end of its {self._kind} data, which are whole "
            "by their checksum; take them off, or copy or download it again"
        )
