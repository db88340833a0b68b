"""A copy of a data set's folder, complete or absent, in which some files are replaced."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from torchio_seg.errors import DataError, UsageError
from torchio_seg.files import write_json
from torchio_seg.volumes.names import suffix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torchio_seg.check.mending import Mending
    from torchio_seg.progress import Progress

FIXES = "fixes.json"


def home_of(root: Path) -> Path:
    """The folder of a data set whose root may be a list file in it."""
    return root.parent if root.is_file() else root


def require_target(root: Path, target: Path, files: Sequence[Path]) -> None:
    """Hold that there may be a copy of the folder at the target, and that the files are in the folder."""
    if target.is_symlink() or (target.exists() and not target.is_dir()) or (target.is_dir() and any(target.iterdir())):
        raise UsageError(f"--fix {target}: it is there already and not an empty folder; name a new one")
    if not target.parent.is_dir():
        raise UsageError(f"--fix {target}: the folder {target.parent} does not exist; create it first")
    if target.resolve().is_relative_to(root.resolve()) or root.resolve().is_relative_to(target.resolve()):
        raise UsageError(
            f"--fix {target}: the copy and the data {root} cannot lie within each other; name another place"
        )
    if outside := [path for path in files if not path.is_relative_to(root)]:
        raise DataError(
            f"--fix copies {root}, but {len(outside)} of {len(files)} files lie elsewhere, such as {outside[0]}; "
            "bring them into one folder first"
        )


def write_copy(
    root: Path, target: Path, files: Sequence[Path], mendings: Mapping[Path, Mending], *, progress: Progress
) -> None:
    """Copy the folder that the files share, and what else below the root is no volume, but nothing hidden.

    Mended files are written instead of copied, and what was changed is listed beside.
    """
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    shared = Path(os.path.commonpath([path.parent for path in files]))
    members = [path for path in _members(root) if path.is_relative_to(shared) or suffix(path) is None]
    progress.start("copying", len(members))
    try:
        for path in members:
            copy = draft / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if path in mendings:
                mendings[path].write(copy)
            else:
                shutil.copyfile(path, copy)
            progress.advance()
        write_json(draft / FIXES, {"source": str(root.resolve()), "changes": changes_of(root, mendings)})
        draft.replace(target)
    except OSError as error:
        raise DataError(f"{target} could not be written: {error.strerror or error}; nothing was kept of it") from error
    finally:
        progress.finish()
        shutil.rmtree(draft, ignore_errors=True)


def changes_of(root: Path, mendings: Mapping[Path, Mending]) -> list[dict[str, str | int]]:
    """Every change, file by file, as JSON holds it."""
    return [
        {"file": path.relative_to(root).as_posix(), "what": change.what, "voxels": change.num_voxels}
        for path, mending in sorted(mendings.items())
        for change in mending.changes
    ]


def _members(root: Path) -> Iterator[Path]:
    """The files of a folder, links followed, no folder twice."""
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        seen.add(Path(folder).resolve())
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and (Path(folder) / name).resolve() not in seen
        )
        yield from (Path(folder) / name for name in sorted(names) if _is_copied(Path(folder) / name))


def _is_copied(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_file()
