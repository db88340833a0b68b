"""What whole files hold, found by one strict reading each and remembered until a file changes.

Reading a data set takes minutes; whether a file changed is told by its path, size and time of change. What was found is
kept in the user's cache folder, one small JSON file for each folder of scans; it does not depend on any setting.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from torchio_seg.errors import DataError
from torchio_seg.files import write_text
from torchio_seg.progress import Silent
from torchio_seg.volumes.budget import Budget
from torchio_seg.volumes.nifti import read, read_geometry, whole_values

if TYPE_CHECKING:
    from torchio_seg.progress import Progress
    from torchio_seg.volumes.geometry import Affine, Array

_log = logging.getLogger(__name__)

Role = Literal["image", "label"]
Row = tuple[float, float, float, float]
Stamp = tuple[int, int]

FORMAT = 5
"""Raised whenever the same file would give other facts than before."""
_SAMPLED_VOXELS = 1 << 18
_MOST_THREADS = 4
_MEMORY = Budget(8 * 2**30)
"""For the volumes that all threads hold together."""
_SHOWN = 10


@dataclass(frozen=True)
class Watch:
    """What was read since somebody began to watch."""

    verify: bool = False
    """Whether nothing older is believed."""
    read: set[tuple[Role, Path]] = field(default_factory=set)
    """Files under the one path that all of its spellings lead to."""

    @property
    def num_files(self) -> int:
        """A file that is an image and a label map is one."""
        return len({path for _, path in self.read})

    def believes(self, role: Role, path: Path) -> bool:
        return not self.verify or (role, path) in self.read


_WATCH: ContextVar[Watch | None] = ContextVar("_WATCH", default=None)


@dataclass(frozen=True)
class Facts:
    """What one reading of a file found."""

    problem: str | None = None
    """Why the file cannot be trusted, without its path, of which there are several; then nothing else is known."""
    is_passing: bool = False
    """Whether the problem is the computer's, not the file's, so that it may be gone the next time."""
    shape: tuple[int, int, int] = (0, 0, 0)
    """Voxels along I J K."""
    num_channels: int = 0
    rows: tuple[Row, ...] = ()
    """Of the affine."""
    digest: str = ""
    """Of the shape and a regular sample of the voxels' values: equal volumes have equal digests."""
    lowest: tuple[float, ...] = ()
    """Of each channel."""
    highest: tuple[float, ...] = ()
    num_nonfinite: int = 0
    """Voxels of an image that are NaN or infinite; everything else was found with 0 in their place."""
    values: Mapping[int, int] | None = None
    """How many voxels hold each value, for a label map."""
    num_rounded: int = 0
    """Voxels of a label map that are only near a whole number, as a scale factor leaves them."""

    @property
    def affine(self) -> Affine:
        """From voxels to millimetres."""
        return np.array(self.rows)

    @property
    def num_voxels(self) -> int:
        """In all channels together."""
        i, j, k = self.shape
        return i * j * k * self.num_channels


@contextmanager
def watch(*, verify: bool = False) -> Iterator[Watch]:
    """Tells what is read within; to `verify`, everything is, but each file once."""
    watched = Watch(verify)
    token = _WATCH.set(watched)
    try:
        yield watched
    finally:
        _WATCH.reset(token)


def read_facts(paths: Sequence[Path], role: Role, *, progress: Progress | None = None) -> dict[Path, Facts]:
    """The facts of every file, in the given order; only what changed since an earlier call is read.

    Files are read side by side by a few threads.
    """
    known = recall_facts(paths, role)
    missing = [path for path in dict.fromkeys(paths) if path not in known]
    if missing:
        _log.info("reading %d %s", len(missing), "images" if role == "image" else "label maps")
    found = _read_all(missing, role, progress or Silent()) if missing else {}
    return {path: known.get(path) or found[path] for path in paths}


def recall_facts(paths: Iterable[Path], role: Role) -> dict[Path, Facts]:
    """What earlier readings found about those files that have not changed."""
    known: dict[Path, Facts] = {}
    watched = _WATCH.get() or Watch()
    for folder, members in _by_folder(paths).items():
        entries = _load(folder)
        for path in members:
            entry = entries.get(_key(role, path))
            if entry is None or entry.stamp != _stamp(path):
                continue
            if watched.believes(role, folder / path.name):
                known[path] = entry.facts
    return known


def label_values(paths: Sequence[Path], *, progress: Progress | None = None) -> dict[Path, Mapping[int, int]]:
    """How many voxels of each label map hold each value, of those that can be trusted; raises where none can."""
    found = read_facts(paths, "label", progress=progress)
    trusted = {path: facts.values or {} for path, facts in found.items() if facts.problem is None}
    if trusted or not found:
        return trusted
    problems = [f"{path}: {facts.problem}" for path, facts in found.items()]
    if len(problems) == 1:
        raise DataError(problems[0])
    more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    listed = "\n  ".join(problems[:_SHOWN])
    raise DataError(f"none of {len(problems)} label maps can be used:\n  {listed}{more}")


def examine(path: Path, role: Role) -> Facts:
    """Read one file whole, once there is memory for it beside those that other threads read."""
    with _MEMORY.share(_size_in_memory(path)):
        return _examine(path, role)


def _examine(path: Path, role: Role) -> Facts:
    try:
        volume = read(path, nonfinite="zero")
        values = whole_values(volume) if role == "label" else None
    except DataError as error:
        problem = str(error).removeprefix(f"{path}: ")
        return Facts(problem=problem, is_passing=isinstance(error.__cause__, OSError | MemoryError))
    channels = [channel.ravel(order="K") for channel in volume.array]
    return Facts(
        shape=volume.shape,
        num_channels=volume.num_channels,
        rows=tuple((row[0], row[1], row[2], row[3]) for row in volume.affine.tolist()),
        digest=_digest(volume.array),
        lowest=tuple(float(channel.min()) for channel in channels),
        highest=tuple(float(channel.max()) for channel in channels),
        num_nonfinite=volume.num_zeroed,
        values=values,
        num_rounded=_num_rounded(volume.array) if role == "label" else 0,
    )


def _num_rounded(array: Array) -> int:
    return int(np.count_nonzero(array != np.rint(array))) if array.dtype.kind == "f" else 0


def _size_in_memory(path: Path) -> int:
    """At most so many bytes; none where the header is bad, which is found out before any memory is needed."""
    try:
        geometry = read_geometry(path)
    except DataError:
        return 0
    size = 4 if geometry.dtype.kind == "f" else max(4, geometry.dtype.itemsize)  # what is scaled becomes float32
    return math.prod(geometry.shape) * geometry.num_channels * size


def cache_folder() -> Path:
    """Where facts are remembered: TORCHIO_SEG_CACHE, else the user's cache folder."""
    own = os.environ.get("TORCHIO_SEG_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torchio-seg"


@dataclass(frozen=True)
class _Entry:
    """A line of the memory."""

    stamp: Stamp
    facts: Facts


@dataclass(frozen=True)
class _Page:
    """The memory of one folder."""

    format: str
    folder: str
    entries: dict[str, _Entry]


def _read_all(paths: Sequence[Path], role: Role, progress: Progress) -> dict[Path, Facts]:
    """Read files side by side; what was found is remembered even where the work is interrupted."""
    entries: dict[Path, _Entry] = {}
    found: dict[Path, Facts] = {}
    if (watched := _WATCH.get()) is not None:
        watched.read.update((role, path.parent.resolve() / path.name) for path in paths)
    stamps = {path: _stamp(path) for path in paths}  # before reading: a change meanwhile is a change
    progress.start(f"reading {role}s", len(paths))
    try:
        with ThreadPoolExecutor(min(_MOST_THREADS, _num_processors())) as pool:
            running = {pool.submit(examine, path, role): path for path in paths}
            try:
                for done in as_completed(running):
                    path = running[done]
                    found[path] = done.result()
                    stamp = stamps[path]
                    if stamp is not None and not found[path].is_passing:
                        entries[path] = _Entry(stamp, found[path])
                    progress.advance()
            finally:
                pool.shutdown(cancel_futures=True)
                _keep(entries, role)
    finally:
        progress.finish()
    return {path: found[path] for path in paths}


def _num_processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _digest(array: Array) -> str:
    """Depends on values, not on how they are stored: an image saved as int16 and as float32 is one image."""
    voxels = array.ravel(order="K")
    sample = voxels[:: max(1, voxels.size // _SAMPLED_VOXELS)].astype("<f4") + np.float32(0)  # no -0
    content = hashlib.blake2b(repr(array.shape).encode(), digest_size=16)
    content.update(sample.data)
    return content.hexdigest()


def _keep(found: Mapping[Path, _Entry], role: Role) -> None:
    """Remember; a cache folder that cannot be written only costs time at the next call.

    Of two processes that remember about one folder at once, the later replaces the page of the earlier.
    """
    for folder, members in _by_folder(found).items():
        entries = _load(folder) | {_key(role, path): found[path] for path in members}
        try:
            file = _file(folder)
            file.parent.mkdir(parents=True, exist_ok=True)
            page = _Page(_format(), str(folder), entries)
            write_text(file, _pages().dump_json(page, exclude_defaults=True).decode())
        except (OSError, DataError):
            return


def _load(folder: Path) -> dict[str, _Entry]:
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


def _key(role: Role, path: Path) -> str:
    return f"{role} {path.name}"


def _by_folder(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent.resolve(), []).append(path)
    return folders


def _stamp(path: Path) -> Stamp | None:
    """Size and time of change of the file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
