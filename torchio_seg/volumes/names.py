"""What files of volumes are called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NIFTI = (".nii.gz", ".nii")
NRRD = (".nrrd", ".nhdr")
METAIMAGE = (".mha", ".mhd")
READ = (*NIFTI, *NRRD, *METAIMAGE)
"""What is read; of each kind, the first is what is written unless the user says otherwise."""
DETACHED = (".nhdr", ".mhd")
"""Headers whose voxels lie in another file."""
WHOLE = tuple(ending for ending in READ if ending not in DETACHED)
"""One file that is all of a volume: what is written, and what data sets are made of."""


def suffix(path: Path, among: Sequence[str] = READ) -> str | None:
    """Which of these a name ends in, in capitals too; None where in none."""
    return next((ending for ending in among if Path(path).name.lower().endswith(ending)), None)


def stem(path: Path) -> str:
    """The name without the suffix of a volume: `sub-1.2024.nii.gz` is `sub-1.2024`."""
    name = Path(path).name
    return name[: len(name) - len(suffix(path) or "")]


def same_format(path: Path) -> str:
    """The suffix of outputs in the format of an input; what is none of these, such as DICOM, becomes NIfTI."""
    found = suffix(path)
    return next((kind[0] for kind in (NRRD, METAIMAGE) if found in kind), NIFTI[0])


def listed(endings: Sequence[str], *, last: str = "and") -> str:
    """Several suffixes in a sentence."""
    return f"{', '.join(endings[:-1])} {last} {endings[-1]}"


def not_read(path: Path) -> str:
    """What is said of a file that no reader is for."""
    if path.suffix.lower() == ".dcm":
        return f"{path} is a single file of DICOM: name the folder, or the zip archive, of the whole series"
    return f"{path}: only {listed(READ)} are read; convert it first, or name the folder that it lies in if it is DICOM"
