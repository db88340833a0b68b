"""What whole files hold, found by one strict reading each and remembered until a file changes.

Reading a data set takes minutes; whether it changed is told by path, size and time of change in milliseconds. What was
found is kept in the user's cache folder, one small JSON file for each folder of scans.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from torchio_seg.errors import DataError
from torchio_seg.files import write_json
from torchio_seg.progress import Silent
from torchio_seg.volumes.nifti import read, whole_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torchio_seg.progress import Progress
    from torchio_seg.volumes.geometry import Array

Role = Literal["image", "label"]

FORMAT = 1
_SAMPLED_VOXELS = 1 << 20
_MOST_THREADS = 4  # each holds a volume


@dataclass(frozen=True)
class Facts:
    """What one reading of a file found."""

    problem: str | None = None
    """Why the file cannot be trusted; then nothing else is known."""
    digest: str = ""
    """Of the shape and a regular sample of the voxels' values: equal volumes have equal digests."""
    lowest: tuple[float, ...] = ()
    """Of each channel."""
    highest: tuple[float, ...] = ()
    values: Mapping[int, int] | None = None
    """How many voxels hold each value, for a label map."""


def read_facts(
    paths: Sequence[Path], role: Role, *, verify: bool = False, progress: Progress | None = None
) -> dict[Path, Facts]:
    """The facts of every file, in the given order; only what changed since an earlier call is read, or all to `verify`.

    Files are read side by side by a few threads.
    """
    memory = _Memory(role)
    known = {} if verify else memory.recall(paths)
    missing = [path for path in dict.fromkeys(paths) if path not in known]
    progress = progress or Silent()
    progress.start("reading", len(missing))
    try:
        with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
            running = {pool.submit(examine, path, role): path for path in missing}
            try:
                for done in as_completed(running):
                    known[running[done]] = done.result()
                    progress.advance()
            finally:
                pool.shutdown(cancel_futures=True)
                memory.keep({path: known[path] for path in missing if path in known})
    finally:
        progress.finish()
    return {path: known[path] for path in paths}


def label_values(paths: Sequence[Path], *, progress: Progress | None = None) -> dict[Path, Mapping[int, int]]:
    """How many voxels of each label map hold each value; raises where a file cannot be trusted."""
    found = read_facts(paths, "label", progress=progress)
    for facts in found.values():
        if facts.problem is not None:
            raise DataError(facts.problem)
    return {path: facts.values or {} for path, facts in found.items()}


def examine(path: Path, role: Role) -> Facts:
    """Read one file whole."""
    try:
        volume = read(path)
        values = whole_values(volume) if role == "label" else None
    except DataError as error:
        return Facts(problem=str(error))
    channels = volume.array
    flat = [channel.ravel(order="K") for channel in channels]
    lowest = tuple(float(channel.min()) for channel in flat)
    highest = tuple(float(channel.max()) for channel in flat)
    return Facts(None, _digest(channels), lowest, highest, values)


def _digest(array: Array) -> str:
    """Depends on values, not on how they are stored: an image saved as int16 and as float32 is one image."""
    voxels = array.ravel(order="K")
    sample = voxels[:: max(1, voxels.size // _SAMPLED_VOXELS)]
    content = np.ascontiguousarray(sample, dtype="<f4")
    return hashlib.blake2b(content.data, digest_size=16, salt=str(array.shape).encode()[:16]).hexdigest()


class _Memory:
    """The facts of earlier readings, on disk."""

    def __init__(self, role: Role) -> None:
        self.role = role

    def recall(self, paths: Iterable[Path]) -> dict[Path, Facts]:
        """What is known of those files that have not changed."""
        known: dict[Path, Facts] = {}
        for folder, members in _by_folder(paths).items():
            entries = self._read(folder)
            for path in members:
                entry = entries.get(f"{self.role} {path.name}")
                if entry is not None and entry["stamp"] == _stamp(path):
                    known[path] = _revive(entry["facts"])
        return known

    def keep(self, facts: Mapping[Path, Facts]) -> None:
        """Remember; a cache folder that cannot be written only costs time at the next call."""
        for folder, members in _by_folder(facts).items():
            entries = self._read(folder)
            entries |= {
                f"{self.role} {path.name}": {"stamp": stamp, "facts": asdict(facts[path])}
                for path in members
                if (stamp := _stamp(path)) is not None
            }
            try:
                file = _file(folder)
                file.parent.mkdir(parents=True, exist_ok=True)
                write_json(file, {"format": FORMAT, "folder": str(folder), "entries": entries})
            except (OSError, DataError):
                return

    def _read(self, folder: Path) -> dict[str, Any]:
        try:
            content = json.loads(_file(folder).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if content.get("format") != FORMAT or content.get("folder") != str(folder):
            return {}
        entries: dict[str, Any] = content["entries"]
        return entries


def cache_folder() -> Path:
    """Where facts are remembered: TORCHIO_SEG_CACHE, else the user's cache folder."""
    own = os.environ.get("TORCHIO_SEG_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torchio-seg"


def _file(folder: Path) -> Path:
    return cache_folder() / "facts" / f"{hashlib.blake2b(os.fsencode(folder), digest_size=12).hexdigest()}.json"


def _by_folder(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent.resolve(), []).append(path)
    return folders


def _stamp(path: Path) -> list[int] | None:
    """Size and time of change of the file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _revive(entry: Mapping[str, Any]) -> Facts:
    values = entry["values"]
    counts = None if values is None else {int(value): count for value, count in values.items()}
    return Facts(entry["problem"], entry["digest"], tuple(entry["lowest"]), tuple(entry["highest"]), counts)
