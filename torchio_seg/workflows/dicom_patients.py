"""Which patients lie below a folder of DICOM, and which images and structure set of each belong together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torchio_seg.errors import DataError, TorchioSegError, VolumeError
from torchio_seg.volumes.dicom import Contents, Series, find_identity, walk
from torchio_seg.volumes.rtstruct import Structures, find_roi, read_structures


@dataclass(frozen=True)
class Patient:
    """One patient's folder; its name is the patient's id."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.resolve().name

    def fingerprint(self) -> str:
        """Changes with the names, sizes and times of the files."""
        digest = hashlib.sha256()
        for path in walk(self.folder):
            facts = path.stat()
            digest.update(f"{path.relative_to(self.folder)}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
        return digest.hexdigest()


def find_patients(root: Path) -> list[Patient]:
    """The folders below the root that hold DICOM, one a patient; or the root itself, where it is a patient's.

    It is where files lie in it directly, where all its folders are one study, or where it is called as the patient is.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give the folder that holds a folder for each patient")
    entries = sorted(entry for entry in root.iterdir() if not entry.name.startswith("."))
    identities = {entry: find_identity(entry) for entry in entries}
    found = {folder: identity for folder, identity in identities.items() if identity and folder.is_dir()}
    studies, names = {study for study, _ in found.values()}, {name for _, name in found.values()}
    is_one = (len(found) > 1 and len(studies) == 1) or names == {root.resolve().name}
    if is_one or any(identity for entry, identity in identities.items() if entry.is_file()):
        return [Patient(root)]
    if not found:
        raise DataError(f"{root} holds no DICOM files; give the folder that holds a folder for each patient")
    return [Patient(folder) for folder in found]


def choose_structures(contents: Contents, names: Sequence[str]) -> Structures:
    """The one structure set that holds all these ROIs."""
    if not contents.structures:
        raise DataError(f"no RTSTRUCT file among its {sum(s.num_files for s in contents.series)} images")
    sets = [read_structures(path) for path in contents.structures]
    complete = [structures for structures in sets if not _lacking(structures, names)]
    if len(complete) == 1:
        return complete[0]
    if complete:
        paths = ", ".join(str(structures.path) for structures in complete)
        raise DataError(f"{len(complete)} structure sets hold these ROIs: {paths}; keep one of them in the folder")
    raise DataError("; ".join(_lacking(structures, names) for structures in sets))


def series_of(structures: Structures, contents: Contents) -> Series:
    """The image series that a structure set was drawn on."""
    frames = {roi.frame_uid for roi in structures.rois}
    if structures.series_uids:
        matching = [series for series in contents.series if series.uid in structures.series_uids]
    else:
        matching = [series for series in contents.series if series.frame_uid in frames and not series.no_volume]
    if len(matching) == 1:
        return matching[0]
    there = ", ".join(f"{series.label} ({series.uid})" for series in contents.series) or "none"
    if matching:
        raise VolumeError(f"{structures.path}: {len(matching)} series fit it: {there}; keep one of them in the folder")
    raise VolumeError(
        f"{structures.path}: the series that it was drawn on ({', '.join(structures.series_uids) or 'not named'}) is "
        f"not there; there are: {there}. Put it into the patient's folder"
    )


def _lacking(structures: Structures, names: Sequence[str]) -> str:
    """What a structure set lacks, as a sentence; empty where it has all."""
    try:
        for name in names:
            find_roi(structures, name)
    except TorchioSegError as error:
        return str(error)
    return ""
