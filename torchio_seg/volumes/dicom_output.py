"""What all DICOM that we write has in common: what was found, whose it is, and a file that is whole or absent."""

from __future__ import annotations

import colorsys
import datetime
import itertools
import os
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from torchio_seg.errors import UsageError, VolumeError
from torchio_seg.lock import at_work_in
from torchio_seg.volumes.dicom_header import import_pydicom, read_dataset, read_source, understood
from torchio_seg.volumes.together import at_once, draft_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from torchio_seg.records import Region
    from torchio_seg.volumes.coding import Coding
    from torchio_seg.volumes.dicom_grid import Grid
    from torchio_seg.volumes.dicom_header import Slice
    from torchio_seg.volumes.geometry import Array
    from torchio_seg.volumes.together import Naming

MANUFACTURER = "torchio-seg"
LONGEST = 64
"""Letters of a label or description; what is longer is cut."""
_PATIENT_AND_STUDY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime"),
    *("ReferringPhysicianName", "StudyID", "AccessionNumber"),
)
"""What must be there, empty if need be."""
_MORE = (
    *("StudyDescription", "PatientAge", "PatientSize", "PatientWeight", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "DeidentificationMethodCodeSequence"),
)
"""What is copied where it is there."""
_HUE = 0.61803398875  # the golden ratio: neighbours differ most
_OFF_SLICE = 0.2  # of the distance between slices: how far a frame may lie from its slice


@dataclass(frozen=True)
class Segment:
    """A class or region as DICOM will hold it."""

    region: Region
    coding: Coding
    place: int
    """Among all that the model knows, from 0: what its colour follows from."""

    @property
    def label(self) -> str:
        return as_text(self.region.name)

    @property
    def color(self) -> tuple[int, int, int]:
        """Red, green and blue, up to 255."""
        red, green, blue = colorsys.hsv_to_rgb(self.place * _HUE % 1, 0.75, 0.95)
        return round(red * 255), round(green * 255), round(blue * 255)


@dataclass(frozen=True)
class Algorithm:
    """What found it."""

    version: str
    model: str
    """What the model is called."""
    sha256: str
    """Of its weights."""

    def __str__(self) -> str:
        return f"torchio-seg {self.version}, model {self.model} {self.sha256[:12]}"


@dataclass(frozen=True)
class Findings:
    """A label map on the grid of a series, and what its values mean."""

    grid: Grid
    label_map: Array
    """I J K along the grid's axes."""
    segments: tuple[Segment, ...]
    algorithm: Algorithm

    def __post_init__(self) -> None:
        if self.label_map.shape != self.grid.shape:
            raise ValueError(f"a label map of {self.label_map.shape} is not on a grid of {self.grid.shape}")

    @cached_property
    def _values(self) -> list[set[int]]:
        """What each slice holds."""
        planes = np.moveaxis(self.label_map, 2, 0)
        return [set(np.flatnonzero(np.bincount(plane.ravel())).tolist()) for plane in planes]

    @cached_property
    def present(self) -> tuple[Segment, ...]:
        """The segments that have a voxel; all of them where none has."""
        found = tuple(segment for segment in self.segments if self.slices_of(segment))
        return found or self.segments

    def slices_of(self, segment: Segment) -> list[int]:
        """The slices that have a voxel of a segment."""
        return [index for index, values in enumerate(self._values) if values & set(segment.region.labels)]

    @cached_property
    def _places(self) -> Array:
        return np.array([part.position for part in self.grid.slices])

    def slice_at(self, position: Sequence[float]) -> int:
        """The slice whose first pixel lies here, in DICOM's millimetres."""
        distances = np.linalg.norm(self._places - np.asarray(position, np.float64), axis=1)
        if distances.min() > _OFF_SLICE * float(np.linalg.norm(self.grid.affine[:3, 2])):
            raise VolumeError(f"a frame or contour lies at {list(position)}, where the series has no slice")
        return int(distances.argmin())

    def plane(self, segment: Segment, index: int) -> NDArray[np.bool_]:
        """I J of a slice: where the segment is."""
        return np.isin(self.label_map[:, :, index], segment.region.labels)


def as_text(text: str) -> str:
    """Text as DICOM's short strings may hold it: one line, no backslash, not too long."""
    return " ".join(text.replace("\\", "/").split())[:LONGEST].strip()


def require_referable(grid: Grid) -> None:
    """Hold that what is found in a series can be said in DICOM at all, before it is looked for."""
    series = grid.series
    if not series.frame_uid:
        raise VolumeError(
            f"{series.label}: its files state no FrameOfReferenceUID, so nothing can say where it lies; write NIfTI"
        )
    if series.num_files > 1 and any(part.frame for part in grid.slices):
        raise VolumeError(
            f"{series.label}: its frames lie in {series.num_files} files of several frames each, to which one DICOM "
            "object cannot refer frame by frame; write NIfTI, or convert the series to one file"
        )


def read_sources(grid: Grid) -> list[Any]:
    """The headers of the series' files, each once, in the order of K; what they must say of whom is there."""
    files = dict.fromkeys(part.path for part in grid.slices)
    sources = [read_source(path) for path in files]
    for source, keyword in itertools.product(sources, _PATIENT_AND_STUDY):
        if keyword not in source:
            setattr(source, keyword, "")
    return sources


def new_object(source: Any, class_uid: str, modality: str, number: int) -> Any:
    """A data set with the patient and the study of a source, and a series and an instance of its own."""
    pydicom = import_pydicom()
    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian  # its values may be longer than 64 kB
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = class_uid
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = new_uid()
    made.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _PATIENT_AND_STUDY:
        setattr(made, keyword, source.get(keyword))
    for keyword in _MORE:
        if keyword in source:
            setattr(made, keyword, source.get(keyword))
    made.Modality, made.SeriesInstanceUID, made.SeriesNumber, made.InstanceNumber = modality, new_uid(), number, 1
    made.Manufacturer = made.ManufacturerModelName = MANUFACTURER
    made.FrameOfReferenceUID = source.FrameOfReferenceUID
    made.PositionReferenceIndicator = source.get("PositionReferenceIndicator", "")
    return made


@contextmanager
def as_it_is() -> Iterator[None]:
    """Copy odd values of the source without a word about each: they are the source's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def new_uid() -> str:
    """A UID that nothing else has."""
    return str(import_pydicom().uid.generate_uid(prefix=None))


def now() -> tuple[str, str]:
    """Date and time as DICOM writes them, by the clock on the wall."""
    moment = datetime.datetime.now().astimezone()
    return moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")


def series_number(grid: Grid, base: int) -> int:
    """The number of a new series beside the one it is of."""
    return base + abs(grid.series.number or 0) % base


def reference_to(part: Slice, source: Any) -> Any:
    """One image, and which frame of it where it has several."""
    reference = import_pydicom().Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = source.SOPClassUID, part.instance
    if "NumberOfFrames" in source:
        reference.ReferencedFrameNumber = part.frame + 1
    return reference


def write_checked(
    path: Path, dataset: Any, check: Callable[[Any], None], *, overwrite: bool, naming: Naming = at_once
) -> None:
    """Write a data set, read it back with pydicom, check that, and only then have it named."""
    if os.path.lexists(path) and not overwrite:
        raise UsageError(f"{path}: exists already; pass --overwrite to replace it, or choose another name")
    partial = path.with_name(draft_name(".dcm"))
    with at_work_in(path.parent), ExitStack() as cleaning:
        cleaning.callback(partial.unlink, missing_ok=True)
        _write_checked(path, partial, dataset, check, naming=naming)
        cleaning.pop_all()


def _write_checked(path: Path, partial: Path, dataset: Any, check: Callable[[Any], None], *, naming: Naming) -> None:
    try:
        with partial.open("xb") as file:
            dataset.save_as(file, enforce_file_format=True)
            file.flush()
            os.fsync(file.fileno())
        with understood(partial):
            check(read_dataset(partial))
        naming(partial, path)
    except OSError as error:
        raise VolumeError(
            f"{path}: could not be written ({error.strerror or error}); free space or choose another folder, "
            "then run again. What was there before is unchanged"
        ) from error
    except VolumeError as error:
        raise VolumeError(
            f"{path}: what was read back from the disk is not what was written ({error}); nothing was kept"
        ) from error
