"""A label map as an RT structure set: contours on the series' own slices, which read back as the same masks.

A region with a hole is one contour, which a channel without width joins to the hole: the keyhole of the standard (PS3.3
C.8.8.6.3), which means the same to readers that fill each contour by itself as to those that leave out what lies
within two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.contours import trace_keyholed
from torchio_seg.volumes.dicom_header import STRUCTURES, import_pydicom
from torchio_seg.volumes.dicom_output import (
    as_it_is,
    as_text,
    new_object,
    now,
    read_sources,
    reference_to,
    series_number,
    write_checked,
)
from torchio_seg.volumes.scanline import fill
from torchio_seg.volumes.together import at_once

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torchio_seg.volumes.coding import Code
    from torchio_seg.volumes.dicom_header import Slice
    from torchio_seg.volumes.dicom_output import Findings, Segment
    from torchio_seg.volumes.geometry import Array
    from torchio_seg.volumes.together import Naming

_SERIES = 2000
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
_DECIMALS = 4
"""Of a coordinate in millimetres."""


def write_structures(path: Path, findings: Findings, *, overwrite: bool = False, naming: Naming = at_once) -> None:
    """Write what was found as a structure set of the series: a region of interest for each class that has a voxel.

    Where nothing was found, every class is a region of interest without contours.
    """
    with as_it_is():
        made = _make(findings)
        write_checked(path, made, lambda read: _require_equal(read, findings), overwrite=overwrite, naming=naming)


def _make(findings: Findings) -> Any:
    sources = read_sources(findings.grid)
    made = new_object(sources[0], STRUCTURES, "RTSTRUCT", series_number(findings.grid, _SERIES))
    made.OperatorsName = ""
    made.SoftwareVersions = findings.algorithm.version
    made.SeriesDescription = as_text(f"torchio-seg {findings.algorithm.model}")
    made.StructureSetLabel, made.StructureSetName = "torchio-seg", as_text(str(findings.algorithm))
    made.StructureSetDate, made.StructureSetTime = made.InstanceCreationDate, made.InstanceCreationTime = now()
    made.ApprovalStatus = "UNAPPROVED"
    by_instance = {source.SOPInstanceUID: source for source in sources}
    images = [reference_to(part, by_instance[part.instance]) for part in findings.grid.slices]
    made.ReferencedFrameOfReferenceSequence = [_reference(sources[0], images)]
    made.StructureSetROISequence, made.ROIContourSequence, made.RTROIObservationsSequence = [], [], []
    for number, segment in enumerate(findings.present, start=1):
        made.StructureSetROISequence.append(_roi(number, segment, findings))
        made.ROIContourSequence.append(_drawn(number, segment, findings, images))
        made.RTROIObservationsSequence.append(_observation(number, segment))
    return made


def _reference(source: Any, images: Sequence[Any]) -> Any:
    """Frame of reference, study, series and images that the contours lie on."""
    frame, study, series = (import_pydicom().Dataset() for _ in range(3))
    series.SeriesInstanceUID, series.ContourImageSequence = source.SeriesInstanceUID, list(images)
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY_CLASS, source.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = source.FrameOfReferenceUID, [study]
    return frame


def _roi(number: int, segment: Segment, findings: Findings) -> Any:
    roi = import_pydicom().Dataset()
    roi.ROINumber, roi.ReferencedFrameOfReferenceUID = number, findings.grid.series.frame_uid
    roi.ROIName, roi.ROIGenerationAlgorithm = segment.label, "AUTOMATIC"
    roi.ROIGenerationDescription = as_text(str(findings.algorithm))
    return roi


def _observation(number: int, segment: Segment) -> Any:
    """What a region of interest is, in coded terms."""
    observation = import_pydicom().Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = number
    observation.ROIObservationLabel = segment.label[:16]
    observation.RTROIInterpretedType = observation.ROIInterpreter = ""
    term = _term(segment.coding.type)
    if segment.coding.side:
        term.SegmentedPropertyTypeModifierCodeSequence = [_term(segment.coding.side)]
    observation.RTROIIdentificationCodeSequence = [term]
    observation.SegmentedPropertyCategoryCodeSequence = [_term(segment.coding.category)]
    if segment.coding.region:
        observation.AnatomicRegionSequence = [_term(segment.coding.region)]
    return observation


def _term(code: Code) -> Any:
    term = import_pydicom().Dataset()
    term.CodeValue, term.CodingSchemeDesignator, term.CodeMeaning = code.value, code.scheme, code.meaning
    return term


def _drawn(number: int, segment: Segment, findings: Findings, images: Sequence[Any]) -> Any:
    drawn = import_pydicom().Dataset()
    drawn.ReferencedROINumber, drawn.ROIDisplayColor = number, list(segment.color)
    drawn.ContourSequence = list(_contours(segment, findings, images))
    return drawn


def _contours(segment: Segment, findings: Findings, images: Sequence[Any]) -> Iterator[Any]:
    for index in findings.slices_of(segment):
        for loop in trace_keyholed(findings.plane(segment, index)):
            contour = import_pydicom().Dataset()
            contour.ContourImageSequence = [images[index]]
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(loop)
            contour.ContourData = [_decimal(value) for value in _placed(loop, findings.grid.slices[index]).ravel()]
            yield contour


def _placed(loop: Array, part: Slice) -> Array:
    """Points in pixels on a slice, in the millimetres of DICOM, by what the slice itself says of where it is."""
    directions = np.array(part.orientation).reshape(2, 3)
    rows, columns = part.spacing or (0.0, 0.0)
    placed: Array = loop * (columns, rows) @ directions + np.array(part.position)
    return placed


def _decimal(value: float) -> str:
    return f"{round(float(value), _DECIMALS) + 0.0:.{_DECIMALS}f}".rstrip("0").rstrip(".")


def _require_equal(read: Any, findings: Findings) -> None:
    """Hold that the contours, each by itself and where its numbers say, enclose what the label map holds."""
    names = {int(roi.ROINumber): str(roi.ROIName) for roi in read.StructureSetROISequence}
    if names != {number: segment.label for number, segment in enumerate(findings.present, start=1)}:
        raise VolumeError(f"its regions are {names}")
    for drawn, segment in zip(read.ROIContourSequence, findings.present, strict=True):
        found = {index: np.zeros(findings.grid.shape[:2], bool) for index in findings.slices_of(segment)}
        for contour in drawn.get("ContourSequence") or []:
            points = np.array(contour.ContourData, np.float64).reshape(-1, 3)
            index = _slice_of(points, findings)
            inside = fill([_on_slice(points, findings.grid.slices[index])], findings.grid.shape[:2])
            found[index] = found.get(index, False) | inside
        if not all(np.array_equal(mask, findings.plane(segment, index)) for index, mask in found.items()):
            raise VolumeError(f"the contours of '{segment.label}' enclose something else")


def _slice_of(points: Array, findings: Findings) -> int:
    """The slice that points lie on: seen along its plane, its own origin is nearest."""
    first = findings.grid.slices[0]
    row, column = np.array(first.orientation).reshape(2, 3)
    normal = np.cross(row, column)
    origin = np.array(first.position)
    height = float((points - origin).mean(axis=0) @ normal)
    return findings.slice_at((origin + height * normal).tolist())


def _on_slice(points: Array, part: Slice) -> Array:
    """Points in DICOM's millimetres as pixels of a slice."""
    rows, columns = part.spacing or (0.0, 0.0)
    directions = np.array(part.orientation).reshape(2, 3)
    flat: Array = (points - np.array(part.position)) @ directions.T / (columns, rows)
    return flat
