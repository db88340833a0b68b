"""Readers of DICOM segmentations and structure sets that share nothing with the package: pydicom and arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom

LPS = np.array([-1.0, -1.0, 1.0])


def segments(path: Path, affine: np.ndarray, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Masks I J K of a binary segmentation by label: each pixel of each frame put where the frame says that it lies."""
    dataset = pydicom.dcmread(path)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    rows, columns = dataset.Rows, dataset.Columns
    bits = np.array([[byte >> bit & 1 for bit in range(8)] for byte in dataset.PixelData], bool).ravel()
    labels = {item.SegmentNumber: item.SegmentLabel for item in dataset.SegmentSequence}
    masks = {label: np.zeros(shape, bool) for label in labels.values()}
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        position, orientation, identity = (
            (group if keyword in group else shared)[keyword].value[0]
            for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "SegmentIdentificationSequence")
        )
        along_row, down = np.reshape(orientation.ImageOrientationPatient, (2, 3)).astype(float)
        from_row_to_row, from_column_to_column = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
        origin = np.array(position.ImagePositionPatient, float)
        frame = bits[number * rows * columns : (number + 1) * rows * columns]
        row, column = np.divmod(np.flatnonzero(frame), columns)
        points = origin + column[:, None] * from_column_to_column * along_row + row[:, None] * from_row_to_row * down
        voxels = np.linalg.solve(affine[:3, :3], (points * LPS - affine[:3, 3]).T).T
        assert np.abs(voxels - np.rint(voxels)).max(initial=0) < 0.05
        label = labels[identity.ReferencedSegmentNumber]
        masks[label][tuple(np.rint(voxels).astype(int).T)] = True
    return masks


def structures(path: Path, affine: np.ndarray, shape: tuple[int, int, int], rule: str) -> dict[str, np.ndarray]:
    """Masks I J K of a structure set by name: voxels whose centre a contour goes around, or an odd number of them.

    `union`: each contour by itself, by its winding number. `odd`: all contours of a slice together.
    """
    dataset = pydicom.dcmread(path)
    names = {item.ROINumber: item.ROIName for item in dataset.StructureSetROISequence}
    masks = {}
    for drawn in dataset.ROIContourSequence:
        turns = np.zeros(shape, int)
        for contour in drawn.get("ContourSequence", []):
            points = np.reshape(contour.ContourData, (-1, 3)).astype(float) * LPS
            voxels = np.linalg.solve(affine[:3, :3], (points - affine[:3, 3]).T).T
            (plane,) = set(np.rint(voxels[:, 2]).astype(int))
            found = winding(voxels[:, :2], shape[:2])
            turns[:, :, plane] += (found != 0) if rule == "union" else (found % 2 != 0)
        masks[names[drawn.ReferencedROINumber]] = turns > 0 if rule == "union" else turns % 2 == 1
    return masks


def winding(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How often a polygon goes around the centre of each pixel, from the angles between its corners."""
    centres = np.stack(np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij"), axis=-1)
    offsets = polygon[:, None, None] - centres
    angles = np.arctan2(offsets[..., 1], offsets[..., 0])
    turned = (np.diff(angles, axis=0, append=angles[:1]) + np.pi) % (2 * np.pi) - np.pi
    return np.rint(turned.sum(axis=0) / (2 * np.pi)).astype(int)


def references(dataset: Any) -> set[str]:
    """The instances that a segmentation or structure set says it is of."""
    if dataset.Modality == "SEG":
        return {item.ReferencedSOPInstanceUID for item in dataset.SourceImageSequence}
    series = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    return {item.ReferencedSOPInstanceUID for item in series.ContourImageSequence}
