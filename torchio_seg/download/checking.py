"""Whether a file is the one that was published, and the one that was fetched the first time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from torchio_seg.download.archive import Archive
from torchio_seg.download.meter import metered
from torchio_seg.errors import DataError
from torchio_seg.files import write_json
from torchio_seg.progress import Progress

CHUNK = 1 << 20


def check(path: Path, archive: Archive, target: Path, progress: Progress) -> None:
    """Raise where size or checksum differ; the first time, note the SHA-256 beside the target."""
    size = path.stat().st_size
    md5, sha256 = _hashes(path, size, archive.name, progress)
    record = target.with_name(f"{target.name}.json")
    earlier = _earlier(record)
    for what, expected, found in (
        ("bytes", archive.size, size),
        ("MD5", archive.md5, md5),
        ("SHA-256, as noted at the first download,", earlier, sha256),
    ):
        if expected not in {None, found}:
            cure = "what was fetched is removed, run the command again" if path != target else "remove it and run again"
            raise DataError(f"{path} is not the published file: {what} expected {expected}, found {found}; {cure}")
    if earlier is None:
        write_json(record, {"url": archive.url, "size": size, "md5": md5, "sha256": sha256})


def _hashes(path: Path, size: int, name: str, progress: Progress) -> tuple[str, str]:
    """MD5, which is what publishers state, and SHA-256, which nobody can forge, in one reading."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with metered(progress, f"checking {name}", size) as meter, path.open("rb") as file:
        while chunk := file.read(CHUNK):
            md5.update(chunk)
            sha256.update(chunk)
            meter.add(len(chunk))
    return md5.hexdigest(), sha256.hexdigest()


def _earlier(record: Path) -> str | None:
    """The SHA-256 of the first download, where one was noted."""
    try:
        noted = json.loads(record.read_text(encoding="utf-8"))["sha256"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{record} is not the note of a download; remove it and run again") from error
    return str(noted)
