"""What files hold, as a digest of their bytes; a file that has not changed is not read again for it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from torchio_seg.errors import DataError
from torchio_seg.files import write_json

_MOST_TRIES = 3
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True)
class Sources:
    """Digests of files, remembered in a folder."""

    folder: Path
    verify: bool = False
    """Whether nothing older is believed."""

    def digest(self, path: Path) -> str:
        """Of the file's bytes as they are now; remembered while its size, times and place on the disk stay.

        The time of the last change of its entry is among them, which nobody can set back (on Windows: of its making).
        """
        page = self.folder / f"{_hash(os.fsencode(path.resolve()))}.json"
        if not self.verify and (known := _read(page)) is not None and known.stamp == _stamp(path):
            return known.digest
        for _ in range(_MOST_TRIES):
            begun, stamp = time.time_ns(), _stamp(path)
            found = _read_digest(path)
            if _stamp(path) == stamp:
                if begun - max(stamp[1:3]) > _SETTLED_NS:  # else a change within one tick of the clock had its times
                    self.folder.mkdir(parents=True, exist_ok=True)
                    write_json(page, {"path": str(path.resolve()), "stamp": stamp, "digest": found})
                return found
        raise DataError(f"{path} changes while it is read; wait until it is written, then run this again")

    def forget(self) -> None:
        """Drop what is remembered of files that are gone."""
        for page in self.folder.glob("*.json"):
            known = _read(page)
            if known is None or not known.path.exists():
                page.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Known:
    """A remembered digest."""

    path: Path
    stamp: list[int]
    digest: str


def _read_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _read(page: Path) -> _Known | None:
    """What the page says; None where there is no page or it is damaged."""
    try:
        content = json.loads(page.read_bytes())
        return _Known(Path(content["path"]), content["stamp"], str(content["digest"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
