"""What a store holds, and what of it can be of no use any more."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torchio_seg import lock
from torchio_seg.errors import DataError
from torchio_seg.store.store import PAGE, Page, read_page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torchio_seg.store.store import Store


@dataclass(frozen=True)
class Entry:
    """A folder in a store."""

    folder: Path
    page: Page | None
    """None where it is damaged, unfinished or of another version."""
    num_bytes: int
    used: float
    """When it was last wanted, in seconds since 1970."""
    fault: str | None
    """Why no training can want it again, or None."""


def survey(store: Store) -> list[Entry]:
    """All that is in a store; files that changed since are read to tell whether their content did."""
    if not store.cases.is_dir():
        return []
    return [_entry(store, folder) for folder in sorted(store.cases.iterdir()) if folder.is_dir()]


def clear(store: Store, is_wanted: Callable[[Entry], bool], *, dry_run: bool = False) -> Sequence[Entry]:
    """Take away what is not wanted; an error where the store is in use."""
    if not store.cases.is_dir():
        return []
    with lock.together(store.folder / "in-use", alone=True):
        unwanted = [entry for entry in survey(store) if not is_wanted(entry)]
        for entry in unwanted if not dry_run else []:
            try:
                shutil.rmtree(entry.folder)
            except OSError as error:
                raise DataError(f"{entry.folder} cannot be taken away: {error.strerror or error}") from error
        if not dry_run:
            store.sources.forget()
    return unwanted


def _entry(store: Store, folder: Path) -> Entry:
    files = [path for path in folder.iterdir() if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    page_file = folder / PAGE
    used = (page_file if page_file.exists() else folder).stat().st_mtime
    page = read_page(folder)
    return Entry(folder, page, size, used, _fault(store, page, is_draft=folder.name.startswith(".")))


def _fault(store: Store, page: Page | None, *, is_draft: bool) -> str | None:
    if is_draft:
        return "was never finished"
    if page is None:
        return "is damaged or of another version"
    for name, digest in page.sources.items():
        path = Path(name)
        if not path.exists():
            return f"was made from {path}, which is gone"
        if store.sources.digest(path) != digest:
            return f"was made from {path}, which has changed"
    return None
