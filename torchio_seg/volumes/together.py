"""When whole drafts of files get their names: each at once, or several together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

from torchio_seg.errors import VolumeError

Naming = Callable[[Path, Path], None]
"""Takes a draft that is whole, and the name that it is to have."""


def at_once(draft: Path, path: Path) -> None:
    """Give a draft its name."""
    draft.replace(path)
    _sync(path.parent)


class Together:
    """Drafts that wait under their hidden names until all of them are whole; removed where that never comes."""

    def __init__(self) -> None:
        self._waiting: dict[Path, Path] = {}
        """Drafts by their names to be."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for draft in self._waiting.values():
            draft.unlink(missing_ok=True)

    def add(self, draft: Path, path: Path) -> None:
        self._waiting[path] = draft

    def name(self) -> None:
        """Give each its name; should the disk refuse one, files that are new are removed, and those replaced told."""
        was_there = {path: path.exists() for path in self._waiting}
        done: list[Path] = []
        try:
            for path, draft in self._waiting.items():
                at_once(draft, path)
                done.append(path)
        except OSError as error:
            replaced = [str(each) for each in done if was_there[each]]
            for each in done:
                if not was_there[each]:
                    each.unlink(missing_ok=True)
            state = f"replaced already: {', '.join(replaced)}" if replaced else "what was there before is unchanged"
            raise VolumeError(
                f"{path}: could not be given its name ({error.strerror or error}), nor those with it; {state}. "
                "Choose another folder, or run again with --overwrite"
            ) from error


def _sync(folder: Path) -> None:
    """Make the new name itself survive a power loss."""
    with contextlib.suppress(OSError):  # some network file systems cannot; the file is complete all the same
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
