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
    is_gone: bool = False
    """Whether a file that it was made from is not where it was; a copy of the data elsewhere may still want it."""


def survey(store: Store) -> list[Entry]:
    """All that is in a store but what is being made; files that changed are read to tell whether their content did."""
    if not store.cases.is_dir():
        return []
    folders = sorted(folder for folder in store.cases.iterdir() if folder.is_dir())
    return [entry for folder in folders if (entry := _entry(store, folder)) is not None]


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


def _entry(store: Store, folder: Path) -> Entry | None:
    """None where another process is at work on it, or has finished or removed it since it was listed."""
    is_draft = folder.name.startswith(".")
    try:
        if is_draft and not _is_left_over(store, folder):
            return None
        size = sum(path.stat().st_size for path in folder.iterdir())
        page = read_page(folder)
        used = (folder / PAGE if page else folder).stat().st_mtime
    except FileNotFoundError:
        return None
    if is_draft or page is None:
        fault = "was never finished" if is_draft else "is damaged or of another version"
        return Entry(folder, None, size, used, fault)
    gone = [name for name in page.sources if not Path(name).exists()]
    return Entry(folder, page, size, used, _fault(store, page), is_gone=bool(gone))


def _is_left_over(store: Store, draft: Path) -> bool:
    with lock.attempt(store.cases / draft.name.removeprefix(".").removesuffix(".tmp")) as is_ours:
        return is_ours


def _fault(store: Store, page: Page) -> str | None:
    for name, digest in page.sources.items():
        path = Path(name)
        if path.exists() and store.sources.digest(path) != digest:
            return f"was made from {path}, which has changed"
    return None
