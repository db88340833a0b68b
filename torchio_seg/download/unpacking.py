"""A tar into one folder: nothing beside it, nothing partial, nothing but plain files and folders."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import tarfile
import unicodedata
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, cast

from torchio_seg.download.disk import require_space, writing
from torchio_seg.download.meter import Meter, metered, size_text
from torchio_seg.errors import DataError
from torchio_seg.lock import only_here
from torchio_seg.progress import Progress, Silent

_log = logging.getLogger(__name__)
CHUNK = 1 << 20
PLAIN = {tarfile.REGTYPE, tarfile.AREGTYPE}
KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


def unpack(archive: Path, folder: Path, *, limit: int | None = None, progress: Progress | None = None) -> int:
    """Make `folder` from the archive's one top folder; how many files it has. It may unpack to `limit` bytes, by
    default to the archive's own size, which is what a plain tar holds."""
    limit = archive.stat().st_size if limit is None else limit
    draft = folder.with_name(f".{folder.name}.unpacking")
    with writing(folder), only_here(folder):
        if folder.exists() and any(folder.iterdir()):
            raise DataError(f"{folder} is not empty; move it away, then run this again")
        _remove(draft)  # of a process that was killed
        require_space(folder.parent, limit, f"{archive.name}, unpacked,")
        try:
            count = _write(archive, draft, limit, progress or Silent())
            draft.replace(folder)
        finally:
            _remove(draft)
    return count


def _write(archive: Path, draft: Path, limit: int, progress: Progress) -> int:
    draft.mkdir()
    with metered(progress, f"unpacking {archive.name}", limit) as meter, archive.open("rb") as file:
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", _Limited(file, limit, meter)), mode="r|") as tar:
                return _write_members(tar, draft, archive.name)
        except (tarfile.TarError, EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{archive} is no tar archive, or is damaged ({error}); remove it and fetch it") from error


def _write_members(tar: tarfile.TarFile, draft: Path, archive: str) -> int:
    names = _Names(archive)
    count = skipped = 0
    for member in tar:
        if PurePosixPath(member.name).name.startswith("._"):
            skipped += 1
            continue
        name = names.checked(member)
        if member.isdir():
            draft.joinpath(*name.parts[1:]).mkdir(parents=True, exist_ok=True)
        else:
            _write_file(tar, member, draft.joinpath(*name.parts[1:]))
            count += 1
    if skipped:
        _log.info("%d macOS '._' files of %s left out", skipped, archive)
    if not count:
        raise DataError(f"{archive} holds no files; fetch it again")
    return count


def _write_file(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """The bytes, with the rights that a new file has here: no owner, no mode, no time of the archive's."""
    source = tar.extractfile(member)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        while source is not None and (chunk := source.read(CHUNK)):
            file.write(chunk)
        if file.tell() != member.size:
            raise tarfile.ReadError(f"{member.name} is cut short")
        file.flush()
        os.fsync(file.fileno())


class _Names:
    """What the archive's members may be called: below one folder, each once on any file system."""

    def __init__(self, archive: str) -> None:
        self._archive = archive
        self._top: str | None = None
        self._spelling: dict[str, str] = {}
        self._files: set[str] = set()

    def checked(self, member: tarfile.TarInfo) -> PurePosixPath:
        """The member's path, or an error."""
        name = PurePosixPath(member.name)
        if member.name.startswith("/") or ".." in name.parts or any(bad in member.name for bad in "\\:\0"):
            self._refuse(member, "leads out of the folder")
        if not (member.isdir() or member.type in PLAIN):
            self._refuse(member, f"is {KINDS.get(member.type, 'neither file nor folder')}")
        top = name.parts[0] if name.parts else self._top
        if top != (self._top or top) or (not member.isdir() and len(name.parts) < 2):
            self._refuse(member, "lies beside the one folder that the archive should hold")
        self._top = top
        self._claim(member, name)
        return name

    def _claim(self, member: tarfile.TarInfo, name: PurePosixPath) -> None:
        """Refuse a second member of the same name, also where only case or accents are written differently."""
        for end in range(1, len(name.parts) + 1):
            spelled = "/".join(name.parts[:end])
            key = unicodedata.normalize("NFC", spelled).casefold()
            new_file = end == len(name.parts) and not member.isdir()
            taken = key in self._files or (new_file and key in self._spelling)
            if taken or self._spelling.get(key, spelled) != spelled:
                self._refuse(member, f"collides with {self._spelling[key]!r}")
            self._spelling[key] = spelled
            if new_file:
                self._files.add(key)

    def _refuse(self, member: tarfile.TarInfo, why: str) -> None:
        raise DataError(f"{self._archive} holds {member.name!r}, which {why}; nothing was unpacked")


class _Limited:
    """Reads an archive, decompressed where it is gzip, and stops where it becomes larger than was promised."""

    def __init__(self, file: IO[bytes], limit: int, meter: Meter) -> None:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        self._file = gzip.GzipFile(fileobj=file) if compressed else file
        self._limit = limit
        self._left = limit
        self._meter = meter

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        self._meter.add(len(data))
        if self._left < 0:
            raise DataError(f"the archive unpacks to more than the {size_text(self._limit)} promised; stopped")
        return data


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
