"""Make what a store lacks: several cases side by side, each once, whichever process comes first."""

from __future__ import annotations

import logging
import os
import random
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from torchio_seg import lock, processors
from torchio_seg.errors import DataError
from torchio_seg.facts import recall_facts
from torchio_seg.progress import Silent
from torchio_seg.store.laying import lay_out
from torchio_seg.volumes.budget import Budget

if TYPE_CHECKING:
    from torchio_seg.progress import Progress
    from torchio_seg.records import Case
    from torchio_seg.store.laying import Layout
    from torchio_seg.store.store import Store, Stored, Wanted

log = logging.getLogger(__name__)

_MOST_THREADS = 8
_MEMORY = Budget(8 * 2**30)
"""For the cases that all threads hold together."""
_LOOK_AGAIN_S = 0.1
_SPARE_BYTES = 2**29
"""Of the disk, left to others."""
_INDEX_BYTES = 4
"""A foreground voxel."""


def prepare(store: Store, cases: Sequence[Case], layout: Layout, *, progress: Progress | None = None) -> list[Stored]:
    """Every case as it is kept, in the given order; what is missing is made, once there is room for all of it."""
    progress = progress or Silent()
    with store.in_use():
        wanted = _look_up(store, cases, layout, progress)
        found = {each.case.id: store.find(each) for each in wanted}
        missing = [each for each in wanted if found[each.case.id] is None]
        if missing:
            needed = _require_room(store, missing) / 1e9
            log.info("preparing %d of %d cases, up to %.2g GB in %s", len(missing), len(cases), needed, store.folder)
            found |= _make_all(store, missing, progress)
    return [kept for case in cases if (kept := found[case.id]) is not None]


def _look_up(store: Store, cases: Sequence[Case], layout: Layout, progress: Progress) -> list[Wanted]:
    """The key of each case; files that changed are read for it, side by side."""
    wanted = []
    progress.start("looking for prepared cases", len(cases))
    try:
        with ThreadPoolExecutor(_num_threads()) as pool:
            for each in pool.map(lambda case: store.want(case, layout), cases):
                wanted.append(each)
                progress.advance()
    finally:
        progress.finish()
    return wanted


def _make_all(store: Store, missing: Sequence[Wanted], progress: Progress) -> dict[str, Stored]:
    """In an order of this process's own, so that two processes seldom wait for each other; the first error ends it."""
    order = random.Random(os.getpid()).sample(missing, len(missing))  # noqa: S311 (no secret)
    made: dict[str, Stored] = {}
    progress.start("preparing cases", len(missing))
    try:
        with ThreadPoolExecutor(_num_threads()) as pool:
            running = {pool.submit(_make, store, wanted): wanted.case for wanted in order}
            try:
                for done in as_completed(running):
                    made[running[done].id] = done.result()
                    progress.advance()
            finally:
                pool.shutdown(cancel_futures=True)
    finally:
        progress.finish()
    return made


def _make(store: Store, wanted: Wanted) -> Stored:
    """A case laid out and kept, unless somebody else does so meanwhile."""
    while True:
        with lock.attempt(store.cases / wanted.key) as is_ours:
            if (kept := store.find(wanted)) is not None:
                return kept
            if is_ours:
                with _MEMORY.share(wanted.layout.size_of(wanted.case)[0]):
                    return store.keep(wanted, lay_out(wanted.case, wanted.layout))
        time.sleep(_LOOK_AGAIN_S)


def _require_room(store: Store, missing: Sequence[Wanted]) -> int:
    """The bytes that the cases will take at most; an error where the disk has not so many."""
    needed = sum(_disk_bytes(each.case, each.layout) for each in missing)
    free = shutil.disk_usage(store.folder).free
    if needed + _SPARE_BYTES > free:
        raise DataError(
            f"preparing {len(missing)} cases takes up to {needed / 1e9:.2g} GB, but {store.folder} has "
            f"{free / 1e9:.1f} GB left; make room ('torchio-seg store clean' may), or name a folder on another disk "
            "with --set sampling.store=FOLDER or TORCHIO_SEG_STORE"
        )
    return needed


def _disk_bytes(case: Case, layout: Layout) -> int:
    """With an index of the foreground that the label map is known to have."""
    _, size = layout.size_of(case)
    if case.label is None:
        return size
    facts = recall_facts([case.label], "label").get(case.label)
    if facts is None or facts.values is None or not facts.num_voxels:
        return size
    share = 1 - facts.values.get(0, 0) / facts.num_voxels
    voxels = size / (layout.num_channels * (2 if layout.dtype == "float16" else 4) + 1)
    return size + round(_INDEX_BYTES * share * voxels)


def _num_threads() -> int:
    return min(_MOST_THREADS, processors.available())
