"""Zip archives from strangers, unpacked into a temporary folder and nowhere else."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from torchio_seg.errors import VolumeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MOST_BYTES = 16 * 2**30
_MOST_FILES = 100_000
_MAX_RATIO = 1032  # DEFLATE cannot expand further, unless files overlap in the archive
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED = 0x1
_CURE = "unpack it yourself, look at it, and name the folder"


@contextmanager
def unpacked(path: Path, *, max_bytes: int = _MOST_BYTES) -> Iterator[Path]:
    """A folder with what is in the archive, for as long as it is needed; what is no plain file in it is refused."""
    with tempfile.TemporaryDirectory(prefix="torchio-seg-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                files = _checked(path, archive)
                _require_room(path, files, Path(folder), max_bytes)
                for file in files:
                    _unpack(archive, file, Path(folder, _place(path, file)))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise VolumeError(f"{path}: is no zip archive, or damaged ({error}); copy or download it again") from error
        except OSError as error:
            raise VolumeError(
                f"{path}: cannot be unpacked to {folder} ({error.strerror or error}); TMPDIR=FOLDER names another place"
            ) from error
        yield Path(folder)


def _checked(path: Path, archive: zipfile.ZipFile) -> Sequence[zipfile.ZipInfo]:
    """The files of an archive, each of a kind and at a place that is allowed, before any is unpacked."""
    files = [file for file in archive.infolist() if not file.is_dir()]
    if len(files) > _MOST_FILES:
        raise VolumeError(f"{path}: holds {len(files)} files; {_MOST_FILES} are the most that are unpacked; {_CURE}")
    places = set()
    for file in files:
        mode = file.external_attr >> 16
        if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
            raise VolumeError(f"{path}: {file.filename} is a link or a device, which is not unpacked; {_CURE}")
        if file.flag_bits & _ENCRYPTED:
            raise VolumeError(f"{path}: is encrypted; unpack it yourself with its password, and name the folder")
        if file.compress_type not in _METHODS:
            raise VolumeError(f"{path}: {file.filename} is compressed by method {file.compress_type}; {_CURE}")
        place = _place(path, file)
        if place in places:
            raise VolumeError(f"{path}: holds {file.filename} twice; {_CURE}")
        places.add(place)
    return files


def _place(path: Path, file: zipfile.ZipInfo) -> PurePosixPath:
    """Where below the folder a file belongs."""
    name = file.filename.replace("\\", "/")
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or name[1:2] == ":" or not place.parts:
        raise VolumeError(f"{path}: {file.filename} would be written outside of its folder; do not trust this archive")
    return place


def _require_room(path: Path, files: Sequence[zipfile.ZipInfo], folder: Path, max_bytes: int) -> None:
    """Hold that the sizes that are stated are possible, allowed, and fit on the disk; unpacking never exceeds them."""
    size, free = sum(file.file_size for file in files), shutil.disk_usage(folder).free
    if size > path.stat().st_size * _MAX_RATIO:
        raise VolumeError(f"{path}: says that it holds {size} bytes, more than it can; do not trust this archive")
    if size > max_bytes:
        raise VolumeError(
            f"{path}: holds {size / 2**30:.2f} GiB, {max_bytes / 2**30:.2f} GiB are the most that are unpacked; {_CURE}"
        )
    if size > free:
        raise VolumeError(
            f"{path}: needs {size / 2**30:.2f} GiB in {folder.parent}, where {free / 2**30:.2f} GiB are free; make "
            "room, or name another place with TMPDIR=FOLDER"
        )


def _unpack(archive: zipfile.ZipFile, file: zipfile.ZipInfo, target: Path) -> None:
    """One file, with its checksum."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(file) as source, target.open("xb") as copy:
        shutil.copyfileobj(source, copy)
