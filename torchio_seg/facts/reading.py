"""Read whole files once, side by side, and remember what was found."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg import machine
from torchio_seg.errors import DataError
from torchio_seg.facts import memory
from torchio_seg.facts.record import Facts, Role
from torchio_seg.progress import Silent
from torchio_seg.volumes.budget import Budget
from torchio_seg.volumes.nifti import read, read_geometry, whole_values

if TYPE_CHECKING:
    from torchio_seg.progress import Progress
    from torchio_seg.volumes.geometry import Array

_log = logging.getLogger(__name__)

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
    for folder, members in memory.by_folder(paths).items():
        entries = memory.load(folder)
        for path in members:
            entry = entries.get(memory.key_of(role, path))
            if entry is None or entry.stamp != memory.stamp_of(path):
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


def _read_all(paths: Sequence[Path], role: Role, progress: Progress) -> dict[Path, Facts]:
    """Read files side by side; what was found is remembered even where the work is interrupted."""
    entries: dict[Path, memory.Entry] = {}
    found: dict[Path, Facts] = {}
    if (watched := _WATCH.get()) is not None:
        watched.read.update((role, path.parent.resolve() / path.name) for path in paths)
    stamps = {path: memory.stamp_of(path) for path in paths}  # before reading: a change meanwhile is a change
    progress.start(f"reading {role}s", len(paths))
    try:
        with ThreadPoolExecutor(min(_MOST_THREADS, machine.num_processors())) as pool:
            running = {pool.submit(examine, path, role): path for path in paths}
            try:
                for done in as_completed(running):
                    path = running[done]
                    found[path] = done.result()
                    stamp = stamps[path]
                    if stamp is not None and not found[path].is_passing:
                        entries[path] = memory.Entry(stamp, found[path])
                    progress.advance()
            finally:
                pool.shutdown(cancel_futures=True)
                memory.keep(entries, role)
    finally:
        progress.finish()
    return {path: found[path] for path in paths}


def _digest(array: Array) -> str:
    """Depends on values, not on how they are stored: an image saved as int16 and as float32 is one image."""
    voxels = array.ravel(order="K")
    sample = voxels[:: max(1, voxels.size // _SAMPLED_VOXELS)].astype("<f4") + np.float32(0)  # no -0
    content = hashlib.blake2b(repr(array.shape).encode(), digest_size=16)
    content.update(sample.data)
    return content.hexdigest()
