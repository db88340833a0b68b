"""`torchio-seg download`: a data set on disk, complete, from its name."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from torchio_seg import components
from torchio_seg.catalogue import lookup
from torchio_seg.catalogue.entry import Entry
from torchio_seg.download.archive import Archive
from torchio_seg.download.fetching import fetch
from torchio_seg.download.unpacking import unpack
from torchio_seg.errors import DataError, UsageError
from torchio_seg.progress import Progress
from torchio_seg.records import Dataset


@dataclass(frozen=True)
class Downloaded:
    """Where a data set lies now, and what is trained on it."""

    folder: Path
    dataset: Dataset
    experiment: str
    is_new: bool
    """Whether anything had to be done."""


def find_archive(name: str) -> tuple[Entry, Archive]:
    """The data set of a name and its archive; where it has none, an error that says how else to get it."""
    entry = lookup.find(name)
    if entry.archive is None:
        steps = "\n".join(f"  {step}" for step in entry.how)
        raise UsageError(f"{name} is not fetched by a command. {entry.title}:\n{steps}")
    return entry, entry.archive


def download(
    name: str,
    root: Path | None,
    *,
    keep_archive: bool = False,
    progress: Progress,
    context: ssl.SSLContext | None = None,
) -> Downloaded:
    """The data set of this name in `root`, by default in its own folder below data/."""
    entry, archive = find_archive(name)
    folder = root or Path("data") / entry.folder
    is_new = not _holds_something(folder)
    if is_new:
        obtain(archive, folder, keep_archive=keep_archive, progress=progress, context=context)
    return Downloaded(folder, _listed(folder), entry.family, is_new)


def obtain(
    archive: Archive,
    folder: Path,
    *,
    keep_archive: bool,
    progress: Progress,
    context: ssl.SSLContext | None = None,
) -> None:
    """Fetch an archive beside the folder, make the folder from it, and take the archive away unless it is to stay."""
    file = fetch(archive, folder.parent, progress=progress, context=context)
    unpack(file, folder, progress=progress)
    if not keep_archive:
        file.unlink()


def _holds_something(folder: Path) -> bool:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder with --root DIR")
    return folder.is_dir() and any(folder.iterdir())


def _listed(folder: Path) -> Dataset:
    """The cases that the folder's dataset.json lists, all of whose files are there."""
    try:
        dataset: Dataset = components.assemble("datasets", {"name": "decathlon"}, folder)
    except DataError as error:
        raise DataError(
            f"{folder} holds something else than the complete data set; move it away, or name another folder with "
            f"--root DIR, then run this again ({error})"
        ) from error
    return dataset
