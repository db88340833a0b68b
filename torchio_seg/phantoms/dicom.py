"""Made-up patients as a scanner and a planning system store them: a series of slices and an RT structure set.

Every UID is a hash of the patient and of what the file is, and dates are fixed, so that writing twice gives the same
bytes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from torchio_seg.phantoms.dicom_records import CLASSES, DATE, TIME, Origin, decimal, new_dataset, save
from torchio_seg.volumes.contours import trace
from torchio_seg.volumes.dicom_header import import_pydicom
from torchio_seg.volumes.geometry import Orientation, spacing_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from torchio_seg.volumes.geometry import Affine, Array

__all__ = ["Origin", "write_patient", "write_rtstruct", "write_series"]

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # right, front and up to left, back and up, or the other way
_CT_INTERCEPT = -1024
_COLORS = ((230, 25, 75), (60, 180, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180), (70, 240, 240), (240, 50, 230))


def write_patient(  # noqa: PLR0917 (a patient is all of these)
    root: Path, patient_id: str, image: Array, affine: Affine, masks: Mapping[str, NDArray[np.bool_]]
) -> Path:
    """Write an image I J K and a structure set of its masks as public collections lay them out; the patient's folder.

    Slices become axial, rows run to the left and columns to the back, as in a CT.
    """
    origin = Origin(patient_id, description="THORAX")
    axial, turned = _axial(image, affine)
    study = root / patient_id / f"study-{origin.study_uid[-5:]}"
    write_series(study / f"0-{origin.series_uid[-5:]}", axial, turned, origin)
    structures = replace(origin, modality="RTSTRUCT", number=2)
    path = study / f"1-{structures.series_uid[-5:]}" / "1-1.dcm"
    write_rtstruct(path, {name: _axial(mask, affine)[0] for name, mask in masks.items()}, turned, origin)
    return root / patient_id


def write_series(folder: Path, image: Array, affine: Affine, origin: Origin) -> None:
    """Write whole numbers I J K, one file a slice: I runs along the rows, J down the columns, K from file to file."""
    for index in range(image.shape[2]):
        dataset = new_dataset(origin, index)
        _add_plane(dataset, affine, index)
        _add_pixels(dataset, image[:, :, index].T, _CT_INTERCEPT if origin.modality == "CT" else 0)
        _add_scan(dataset, origin.modality)
        save(dataset, folder / f"1-{index + 1:03d}.dcm")


def write_rtstruct(path: Path, masks: Mapping[str, NDArray[np.bool_]], affine: Affine, origin: Origin) -> None:
    """Write the structure set of masks I J K on the grid of a series that was written with this origin."""
    pydicom = import_pydicom()
    dataset = new_dataset(replace(origin, modality="RTSTRUCT", number=origin.number + 1, description="ROIs"), 0)
    dataset.OperatorsName = ""
    dataset.StructureSetLabel, dataset.StructureSetDate, dataset.StructureSetTime = "ROIs", DATE, TIME
    num_slices = len(next(iter(masks.values()))[0, 0]) if masks else 0
    dataset.ReferencedFrameOfReferenceSequence = [_reference(origin, num_slices)]
    dataset.StructureSetROISequence, dataset.ROIContourSequence, dataset.RTROIObservationsSequence = [], [], []
    for number, (name, mask) in enumerate(masks.items(), start=1):
        roi, contours, observation = (pydicom.Dataset() for _ in range(3))
        roi.ROINumber, roi.ReferencedFrameOfReferenceUID = number, origin.frame_uid
        roi.ROIName, roi.ROIGenerationAlgorithm = name, "AUTOMATIC"
        contours.ROIDisplayColor, contours.ReferencedROINumber = list(_COLORS[number % len(_COLORS)]), number
        contours.ContourSequence = list(_contours(mask, affine, origin))
        observation.ObservationNumber = observation.ReferencedROINumber = number
        observation.RTROIInterpretedType, observation.ROIInterpreter = "ORGAN", ""
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(contours)
        dataset.RTROIObservationsSequence.append(observation)
    save(dataset, path)


def _axial(array: Array, affine: Affine) -> tuple[Array, Affine]:
    """The array with its axes nearest to left, back and up, and where that is."""
    orientation = Orientation.to_ras(affine)
    upright = orientation.apply(array[None])[0][::-1, ::-1]
    moved = orientation.apply_affine(affine, (array.shape[0], array.shape[1], array.shape[2]))
    turn = _FLIP.copy()
    turn[:2, 3] = np.subtract(upright.shape[:2], 1)
    return upright, moved @ turn


def _add_plane(dataset: Any, affine: Affine, index: int) -> None:
    """Where the slice lies."""
    lps = _FLIP @ affine
    columns, rows, slices = spacing_of(affine)
    directions = (lps[:3, :2] / (columns, rows)).T
    dataset.ImagePositionPatient = [decimal(value) for value in lps[:3] @ (0, 0, index, 1)]
    dataset.ImageOrientationPatient = [decimal(value) for value in directions.ravel()]
    dataset.PixelSpacing, dataset.SliceThickness = [decimal(rows), decimal(columns)], decimal(slices)


def _add_pixels(dataset: Any, values: Array, intercept: int) -> None:
    stored = values.astype(np.int64) - intercept
    if stored.min() < -(2**15) or stored.max() >= 2**15:
        raise ValueError(f"values from {values.min()} to {values.max()} do not fit into 16 bits beside {intercept}")
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", str(intercept)
    dataset.PixelData = stored.astype("<i2").tobytes()


def _add_scan(dataset: Any, modality: str) -> None:
    """What the standard wants to know of the acquisition."""
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if modality == "CT" else "OTHER"]
    dataset.AcquisitionNumber, dataset.PatientPosition = "1", "HFS"
    if modality == "CT":
        dataset.KVP, dataset.RescaleType = "120", "HU"
    else:
        dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "SE", "NONE", ""
        dataset.MRAcquisitionType, dataset.EchoTime, dataset.RepetitionTime = "3D", "90", "4000"
        dataset.EchoTrainLength = "1"


def _reference(origin: Origin, num_slices: int) -> Any:
    """Frame of reference, study, series and images that the contours were drawn on."""
    pydicom = import_pydicom()
    frame, study, series = (pydicom.Dataset() for _ in range(3))
    series.SeriesInstanceUID = origin.series_uid
    series.ContourImageSequence = [_image_reference(origin, index) for index in range(num_slices)]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", origin.study_uid
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = origin.frame_uid, [study]
    return frame


def _image_reference(origin: Origin, index: int) -> Any:
    reference = import_pydicom().Dataset()
    reference.ReferencedSOPClassUID = CLASSES[origin.modality]
    reference.ReferencedSOPInstanceUID = origin.instance_uid(index)
    return reference


def _contours(mask: NDArray[np.bool_], affine: Affine, origin: Origin) -> Iterator[Any]:
    lps = _FLIP @ affine
    for index in np.flatnonzero(mask.any(axis=(0, 1))):
        for loop in trace(mask[:, :, index]):
            points = np.column_stack([loop, np.full(len(loop), index), np.ones(len(loop))]) @ lps[:3].T
            contour = import_pydicom().Dataset()
            contour.ContourImageSequence = [_image_reference(origin, int(index))]
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(loop)
            contour.ContourData = [decimal(value) for value in points.ravel()]
            yield contour
