"""Which image series and structure sets lie below a folder, from headers alone."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg.errors import DataError, VolumeError
from torchio_seg.volumes.dicom_header import (
    STRUCTURES,
    Slice,
    class_of,
    date_of,
    description_of,
    is_directory,
    is_image,
    patient_of,
    read_header,
    slices_of,
    understood,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ORIENTATION_TOLERANCE = 1e-3  # of a direction cosine
_STACK = 0.75  # share of the images in one orientation, from which the others are a fault
_TOLD = 3
DAMAGED = ("", "")
"""In place of study and patient."""


def told(start: str, sentences: Sequence[str]) -> str:
    """One message of what is wrong, the first sentences after it and how many follow."""
    rest = len(sentences) - _TOLD
    return "; ".join([start, *sentences[:_TOLD], *([f"and {rest} more such"] if rest > 0 else [])])


@dataclass(frozen=True)
class Series:
    """Images that were made together."""

    uid: str
    modality: str
    description: str
    number: int | None
    patient: str
    """The patient id, or a hash of it where it tells the name."""
    date: str
    study_uid: str
    frame_uid: str
    """Names the coordinates that positions are in; empty where the files do not say."""
    slices: tuple[Slice, ...]
    no_volume: str = ""
    """Why it is no volume and none was meant, as with a localizer; empty for a volume, damaged or not."""
    damaged: tuple[str, ...] = ()
    """What is wrong with files beside it that may belong to it."""

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(part.path for part in self.slices))

    @property
    def num_files(self) -> int:
        return len(self.files)

    @property
    def folder(self) -> Path:
        return self.slices[0].path.parent

    @property
    def label(self) -> str:
        """How messages call it."""
        name = f"series {'?' if self.number is None else self.number}"
        return f"{name} '{self.description}' in {self.folder}" if self.description else f"{name} in {self.folder}"


@dataclass(frozen=True)
class Contents:
    """The DICOM files below a folder."""

    series: tuple[Series, ...]
    structures: tuple[Path, ...]
    """Files of RT structure sets."""
    damaged: tuple[str, ...]
    """A sentence for every file that should be DICOM and cannot be read."""


@dataclass
class _Gathered:
    """A series while its files are being found."""

    facts: dict[str, Any]
    slices: list[Slice] = field(default_factory=list)
    reasons: set[str] = field(default_factory=set)


def scan(folder: Path) -> Contents:
    """Read every header below a folder; series come by patient, number and UID, files that are no DICOM not at all."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the folder that holds the DICOM files")
    gathered: dict[str, _Gathered] = {}
    structures: list[Path] = []
    damaged: list[tuple[Path, str]] = []
    for path in walk(folder):
        try:
            with understood(path):
                _sort_in(path, gathered, structures)
        except VolumeError as error:
            damaged.append((path, str(error)))
    series = sorted((_series(uid, found, damaged) for uid, found in gathered.items()), key=_order)
    return Contents(tuple(series), tuple(structures), tuple(message for _, message in damaged))


def find_identity(place: Path) -> tuple[str, str] | None:
    """Study and patient id in the first DICOM file below a folder, or in a file; None where there is none."""
    for path in walk(place) if place.is_dir() else [place]:
        with contextlib.suppress(VolumeError), understood(path):
            header = read_header(path)
            if header is not None and not is_directory(header):
                return str(header.get("StudyInstanceUID")), str(header.get("PatientID"))
    return None


def find_image(place: Path) -> tuple[str, str] | None:
    """Study and patient id of the first image below a folder, or in a file; None where there is none.

    Where there is only damage, which may have been images, `DAMAGED`.
    """
    found = None
    for path in walk(place) if place.is_dir() else [place]:
        try:
            with understood(path):
                header = read_header(path)
                if header is not None and not is_directory(header) and is_image(path, header):
                    return str(header.get("StudyInstanceUID")), str(header.get("PatientID"))
        except VolumeError:
            found = DAMAGED
    return found


def walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder that may be DICOM, in a fixed order."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and name != "DICOMDIR" and path.is_file():
                yield path


def _sort_in(path: Path, gathered: dict[str, _Gathered], structures: list[Path]) -> None:
    """Put a file where it belongs; one that is no DICOM belongs nowhere."""
    header = read_header(path)
    if header is None or is_directory(header):
        return
    if class_of(header) == STRUCTURES:
        structures.append(path)
    elif is_image(path, header):
        slices, reason, facts = slices_of(path, header), _why_no_plane(header), _facts(header)
        found = gathered.setdefault(str(header.SeriesInstanceUID), _Gathered(facts))
        found.slices += slices
        found.reasons |= {reason} - {""}


def _why_no_plane(header: Any) -> str:
    if int(header.get("SamplesPerPixel") or 1) != 1 or header.get("PhotometricInterpretation") == "PALETTE COLOR":
        return "its images are in colour"
    if int(header.get("NumberOfFrames") or 1) > 1 and "PerFrameFunctionalGroupsSequence" not in header:
        return "its files hold several frames and do not say where each lies"
    if "ModalityLUTSequence" in header:
        return "its values go through a lookup table (ModalityLUTSequence), which is not supported"
    return ""


def _facts(header: Any) -> dict[str, Any]:
    """What a series says of itself, from any of its files."""
    number = str(header.get("SeriesNumber") or "")
    return {
        "modality": str(header.get("Modality") or "OT"),
        "description": description_of(header),
        "number": int(number) if number.lstrip("-").isdigit() else None,
        "patient": patient_of(header),
        "date": date_of(header),
        "study_uid": str(header.get("StudyInstanceUID") or ""),
        "frame_uid": str(header.get("FrameOfReferenceUID") or ""),
    }


def _series(uid: str, found: _Gathered, damaged: list[tuple[Path, str]]) -> Series:
    folders = {part.path.parent for part in found.slices}
    return Series(
        uid=uid,
        **found.facts,
        slices=tuple(found.slices),
        no_volume="; ".join(sorted(found.reasons)) or _why_no_stack(found.slices),
        damaged=tuple(message for path, message in damaged if path.parent in folders),
    )


def _why_no_stack(slices: list[Slice]) -> str:
    if len(slices) == 1:
        return "it holds one image; a volume needs at least two"
    if not any(part.position for part in slices):
        return "its images have no position in the patient (ImagePositionPatient)"
    directions: dict[tuple[float, ...], int] = {}
    for part in slices:
        own = part.orientation or ()
        nearest = next((other for other in directions if _alike(own, other)), own)
        directions[nearest] = directions.get(nearest, 0) + 1
    if max(directions.values()) < _STACK * len(slices):
        return f"its images lie in {len(directions)} orientations, as a localizer's do"
    return ""


def _alike(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return len(first) == len(second) and all(
        abs(one - other) <= _ORIENTATION_TOLERANCE for one, other in zip(first, second, strict=True)
    )


def _order(series: Series) -> tuple[str, int, str]:
    return series.patient, -1 if series.number is None else series.number, series.uid
