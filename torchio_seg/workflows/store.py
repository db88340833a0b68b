"""`torchio-seg store`: what is kept of prepared cases, and clearing it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchio_seg.store.clearing import Entry, clear, survey
from torchio_seg.workflows.storing import open_store

_SECONDS_A_DAY = 86400


@dataclass(frozen=True)
class Group:
    """Cases of one data set that are kept alike."""

    dataset: str
    kept_as: str
    """In words."""
    entries: tuple[Entry, ...]

    @property
    def num_bytes(self) -> int:
        return sum(entry.num_bytes for entry in self.entries)

    @property
    def num_useless(self) -> int:
        """Those that no training can want again."""
        return sum(entry.fault is not None for entry in self.entries)

    @property
    def num_gone(self) -> int:
        """Those whose files are not where they were."""
        return sum(entry.is_gone for entry in self.entries)

    @property
    def days_unused(self) -> float:
        """Since the last of them was wanted."""
        return (time.time() - max(entry.used for entry in self.entries)) / _SECONDS_A_DAY


def list_store(folder: Path | None) -> tuple[Path, list[Group]]:
    """Where the store is, and what it holds, the largest groups first."""
    store = open_store(folder)
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in survey(store):
        page = entry.page
        key = ("(leftovers)", "damaged, unfinished or of another version")
        if page is not None:
            key = (page.dataset, _in_words(page.layout))
        groups.setdefault(key, []).append(entry)
    found = [Group(*key, tuple(entries)) for key, entries in groups.items()]
    return store.folder, sorted(found, key=lambda group: -group.num_bytes)


def clean_store(
    folder: Path | None,
    *,
    everything: bool = False,
    gone: bool = False,
    unused_days: float | None = None,
    dry_run: bool = False,
) -> tuple[Path, Sequence[Entry]]:
    """Take away what no training can want again, and what is asked for besides."""
    store = open_store(folder)
    oldest = -float("inf") if unused_days is None else time.time() - unused_days * _SECONDS_A_DAY

    def is_wanted(entry: Entry) -> bool:
        return not everything and entry.fault is None and not (gone and entry.is_gone) and entry.used >= oldest

    return store.folder, clear(store, is_wanted, dry_run=dry_run)


def _in_words(layout: Mapping[str, Any]) -> str:
    grid = "voxels as they are"
    if layout["resize"]:
        grid = f"{_by(layout['resize'])} voxels"
    elif layout["spacing"]:
        grid = f"{_by(layout['spacing'])} mm"
    if layout["crop_or_pad"]:
        grid += f", cut to {_by(layout['crop_or_pad'])}"
    return f"{grid}, {layout['dtype']}" + (", with a sampling map" if layout["has_map"] else "")


def _by(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:.3g}" for number in numbers)
