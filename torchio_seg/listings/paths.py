"""Paths that a listing gives: within their folder, volumes, there; ids made from file names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from torchio_seg.errors import DataError
from torchio_seg.volumes.names import WHOLE, listed, suffix

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SHOWN = 10


def inside(given: str, folder: Path, where: str) -> Path:
    """A volume's file below the folder, or an error that begins with `where`: a listing must not reach other files."""
    relative = PurePosixPath(given.replace("\\", "/"))
    drive = len(given) > 1 and given[1] == ":"
    if relative.is_absolute() or drive or ".." in relative.parts or "\0" in given or not relative.parts:
        raise DataError(f"{where} names '{given}'; paths are relative to {folder} and stay within that folder")
    if not is_volume(relative):
        raise DataError(f"{where} names '{given}'; images and labels are files of {listed(WHOLE, last='or')}")
    return folder.joinpath(*relative.parts)


def is_volume(path: Path | PurePosixPath) -> bool:
    """By its name; a header of voxels in another file is none: what is remembered of a file goes by that file alone."""
    return suffix(Path(path), WHOLE) is not None


def is_hidden(path: Path) -> bool:
    """Files that no one means to list, the '._' companions that macOS makes among them."""
    return path.name.startswith(".")


def require_folder(root: Path, wanted: str) -> None:
    """Hold that the root is a folder; `wanted` says which one belongs there."""
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "is not there"
        raise DataError(f"{root} {what}; give {wanted}")


def require_files(files: Sequence[Path], folder: Path, listing: str) -> None:
    """Hold that every file is there and that none is a link to somewhere outside the folder."""
    if missing := [_within(path, folder) for path in files if not path.is_file()]:
        raise DataError(
            f"{folder}: {len(missing)} of {len(files)} files in {listing} are missing: {few(missing)}; "
            "unpack the archive again, or take their entries out"
        )
    require_no_escape(files, folder)


def require_no_escape(files: Iterable[Path], folder: Path) -> None:
    """Hold that no file is a link to somewhere outside the folder."""
    home = folder.resolve()
    if outside := [_within(path, folder) for path in files if not path.resolve().is_relative_to(home)]:
        raise DataError(f"{folder}: {few(outside)} are links that leave the folder; put the files themselves there")


def require_unique(ids: Iterable[str], where: str) -> None:
    """Hold that no case is listed twice."""
    if repeated := sorted(case for case, number in Counter(ids).items() if number > 1):
        raise DataError(f"{where} lists {few(repeated)} more than once; keep one entry for each case")


def few(items: Sequence[str]) -> str:
    """The first ten of a list in a message, and how many follow."""
    rest = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _within(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
