"""Make what a store lacks: several cases side by side, each once, whichever process comes first."""

from __future__ import annotations

import logging
import os
import random
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event
from typing import TYPE_CHECKING

from torchio_seg import lock, machine
from torchio_seg.errors import DataError
from torchio_seg.facts import recall_facts
from torchio_seg.machine import in_units
from torchio_seg.progress import Silent
from torchio_seg.store.laying import lay_out
from torchio_seg.volumes.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torchio_seg.facts import Facts
    from torchio_seg.progress import Progress
    from torchio_seg.records import Case
    from torchio_seg.store.laying import Layout
    from torchio_seg.store.store import Store, Stored, Wanted

log = logging.getLogger(__name__)

_MOST_THREADS = 8
_MOST_MEMORY = 8 * 2**30
"""For the cases that all threads hold together; half of what is free where that is less."""
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
        found = {each.case.id: kept for each in wanted if (kept := store.find(each)) is not None}
        missing = [each for each in wanted if each.case.id not in found]
        if missing:
            needed = in_units(_require_room(store, missing))
            log.info("preparing %d of %d cases, up to %s in %s", len(missing), len(cases), needed, store.folder)
            found |= _make_all(store, missing, progress)
    return [found[case.id] for case in cases]


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
    memory, is_over = Budget(min(_MOST_MEMORY, machine.free_memory() // 2)), Event()
    progress.start("preparing cases", len(missing))
    try:
        with ThreadPoolExecutor(_num_threads()) as pool:
            running = {pool.submit(_make, store, wanted, memory, is_over): wanted.case for wanted in order}
            try:
                for done in as_completed(running):
                    made[running[done].id] = done.result()
                    progress.advance()
            finally:
                is_over.set()
                pool.shutdown(cancel_futures=True)
    finally:
        progress.finish()
    return made


def _make(store: Store, wanted: Wanted, memory: Budget, is_over: Event) -> Stored:
    """A case laid out and kept, unless somebody else does so meanwhile."""
    while not is_over.is_set():
        with lock.attempt(store.cases / wanted.key) as is_ours:
            if (kept := store.find(wanted)) is not None:
                return kept
            if is_ours:
                store.take_away(wanted)
                with memory.share(wanted.layout.reckon(wanted.case).memory):
                    voxels = lay_out(wanted.case, wanted.layout)
                if store.want(wanted.case, wanted.layout).key != wanted.key:
                    raise DataError(f"case {wanted.case.id}: a file changed while it was prepared; run this again")
                return store.keep(wanted, voxels)
        is_over.wait(_LOOK_AGAIN_S)
    raise DataError(f"case {wanted.case.id} was not prepared, because another failed")


def _require_room(store: Store, missing: Sequence[Wanted]) -> int:
    """The bytes that the cases will take at most; an error where the disk has not so many."""
    labels = [label for each in missing if (label := each.case.label) is not None]
    known = recall_facts(labels, "label")
    needed = sum(_disk_bytes(each, known) for each in missing)
    free = shutil.disk_usage(store.folder).free
    if needed + _SPARE_BYTES > free:
        raise DataError(
            f"preparing {len(missing)} cases takes up to {in_units(needed)}, but {store.folder} has {in_units(free)}, "
            f"{in_units(_SPARE_BYTES)} of it for others; make room ('torchio-seg store clean' may), or name a folder "
            "on another disk with --set sampling.store=FOLDER or TORCHIO_SEG_STORE"
        )
    return needed


def _disk_bytes(wanted: Wanted, known: Mapping[Path, Facts]) -> int:
    """With the index of the foreground that the label map is known to have; all of it where nothing is known."""
    needs = wanted.layout.reckon(wanted.case)
    facts = known.get(wanted.case.label) if wanted.case.label else None
    share = 1.0
    if facts is not None and facts.values is not None and facts.num_voxels:
        share = 1 - facts.values.get(0, 0) / facts.num_voxels
    return needs.disk + round(_INDEX_BYTES * share * needs.voxels)


def _num_threads() -> int:
    return min(_MOST_THREADS, machine.num_processors())
