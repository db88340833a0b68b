"""When whole drafts of files get their names: each at once, or several together."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Self

from torchio_seg.errors import VolumeError
from torchio_seg.lock import alone_in, at_work_in

Naming = Callable[[Path, Path], None]
"""Takes a draft that is whole, and the name that it is to have."""
_DRAFT = re.compile(r"\.partial-[0-9a-f]{16}\.[a-z.]+")


def draft_name(ending: str) -> str:
    """A hidden name that nothing else has. Who writes under it is `at_work_in` its folder until it has its own."""
    return f".partial-{secrets.token_hex(8)}{ending}"


def clear_up(folder: Path) -> int:
    """Remove what processes that were killed have left of their drafts, unless any is at work there; tells how many."""
    num_removed = 0
    with contextlib.suppress(OSError):  # of a folder, or a file in it, that is another owner's
        if left := [each for each in folder.iterdir() if _DRAFT.fullmatch(each.name) and each.is_file()]:
            with alone_in(folder) as is_alone:
                for each in left if is_alone else ():
                    each.unlink(missing_ok=True)
                    num_removed += 1
    return num_removed


def at_once(draft: Path, path: Path) -> None:
    """Give a draft its name."""
    draft.replace(path)
    _sync(path.parent)


class Together:
    """Drafts that wait under their hidden names until all of them are whole; removed where that never comes."""

    def __init__(self) -> None:
        self._waiting: dict[Path, Path] = {}
        """Drafts by their names to be."""
        self._holds = contextlib.ExitStack()
        """What tells others that these drafts are not left over."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for draft in self._waiting.values():
            draft.unlink(missing_ok=True)
        self._holds.close()

    def add(self, draft: Path, path: Path) -> None:
        self._holds.enter_context(at_work_in(draft.parent))
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
