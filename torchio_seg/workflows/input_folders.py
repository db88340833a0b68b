"""What in a folder that the user names is taken as cases: its volumes, or the DICOM in it; what is left out is said."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from torchio_seg.errors import UsageError
from torchio_seg.volumes.dicom import DAMAGED, find_image
from torchio_seg.volumes.names import READ, listed, suffix
from torchio_seg.workflows.dicom_inputs import ZIP, is_dicom

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

BESIDE, UNPACKED = "beside what is taken", "unpacked beside it"
NOTHING, OUTPUT = "no volume, no image of DICOM", "outputs go there"
"""Why something is left out; the second two are what users expect."""
_MOST_NAMED = 5


def cases_in(folder: Path, *, only_dicom: bool, output: Path | None = None) -> list[Path]:
    """Files of volumes, and folders and archives of DICOM, one a case; or the folder itself, where it is one study.

    Volumes come before DICOM that lies beside them, unless only DICOM is wanted. A folder `output` in it is no input.
    """
    entries = _entries(folder)
    left = {each: OUTPUT for each in entries if _is(each, output)}
    entries = [each for each in entries if each not in left]
    if volumes := _volumes(entries, only_dicom):
        deeper = [each for each in entries if each.is_dir() and _volumes_below(each, output)]
        _tell(folder, volumes, dict.fromkeys([*_images(entries), *deeper], BESIDE))
        return volumes
    if any(find_image(entry) not in {None, DAMAGED} for entry in entries if entry.is_file()):
        if archives := _archives(entries):
            _tell(folder, [folder], dict.fromkeys(archives, BESIDE))
        return [folder]
    folders = {entry: _entries(entry) for entry in entries if entry.is_dir()}
    inside = {} if only_dicom else {each: found for each in folders if (found := _volumes_below(each, output))}
    return _cases_below(folder, entries, folders, inside, left=left)


def _cases_below(
    folder: Path,
    entries: Sequence[Path],
    folders: Mapping[Path, Sequence[Path]],
    volumes: Mapping[Path, list[Path]],
    *,
    left: dict[Path, str],
) -> list[Path]:
    """Those of a folder in which no volume and no slice lies, by what is in its folders and archives."""
    is_beside = {each: any(file.parent == each for file in found) for each, found in volumes.items()}
    below = {each: studied for each in folders if not is_beside.get(each) and (studied := _studies(each))}
    left |= {file.parent: BESIDE for each in below for file in volumes.get(each, ())}
    volumes = {each: found for each, found in volumes.items() if each not in below}
    studies = {path: study for found in below.values() for path, study in found.items()}
    left |= {each: BESIDE for each in volumes if _images(folders[each])}
    left |= {each: NOTHING for each in folders if each not in volumes and each not in below}
    left |= {each: UNPACKED for each in _archives(entries) if each.with_suffix("") in {*volumes, *below}}
    archives = [each for each in _archives(entries) if each not in left]
    if len(set(studies.values())) == 1 and not archives and (len(studies) > 1 or not volumes):  # series of one study
        if not volumes:
            return [folder]
        left |= dict.fromkeys(studies, BESIDE)
        studies = {}
    if not (taken := sorted([*(file for found in volumes.values() for file in found), *studies, *archives])):
        if is_dicom(folder):
            return [folder]  # whose files are damaged, which is told when they are read
        raise UsageError(f"{folder} holds no {listed(READ, last='or')} file, nor do the folders in it, and no DICOM")
    _tell(folder, taken, left)
    return taken


def _studies(folder: Path) -> dict[Path, tuple[str, str]]:
    """The folders of one study each, this one or those below it at any depth, and which study it is.

    One image tells it of each folder that holds some; what lies below such a folder is taken to belong to it.
    """
    entries, own = _entries(folder), None
    for each in entries:
        if each.is_file() and (found := find_image(each)) is not None:
            own = found
            if own != DAMAGED:
                return {folder: own}
    inside = (each for each in entries if each.is_dir() and not each.is_symlink())
    below = {path: study for each in inside for path, study in _studies(each).items()}
    known = set(below.values()) - {DAMAGED}
    if len(known) > 1:
        return below
    return {folder: next(iter(known), DAMAGED)} if below or own else {}


def _entries(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _volumes(entries: Sequence[Path], only_dicom: bool) -> list[Path]:
    return [] if only_dicom else [entry for entry in entries if suffix(entry)]


def _volumes_below(folder: Path, output: Path | None) -> list[Path]:
    """Those of a folder, or where it has none itself, of the folders in it, at any depth."""
    entries = [each for each in _entries(folder) if not _is(each, output)]
    inside = (each for each in entries if each.is_dir() and not each.is_symlink())
    return _volumes(entries, only_dicom=False) or [file for each in inside for file in _volumes_below(each, output)]


def _is(path: Path, output: Path | None) -> bool:
    """Whether outputs go there."""
    return output is not None and path.resolve() == output.resolve()


def _archives(entries: Sequence[Path]) -> list[Path]:
    return [entry for entry in entries if entry.is_file() and entry.suffix.lower() == ZIP]


def _images(entries: Sequence[Path]) -> list[Path]:
    """Those that are DICOM."""
    return [entry for entry in entries if not suffix(entry) and (is_dicom(entry) or find_image(entry) is not None)]


def _tell(folder: Path, taken: Sequence[Path], left: Mapping[Path, str]) -> None:
    """Say what became of a folder in which not all is volumes."""
    num_volumes = sum(suffix(each) is not None for each in taken)
    is_expected = set(left.values()) <= {NOTHING, OUTPUT}
    if is_expected and num_volumes == len(taken):
        return
    counts = (num_volumes, "volume", "volumes"), (len(taken) - num_volumes, "DICOM study", "DICOM studies")
    what = " and ".join(f"{number} {one if number == 1 else many}" for number, one, many in counts if number)
    named = [f"{each.name} ({why})" for each, why in left.items()]
    more = [f"and {len(named) - _MOST_NAMED} more"] if len(named) > _MOST_NAMED else []
    rest = f"; left out: {', '.join([*named[:_MOST_NAMED], *more])}; name what is meant too" if left else ""
    log.log(logging.INFO if is_expected else logging.WARNING, "%s: %s%s", folder, what, rest)
