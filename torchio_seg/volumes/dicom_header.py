"""The header of one DICOM file: whether it is an image, and where each of its slices lies."""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torchio_seg.errors import TorchioSegError, UsageError, VolumeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import ModuleType

STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
"""The class of RT structure sets."""
_DIRECTORY = "1.2.840.10008.1.3.10"
_SUFFIXES = {".dcm", ".dicom", ".ima"}
_BARE = tuple(bytes([8, 0, element, 0]) for element in (0x00, 0x01, 0x05, 0x08, 0x12, 0x16))
"""How a data set may begin: the first tags of group 0008, little endian."""
_REQUIRED = ("SeriesInstanceUID", "SOPInstanceUID", "Rows", "Columns")
_TAGS = (
    *_REQUIRED,
    *("SOPClassUID", "StudyInstanceUID", "FrameOfReferenceUID", "Modality", "SeriesDescription", "SeriesNumber"),
    *("SeriesDate", "StudyDate"),
    *("PatientID", "PatientName", "PatientIdentityRemoved", "SamplesPerPixel", "PhotometricInterpretation"),
    *("NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)


@dataclass(frozen=True)
class Slice:
    """One image plane as its header describes it; lengths in millimetres, directions left, back and up."""

    path: Path
    instance: str
    rows: int
    columns: int
    frame: int = 0
    """Which frame of the file."""
    position: tuple[float, ...] | None = None
    """The centre of the first pixel."""
    orientation: tuple[float, ...] | None = None
    """The direction along a row, then the one down a column."""
    spacing: tuple[float, ...] | None = None
    """From row to row, then from column to column."""
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def name(self) -> str:
        return self.path.name if self.frame == 0 else f"{self.path.name} frame {self.frame + 1}"


def import_pydicom() -> ModuleType:
    """The library that reads DICOM, which an extra brings."""
    try:
        import pydicom
    except ModuleNotFoundError as error:
        raise UsageError("DICOM needs pydicom, which is not installed; pip install 'torchio-seg[dicom]'") from error
    if int(pydicom.__version__.split(".")[0]) < 3:
        raise UsageError(f"pydicom {pydicom.__version__} is too old; pip install 'torchio-seg[dicom]'")
    return pydicom


def read_header(path: Path) -> Any | None:
    """What is known of a file without its pixels; None where it is no DICOM file.

    A file that should be one by its name, and is empty or is not, raises: a slice may be missing there.
    """
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read ({error.strerror or error})") from error
    if start[128:] == b"DICM" or _is_bare(start):
        return read_dataset(path, pixels=False)
    if path.suffix.lower() in _SUFFIXES or (not start and not re.search(r"\.\D", path.name)):
        raise VolumeError(f"{path}: {'is not DICOM' if start else 'is empty'}; copy it again from where it came")
    return None


def read_dataset(path: Path, *, pixels: bool = True) -> Any:
    """The pydicom data set of a file."""
    with understood(path):
        return _read(path) if pixels else _read(path, stop_before_pixels=True, specific_tags=list(_TAGS))


def read_source(path: Path) -> Any:
    """All of a file but its pixels, for what is made of it and refers to it."""
    with understood(path):
        return _read(path, stop_before_pixels=True)


def _read(path: Path, **options: Any) -> Any:
    pydicom = import_pydicom()
    with path.open("rb") as file:
        is_bare = _is_bare(file.read(8))
    dataset = pydicom.dcmread(path, force=is_bare, **options)
    if is_bare:  # nothing says how it is written, so pixels are as plain as its attributes
        is_implicit, _ = dataset.original_encoding
        uid = pydicom.uid
        dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if is_implicit else uid.ExplicitVRLittleEndian
    return dataset


def _is_bare(start: bytes) -> bool:
    """Whether a file begins with a data set itself, without preamble and meta information, as old archives store it.

    Its first attribute is short: so says its length in the last 4 of 8 bytes, or in 2 after the letters of its kind.
    """
    length = start[6:8] if start[4:6].isalpha() and start[4:6].isupper() else start[5:8]
    return start.startswith(_BARE) and length[1:] in {b"\0", b"\0\0"}


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Turn what pydicom raises over damage into an error of ours, and keep its warnings of odd values quiet.

    Values are decoded when they are asked for, so this belongs around every use of them.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except TorchioSegError:
        raise
    except Exception as error:
        raise VolumeError(f"{path}: cannot be understood as DICOM ({error}); copy it again") from error


def class_of(header: Any) -> str:
    """The UID of what a file holds."""
    stated = header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID", "")
    return str(stated)


def is_image(path: Path, header: Any) -> bool:
    """Whether a file holds pictures of a series; one that should and says too little raises."""
    pydicom = import_pydicom()
    kind = class_of(header)
    name = pydicom.uid.UID(kind).name
    is_private = name == kind
    if is_private and "Rows" not in header and "Modality" not in header:
        raise VolumeError(f"{path}: ends before it says what it holds; copy it again")
    if "Image Storage" not in name and not (is_private and "Rows" in header):
        return False
    if missing := [keyword for keyword in _REQUIRED if not header.get(keyword)]:
        raise VolumeError(f"{path}: its header lacks {', '.join(missing)}; it may be cut short. Copy it again")
    return True


def is_directory(header: Any) -> bool:
    """Whether a file only lists others, as DICOMDIR does."""
    return class_of(header) == _DIRECTORY


def slices_of(path: Path, header: Any) -> tuple[Slice, ...]:
    """Every plane in a file."""
    if "PerFrameFunctionalGroupsSequence" in header:
        return _frames(path, header)
    return (_slice(path, header, header, 0),)


def _frames(path: Path, header: Any) -> tuple[Slice, ...]:
    groups = header.PerFrameFunctionalGroupsSequence
    if len(groups) != int(header.NumberOfFrames):
        raise VolumeError(f"{path}: has {header.NumberOfFrames} frames but describes {len(groups)}; export it again")
    shared = [*header.get("SharedFunctionalGroupsSequence", [])]
    return tuple(_slice(path, header, _flat([*shared, group]), frame) for frame, group in enumerate(groups))


def _flat(groups: Sequence[Any]) -> dict[str, Any]:
    """The attributes of functional groups by their keywords; a frame's own replace those that are shared."""
    return {
        element.keyword: element.value
        for group in groups
        for sequence in group
        if sequence.VR == "SQ" and sequence.value
        for element in sequence.value[0]
    }


def _slice(path: Path, header: Any, plane: Any, frame: int) -> Slice:
    return Slice(
        path=path,
        instance=str(header.SOPInstanceUID),
        rows=int(header.Rows),
        columns=int(header.Columns),
        frame=frame,
        position=_numbers(plane, "ImagePositionPatient", 3),
        orientation=_numbers(plane, "ImageOrientationPatient", 6),
        spacing=_numbers(plane, "PixelSpacing", 2),
        slope=_number(plane, "RescaleSlope", 1.0),
        intercept=_number(plane, "RescaleIntercept", 0.0),
    )


def _numbers(plane: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    values = plane.get(keyword)
    if not values:
        return None
    numbers = tuple(float(value) for value in values)
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{keyword} is {list(values)}, not {count} numbers")
    return numbers


def _number(plane: Any, keyword: str, default: float) -> float:
    value = plane.get(keyword)
    number = default if value is None else float(value)
    if not math.isfinite(number) or (keyword == "RescaleSlope" and number == 0):
        raise ValueError(f"{keyword} is {value}")
    return number


def patient_of(header: Any) -> str:
    """Whom a file belongs to, as a word without the person's name: the patient id, or a hash where it holds the name.

    Public collections put the same made-up id into both and say that the identity is removed.
    """
    identity = str(header.get("PatientID") or "").strip()
    if header.get("PatientIdentityRemoved") == "YES" or not _names_person(identity, header):
        return identity or "patient"
    return f"patient-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def date_of(header: Any) -> str:
    """The day of a series, else of its study, as 2026-11-27; empty where the files do not say."""
    stated = str(header.get("SeriesDate") or header.get("StudyDate") or "").strip()
    return re.sub(r"^(\d{4})(\d\d)(\d\d)$", r"\1-\2-\3", stated)


def description_of(header: Any) -> str:
    """What a series is called, unless that tells the person's name."""
    description = str(header.get("SeriesDescription") or "").strip()
    return "" if _names_person(description, header) else description


def _names_person(text: str, header: Any) -> bool:
    parts = re.split(r"[\W_]+", str(header.get("PatientName") or "").casefold())
    return any(part in text.casefold() for part in parts if len(part) >= 3)
