"""What earlier readings found, on disk: one small JSON file for each folder of scans."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from torchio_seg.errors import DataError
from torchio_seg.facts.record import Facts, Role
from torchio_seg.files import write_text

Stamp = tuple[int, int]

FORMAT = 5
"""Raised whenever the same file would give other facts than before."""


@dataclass(frozen=True)
class Entry:
    """A line of the memory."""

    stamp: Stamp
    facts: Facts


@dataclass(frozen=True)
class _Page:
    """The memory of one folder."""

    format: str
    folder: str
    entries: dict[str, Entry]


def keep(found: Mapping[Path, Entry], role: Role) -> None:
    """Remember; a cache folder that cannot be written only costs time at the next call.

    Of two processes that remember about one folder at once, the later replaces the page of the earlier.
    """
    for folder, members in by_folder(found).items():
        entries = load(folder) | {key_of(role, path): found[path] for path in members}
        try:
            file = _file(folder)
            file.parent.mkdir(parents=True, exist_ok=True)
            page = _Page(_format(), str(folder), entries)
            write_text(file, _pages().dump_json(page, exclude_defaults=True).decode())
        except (OSError, DataError):
            return


def load(folder: Path) -> dict[str, Entry]:
    """What is remembered of a folder; nothing, where the page is damaged or another version's."""
    try:
        page = _pages().validate_json(_file(folder).read_bytes())
    except (OSError, ValidationError):
        return {}
    return page.entries if (page.format, page.folder) == (_format(), str(folder)) else {}


@cache
def _pages() -> TypeAdapter[Any]:
    """Made once: pydantic builds a validator for it."""
    return TypeAdapter(_Page)


@cache
def _format() -> str:
    return f"{FORMAT} of {version('torchio-seg')}"


def _file(folder: Path) -> Path:
    return cache_folder() / "facts" / f"{hashlib.blake2b(os.fsencode(folder), digest_size=12).hexdigest()}.json"


def key_of(role: Role, path: Path) -> str:
    return f"{role} {path.name}"


def by_folder(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent.resolve(), []).append(path)
    return folders


def stamp_of(path: Path) -> Stamp | None:
    """Size and time of change of the file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def cache_folder() -> Path:
    """Where facts are remembered: TORCHIO_SEG_CACHE, else the user's cache folder."""
    own = os.environ.get("TORCHIO_SEG_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torchio-seg"
